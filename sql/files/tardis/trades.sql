-- Trades of Tardis: `trades`, a CSV a day.
-- Times are microseconds since 1970: `timestamp` the exchange's, `local_timestamp` when Tardis received the message.
-- `side` is the aggressor's; `amount` is in the exchange's own unit, base currency or contracts. Ids are the
-- exchange's; some exchanges give none. Insurance fund and ADL prints of Binance futures are not in these files.
-- An exchange that has a venue folder here gets its name, so that its rows share keys and tables with what was
-- captured.
-- Columns: docs.tardis.dev, downloadable CSV files.
-- @columns exchange, symbol, timestamp, local_timestamp, id, side, price, amount
-- @name *trades*
SELECT file_row,
       coalesce(given_venue, tardis_venue(exchange)) AS venue,
       coalesce(given_symbol, symbol::VARCHAR) AS symbol,
       from_epoch(timestamp) AS ts, from_epoch(local_timestamp) AS recv_ts,
       id::VARCHAR AS trade_id, to_number(price) AS price, to_number(amount) AS size,
       CASE side WHEN 'buy' THEN 'buy' WHEN 'sell' THEN 'sell' ELSE 'unknown' END AS side
FROM file
