-- Trades that the venue has taken back: cancelled, or replaced by another one. `trades` leaves out what a row here
-- voids, whichever of the two was received first; `trades_reported` has every trade, and this table says what it was.
-- The trade that takes a corrected one's place is a row of `trades` like any other, with 'corrected' among its
-- conditions.
-- @key venue, symbol, trade_id, kind
-- @delta seq, ts, recv_ts, trade_id
-- @plain price
CREATE TABLE IF NOT EXISTS hot.trade_corrections (
    seq          UBIGINT NOT NULL,      -- raw message this row was made from
    venue        VARCHAR NOT NULL,      -- venue folder's name, e.g. 'binance_spot'
    symbol       VARCHAR NOT NULL,      -- instrument, in the venue's own spelling
    ts           TIMESTAMP_NS NOT NULL, -- venue's time of the correction, UTC; that of the trade where it gives no other
    recv_ts      TIMESTAMP_NS NOT NULL, -- time the message was received here, UTC
    trade_id     VARCHAR NOT NULL,      -- trade that is void
    kind         VARCHAR NOT NULL,      -- 'correct': another trade takes its place, or 'cancel': none does
    reason       VARCHAR,               -- venue's own code for it
    from_ts      TIMESTAMP_NS,          -- the void trade's ts is not before this; NULL where the venue never uses an id again
    to_ts        TIMESTAMP_NS,          -- the void trade's ts is not after this; NULL likewise
    price        DOUBLE,                -- the void trade's price, where the venue repeats it
    size         DOUBLE,                -- the void trade's size, same unit as trades.size
    conditions   VARCHAR[],             -- the void trade's conditions
    new_trade_id VARCHAR,               -- trade that takes its place, where the venue names it
    new_price    DOUBLE,                -- that trade's price
    new_size     DOUBLE                 -- that trade's size
);
