-- Paths of the files that a table had in a version of the lake.
-- Arguments: tbl (a canonical table's name), v (a version, as for `lake_version`).
-- Result: VARCHAR[], empty if it had none. As for `lake_version`, the statement must have `as_of` in it.
-- Example: SELECT lake_files('trades', 0) AS files /* as_of */;
CREATE OR REPLACE MACRO lake_files(tbl, v) AS list_transform(
    list_filter(struct_extract(getvariable('mdb_lake'), 'files'),
                lambda f: struct_extract(f, 'table_name') = tbl AND struct_extract(f, 'added') <= lake_version(v)
                          AND coalesce(struct_extract(f, 'removed') > lake_version(v), true)),
    lambda f: struct_extract(f, 'path'));
