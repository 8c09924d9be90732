-- All rows that the files of a table had in a version of the lake: also those that `as_of` leaves out, as other rows took
-- them back or stand in their place.
-- Arguments: tbl (a canonical table's name), v (a version, as for `lake_version`).
-- Result: the table's columns. As for `lake_version`, the statement must have `as_of` in it.
-- Example: SELECT count(*) FROM sealed_rows('trades', 0) /* as_of */;
CREATE OR REPLACE MACRO sealed_rows(tbl, v) AS TABLE
FROM query('FROM ' || IF(
    len(lake_files(tbl, v)) = 0,
    'hot."' || tbl || '" LIMIT 0',
    'read_parquet(lake_files(''' || tbl || ''', ''' || replace(v::VARCHAR, '''', '''''') || '''), hive_partitioning = false)'));
