-- A macro's argument that must be a number of some size.
-- Arguments: x (number), least (the smallest that will do), name (what the argument is called, text).
-- Result: x; an error that names it if it is NULL or less.
-- Example: SELECT at_least(20, 2, 'periods');
CREATE OR REPLACE MACRO at_least(x, least, name) AS CASE
    WHEN x >= least THEN x
    -- Not by `error`: see `asked_symbol`. A small type leaves the whole that of x.
    ELSE ('mdb: ' || name || ' is ' || coalesce(x::VARCHAR, 'NULL') || '; it must be ' || least || ' or more')::UTINYINT
END;
