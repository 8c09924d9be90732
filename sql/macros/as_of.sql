-- The sealed rows of a table as a past version of the lake had them: `mdb history` lists the versions, and `keep` under
-- [history] in mdb.toml says how long they stay. Rows that were not sealed then are not in it.
-- Arguments: tbl (a canonical table's name), v (a version's number, or a time, UTC).
-- Result: the table's columns.
-- Example: SELECT count(*) FROM as_of('trades', '2024-08-10 12:00');
CREATE OR REPLACE MACRO as_of(tbl, v) AS TABLE
SELECT * FROM read_parquet(
    CASE WHEN len(lake_files(tbl, v)) = 0
         THEN [('mdb: ' || tbl || ' had no sealed rows in version ' || lake_version(v) || ' of the lake')::UBIGINT::VARCHAR]
         ELSE lake_files(tbl, v) END,
    hive_partitioning = false);
