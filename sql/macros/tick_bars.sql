-- Bars of a fixed number of trades.
-- Arguments: sym (symbol; the session's without it), per_bar (trades a bar), "from" and "to" (trades of from <= ts <
-- to; the session's range, or everything, without them).
-- Result: as of `cut_bars`; the last bar may hold fewer trades, which is_full tells.
-- Aggregate trades count beside the single trades they stand for, where both were captured.
-- Example: FROM tick_bars('BTCUSDT', 500) ORDER BY venue, bar;
CREATE OR REPLACE MACRO tick_bars(sym := NULL, per_bar := NULL, "from" := NULL, "to" := NULL) AS TABLE
FROM cut_bars(sym, 'ticks', per_bar, "from", "to");
