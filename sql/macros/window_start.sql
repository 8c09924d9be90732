-- The start of the window of so many nanoseconds that a moment falls into, windows counted from 1970-01-01: as
-- `bucket_start`, for marts, which are planned and made again several times a second. One division is all it takes, and
-- DuckDB plans it in half the time.
-- Arguments: ts (TIMESTAMP_NS), ns (a number above 0: 60_000_000_000 is a minute).
-- Result: TIMESTAMP_NS.
-- Example: SELECT window_start(ts, 60_000_000_000) AS ts, sum(size) AS volume FROM trades GROUP BY ALL;
CREATE OR REPLACE MACRO window_start(ts, ns) AS
    -- `//` cuts towards zero.
    make_timestamp_ns(IF(epoch_ns(ts) >= 0, epoch_ns(ts), epoch_ns(ts) - ns + 1) // ns * ns);
