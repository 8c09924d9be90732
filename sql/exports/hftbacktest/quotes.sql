-- Best bid and ask as hftbacktest has them: an array of events of each symbol and UTC date of receipt, two of each quote.
-- Events stand in the order in which they were received; `correct_event_order` of hftbacktest makes of them what it
-- replays. Of `ev`: 5 best bid or ask, 2^29 bid, 2^28 ask.
-- @date bucket_start(recv_ts, '1 day')::DATE
-- @file venue || '_' || replace(symbol, '/', '-') || '_' || strftime(date, '%Y%m%d') || '_bbo.npz'
SELECT (5 + b.side)::UBIGINT AS ev, epoch_ns(ts) AS exch_ts, epoch_ns(recv_ts) AS local_ts, b.px AS px, b.qty AS qty,
       0::UBIGINT AS order_id, 0::BIGINT AS ival, 0::DOUBLE AS fval
FROM (
    SELECT *, unnest([{side: 536870912, px: bid_price, qty: bid_size}, {side: 268435456, px: ask_price, qty: ask_size}]) AS b
    FROM quotes
)
WHERE b.px IS NOT NULL
ORDER BY recv_ts, seq, ev DESC
