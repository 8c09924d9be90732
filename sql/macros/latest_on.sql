-- The last row of each venue and symbol in any table that has venue, symbol, ts and seq, now or at a moment.
-- Arguments: rel (name of the table or view, as text), t (moment: rows of ts <= t; the end without it).
-- Result: the columns of rel. Last is by ts, and by seq among equal ts; of several rows of one message any one.
-- Example: FROM latest_on('quotes', '2024-08-08 23:55');
CREATE OR REPLACE MACRO latest_on(rel, t := NULL) AS TABLE
FROM query_table(rel)
WHERE t IS NULL OR ts <= t::TIMESTAMP_NS
QUALIFY row_number() OVER (PARTITION BY venue, symbol ORDER BY ts DESC, seq DESC) = 1;
