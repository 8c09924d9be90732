-- The last row of each venue and symbol in any table that has venue, symbol, ts and seq, now or at a moment.
-- Arguments: rel (name of the table or view, as text), t (moment: rows of ts <= t; the end of the
-- session's range, or of all, without it).
-- Result: the columns of rel. Last is by ts, and by seq among equal ts; of several rows of one message any one.
-- Example: FROM latest_on('quotes', '2024-08-08 23:55');
CREATE OR REPLACE MACRO latest_on(rel, t := NULL) AS TABLE
WITH asked AS NOT MATERIALIZED (
    FROM query_table(rel) WHERE ts <= coalesce(asked_to(t), 'infinity')
), latest AS (
    SELECT venue, symbol, max(ts) AS ts FROM asked GROUP BY venue, symbol
)
-- Few rows are left to be sorted. Some tables have rows of no symbol.
FROM asked SEMI JOIN latest
    ON asked.ts = latest.ts AND asked.venue IS NOT DISTINCT FROM latest.venue
       AND asked.symbol IS NOT DISTINCT FROM latest.symbol
QUALIFY row_number() OVER (PARTITION BY venue, symbol ORDER BY seq DESC) = 1;
