-- The rolling volatility of the last trade price: the sample standard deviation of log returns.
-- Arguments: sym (symbol; the session's without it), bucket (as in `bucket_start`), periods (returns looked back on, 2
-- or more), "from" and "to" (trades of from <= ts < to; the session's range, or everything, without them), year
-- (INTERVAL that counts as a year of trading; '252 days' for daily bars of stocks).
-- Result: venue, symbol, ts = start of the bucket, close (in quote currency), log_return, volatility (of one bucket),
-- annualized = volatility * sqrt(year / bucket), a month counting as 30 days; NULL until there are as many returns.
-- Buckets without a trade have no row, and their return is in the next one.
-- Example: FROM volatility('BTCUSDT', '1 minute', 60) ORDER BY venue, ts;
CREATE OR REPLACE MACRO volatility(sym := NULL, bucket := '1 minute', periods := 20, "from" := NULL, "to" := NULL, "year" := '365 days') AS TABLE
SELECT *, volatility * sqrt(epoch("year"::INTERVAL) / epoch(bucket::INTERVAL)) AS annualized
FROM (
    SELECT venue, symbol, ts, close, log_return,
           CASE WHEN count(log_return) OVER back = at_least(periods, 2, 'periods') THEN stddev_samp(log_return) OVER back END AS volatility
    FROM returns(sym, bucket, "from", "to")
    WINDOW back AS (PARTITION BY venue, symbol ORDER BY ts ROWS BETWEEN at_least(periods, 2, 'periods') - 1 PRECEDING AND CURRENT ROW)
);
