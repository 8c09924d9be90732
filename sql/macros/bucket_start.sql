-- The start of the bucket that a moment falls into. Weeks start on Monday, months on their first day, all in UTC.
-- time_bucket alone would round the nanoseconds, and so put the last half microsecond into the next bucket.
-- Arguments: ts (TIMESTAMP_NS), bucket (INTERVAL of whole microseconds, or text such as '5 minutes'; '1m' and '1M' are
-- both a minute).
-- Result: TIMESTAMP_NS.
-- Example: SELECT bucket_start(ts, '1 hour') AS ts, sum(size) AS volume FROM trades GROUP BY ALL;
CREATE OR REPLACE MACRO bucket_start(ts, bucket) AS
    time_bucket(coalesce(
        try_cast(bucket AS INTERVAL),
        -- Not by `error`: see `asked_symbol`.
        to_days((
            'mdb: ''' || bucket::VARCHAR
            || ''' is no length of time: it is written ''5 minutes'', ''1 hour'', ''1 day'', ''1 week''…'
        )::INTEGER)
    ), make_timestamp(epoch_ns(ts) // 1000))::TIMESTAMP_NS;
