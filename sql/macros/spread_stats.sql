-- How wide a market was, from the quotes. Averages are weighted by how long a quote was in force.
-- The last quote holds until to; without to it counts for nothing. Quotes that lack a side count in one_sided only;
-- the time in which they were in force is not weighed.
-- Arguments: sym (symbol; the session's without it), "from" and "to" (quotes of from <= ts < to; the session's range,
-- or everything, without them).
-- Result, one row a venue: venue, symbol; quotes = their number; one_sided = those lacking a side; crossed = those
-- with bid >= ask; spread_min, spread_median (of quotes, not of time), spread_max, spread_avg in quote currency;
-- spread_bps_avg in 1/10,000 of the mid, without quotes whose mid is 0; bid_size_avg, ask_size_avg in the unit of
-- trades.size; seconds = time that was weighed.
-- Of quotes of one ts only the last, by seq and update_id, is ever in force.
-- Example: FROM spread_stats('BTCUSDT', '2024-08-08', '2024-08-09');
CREATE OR REPLACE MACRO spread_stats(sym := NULL, "from" := NULL, "to" := NULL) AS TABLE
WITH held AS (
    SELECT venue, symbol, bid_price, ask_price, bid_size, ask_size,
           ask_price - bid_price AS spread,
           20000 * (ask_price - bid_price) / nullif(ask_price + bid_price, 0) AS spread_bps,
           CASE WHEN bid_price IS NOT NULL AND ask_price IS NOT NULL
                THEN coalesce(lead(epoch_ns(ts)) OVER arrived, epoch_ns(asked_to("to")), epoch_ns(ts)) - epoch_ns(ts)
           END AS held_ns
    FROM quotes
    WHERE symbol = asked_symbol(sym)
      AND ts >= coalesce(asked_from("from"), '-infinity') AND ts < coalesce(asked_to("to"), 'infinity')
    WINDOW arrived AS (PARTITION BY venue, symbol ORDER BY ts, seq, update_id)
)
SELECT venue, symbol,
       count(*)::UBIGINT AS quotes,
       count(*) FILTER (spread IS NULL)::UBIGINT AS one_sided,
       count(*) FILTER (spread <= 0)::UBIGINT AS crossed,
       min(spread) AS spread_min,
       median(spread) AS spread_median,
       max(spread) AS spread_max,
       sum(spread * held_ns) / nullif(sum(held_ns), 0)::DOUBLE AS spread_avg,
       sum(spread_bps * held_ns) / nullif(sum(held_ns) FILTER (spread_bps IS NOT NULL), 0)::DOUBLE AS spread_bps_avg,
       sum(bid_size * held_ns) / nullif(sum(held_ns) FILTER (bid_size IS NOT NULL), 0)::DOUBLE AS bid_size_avg,
       sum(ask_size * held_ns) / nullif(sum(held_ns) FILTER (ask_size IS NOT NULL), 0)::DOUBLE AS ask_size_avg,
       sum(held_ns)::DOUBLE / 1e9 AS seconds
FROM held
GROUP BY venue, symbol;
