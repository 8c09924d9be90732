-- The last minute of `mart_liquidity` of each venue and symbol: the columns are described there. Where there are quotes
-- at all, it is the last minute that has some.
SELECT m.*
FROM mart_liquidity AS m
SEMI JOIN (
    SELECT venue, symbol, coalesce(max(ts) FILTER (quotes > 0), max(ts)) AS ts FROM mart_liquidity GROUP BY ALL
) AS newest USING (venue, symbol, ts)
