-- Best bid and ask of Tardis: `quotes`, made from the order book feed (a line where the best level changed), and
-- `book_ticker`, the exchange's own feed of it, with the same columns. Of one exchange load one of the two: together they
-- are two clocks in one table.
-- Times are microseconds since 1970: `timestamp` the exchange's, `local_timestamp` when Tardis received the message. A
-- side that is not there is empty. The exchange's update id is not in the file: update_id is made of the time of receipt
-- and the line, so it rises in the order of the file, and a file loaded twice is there once.
-- An exchange that has a venue folder here gets its name, so that its rows share keys and tables with what was captured.
-- Columns: docs.tardis.dev, downloadable CSV files.
-- @columns exchange, symbol, timestamp, local_timestamp, ask_amount, ask_price, bid_price, bid_amount
-- @name *quotes*, *book_ticker*
SELECT file_row,
       coalesce(given_venue, CASE exchange WHEN 'binance' THEN 'binance_spot' WHEN 'binance-futures' THEN 'binance_usdm'
                                           WHEN 'binance-delivery' THEN 'binance_coinm' WHEN 'okex' THEN 'okx'
                                           WHEN 'okex-swap' THEN 'okx' WHEN 'okex-futures' THEN 'okx'
                                           WHEN 'okex-options' THEN 'okx' ELSE exchange END) AS venue,
       coalesce(given_symbol, symbol) AS symbol, from_epoch(timestamp) AS ts, recv_ts,
       to_number(bid_price) AS bid_price, to_number(bid_amount) AS bid_size,
       to_number(ask_price) AS ask_price, to_number(ask_amount) AS ask_size,
       TRY_CAST(epoch_us(recv_ts)::HUGEINT * 4096 + file_row % 4096 AS UBIGINT) AS update_id
FROM (SELECT *, from_epoch(local_timestamp) AS recv_ts FROM file)
