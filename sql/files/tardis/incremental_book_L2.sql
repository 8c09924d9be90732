-- Order book updates of Tardis (`incremental_book_L2`): a line a level; `amount` is the new quantity at the price, 0 removes
-- the level. Each day, and each reconnection of Tardis, begins with a snapshot.
-- Times are microseconds since 1970: `timestamp` the exchange's, `local_timestamp` when Tardis received the message.
-- The exchange's update ids are not in the file. The lines of one message have one `local_timestamp`, and it rises: so that
-- is last_id. Should two messages of one microsecond change the same level, the first one counts.
-- An exchange that has a venue folder here gets its name, so that its rows share keys and tables with what was captured.
-- The ids of a captured book are of another kind: captured and loaded updates of one symbol do not make one book where they
-- overlap in time. Give such a file a venue of its own (`--venue`).
-- Columns: docs.tardis.dev, downloadable CSV files.
-- @into book_deltas
-- @columns exchange, symbol, timestamp, local_timestamp, is_snapshot, side, price, amount
-- @required last_id, side, price, size
-- @name *incremental_book_L2*
SELECT file_row,
       coalesce(given_venue, CASE exchange WHEN 'binance' THEN 'binance_spot' WHEN 'binance-futures' THEN 'binance_usdm'
                                           WHEN 'binance-delivery' THEN 'binance_coinm' WHEN 'okex' THEN 'okx'
                                           WHEN 'okex-swap' THEN 'okx' WHEN 'okex-futures' THEN 'okx'
                                           WHEN 'okex-options' THEN 'okx' ELSE exchange END) AS venue,
       coalesce(given_symbol, symbol) AS symbol, from_epoch(timestamp) AS ts, from_epoch(local_timestamp) AS recv_ts,
       TRY_CAST(local_timestamp AS UBIGINT) AS last_id, TRY_CAST(is_snapshot AS BOOLEAN) AS is_snapshot,
       CASE WHEN side IN ('bid', 'ask') THEN side END AS side, to_number(price) AS price, to_number(amount) AS size
FROM file
