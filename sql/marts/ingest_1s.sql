-- What was received of each venue, by second of its receipt, and what went wrong with it. Messages are those stored as
-- raw; what is loaded from vendors' files never is one. Venue '' is what concerns none, such as mdb.toml.
-- @materialize incremental
-- @key venue, ts
-- @time ts
-- @window 1 second
-- @lateness 10 minutes
-- @column venue VARCHAR venue folder's name; '' where there is none
-- @column ts TIMESTAMP_NS start of the second, UTC
-- @column messages UBIGINT number of messages
-- @column bytes UBIGINT their length in bytes, UTF-8
-- @column dead_letters UBIGINT number of records that no table took
-- @column disconnects UBIGINT number of connections that ended, also those that were meant to
-- @column errors UBIGINT number of feed_events that tell of a fault: of a connection, a request or the settings
-- @column backpressures UBIGINT number of times that reading stood still, because the writer had no room
-- @column backpressure_seconds DOUBLE time from the first to the last standstill of each, s
-- @column last_recv_ts TIMESTAMP_NS newest recv_ts of all of these, UTC
-- @test not_null venue, ts, messages, bytes, dead_letters, disconnects, errors, backpressures, last_recv_ts
-- @test unique venue, ts
-- @test range backpressure_seconds >= 0
WITH received AS (
    SELECT venue, recv_ts AS ts, 'message' AS kind, strlen(payload) AS bytes, NULL::BIGINT AS stood_ns
    FROM raw_messages
    UNION ALL
    SELECT coalesce(venue, ''), ts, 'dead_letter', NULL, NULL FROM dead_letters
    WHERE ts IS NOT NULL
    UNION ALL
    -- The others of its kinds have the venue's time, or tell of no fault.
    SELECT venue, ts, CASE WHEN kind IN ('disconnect', 'backpressure') THEN kind ELSE 'error' END, NULL,
           IF(kind = 'backpressure', epoch_ns(to_ts) - epoch_ns(from_ts), NULL)
    FROM feed_events
    WHERE kind IN ('disconnect', 'backpressure', 'error', 'connect_failed', 'refused', 'unacknowledged', 'final',
                   'backfill_failed', 'snapshot_failed', 'misconfigured')
)
SELECT venue, window_start(ts, 1_000_000_000) AS ts,
       count_if(kind = 'message')::UBIGINT AS messages,
       coalesce(sum(bytes), 0)::UBIGINT AS bytes,
       count_if(kind = 'dead_letter')::UBIGINT AS dead_letters,
       count_if(kind = 'disconnect')::UBIGINT AS disconnects,
       count_if(kind = 'error')::UBIGINT AS errors,
       count_if(kind = 'backpressure')::UBIGINT AS backpressures,
       coalesce(sum(stood_ns), 0) / 1e9 AS backpressure_seconds,
       max(ts) AS last_recv_ts
FROM received
GROUP BY 1, 2
