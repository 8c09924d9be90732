-- A venue's time that is more than a day after the receipt, or before 1990, was read in a wrong unit: seconds, ms, µs
-- and ns are a factor of 1,000 apart.
WITH times AS (
    SELECT 'trades' AS "table", venue, symbol, ts, recv_ts FROM trades
    UNION ALL
    SELECT 'quotes', venue, symbol, ts, recv_ts FROM quotes
    UNION ALL
    SELECT 'book_deltas', venue, symbol, ts, recv_ts FROM book_deltas
)
SELECT "table", venue, symbol, count(*) AS rows, min(ts) AS first_ts, max(ts) AS last_ts,
       'ts is before 1990 or a day after recv_ts' AS reason
FROM times
WHERE ts < '1990-01-01'::TIMESTAMP_NS OR epoch_ns(ts) > epoch_ns(recv_ts) + 86400000000000
GROUP BY ALL
