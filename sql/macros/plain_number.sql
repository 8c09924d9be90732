-- A number as text with all its digits and no exponent, for programs that read none: 0.00001 and not 1e-05.
-- Arguments: x (DOUBLE, or what can be cast to it; up to 16 digits before the point and 16 after it).
-- Result: VARCHAR; NULL if x is.
-- Example: SELECT plain_number(1e-5) AS size;
CREATE OR REPLACE MACRO plain_number(x) AS
    rtrim(rtrim(x::DOUBLE::VARCHAR::DECIMAL(38, 16)::VARCHAR, '0'), '.');
