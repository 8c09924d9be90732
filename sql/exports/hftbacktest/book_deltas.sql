-- The order book and the trades as hftbacktest has them: an array of events of each symbol and UTC date of receipt.
-- An event that happened before another one that was received earlier stands there twice, once in the order in which
-- things happened and once in that of receipt, as hftbacktest's own `correct_event_order` does it. Times are as they
-- were recorded: where the recorder's clock was behind the venue's, `correct_local_timestamp` comes first.
-- Of `ev`: 1 depth, 2 trade, 3 depth cleared, 4 depth of a snapshot; 2^31 happened, 2^30 received, 2^29 buy, 2^28 sell.
-- @from book_deltas, trades
-- @date bucket_start(recv_ts, '1 day')::DATE
-- @file venue || '_' || replace(symbol, '/', '-') || '_' || strftime(date, '%Y%m%d') || '.npz'
WITH happened AS (
    SELECT 2 + CASE side WHEN 'buy' THEN 536870912 WHEN 'sell' THEN 268435456 ELSE 0 END AS ev,
           epoch_ns(ts) AS exch_ts, epoch_ns(recv_ts) AS local_ts, price AS px, size AS qty, 0 AS turn, seq,
           NULL AS id, 0 AS step
    FROM trades
    UNION ALL
    -- What a snapshot says takes the place of all levels up to its last one.
    SELECT 3 + IF(side = 'bid', 536870912, 268435456), epoch_ns(ts), epoch_ns(any_value(recv_ts)),
           IF(side = 'bid', min(price), max(price)), 0, 1, seq, last_id, 1
    FROM book_in_order()
    WHERE is_snapshot AND side IS NOT NULL
    GROUP BY seq, ts, last_id, side
    UNION ALL
    SELECT IF(is_snapshot, 4, 1) + IF(side = 'bid', 536870912, 268435456), epoch_ns(ts), epoch_ns(recv_ts),
           price, size, 1, seq, last_id, 2
    FROM book_in_order()
    WHERE side IS NOT NULL
),
-- The trade that a change of the book comes of goes before it: else the quantity would be taken away twice.
received AS (
    SELECT *, row_number() OVER w AS place,
           coalesce(max(exch_ts) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), exch_ts) > exch_ts AS late
    FROM happened
    WINDOW w AS (ORDER BY local_ts, turn, seq, exch_ts, id NULLS FIRST, step, px)
),
places AS (
    SELECT exch_ts, max(place) AS place
    FROM received
    WHERE NOT late
    GROUP BY exch_ts
),
events AS (
    SELECT ev + IF(late, 1073741824, 3221225472) AS ev, exch_ts, local_ts, px, qty, place, place AS spot, 0 AS apart
    FROM received
    UNION ALL
    SELECT r.ev + 2147483648, r.exch_ts, r.local_ts, r.px, r.qty, r.place, coalesce(p.place, 0), 1
    FROM (SELECT * FROM received WHERE late) r ASOF LEFT JOIN places p ON r.exch_ts >= p.exch_ts
)
SELECT ev::UBIGINT AS ev, exch_ts, local_ts, px, qty::DOUBLE AS qty, 0::UBIGINT AS order_id, 0::BIGINT AS ival,
       0::DOUBLE AS fval
FROM events
ORDER BY spot, apart, exch_ts, place
