-- Daily and weekly bars of stocks, of every source, with the days they cover.
-- What is no stock is left out: a symbol that its venue's instruments call something else, and, where they say nothing,
-- the built-in venues that trade none, and exchanges of futures and options. Put a file of this name into the
-- database's sql/views/ to choose otherwise.
-- A bar starts at its exchange's midnight or opening: nine hours later the UTC date is the same from Tokyo to New York.
-- A bar that is still running covers the days up to the one on which it was received. Of several bars of one day that a
-- source gives different starts the one received last counts.
-- @column venue VARCHAR venue, or what the file was loaded as
-- @column symbol VARCHAR stock, in the venue's own spelling
-- @column interval VARCHAR '1d' or '1w'
-- @column ts TIMESTAMP_NS start, UTC
-- @column date DATE first day
-- @column until DATE day after the last one
-- @column close DOUBLE last price as traded
-- @column adj_close DOUBLE the venue's own adjusted close, where it gives one
-- @column dividend DOUBLE cash a share that fell into the bar, where the venue gives it
-- @column volume DOUBLE shares
-- @column is_final BOOLEAN false while it is still running
SELECT venue, symbol, "interval", ts, date,
       IF(is_final IS false, greatest(least(until, recv_ts::DATE + 1), date + 1), until) AS until,
       close, adj_close, dividend, volume, is_final
FROM (
    SELECT *, (ts + INTERVAL 9 HOURS)::DATE AS date,
           (ts + INTERVAL 9 HOURS)::DATE + IF("interval" = '1w', 7, 1) AS until
    FROM bars
    WHERE "interval" IN ('1d', '1w') AND close > 0
)
LEFT JOIN (
    SELECT venue, symbol, lower(arg_max(asset_class, ts)) AS asset_class FROM instruments GROUP BY ALL
) USING (venue, symbol)
WHERE CASE WHEN asset_class IS NULL
           THEN NOT regexp_matches(venue, '^(binance|coinbase|kraken|okx|hitbtc)|_(crypto|options)$')
                AND NOT regexp_matches(venue, '^(GLBX|IFEU|IFUS|NDEX|OPRA|XEUR)\.')
           ELSE asset_class IN ('equity', 'stock', 'etf', 'fund') END
QUALIFY row_number() OVER (PARTITION BY venue, symbol, "interval", date ORDER BY recv_ts DESC, ts DESC) = 1
