-- What happened to the capture itself: connections, gaps, resyncs, stale channels, backpressure. A gap
-- is a row here, never only a log line.
-- @delta seq, ts, recv_ts
CREATE TABLE IF NOT EXISTS hot.feed_events (
    seq     UBIGINT,               -- raw message at which it was noticed; NULL if it hangs on none
    venue   VARCHAR NOT NULL,      -- venue folder's name, e.g. 'binance_spot'
    symbol  VARCHAR,               -- instrument concerned; NULL if all of the connection
    channel VARCHAR,               -- connection or stream concerned
    ts      TIMESTAMP_NS NOT NULL, -- venue's time of the event, UTC; equals recv_ts where there is none
    recv_ts TIMESTAMP_NS NOT NULL, -- time it was noticed here, UTC
    kind    VARCHAR NOT NULL,      -- 'connect', 'disconnect', 'subscribed', 'gap', 'resync', 'stale' …
    from_id UBIGINT,               -- gap: first update id missing
    to_id   UBIGINT,               -- gap: last update id missing
    from_ts TIMESTAMP_NS,          -- start of the time concerned, UTC
    to_ts   TIMESTAMP_NS,          -- end of the time concerned, UTC
    detail  VARCHAR                -- in words
);
