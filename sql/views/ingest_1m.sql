-- `ingest_1s` by minute: what was received of each venue, and what went wrong with it.
-- @column venue VARCHAR venue folder's name; '' where there is none
-- @column ts TIMESTAMP_NS start of the minute, UTC
-- @column messages UBIGINT number of messages
-- @column bytes UBIGINT their length in bytes, UTF-8
-- @column dead_letters UBIGINT number of records that no table took
-- @column disconnects UBIGINT number of connections that ended, also those that were meant to
-- @column errors UBIGINT number of feed_events that tell of a fault
-- @column backpressures UBIGINT number of times that reading stood still, because the writer had no room
-- @column backpressure_seconds DOUBLE time from the first to the last standstill of each, s
-- @column last_recv_ts TIMESTAMP_NS newest recv_ts of all of these, UTC
-- @test unique venue, ts
SELECT venue, bucket_start(ts, '1 minute') AS ts,
       sum(messages)::UBIGINT AS messages,
       sum(bytes)::UBIGINT AS bytes,
       sum(dead_letters)::UBIGINT AS dead_letters,
       sum(disconnects)::UBIGINT AS disconnects,
       sum(errors)::UBIGINT AS errors,
       sum(backpressures)::UBIGINT AS backpressures,
       fsum(backpressure_seconds) AS backpressure_seconds,
       max(last_recv_ts) AS last_recv_ts
FROM ingest_1s
GROUP BY 1, 2
