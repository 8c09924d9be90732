-- A number as DOUBLE, from text or from any type of number.
-- Arguments: x.
-- Result: DOUBLE; NULL if x is no number, or none that is finite (`nan`, `inf`, 1e400). Never an error.
-- Example: SELECT to_number('61837.63000000') AS price;
CREATE OR REPLACE MACRO to_number(x) AS
    CASE WHEN isfinite(TRY_CAST(x AS DOUBLE)) THEN TRY_CAST(x AS DOUBLE) END;
