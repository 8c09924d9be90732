-- The best 25 levels of each side of the order book, of Tardis: `book_snapshot_25`, a line whenever one of them
-- changed. Each line becomes a snapshot in book_deltas, with a row a level, because that keeps what the file is loaded
-- for; the best bid and ask alone are in Tardis' `quotes`. A level that is not there is empty.
-- A snapshot takes the place of the whole book, and this one ends at 25 levels: of one venue and symbol load either
-- these or the updates (`incremental_book_L2`, or a capture), or give these a venue of their own (`--venue`).
-- Times are microseconds since 1970: `timestamp` the exchange's, `local_timestamp` when Tardis received the message.
-- The latter is last_id, for the exchange's update ids are not in the file.
-- An exchange that has a venue folder here gets its name, so that its rows share keys and tables with what was
-- captured.
-- Columns: docs.tardis.dev, downloadable CSV files.
-- @into book_deltas
-- @columns exchange, symbol, timestamp, local_timestamp, asks[0].price, asks[0].amount, bids[0].price, bids[0].amount, asks[4].price, asks[4].amount, bids[4].price, bids[4].amount, asks[24].price, asks[24].amount, bids[24].price, bids[24].amount
-- @required last_id, side, price, size
-- @name *book_snapshot_25*
SELECT file_row,
       coalesce(given_venue, tardis_venue(exchange)) AS venue,
       coalesce(given_symbol, symbol::VARCHAR) AS symbol,
       from_epoch(timestamp) AS ts, from_epoch(local_timestamp) AS recv_ts,
       TRY_CAST(local_timestamp AS UBIGINT) AS last_id, true AS is_snapshot,
       IF(place <= 25, 'bid', 'ask') AS side, to_number(level_price) AS price, to_number(level_amount) AS size
FROM (
    SELECT file_row, given_venue, given_symbol, exchange, symbol, timestamp, local_timestamp,
           unnest(range(1, 51)) AS place,
           unnest([
               "bids[0].price", "bids[1].price", "bids[2].price", "bids[3].price", "bids[4].price", "bids[5].price",
               "bids[6].price", "bids[7].price", "bids[8].price", "bids[9].price", "bids[10].price", "bids[11].price",
               "bids[12].price", "bids[13].price", "bids[14].price", "bids[15].price", "bids[16].price",
               "bids[17].price", "bids[18].price", "bids[19].price", "bids[20].price", "bids[21].price",
               "bids[22].price", "bids[23].price", "bids[24].price", "asks[0].price", "asks[1].price", "asks[2].price",
               "asks[3].price", "asks[4].price", "asks[5].price", "asks[6].price", "asks[7].price", "asks[8].price",
               "asks[9].price", "asks[10].price", "asks[11].price", "asks[12].price", "asks[13].price",
               "asks[14].price", "asks[15].price", "asks[16].price", "asks[17].price", "asks[18].price",
               "asks[19].price", "asks[20].price", "asks[21].price", "asks[22].price", "asks[23].price",
               "asks[24].price"
           ]) AS level_price,
           unnest([
               "bids[0].amount", "bids[1].amount", "bids[2].amount", "bids[3].amount", "bids[4].amount",
               "bids[5].amount", "bids[6].amount", "bids[7].amount", "bids[8].amount", "bids[9].amount",
               "bids[10].amount", "bids[11].amount", "bids[12].amount", "bids[13].amount", "bids[14].amount",
               "bids[15].amount", "bids[16].amount", "bids[17].amount", "bids[18].amount", "bids[19].amount",
               "bids[20].amount", "bids[21].amount", "bids[22].amount", "bids[23].amount", "bids[24].amount",
               "asks[0].amount", "asks[1].amount", "asks[2].amount", "asks[3].amount", "asks[4].amount",
               "asks[5].amount", "asks[6].amount", "asks[7].amount", "asks[8].amount", "asks[9].amount",
               "asks[10].amount", "asks[11].amount", "asks[12].amount", "asks[13].amount", "asks[14].amount",
               "asks[15].amount", "asks[16].amount", "asks[17].amount", "asks[18].amount", "asks[19].amount",
               "asks[20].amount", "asks[21].amount", "asks[22].amount", "asks[23].amount", "asks[24].amount"
           ]) AS level_amount
    FROM file
)
WHERE level_price IS NOT NULL OR level_amount IS NOT NULL
