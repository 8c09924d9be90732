-- Bars (candles) as the venue publishes them; ts is the start of the interval. Of rows with one key
-- the latest counts: a bar is sent again until it is final. A late copy of one that was not is none of a final one.
-- @key venue, symbol, interval, ts
-- @latest is_final
-- @delta seq, ts, recv_ts
CREATE TABLE IF NOT EXISTS hot.bars (
    seq          UBIGINT NOT NULL,      -- raw message this row was made from
    venue        VARCHAR NOT NULL,      -- venue folder's name, e.g. 'binance_spot'
    symbol       VARCHAR NOT NULL,      -- instrument, in the venue's own spelling
    ts           TIMESTAMP_NS NOT NULL, -- start of the interval, UTC
    recv_ts      TIMESTAMP_NS NOT NULL, -- time the message was received here, UTC
    "interval"   VARCHAR NOT NULL,      -- length: a number and one of s, m, h, d, w, M, e.g. '1m', '1d', '1w'
    open         DOUBLE NOT NULL,       -- first price, in quote currency
    high         DOUBLE NOT NULL,       -- highest price, in quote currency
    low          DOUBLE NOT NULL,       -- lowest price, in quote currency
    close        DOUBLE NOT NULL,       -- last price so far, in quote currency
    adj_close    DOUBLE,                -- close adjusted for splits and dividends, where the venue gives it
    volume       DOUBLE,                -- quantity traded, same unit as trades.size
    quote_volume DOUBLE,                -- value traded, in quote currency
    trades       UBIGINT,               -- number of trades
    vwap         DOUBLE,                -- volume-weighted average price, where the venue gives it
    dividend     DOUBLE,                -- dividend that falls into the interval, in quote currency a share
    is_final     BOOLEAN                -- false while the interval is still running
);
