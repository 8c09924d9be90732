-- The best 5 levels of each side of the order book, of Tardis: `book_snapshot_5`, a line whenever one of them changed.
-- Each line becomes a snapshot in book_deltas, with a row a level, because that keeps what the file is loaded for; the
-- best bid and ask alone are in Tardis' `quotes`. A level that is not there is empty.
-- A snapshot takes the place of the whole book, and this one ends at 5 levels: of one venue and symbol load either
-- these or the updates (`incremental_book_L2`, or a capture), or give these a venue of their own (`--venue`).
-- Times are microseconds since 1970: `timestamp` the exchange's, `local_timestamp` when Tardis received the message.
-- The latter is last_id, for the exchange's update ids are not in the file.
-- An exchange that has a venue folder here gets its name, so that its rows share keys and tables with what was
-- captured.
-- Columns: docs.tardis.dev, downloadable CSV files.
-- @into book_deltas
-- @columns exchange, symbol, timestamp, local_timestamp, asks[0].price, asks[0].amount, bids[0].price, bids[0].amount, asks[4].price, asks[4].amount, bids[4].price, bids[4].amount
-- @required last_id, side, price, size
-- @name *book_snapshot_5*
SELECT file_row,
       coalesce(given_venue, tardis_venue(exchange)) AS venue,
       coalesce(given_symbol, symbol::VARCHAR) AS symbol,
       from_epoch(timestamp) AS ts, from_epoch(local_timestamp) AS recv_ts,
       TRY_CAST(local_timestamp AS UBIGINT) AS last_id, true AS is_snapshot,
       IF(place <= 5, 'bid', 'ask') AS side, to_number(level_price) AS price, to_number(level_amount) AS size
FROM (
    SELECT file_row, given_venue, given_symbol, exchange, symbol, timestamp, local_timestamp,
           unnest(range(1, 11)) AS place,
           unnest([
               "bids[0].price", "bids[1].price", "bids[2].price", "bids[3].price", "bids[4].price", "asks[0].price",
               "asks[1].price", "asks[2].price", "asks[3].price", "asks[4].price"
           ]) AS level_price,
           unnest([
               "bids[0].amount", "bids[1].amount", "bids[2].amount", "bids[3].amount", "bids[4].amount",
               "asks[0].amount", "asks[1].amount", "asks[2].amount", "asks[3].amount", "asks[4].amount"
           ]) AS level_amount
    FROM file
)
WHERE level_price IS NOT NULL OR level_amount IS NOT NULL
