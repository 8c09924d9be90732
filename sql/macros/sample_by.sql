-- The last trade price on an even grid of time, with the buckets filled in which nothing was traded.
-- Arguments: sym (symbol; the session's without it), bucket (as in `bucket_start`), fill ('previous' = the price
-- before, 'linear' = on the straight line between the prices before and after, 'null'), "from" and "to" (trades of from
-- <= ts < to; the session's range, or everything, without them). The grid reaches from the bucket of from to the last
-- one before to; without them, from the first to the last trade.
-- Result: venue, symbol, ts = start of the bucket, price (in quote currency; NULL where there is nothing to fill from:
-- before the first trade, and for 'linear' after the last), volume (in the unit of trades.size) and trades (their
-- number), both 0 in an empty bucket; is_filled = nothing was traded in it.
-- Example: FROM sample_by('BTCUSDT', '1 second', 'linear') ORDER BY venue, ts;
CREATE OR REPLACE MACRO sample_by(sym := NULL, bucket := '1 minute', fill := 'previous', "from" := NULL, "to" := NULL) AS TABLE
WITH known AS MATERIALIZED (
    FROM closes(sym, bucket, "from", "to")
), grid AS (
    SELECT venue, symbol,
           unnest(generate_series(
               coalesce(bucket_start(asked_from("from"), bucket), min(ts))::TIMESTAMP,
               coalesce(bucket_start(make_timestamp_ns(epoch_ns(asked_to("to")) - 1), bucket), max(ts))::TIMESTAMP,
               bucket::INTERVAL))::TIMESTAMP_NS AS ts
    FROM known GROUP BY venue, symbol
), around AS (
    SELECT venue, symbol, ts, close, volume, trades,
           last_value(close IGNORE NULLS) OVER before AS close_before,
           last_value(CASE WHEN close IS NOT NULL THEN epoch_ns(ts) END IGNORE NULLS) OVER before AS ns_before,
           first_value(close IGNORE NULLS) OVER later AS close_later,
           first_value(CASE WHEN close IS NOT NULL THEN epoch_ns(ts) END IGNORE NULLS) OVER later AS ns_later
    FROM grid LEFT JOIN known USING (venue, symbol, ts)
    WINDOW before AS (PARTITION BY venue, symbol ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW),
           later AS (PARTITION BY venue, symbol ORDER BY ts ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)
)
SELECT venue, symbol, ts,
       CASE fill
           WHEN 'previous' THEN close_before
           WHEN 'null' THEN close
           WHEN 'linear' THEN coalesce(close, close_before + (close_later - close_before)
                                       * ((epoch_ns(ts) - ns_before)::DOUBLE / (ns_later - ns_before)))
           ELSE error('fill of sample_by: previous, linear or null')
       END AS price,
       coalesce(volume, 0) AS volume,
       coalesce(trades, 0)::UBIGINT AS trades,
       close IS NULL AS is_filled
FROM around;
