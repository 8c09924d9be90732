-- The moment that a text such as '2024-01-02 03:04:05.123456789', '2024-01-02T03:04Z' or '2024-01-02T05:04+02:00'
-- stands for: UTC, unless an offset says otherwise. DuckDB's own cast to TIMESTAMP_NS would pass over the offset.
-- Arguments: text (VARCHAR).
-- Result: TIMESTAMP_NS; NULL if it is no time, or what stands behind it is not Z, UTC or an offset written ±hh:mm or
-- ±hhmm. Never an error.
-- Example: SELECT from_iso('2024-01-02T05:04:05.678901234+02:00') AS ts;
CREATE OR REPLACE MACRO from_iso(text) AS CASE
    -- Behind the first 8 characters a sign is none of the date's.
    WHEN NOT regexp_matches(ltrim(text)[9:], '[^\d:./TZ ]') OR text LIKE '% UTC' THEN TRY_CAST(text AS TIMESTAMP_NS)
    WHEN regexp_full_match(text, '.*[+-]\d\d:?\d\d')
    THEN make_timestamp_ns(TRY_CAST(epoch_ns(TRY_CAST(text AS TIMESTAMP_NS)) - IF(contains(ltrim(text)[9:], '+'), 1, -1)
         * (60 * replace(text, ':', '')[-4:-3]::HUGEINT + text[-2:]::HUGEINT) * 60000000000 AS BIGINT))
END;
