-- The moment that a text such as '2024-01-02 03:04:05.123456789' or '2024-01-02T05:04:05+02:00' stands for: UTC, unless
-- an offset says otherwise. DuckDB's own cast to TIMESTAMP_NS would pass over the offset.
-- Arguments: text (VARCHAR).
-- Result: TIMESTAMP_NS; NULL if it is no time, or its offset is not written ±hh:mm. Never an error.
-- Example: SELECT from_iso('2024-01-02T05:04:05.678901234+02:00') AS ts;
CREATE OR REPLACE MACRO from_iso(text) AS CASE
    WHEN NOT contains(text[20:], '+') AND NOT contains(text[20:], '-') THEN TRY_CAST(text AS TIMESTAMP_NS)
    WHEN text[-6] IN ('+', '-') AND text[-3] = ':'
    THEN make_timestamp_ns(epoch_ns(TRY_CAST(text[:-7] AS TIMESTAMP_NS)) - IF(text[-6] = '+', 1, -1)
         * (60 * TRY_CAST(text[-5:-4] AS BIGINT) + TRY_CAST(text[-2:] AS BIGINT)) * 60000000000)
END;
