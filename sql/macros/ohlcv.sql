-- Bars of any length, made from trades. Buckets without a trade have no bar.
-- Arguments: sym (symbol; the session's without it), bucket (as in `bucket_start`), "from" and "to" (trades of from <=
-- ts < to; the session's range, or everything, without them). A bar cut by from or to holds only the trades within.
-- Result: venue, symbol, ts = the bar's open (start of the bucket, TIMESTAMP_NS); open, high, low, close, vwap in
-- quote currency; volume, buy_volume, sell_volume in the unit of trades.size, by aggressor (a trade of unknown side is
-- in volume only); quote_volume = sum of price * size; trades = their number.
-- Open and close are the first and last trade by `arrival`: by ts, and by seq among equal ts.
-- Trades whose conditions contain 'aggregate' stand for several single trades. Where both were captured, each fill is
-- counted twice: nothing is left out here.
-- Trade ids, which take longest to read, are read only of trades of one message at one time, where such ones are first or
-- last in their bucket.
-- Example: FROM ohlcv('BTCUSDT', '1 minute', '2024-08-08', '2024-08-09') ORDER BY venue, ts;
CREATE OR REPLACE MACRO ohlcv(sym := NULL, bucket := '1 minute', "from" := NULL, "to" := NULL) AS TABLE
WITH asked AS NOT MATERIALIZED (
    -- `place` is ts and seq as one number: arg_min and arg_max of a TIMESTAMP_NS take twice as long.
    SELECT venue, ts, seq, trade_id, price, size, side, epoch_ns(ts)::HUGEINT * 18446744073709551616 + seq AS place
    FROM trades
    WHERE symbol = asked_symbol(sym)
      AND ts >= coalesce(asked_from("from"), '-infinity') AND ts < coalesce(asked_to("to"), 'infinity')
), bars AS MATERIALIZED (
    SELECT venue, bucket_start(ts, bucket) AS ts,
           min(place) AS first_place,
           max(place) AS last_place,
           arg_min(price, place) AS open,
           max(price) AS high,
           min(price) AS low,
           arg_max(price, place) AS close,
           sum(size) AS volume,
           sum(price * size) AS quote_volume,
           count(*)::UBIGINT AS trades,
           sum(price * size) / nullif(sum(size), 0) AS vwap,
           sum(IF(side = 'buy', size, 0)) AS buy_volume,
           sum(IF(side = 'sell', size, 0)) AS sell_volume
    FROM asked
    GROUP BY 1, 2
), tied AS MATERIALIZED (
    SELECT venue, place
    FROM asked SEMI JOIN (SELECT venue, unnest([first_place, last_place]) AS place FROM bars) USING (venue, place)
    GROUP BY ALL
    HAVING count(*) > 1
), ends AS MATERIALIZED (
    SELECT venue, place,
           arg_min(price, arrival(ts, seq, trade_id)) AS open,
           arg_max(price, arrival(ts, seq, trade_id)) AS close
    FROM asked JOIN tied USING (venue, place)
    GROUP BY ALL
)
SELECT b.venue, asked_symbol(sym) AS symbol, b.ts, coalesce(f.open, b.open) AS open, high, low,
       coalesce(l.close, b.close) AS close, volume, quote_volume, trades, vwap, buy_volume, sell_volume
FROM bars b
LEFT JOIN ends f ON f.venue = b.venue AND f.place = b.first_place
LEFT JOIN ends l ON l.venue = b.venue AND l.place = b.last_place;
