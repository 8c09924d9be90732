-- A table as a past version of the lake had it: `mdb history` lists the versions, and `keep` under [history] in mdb.toml
-- says how long they stay. Rows that were not sealed then are not in it; what was taken back or replaced by then counts
-- as it does in the table of today.
-- Arguments: tbl (a canonical table's name, or 'trades_reported'), v (a version's number, or a time, UTC).
-- Result: the table's columns.
-- Example: SELECT count(*) FROM as_of('trades', '2024-08-10 12:00');
CREATE OR REPLACE MACRO as_of(tbl, v) AS TABLE
-- Each table has such a macro from mdb.
FROM query('FROM ops."as_of_' || lower(tbl) || '"(''' || replace(coalesce(v::VARCHAR, ''), '''', '''''') || ''')');
