-- The moment that an argument says. A text that says none is an error that tells how one is written.
-- Arguments: t (TIMESTAMP of any unit, DATE, text such as '2024-08-08 14:30:00' or '2024-08-08T16:30:00+02:00', or NULL).
-- Result: TIMESTAMP_NS; NULL if t is.
-- Example: SELECT to_moment('2024-08-08 14:30:00');
CREATE OR REPLACE MACRO to_moment(t) AS
    -- As lambdas' arguments the texts are planned once, not wherever they are used: tens of ms for a macro over trades.
    list_transform([t::VARCHAR], lambda said: coalesce(
        -- DuckDB's own cast of a text would pass over its offset.
        list_transform([said || IF(regexp_full_match(said, '.{10,}[+-]\d\d'), ':00', '')], lambda text: from_iso(text))[1],
        -- Not by `error`: see `asked_symbol`.
        make_timestamp_ns((
            'mdb: ''' || said || ''' is no moment: it is written ''2024-08-08'' or ''2024-08-08 14:30:00'', in UTC or with an offset, ''+02:00'''
        )::BIGINT)))[1];
