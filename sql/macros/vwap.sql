-- The volume-weighted average price of all trades in a time. By bucket it is a column of `ohlcv`.
-- Arguments: sym (symbol; the session's without it), "from" and "to" (trades of from <= ts < to; the session's range,
-- or everything, without them).
-- Result, one row a venue: venue, symbol, vwap (in quote currency; NULL if no size was traded), volume (in the unit of
-- trades.size), quote_volume = sum of price * size, trades = their number.
-- Aggregate trades count beside the single trades they stand for, where both were captured.
-- Example: FROM vwap('BTCUSDT', '2024-08-08', '2024-08-09');
CREATE OR REPLACE MACRO vwap(sym := NULL, "from" := NULL, "to" := NULL) AS TABLE
SELECT venue, symbol, sum(price * size) / nullif(sum(size), 0) AS vwap,
       sum(size) AS volume, sum(price * size) AS quote_volume, count(*)::UBIGINT AS trades
FROM trades
WHERE symbol = asked_symbol(sym)
  AND ts >= coalesce(asked_from("from"), '-infinity') AND ts < coalesce(asked_to("to"), 'infinity')
GROUP BY venue, symbol;
