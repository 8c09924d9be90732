-- Bars of data.binance.vision: `BTCUSDT-1m-2024-08-08.csv`, of spot, USD-M and COIN-M futures. Symbol and interval are
-- in the file's name only (`--symbol`, `--set interval=1m` where it was changed); a month is `1mo` there.
-- The files do not name the market either, and those of spot and USD-M have the same names and columns. Spot has
-- microseconds since 2025, and ever since eight decimals in its quantities, USD-M at most three; COIN-M symbols go on
-- after `USD_`. Where that does not tell either (numbers that another program wrote), the venue must be given.
-- `volume` is in base currency, `quote_volume` in quote currency. Of COIN-M `volume` is in contracts, and what the
-- header line calls `quote_volume` is in base currency: so it stays empty here.
-- Bars of an index or of mark prices have the same names and columns, and no trades: not to be loaded.
-- Columns: github.com/binance/binance-public-data.
-- @into bars
-- @columns open_time, open, high, low, close, volume, close_time, quote_volume, count, taker_buy_volume, taker_buy_quote_volume, ignore
-- @name *-1s-*, *-1m-*, *-3m-*, *-5m-*, *-15m-*, *-30m-*, *-1h-*, *-2h-*, *-4h-*, *-6h-*, *-8h-*, *-12h-*, *-1d-*, *-3d-*, *-1w-*, *-1mo-*
-- @optional interval
SELECT file_row, market AS venue, named AS symbol, from_epoch(open_time) AS ts,
       coalesce("interval"::VARCHAR, CASE span WHEN '1mo' THEN '1M' ELSE nullif(span, '') END) AS "interval",
       to_number(open) AS open, to_number(high) AS high, to_number(low) AS low, to_number(close) AS close,
       to_number(volume) AS volume,
       CASE WHEN NOT contains(named, 'USD_') THEN to_number(quote_volume) END AS quote_volume,
       TRY_CAST("count" AS UBIGINT) AS trades, true AS is_final
FROM (
    SELECT *,
           coalesce(given_venue,
                    CASE WHEN contains(named, 'USD_') THEN 'binance_coinm'
                         WHEN contains(named, '_') THEN 'binance_usdm'
                         WHEN TRY_CAST(open_time AS BIGINT) > 100000000000000 THEN 'binance_spot'
                         WHEN typeof(volume) <> 'VARCHAR' THEN NULL
                         WHEN volume::VARCHAR LIKE '%.________' THEN 'binance_spot'
                         WHEN volume::VARCHAR NOT LIKE '%.____%' THEN 'binance_usdm' END) AS market
    FROM (
        SELECT *, coalesce(given_symbol, nullif(regexp_extract(file_name, '^(.+)-\d+(?:mo|[smhdw])-\d{4}-\d\d', 1), ''))
                  AS named,
               regexp_extract(file_name, '-(\d+(?:mo|[smhdw]))-\d{4}-\d\d', 1) AS span
        FROM file
    )
)
