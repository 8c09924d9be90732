-- Changes of single book levels, and the levels of snapshots. An update without any level is one row
-- with side, price and size NULL: it still advances the sequence.
-- @key venue, symbol, last_id, is_snapshot, side, price
-- @delta ts
-- @plain seq, recv_ts, first_id, last_id, prev_id, checksum
CREATE TABLE IF NOT EXISTS hot.book_deltas (
    seq         UBIGINT NOT NULL,      -- raw message this row was made from
    venue       VARCHAR NOT NULL,      -- venue folder's name, e.g. 'binance_spot'
    symbol      VARCHAR NOT NULL,      -- instrument, in the venue's own spelling
    ts          TIMESTAMP_NS NOT NULL, -- venue's event time, UTC; equals recv_ts where the venue gives none
    recv_ts     TIMESTAMP_NS NOT NULL, -- time the message was received here, UTC
    first_id    UBIGINT,               -- first update id the message covers
    last_id     UBIGINT,               -- last update id the message covers; of a snapshot, the id it stands at
    prev_id     UBIGINT,               -- last_id of the message before, where the venue gives it
    is_snapshot BOOLEAN NOT NULL,      -- true: the level belongs to a full picture that replaces the book
    side        VARCHAR,               -- 'bid' or 'ask'; NULL for an update without levels
    price       DOUBLE,                -- price of the level, in quote currency
    size        DOUBLE,                -- new quantity at the price, same unit as trades.size; 0 removes the level
    checksum    BIGINT                 -- venue's checksum of the book after this message, where it sends one
);
