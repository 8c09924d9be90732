-- The exponential moving average of the last trade price: e = a * close + (1 - a) * the e before, a = 2 / (span + 1),
-- and the first e is the first close.
-- Arguments: sym (symbol; the session's without it), bucket (as in `bucket_start`), span (buckets, 1 or more, need not
-- be whole), "from" and "to" (trades of from <= ts < to; the session's range, or everything, without them).
-- Result: venue, symbol, ts = start of the bucket, close and ema in quote currency.
-- Buckets without a trade have no row and count for nothing.
-- Example: FROM ema('BTCUSDT', '1 minute', 20) ORDER BY venue, ts;
CREATE OR REPLACE MACRO ema(sym := NULL, bucket := '1 minute', span := 20, "from" := NULL, "to" := NULL) AS TABLE
-- Without a recursion, in linear time: within a block, the sum of weighted closes over the last one's weight. A block is
-- as long as it takes (1 - a) ^ length to fall to 1e-18, so no weight overflows, and what is older than the block
-- before is below the precision of a DOUBLE.
WITH placed AS (
    SELECT *, row_number() OVER (PARTITION BY venue, symbol ORDER BY ts) - 1 AS place,
           1 - 2 / (at_least(span, 1, 'span')::DOUBLE + 1) AS keep,
           CASE WHEN span::DOUBLE > 1 THEN ceil(41.5 / -ln(1 - 2 / (span::DOUBLE + 1)))::BIGINT ELSE 1 END AS length
    FROM closes(sym, bucket, "from", "to")
), blocks AS (
    SELECT *, place // length AS block,
           -- The first close has the weight of all that was never there.
           pow(keep, place % length)
           * sum(close * CASE WHEN place = 0 THEN 1 ELSE 1 - keep END / pow(keep, place % length)) OVER (
               PARTITION BY venue, symbol, place // length ORDER BY place ROWS UNBOUNDED PRECEDING) AS own
    FROM placed
), ends AS (
    SELECT venue, symbol, block, own + pow(keep, length) * coalesce(lag(own) OVER (
               PARTITION BY venue, symbol ORDER BY block), 0) AS carried
    FROM blocks WHERE place % length = length - 1
)
SELECT venue, symbol, ts, close, own + pow(keep, place % length + 1) * coalesce(carried, 0) AS ema
FROM blocks LEFT JOIN (SELECT venue, symbol, block + 1 AS block, carried FROM ends) USING (venue, symbol, block);
