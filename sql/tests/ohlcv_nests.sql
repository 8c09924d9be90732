-- A day's bar is made of its minutes: the same first and last price, extremes, trades and volume.
WITH minutes AS (
    SELECT venue, symbol, bucket_start(ts, '1 day') AS ts, arg_min(open, ts) AS open, max(high) AS high,
           min(low) AS low, arg_max(close, ts) AS close, sum(trades) AS trades, fsum(volume) AS volume
    FROM ohlcv_1m
    GROUP BY 1, 2, 3
)
SELECT venue, symbol, ts, 'the bar of a day differs from its minutes' AS reason
FROM ohlcv_1d AS d FULL JOIN minutes AS m USING (venue, symbol, ts)
WHERE (d.open, d.high, d.low, d.close, d.trades) IS DISTINCT FROM (m.open, m.high, m.low, m.close, m.trades)
   OR NOT abs(d.volume - m.volume) <= 1e-9 * abs(d.volume)
