-- Trades as Tardis has them: `trades`, a CSV of each symbol and UTC date of receipt.
-- Times are microseconds: what is finer is cut off. Venues that have another name at Tardis get that one.
-- @date bucket_start(recv_ts, '1 day')::DATE
-- @file tardis_exchange(venue, symbol) || '_trades_' || date || '_' || replace(symbol, '/', '-') || '.csv.gz'
SELECT tardis_exchange(venue, symbol) AS exchange, symbol, epoch_ns(ts) // 1000 AS timestamp,
       epoch_ns(recv_ts) // 1000 AS local_timestamp, trade_id AS id, coalesce(side, 'unknown') AS side, plain_number(price) AS price,
       plain_number(size) AS amount
FROM trades
ORDER BY recv_ts, seq
