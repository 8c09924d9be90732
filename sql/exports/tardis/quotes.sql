-- Best bid and ask as Tardis has them: `quotes`, a CSV of each symbol and UTC date of receipt.
-- Times are microseconds: what is finer is cut off. Venues that have another name at Tardis get that one.
-- @date bucket_start(recv_ts, '1 day')::DATE
-- @file tardis_exchange(venue, symbol) || '_quotes_' || date || '_' || replace(symbol, '/', '-') || '.csv.gz'
SELECT tardis_exchange(venue, symbol) AS exchange, symbol, epoch_ns(ts) // 1000 AS timestamp,
       epoch_ns(recv_ts) // 1000 AS local_timestamp, plain_number(ask_size) AS ask_amount,
       plain_number(ask_price) AS ask_price, plain_number(bid_price) AS bid_price, plain_number(bid_size) AS bid_amount
FROM quotes
ORDER BY recv_ts, seq
