-- Bars of a fixed quantity traded.
-- Arguments: sym (symbol; the session's without it), per_bar (quantity a bar, in the unit of trades.size), "from" and
-- "to" (trades of from <= ts < to; the session's range, or everything, without them).
-- Result: as of `cut_bars`, which also says how a trade across a boundary counts.
-- Aggregate trades count beside the single trades they stand for, where both were captured.
-- Example: FROM volume_bars('BTCUSDT', 25.5) ORDER BY venue, bar;
CREATE OR REPLACE MACRO volume_bars(sym := NULL, per_bar := NULL, "from" := NULL, "to" := NULL) AS TABLE
FROM cut_bars(sym, 'volume', per_bar, "from", "to");
