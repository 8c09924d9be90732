-- The bars of a day hold as many trades, and as much volume, as there are. A symbol's days on which both single and
-- aggregate trades came are left out, for there `ohlcv_1s` chooses by the second; and so is what is newer than the
-- newest bar of its venue and symbol, which may be on its way.
WITH newest AS (
    SELECT venue, symbol, max(ts) AS ts FROM ohlcv_1m GROUP BY ALL
), traded AS (
    SELECT venue, symbol, bucket_start(t.ts, '1 day') AS day, count(*) AS trades, fsum(size) AS volume
    FROM trades AS t JOIN newest USING (venue, symbol)
    WHERE t.ts < newest.ts
    GROUP BY 1, 2, 3
    HAVING bool_and(coalesce(list_contains(conditions, 'aggregate'), false))
        OR NOT bool_or(coalesce(list_contains(conditions, 'aggregate'), false))
), barred AS (
    SELECT venue, symbol, bucket_start(b.ts, '1 day') AS day, sum(trades) AS trades, fsum(volume) AS volume
    FROM ohlcv_1m AS b JOIN newest USING (venue, symbol)
    WHERE b.ts < newest.ts
    GROUP BY 1, 2, 3
)
SELECT venue, symbol, day, t.trades, b.trades AS trades_of_bars, t.volume, b.volume AS volume_of_bars,
       'bars and trades of a day differ' AS reason
FROM traded AS t LEFT JOIN barred AS b USING (venue, symbol, day)
WHERE b.trades IS DISTINCT FROM t.trades OR NOT abs(b.volume - t.volume) <= 1e-9 * abs(t.volume)
