-- Trades of Tardis (`trades`, one CSV a day, as `binance_trades_2024-08-08_BTCUSDT.csv.gz`).
-- Times are microseconds since 1970: `timestamp` the exchange's, `local_timestamp` when Tardis received the message. `side`
-- is the aggressor's; `amount` is in the exchange's own unit: base currency or contracts. Ids are the exchange's; where it
-- gives none, one is made of the time of receipt and the line, so that a file loaded twice is there once.
-- An exchange that has a venue folder here gets its name, so that its rows share keys and tables with what was captured.
-- Insurance fund and ADL prints of Binance futures are not in these files.
-- Columns: docs.tardis.dev, downloadable CSV files.
-- @columns exchange, symbol, timestamp, local_timestamp, id, side, price, amount
-- @name *trades*
SELECT file_row,
       coalesce(given_venue, CASE exchange WHEN 'binance' THEN 'binance_spot' WHEN 'binance-futures' THEN 'binance_usdm'
                                           WHEN 'binance-delivery' THEN 'binance_coinm' WHEN 'okex' THEN 'okx'
                                           WHEN 'okex-swap' THEN 'okx' WHEN 'okex-futures' THEN 'okx'
                                           WHEN 'okex-options' THEN 'okx' ELSE exchange END) AS venue,
       coalesce(given_symbol, symbol) AS symbol, from_epoch(timestamp) AS ts, from_epoch(local_timestamp) AS recv_ts,
       coalesce(id::VARCHAR, local_timestamp || ':' || file_row) AS trade_id,
       to_number(price) AS price, to_number(amount) AS size,
       CASE side WHEN 'buy' THEN 'buy' WHEN 'sell' THEN 'sell' ELSE 'unknown' END AS side
FROM file
