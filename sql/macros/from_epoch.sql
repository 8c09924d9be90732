-- The moment that a number of seconds, milliseconds, microseconds or nanoseconds since 1970 stands for. The unit is
-- told by the number's size: each begins where the one before would reach past the year 2262, which in all but seconds
-- is April 1970.
-- Arguments: n (number, or text that is one). A fraction counts in seconds only.
-- Result: TIMESTAMP_NS; NULL if n is no number or out of range. Never an error.
-- Example: SELECT from_epoch('1735689600010866') AS ts;
CREATE OR REPLACE MACRO from_epoch(n) AS make_timestamp_ns(CASE
    WHEN TRY_CAST(n AS BIGINT) BETWEEN -9223372035 AND 9223372035
    THEN CASE WHEN TRY_CAST(n AS DOUBLE) = TRY_CAST(n AS BIGINT) THEN TRY_CAST(n AS BIGINT) * 1000000000
              ELSE TRY_CAST(TRY_CAST(n AS DECIMAL(20, 9)) * 1000000000 AS BIGINT) END
    WHEN TRY_CAST(n AS BIGINT) BETWEEN -9223372036854 AND 9223372036854 THEN TRY_CAST(n AS BIGINT) * 1000000
    WHEN TRY_CAST(n AS BIGINT) BETWEEN -9223372036854775 AND 9223372036854775 THEN TRY_CAST(n AS BIGINT) * 1000
    WHEN TRY_CAST(n AS BIGINT) BETWEEN -9223372036854775806 AND 9223372036854775806 THEN TRY_CAST(n AS BIGINT)
END);
