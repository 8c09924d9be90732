-- Best bid and ask of Tardis: `quotes`, made from the order book feed (a line where the best level changed), and
-- `book_ticker`, the exchange's own feed of it, with the same columns. Load one of the two for an exchange: together
-- they are two clocks in one table.
-- Times are microseconds since 1970: `timestamp` the exchange's, `local_timestamp` when Tardis received the message.
-- A side that is not there is empty. The exchange's update id is not in the file: update_id is made of what it says,
-- the time of receipt and 12 bits of the prices and amounts, for quotes of one microsecond.
-- An exchange that has a venue folder here gets its name, so that its rows share keys and tables with what was
-- captured.
-- Columns: docs.tardis.dev, downloadable CSV files.
-- @columns exchange, symbol, timestamp, local_timestamp, ask_amount, ask_price, bid_price, bid_amount
-- @name *quotes*, *book_ticker*
SELECT file_row,
       coalesce(given_venue, tardis_venue(exchange)) AS venue,
       coalesce(given_symbol, symbol::VARCHAR) AS symbol,
       from_epoch(timestamp) AS ts, recv_ts, bid_price, bid_size, ask_price, ask_size,
       TRY_CAST(epoch_us(recv_ts)::HUGEINT * 4096
                + coalesce(TRY_CAST(1e8 * (coalesce(bid_price, 0) + 3 * coalesce(ask_price, 0)
                                           + 5 * coalesce(bid_size, 0) + 7 * coalesce(ask_size, 0)) AS BIGINT), 0) % 4093
                AS UBIGINT) AS update_id
FROM (
    SELECT file_row, given_venue, given_symbol, exchange, symbol, timestamp, from_epoch(local_timestamp) AS recv_ts,
           to_number(bid_price) AS bid_price, to_number(bid_amount) AS bid_size,
           to_number(ask_price) AS ask_price, to_number(ask_amount) AS ask_size
    FROM file
)
