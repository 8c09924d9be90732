-- Best bid and ask as the venue publishes them, one row a change.
-- @key venue, symbol, update_id
-- @delta seq, ts, recv_ts, update_id
-- @plain bid_size, ask_size
CREATE TABLE IF NOT EXISTS hot.quotes (
    seq       UBIGINT NOT NULL,      -- raw message this row was made from
    venue     VARCHAR NOT NULL,      -- venue folder's name, e.g. 'binance_spot'
    symbol    VARCHAR NOT NULL,      -- instrument, in the venue's own spelling
    ts        TIMESTAMP_NS NOT NULL, -- venue's event time, UTC; equals recv_ts where the venue gives none
    recv_ts   TIMESTAMP_NS NOT NULL, -- time the message was received here, UTC
    bid_price DOUBLE,                -- best bid, in quote currency; NULL if there is no bid
    bid_size  DOUBLE,                -- quantity at the best bid, same unit as trades.size
    ask_price DOUBLE,                -- best ask, in quote currency; NULL if there is no ask
    ask_size  DOUBLE,                -- quantity at the best ask, same unit as trades.size
    update_id UBIGINT                -- venue's book update id this quote is of; where it gives none, one made of what it says
);
