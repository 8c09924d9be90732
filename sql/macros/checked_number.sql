-- A number that a venue's record may leave out, as DOUBLE. What is there and is no number becomes NaN, which no table
-- takes: so mdb refuses that record, and not the others of its message.
-- Arguments: x (text or NULL).
-- Result: DOUBLE; NULL only if x is. Never an error.
-- Example: SELECT checked_number('n/a') AS bid_price;
CREATE OR REPLACE MACRO checked_number(x) AS
    coalesce(TRY_CAST(x AS DOUBLE), IF(x IS NULL, NULL, 'nan'::DOUBLE));
