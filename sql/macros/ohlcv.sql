-- Bars of any length, made from trades. Buckets without a trade have no bar.
-- Arguments: sym (symbol; the session's without it), bucket (as in `bucket_start`), "from" and "to" (trades of from <=
-- ts < to; the session's range, or everything, without them). A bar cut by from or to holds only the trades within.
-- Result: venue, symbol, ts = the bar's open (start of the bucket, TIMESTAMP_NS); open, high, low, close, vwap in
-- quote currency; volume, buy_volume, sell_volume in the unit of trades.size, by aggressor (a trade of unknown side is
-- in volume only); quote_volume = sum of price * size; trades = their number.
-- Open and close are the first and last trade by `arrival`: by ts, and by seq among equal ts.
-- Trades whose conditions contain 'aggregate' stand for several single trades. Where both were captured, each fill is
-- counted twice: nothing is left out here.
-- Example: FROM ohlcv('BTCUSDT', '1 minute', '2024-08-08', '2024-08-09') ORDER BY venue, ts;
CREATE OR REPLACE MACRO ohlcv(sym := NULL, bucket := '1 minute', "from" := NULL, "to" := NULL) AS TABLE
SELECT venue, asked_symbol(sym) AS symbol, bucket_start(ts, bucket) AS ts,
       arg_min(price, arrival(ts, seq, trade_id)) AS open,
       max(price) AS high,
       min(price) AS low,
       arg_max(price, arrival(ts, seq, trade_id)) AS close,
       sum(size) AS volume,
       sum(price * size) AS quote_volume,
       count(*)::UBIGINT AS trades,
       sum(price * size) / nullif(sum(size), 0) AS vwap,
       sum(IF(side = 'buy', size, 0)) AS buy_volume,
       sum(IF(side = 'sell', size, 0)) AS sell_volume
FROM trades
WHERE symbol = asked_symbol(sym)
  AND (asked_from("from") IS NULL OR ts >= asked_from("from")) AND (asked_to("to") IS NULL OR ts < asked_to("to"))
GROUP BY 1, 3;
