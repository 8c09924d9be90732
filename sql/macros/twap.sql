-- The time-weighted average price: each trade's price counts for as long as it was the last one.
-- The time before the first trade counts for nothing. The last price holds until to; without to it counts for nothing.
-- Arguments: sym (symbol; the session's without it), "from" and "to" (trades of from <= ts < to; the session's range,
-- or everything, without them).
-- Result, one row a venue: venue, symbol, twap (in quote currency; the last price if no time passed), seconds = time
-- that was weighed, trades = their number.
-- Of trades of one ts only the last, by seq, is ever in force.
-- Example: FROM twap('BTCUSDT', '2024-08-08 23:55', '2024-08-08 23:56');
CREATE OR REPLACE MACRO twap(sym := NULL, "from" := NULL, "to" := NULL) AS TABLE
WITH held AS (
    SELECT venue, symbol, price,
           row_number() OVER arrived AS place,
           coalesce(lead(epoch_ns(ts)) OVER arrived, epoch_ns(asked_to("to")), epoch_ns(ts))
           - epoch_ns(ts) AS held_ns
    FROM trades
    WHERE symbol = asked_symbol(sym)
      AND ts >= coalesce(asked_from("from"), '-infinity') AND ts < coalesce(asked_to("to"), 'infinity')
    WINDOW arrived AS (PARTITION BY venue, symbol ORDER BY ts, seq, length(trade_id), trade_id)
)
SELECT venue, symbol,
       coalesce(sum(price * held_ns) / nullif(sum(held_ns), 0)::DOUBLE, arg_max(price, place)) AS twap,
       sum(held_ns)::DOUBLE / 1e9 AS seconds, count(*)::UBIGINT AS trades
FROM held
GROUP BY venue, symbol;
