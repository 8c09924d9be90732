-- Bars of a fixed value traded (dollar bars).
-- Arguments: sym (symbol; the session's without it), per_bar (value a bar: price * size, in quote currency where size
-- is no number of contracts), "from" and "to" (trades of from <= ts < to; the session's range, or everything, without
-- them).
-- Result: as of `cut_bars`, which also says how a trade across a boundary counts.
-- Aggregate trades count beside the single trades they stand for, where both were captured.
-- Example: FROM value_bars('BTCUSDT', 1000000) ORDER BY venue, bar;
CREATE OR REPLACE MACRO value_bars(sym := NULL, per_bar := NULL, "from" := NULL, "to" := NULL) AS TABLE
FROM cut_bars(sym, 'value', per_bar, "from", "to");
