-- Trades as printed by the venue. An aggregate of fills is marked in `conditions`, never mixed in
-- unmarked. What the venue took back later is left out; `trades_reported` has it too.
-- @key venue, symbol, trade_id
-- @voided_by trade_corrections
-- @delta seq, ts, recv_ts, trade_id
CREATE TABLE IF NOT EXISTS hot.trades (
    seq        UBIGINT NOT NULL,      -- raw message this row was made from
    venue      VARCHAR NOT NULL,      -- venue folder's name, e.g. 'binance_spot'
    symbol     VARCHAR NOT NULL,      -- instrument, in the venue's own spelling
    ts         TIMESTAMP_NS NOT NULL, -- venue's event time, UTC; equals recv_ts where the venue gives none
    recv_ts    TIMESTAMP_NS NOT NULL, -- time the message was received here, UTC
    trade_id   VARCHAR,               -- venue's id, with what makes it unique; of an aggregate 'a' and its id
    price      DOUBLE NOT NULL,       -- price, in quote currency
    size       DOUBLE NOT NULL,       -- quantity, in the unit the venue trades: base currency, shares or contracts
    side       VARCHAR,               -- aggressor: 'buy', 'sell' or 'unknown'
    conditions VARCHAR[]              -- venue's condition codes; also 'aggregate' = several fills, 'corrected' = in a void one's place
);
