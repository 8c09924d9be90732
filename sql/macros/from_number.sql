-- The moment that a number stands for: a date or a time written in digits, 20240102, 202401020304, 20240102030405 or
-- 20240102030405678, or else what `from_epoch` makes of it. No file has seconds, or their thousandths, of those weeks of
-- 1970 for which the digits of a date would be taken otherwise.
-- Arguments: n (number, or text that is one).
-- Result: TIMESTAMP_NS; NULL if n is no number or out of range, or has the digits of no day (20240231). Never an error.
-- Example: SELECT from_number('20240102') AS ts;
CREATE OR REPLACE MACRO from_number(n) AS CASE
    WHEN TRY_CAST(n AS BIGINT) BETWEEN 19000101 AND 21991231
    THEN try_strptime(TRY_CAST(n AS BIGINT)::VARCHAR, '%Y%m%d')::TIMESTAMP_NS
    WHEN TRY_CAST(n AS BIGINT) BETWEEN 190001010000 AND 219912312359
    THEN try_strptime(TRY_CAST(n AS BIGINT)::VARCHAR, '%Y%m%d%H%M')::TIMESTAMP_NS
    WHEN TRY_CAST(n AS BIGINT) BETWEEN 19000101000000 AND 21991231235959
    THEN try_strptime(TRY_CAST(n AS BIGINT)::VARCHAR, '%Y%m%d%H%M%S')::TIMESTAMP_NS
    WHEN TRY_CAST(n AS BIGINT) BETWEEN 19000101000000000 AND 21991231235959999
    THEN try_strptime(TRY_CAST(n AS BIGINT)::VARCHAR, '%Y%m%d%H%M%S%g')::TIMESTAMP_NS
    ELSE from_epoch(n)
END;
