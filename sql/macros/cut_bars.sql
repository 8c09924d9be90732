-- Bars cut by what was traded instead of by time; tick_bars, volume_bars and value_bars by another name.
-- A trade belongs to the bar in which the amount traded before it falls: no trade is split, and what is beyond one
-- bar's amount counts for the next, so that bars do not drift. A trade larger than per_bar passes over numbers.
-- Amounts are added exactly, to 8 decimals; the value of a trade at a negative price, as spreads have, is what it is
-- without the sign.
-- Arguments: sym (symbol; the session's without it), measure ('ticks', 'volume' or 'value'), per_bar (amount: trades,
-- units of trades.size, or quote currency), "from" and "to" (trades of from <= ts < to; the session's range, or
-- everything, without them). Counting starts at from.
-- Result: venue, symbol, bar (number from 0), ts and end_ts = its first and last trade; open, high, low, close,
-- volume, quote_volume, trades, vwap, buy_volume, sell_volume as in `ohlcv`; is_full = false for the last bar while
-- its amount is not reached.
-- Order is by ts, then seq, then trade_id. Aggregate trades count beside the single trades they stand for, where both
-- were captured.
-- Example: FROM cut_bars('BTCUSDT', 'volume', 100) ORDER BY venue, bar;
CREATE OR REPLACE MACRO cut_bars(sym := NULL, measure := 'ticks', per_bar := NULL, "from" := NULL, "to" := NULL) AS TABLE
WITH amounts AS (
    SELECT venue, symbol, ts, price, size, side,
           row_number() OVER arrived AS place,
           CASE measure
               WHEN 'ticks' THEN row_number() OVER arrived
               WHEN 'volume' THEN sum(size::DECIMAL(38, 8)) OVER arrived
               WHEN 'value' THEN sum(abs(price * size)::DECIMAL(38, 8)) OVER arrived
               ELSE error('measure of cut_bars: ticks, volume or value')
           END AS after,
           CASE measure
               WHEN 'ticks' THEN 1
               WHEN 'volume' THEN size::DECIMAL(38, 8)
               ELSE abs(price * size)::DECIMAL(38, 8)
           END AS amount
    FROM trades
    WHERE symbol = asked_symbol(sym)
      AND ts >= coalesce(asked_from("from"), '-infinity') AND ts < coalesce(asked_to("to"), 'infinity')
    WINDOW arrived AS (PARTITION BY venue, symbol ORDER BY ts, seq, length(trade_id), trade_id
                       ROWS UNBOUNDED PRECEDING)
), numbered AS (
    -- In units of 1e-8, so that the division is one of whole numbers.
    SELECT *, coalesce(((after - amount) * 100000000)::HUGEINT
                        // (at_least(per_bar::DECIMAL(38, 8), IF(measure = 'ticks', 1, 0.00000001), 'per_bar') * 100000000)::HUGEINT, 0) AS bar
    FROM amounts
)
SELECT venue, symbol, bar::BIGINT AS bar, min(ts) AS ts, max(ts) AS end_ts,
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
       coalesce(max(after) >= (bar + 1) * per_bar::DECIMAL(38, 8), false) AS is_full
FROM numbered
GROUP BY venue, symbol, bar;
