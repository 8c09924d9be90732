-- Trades of data.binance.vision: `BTCUSDT-trades-2024-08-08.csv`, of spot, USD-M and COIN-M futures.
-- The files do not name the market. Spot has `is_best_match` as well and, since 2025, microseconds; the others have
-- milliseconds. COIN-M symbols go on after `USD_`. Files of futures begin with a header line since about 2022, those of
-- spot do not.
-- `is_buyer_maker` true means that the seller was the aggressor. Quantities are in base currency, of COIN-M in
-- contracts. Unlike the venue's stream, the files of futures do not mark prints that were no market trades
-- (INSURANCE_FUND …).
-- Columns: github.com/binance/binance-public-data.
-- @columns id, price, qty, quote_qty|base_qty, time, is_buyer_maker
-- @optional is_best_match
-- @name *-trades-*
SELECT file_row,
       coalesce(given_venue,
                CASE WHEN contains(named, 'USD_') THEN 'binance_coinm'
                     WHEN contains(named, '_') THEN 'binance_usdm'
                     WHEN is_best_match IS NOT NULL OR TRY_CAST(time AS BIGINT) > 100000000000000 THEN 'binance_spot'
                     ELSE 'binance_usdm' END) AS venue,
       named AS symbol, from_epoch(time) AS ts, TRY_CAST(id AS UBIGINT)::VARCHAR AS trade_id,
       to_number(price) AS price, to_number(qty) AS size,
       CASE TRY_CAST(is_buyer_maker AS BOOLEAN) WHEN true THEN 'sell' WHEN false THEN 'buy' ELSE 'unknown' END AS side
FROM (SELECT *, coalesce(given_symbol, nullif(regexp_extract(file_name, '^(.+)-trades-', 1), '')) AS named FROM file)
