-- How far the last trade price is from its rolling mean, in standard deviations.
-- Arguments: sym (symbol; the session's without it), bucket (as in `bucket_start`), periods (buckets looked back on,
-- this one included, 2 or more), "from" and "to" (trades of from <= ts < to; the session's range, or everything,
-- without them).
-- Result: venue, symbol, ts = start of the bucket, close, mean and stddev (of a sample) in quote currency, zscore =
-- (close - mean) / stddev; the last three NULL until there are as many buckets, zscore also if all closes are the
-- same.
-- Buckets without a trade have no row and count for nothing.
-- Example: FROM zscore('BTCUSDT', '1 minute', 20) ORDER BY venue, ts;
CREATE OR REPLACE MACRO zscore(sym := NULL, bucket := '1 minute', periods := 20, "from" := NULL, "to" := NULL) AS TABLE
SELECT *, (close - mean) / nullif(stddev, 0) AS zscore
FROM (
    SELECT venue, symbol, ts, close,
           CASE WHEN count(*) OVER back = at_least(periods, 2, 'periods') THEN avg(close) OVER back END AS mean,
           CASE WHEN count(*) OVER back = at_least(periods, 2, 'periods') THEN stddev_samp(close) OVER back END AS stddev
    FROM closes(sym, bucket, "from", "to")
    WINDOW back AS (PARTITION BY venue, symbol ORDER BY ts ROWS BETWEEN at_least(periods, 2, 'periods') - 1 PRECEDING AND CURRENT ROW)
);
