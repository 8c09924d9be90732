-- Order book updates of Tardis: `incremental_book_L2`, a line a level. `amount` is the new quantity at the price, 0
-- removes the level. Each day begins with a snapshot, and so does each reconnection of Tardis.
-- Times are microseconds since 1970: `timestamp` the exchange's, `local_timestamp` when Tardis received the message.
-- The exchange's update ids are not in the file. The lines of one message have one `local_timestamp`, and it rises: it
-- is last_id here. Should two messages of one microsecond change the same level, the first one counts.
-- An exchange that has a venue folder here gets its name, so that its rows share keys and tables with what was
-- captured.
-- A captured book has ids of another kind: where captured and loaded updates of one symbol overlap in time, they do not
-- make one book. Give such a file a venue of its own (`--venue`).
-- Columns: docs.tardis.dev, downloadable CSV files.
-- @into book_deltas
-- @columns exchange, symbol, timestamp, local_timestamp, is_snapshot, side, price, amount
-- @required last_id, side, price, size
-- @name *incremental_book_L2*
SELECT file_row,
       coalesce(given_venue, tardis_venue(exchange)) AS venue,
       coalesce(given_symbol, symbol::VARCHAR) AS symbol,
       from_epoch(timestamp) AS ts, from_epoch(local_timestamp) AS recv_ts,
       TRY_CAST(local_timestamp AS UBIGINT) AS last_id, TRY_CAST(is_snapshot AS BOOLEAN) AS is_snapshot,
       CASE WHEN side IN ('bid', 'ask') THEN side END AS side, to_number(price) AS price, to_number(amount) AS size
FROM file
