-- The start of the bucket that a moment falls into. Weeks start on Monday, months on their first day, all in UTC: buckets
-- of whole weeks are counted from 1970-01-05, months and years from 2000-01-01, all others from 1970-01-01.
-- time_bucket would count days and weeks from elsewhere than a mart's `@window`, and round the nanoseconds, and so put the
-- last half microsecond into the next bucket.
-- Arguments: ts (TIMESTAMP_NS), bucket (INTERVAL of whole microseconds, or text such as '5 minutes'; '1m' and '1M' are
-- both a minute).
-- Result: TIMESTAMP_NS.
-- Example: SELECT bucket_start(ts, '1 hour') AS ts, sum(size) AS volume FROM trades GROUP BY ALL;
CREATE OR REPLACE MACRO bucket_start(ts, bucket) AS
    -- Of a constant bucket only two divisions are left for each row.
    CASE WHEN datepart('year', try_cast(bucket AS INTERVAL)) = 0 AND datepart('month', try_cast(bucket AS INTERVAL)) = 0
              AND epoch_us(try_cast(bucket AS INTERVAL)) > 0
         THEN make_timestamp_ns(epoch_ns(ts)
                  - (epoch_ns(ts) % (1000 * epoch_us(try_cast(bucket AS INTERVAL)))
                     + (2000 * epoch_us(try_cast(bucket AS INTERVAL))
                        - IF(epoch_us(try_cast(bucket AS INTERVAL)) % 604800000000 = 0, 345600000000000, 0)))
                    % (1000 * epoch_us(try_cast(bucket AS INTERVAL))))
         ELSE time_bucket(coalesce(
             try_cast(bucket AS INTERVAL),
             -- Not by `error`: see `asked_symbol`.
             to_days((
                 'mdb: ''' || coalesce(bucket::VARCHAR, 'NULL')
                 || ''' is no length of time: it is written ''5 minutes'', ''1 hour'', ''1 day'', ''1 week''…'
             )::INTEGER)
         ), make_timestamp(epoch_ns(ts) // 1000))::TIMESTAMP_NS END;
