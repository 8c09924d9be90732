-- The moment that an argument says. A text that says none is an error that tells how one is written.
-- Arguments: t (TIMESTAMP of any unit, DATE, text such as '2024-08-08 14:30:00' or '2024-08-08T16:30:00+02:00', or NULL).
-- Result: TIMESTAMP_NS; NULL if t is.
-- Example: SELECT to_moment('2024-08-08 14:30:00');
CREATE OR REPLACE MACRO to_moment(t) AS coalesce(
    -- DuckDB's own cast of a text would pass over its offset.
    from_iso(t::VARCHAR || IF(regexp_full_match(t::VARCHAR, '.{10,}[+-]\d\d'), ':00', '')),
    -- Not by `error`: see `asked_symbol`.
    make_timestamp_ns((
        'mdb: ''' || t::VARCHAR || ''' is no moment: it is written ''2024-08-08'' or ''2024-08-08 14:30:00'', in UTC or with an offset, ''+02:00'''
    )::BIGINT));
