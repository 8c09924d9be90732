-- The first moment that a macro is asked for: the one given, or without one that of the session's range, which `.range`
-- sets in the shell and `mdb sql --param from=2024-08-08` for a script.
-- Arguments: t (moment or NULL).
-- Result: TIMESTAMP_NS; NULL if there is neither, or the range is open: $from is the year 1700 then.
-- Example: FROM trades WHERE ts >= coalesce(asked_from(NULL), '2024-08-08');
CREATE OR REPLACE MACRO asked_from(t) AS
    nullif(to_moment(coalesce(t::VARCHAR, getvariable('from')::VARCHAR)), TIMESTAMP_NS '1700-01-01');
