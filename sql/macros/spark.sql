-- A list of numbers as a line of little bars, the lowest and the highest value of the list at its ends; what is NULL
-- or no number is a gap.
-- Arguments: numbers (list of numbers).
-- Result: VARCHAR, one character a number; NULL for no list, '' for an empty one.
-- Example: SELECT symbol, spark(list(close ORDER BY ts)) AS closes FROM closes('BTCUSDT', '1 minute') GROUP BY symbol;
CREATE OR REPLACE MACRO spark(numbers) AS list_transform(
    -- Found once for the whole list; halves, as the span of two numbers may be twice the largest.
    [{low: list_min(list_filter(numbers::DOUBLE[], lambda x: isfinite(x))) / 2,
      high: list_max(list_filter(numbers::DOUBLE[], lambda x: isfinite(x))) / 2}],
    lambda ends: array_to_string(list_transform(numbers::DOUBLE[], lambda x: CASE
        WHEN x IS NULL OR NOT isfinite(x) THEN ' '
        ELSE substring('▁▂▃▄▅▆▇█', 1 + least(7, floor(8 * coalesce(
            (x / 2 - ends.low) / nullif(ends.high - ends.low, 0), 0.5)))::INTEGER, 1)
    END), ''))[1];
