-- Digits after the point that a number is written with: 2 of 61837.63, 0 of 61837.
-- Arguments: x (DOUBLE, or what can be cast to it).
-- Result: BIGINT, up to 16; NULL if x is.
-- Example: SELECT symbol, max(decimals(price)) AS price_decimals FROM trades GROUP BY symbol;
CREATE OR REPLACE MACRO decimals(x) AS length(split_part(plain_number(x), '.', 2));
