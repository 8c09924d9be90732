-- The number of a version of the lake.
-- Arguments: v (a number, as `mdb history` lists them, or a time, UTC: the last version that was made by then).
-- Result: UBIGINT; an error if there is no such version, or it is not kept any more. Versions are known in statements
-- that have `as_of` in them, as this one needs it too: `/* as_of */ SELECT lake_version('2024-08-09')`.
-- Example: SELECT lake_version(0) AS version /* as_of */;
CREATE OR REPLACE MACRO lake_version(v) AS list_transform(
    [CASE WHEN regexp_full_match(v::VARCHAR, '\d+') THEN TRY_CAST(v::VARCHAR AS UBIGINT)
          ELSE list_max(list_transform(
                   list_filter(struct_extract(getvariable('mdb_lake'), 'versions'),
                               lambda x: struct_extract(x, 'made_at') <= TRY_CAST(v::VARCHAR AS TIMESTAMP_NS)),
                   lambda x: struct_extract(x, 'version'))) END],
    lambda n: CASE
        WHEN n IS NULL OR n > coalesce(list_max(list_transform(struct_extract(getvariable('mdb_lake'), 'versions'),
                                                               lambda x: struct_extract(x, 'version'))), 0)
        THEN ('mdb: the lake has no version ' || v::VARCHAR || '; `mdb history` lists them')::UBIGINT
        WHEN n < struct_extract(getvariable('mdb_lake'), 'oldest')
        THEN ('mdb: version ' || n || ' of the lake is not kept any more; `keep` under [history] in mdb.toml says how long')::UBIGINT
        ELSE n END)[1];
