-- How each channel fares, from `exchange_health_1m`, and whether it is as fresh as its settings ask. A channel is the
-- canonical table it fills. A view reads no clock: freshness is seconds from the channel's newest receipt to the newest
-- of anything in the database, be it an event of the watchdog's. While nothing at all is received, it does not grow.
-- Latencies are those of the channel's last hour, made from its minutes: latency_p50_ms is the mean of their medians,
-- weighted by their rows, and so an estimate; latency_p99_ms is the highest of their p99, and so a bound: no more than
-- one row in a hundred took longer.
-- sla_seconds is what mdb.toml says, else the venue's feed.toml; of several lines the one that says most: for this venue
-- and channel, else for the venue, else for the channel, else for all. sla_status is 'ok', 'late' (freshness is above
-- it) or 'no sla'.
-- @column venue VARCHAR venue folder's name
-- @column symbol VARCHAR instrument, in the venue's own spelling
-- @column channel VARCHAR table the channel fills: 'trades', 'quotes', 'book_tops' or 'bars'
-- @column rows UBIGINT number of rows; book_tops has one for each update of the book
-- @column gaps UBIGINT number of gaps
-- @column last_ts TIMESTAMP_NS newest ts, UTC; NULL if there are only gaps
-- @column last_recv_ts TIMESTAMP_NS newest recv_ts, UTC; NULL likewise
-- @column freshness DOUBLE s since last_recv_ts, by the newest recv_ts in the database
-- @column latency_p50_ms DOUBLE ms; NULL if the venue gives no time
-- @column latency_p99_ms DOUBLE ms; NULL if the venue gives no time
-- @column sla_seconds DOUBLE freshness that is asked for, s; NULL if none is
-- @column sla_status VARCHAR 'ok', 'late' or 'no sla'
-- @test unique venue, symbol, channel
-- @test accepted sla_status ok|late|no sla
WITH channels AS (
    SELECT venue, symbol, channel, sum(rows)::UBIGINT AS rows, sum(gaps)::UBIGINT AS gaps, max(last_ts) AS last_ts,
           max(last_recv_ts) AS last_recv_ts
    FROM exchange_health_1m
    GROUP BY ALL
), last_hour AS (
    SELECT venue, symbol, channel, fsum(latency_p50_ms * timed) / sum(timed) AS latency_p50_ms,
           max(latency_p99_ms) AS latency_p99_ms
    FROM exchange_health_1m AS m JOIN channels AS c USING (venue, symbol, channel)
    WHERE m.timed > 0 AND epoch_ns(m.ts) > epoch_ns(c.last_ts) - 3600000000000
    GROUP BY ALL
), newest AS (
    SELECT max(last_recv_ts) AS recv_ts
    FROM (SELECT last_recv_ts FROM channels UNION ALL SELECT last_recv_ts FROM ingest_1m)
), slas AS (
    SELECT c.venue, c.channel,
           arg_min(s.seconds, (s.said_in <> 'mdb.toml', s.venue IS NULL, s.channel IS NULL, s.seconds)) AS sla_seconds
    FROM (SELECT DISTINCT venue, channel FROM channels) AS c JOIN ops.slas AS s
        ON coalesce(s.venue, c.venue) = c.venue AND coalesce(s.channel, c.channel) = c.channel
    GROUP BY ALL
), measured AS (
    SELECT *, (epoch_ns(newest.recv_ts) - epoch_ns(last_recv_ts)) / 1e9 AS freshness
    FROM channels, newest
)
SELECT venue, symbol, channel, rows, gaps, last_ts, last_recv_ts, freshness, latency_p50_ms, latency_p99_ms,
       sla_seconds,
       CASE WHEN sla_seconds IS NULL THEN 'no sla' WHEN freshness <= sla_seconds THEN 'ok' ELSE 'late' END
           AS sla_status
FROM measured
LEFT JOIN last_hour USING (venue, symbol, channel)
LEFT JOIN slas USING (venue, channel)
