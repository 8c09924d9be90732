-- The last trade price of each bucket. Buckets without a trade have no row; `sample_by` fills them.
-- Arguments: sym (symbol; the session's without it), bucket (as in `bucket_start`), "from" and "to" (trades of from <=
-- ts < to; the session's range, or everything, without them).
-- Result: venue, symbol, ts = start of the bucket, close (in quote currency), volume (same unit as trades.size),
-- trades.
-- Aggregate trades count beside the single trades they stand for, where both were captured.
-- Example: FROM closes('BTCUSDT', '1 minute') ORDER BY venue, ts;
CREATE OR REPLACE MACRO closes(sym := NULL, bucket := '1 minute', "from" := NULL, "to" := NULL) AS TABLE
SELECT venue, asked_symbol(sym) AS symbol, bucket_start(ts, bucket) AS ts,
       arg_max(price, arrival(ts, seq, trade_id)) AS close, sum(size) AS volume, count(*)::UBIGINT AS trades
FROM trades
WHERE symbol = asked_symbol(sym)
  AND ts >= coalesce(asked_from("from"), '-infinity') AND ts < coalesce(asked_to("to"), 'infinity')
GROUP BY 1, 3;
