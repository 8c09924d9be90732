-- Order book updates as Tardis has them: `incremental_book_L2`, a CSV of each symbol and UTC date of receipt, a line a
-- level. Updates without levels are left out, and those around a snapshot are in the order in which they make a book;
-- several of one message follow each other.
-- Times are microseconds: what is finer is cut off. Venues that have another name at Tardis get that one.
-- @date bucket_start(recv_ts, '1 day')::DATE
-- @file tardis_exchange(venue, symbol) || '_incremental_book_L2_' || date || '_' || replace(symbol, '/', '-') || '.csv.gz'
SELECT tardis_exchange(venue, symbol) AS exchange, symbol, epoch_ns(ts) // 1000 AS timestamp,
       epoch_ns(recv_ts) // 1000 AS local_timestamp, is_snapshot, side,
       plain_number(price) AS price, plain_number(size) AS amount
FROM book_in_order()
WHERE side IS NOT NULL
ORDER BY recv_ts, seq, ts, last_id NULLS FIRST, side, price
