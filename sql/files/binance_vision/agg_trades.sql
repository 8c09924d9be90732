-- Aggregate trades of data.binance.vision: `BTCUSDT-aggTrades-2024-08-08.csv`, of spot, USD-M and COIN-M futures: the
-- fills of one taker's order at one price, as one. They have ids of their own, spelled with an `a` in front as the
-- stream's `aggTrade` is here.
-- The files do not name the market. Spot has `is_best_match` as well and, since 2025, microseconds; the others have
-- milliseconds. COIN-M symbols go on after `USD_`. Files of futures begin with a header line since about 2022, those of
-- spot do not.
-- `is_buyer_maker` true means that the seller was the aggressor. Quantities are in base currency, of COIN-M in
-- contracts.
-- Columns: github.com/binance/binance-public-data.
-- @into trades
-- @columns agg_trade_id, price, quantity, first_trade_id, last_trade_id, transact_time, is_buyer_maker
-- @optional is_best_match
-- @name *-aggTrades-*
SELECT file_row,
       coalesce(given_venue,
                CASE WHEN contains(named, 'USD_') THEN 'binance_coinm'
                     WHEN contains(named, '_') THEN 'binance_usdm'
                     WHEN is_best_match IS NOT NULL OR TRY_CAST(transact_time AS BIGINT) > 100000000000000
                     THEN 'binance_spot'
                     ELSE 'binance_usdm' END) AS venue,
       named AS symbol, from_epoch(transact_time) AS ts, 'a' || TRY_CAST(agg_trade_id AS UBIGINT) AS trade_id,
       to_number(price) AS price, to_number(quantity) AS size,
       CASE TRY_CAST(is_buyer_maker AS BOOLEAN) WHEN true THEN 'sell' WHEN false THEN 'buy' ELSE 'unknown' END AS side,
       ['aggregate'] AS conditions
FROM (SELECT *, coalesce(given_symbol, nullif(regexp_extract(file_name, '^(.+)-aggTrades-', 1), '')) AS named FROM file)
