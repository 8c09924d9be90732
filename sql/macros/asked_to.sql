-- The moment up to, and without, which a macro is asked for: the one given, or without one that of the session's range,
-- which `.range` sets in the shell and `mdb sql --param to=2024-08-09` for a script.
-- Arguments: t (moment or NULL).
-- Result: TIMESTAMP_NS; NULL if there is neither, or the range is open: $to is the year 2262 then.
-- Example: FROM trades WHERE ts < coalesce(asked_to(NULL), '2024-08-09');
CREATE OR REPLACE MACRO asked_to(t) AS
    nullif(to_moment(coalesce(t::VARCHAR, getvariable('to')::VARCHAR)), TIMESTAMP_NS '2262-01-01');
