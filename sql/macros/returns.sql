-- The returns of the last trade price from bucket to bucket.
-- A bucket without a trade has no row; the next return then spans it.
-- Arguments: sym (symbol; the session's without it), bucket (as in `bucket_start`), "from" and "to" (trades of from <=
-- ts < to; the session's range, or everything, without them).
-- Result: venue, symbol, ts = start of the bucket, close (in quote currency), simple_return = close / the close before
-- - 1, log_return = ln of close / the close before; both NULL in the first row and after a price that is not above 0, as
-- spreads have, log_return also at one.
-- Example: FROM returns('BTCUSDT', '1 minute') ORDER BY venue, ts;
CREATE OR REPLACE MACRO returns(sym := NULL, bucket := '1 minute', "from" := NULL, "to" := NULL) AS TABLE
SELECT venue, symbol, ts, close,
       CASE WHEN lag(close) OVER by_time > 0 THEN close / lag(close) OVER by_time - 1 END AS simple_return,
       CASE WHEN close > 0 AND lag(close) OVER by_time > 0 THEN ln(close / lag(close) OVER by_time) END AS log_return
FROM closes(sym, bucket, "from", "to")
WINDOW by_time AS (PARTITION BY venue, symbol ORDER BY ts);
