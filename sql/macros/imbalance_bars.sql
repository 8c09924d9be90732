-- Bars that end when buyers or sellers have the upper hand by a fixed quantity.
-- Size is added up from the bar's start, bought by the aggressor as +, sold as -, unknown side as 0; the trade by
-- which the sum reaches +per_bar or -per_bar is the bar's last, and the next bar starts from 0. Sums are exact, to 8
-- decimals.
-- Arguments: sym (symbol; the session's without it), per_bar (quantity, in the unit of trades.size), "from" and "to"
-- (trades of from <= ts < to; the session's range, or everything, without them). Counting starts at from.
-- Result: venue, symbol, bar (number from 0), ts and end_ts = its first and last trade; open, high, low, close,
-- volume, quote_volume, trades, vwap, buy_volume, sell_volume as in `ohlcv`; imbalance = buy_volume - sell_volume;
-- is_full = false for the last bar while the quantity is not reached.
-- Order is by ts, then seq, then trade_id. Aggregate trades count beside the single trades they stand for, where both
-- were captured.
-- Example: FROM imbalance_bars('BTCUSDT', 10) ORDER BY venue, bar;
CREATE OR REPLACE MACRO imbalance_bars(sym := NULL, per_bar := NULL, "from" := NULL, "to" := NULL) AS TABLE
WITH RECURSIVE signed AS MATERIALIZED (
    SELECT venue, symbol, ts, price, size, side,
           CASE side WHEN 'buy' THEN size WHEN 'sell' THEN -size ELSE 0 END AS flow,
           row_number() OVER (PARTITION BY venue, symbol ORDER BY ts, seq, length(trade_id), trade_id) - 1 AS place
    FROM trades
    WHERE symbol = asked_symbol(sym)
      AND ts >= coalesce(asked_from("from"), '-infinity') AND ts < coalesce(asked_to("to"), 'infinity')
), blocks AS MATERIALIZED (
    SELECT venue, place // 65536 AS block, list(flow ORDER BY place) AS flows
    FROM signed GROUP BY ALL
), walk AS (
    -- Where a bar ends depends on where the one before did, so blocks are walked one after the other.
    SELECT DISTINCT venue, -1::BIGINT AS block, {ends: []::BIGINT[], carried: '0'} AS state
    FROM blocks
    UNION ALL
    SELECT venue, blocks.block,
           sum_ends(blocks.flows,
                    (at_least(per_bar::DECIMAL(38, 8), 0.00000001, 'per_bar') * 100000000)::HUGEINT::VARCHAR,
                    walk.state.carried)
    FROM walk JOIN blocks USING (venue) WHERE blocks.block = walk.block + 1
), bar_ends AS (
    SELECT venue, block * 65536 + unnest(state.ends) AS place, true AS ends FROM walk
), numbered AS (
    SELECT signed.*, ends,
           count(ends) OVER (PARTITION BY venue ORDER BY place ROWS UNBOUNDED PRECEDING)
           - (ends IS NOT NULL)::BIGINT AS bar
    FROM signed LEFT JOIN bar_ends USING (venue, place)
)
SELECT venue, symbol, bar, min(ts) AS ts, max(ts) AS end_ts,
       arg_min(price, place) AS open,
       max(price) AS high,
       min(price) AS low,
       arg_max(price, place) AS close,
       sum(size) AS volume,
       sum(price * size) AS quote_volume,
       count(*)::UBIGINT AS trades,
       sum(price * size) / nullif(sum(size), 0) AS vwap,
       coalesce(sum(size) FILTER (side = 'buy'), 0) AS buy_volume,
       coalesce(sum(size) FILTER (side = 'sell'), 0) AS sell_volume,
       sum(flow::DECIMAL(38, 8))::DOUBLE AS imbalance,
       coalesce(bool_or(ends), false) AS is_full
FROM numbered
GROUP BY venue, symbol, bar;
