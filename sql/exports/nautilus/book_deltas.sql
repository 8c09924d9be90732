-- Order book updates as a NautilusTrader catalog has them (`OrderBookDelta`, of builds with 128 bits): Parquet of each
-- symbol and UTC date of receipt, below `data/`. A snapshot begins with a row that clears the book; the last row of an
-- update is flagged so, also where a message holds several. Actions: 1 add, 2 update, 3 delete, 4 clear; flags:
-- 128 last, 32 snapshot, 16 by price.
-- @date bucket_start(recv_ts, '1 day')::DATE
-- @file 'data/order_book_delta/' || replace(symbol, '/', '') || '.' || upper(venue) || '/' || strftime(min(recv_ts), '%Y-%m-%dT%H-%M-%S-') || lpad((epoch_ns(min(recv_ts)) % 1000000000)::VARCHAR, 9, '0') || 'Z_' || strftime(max(recv_ts), '%Y-%m-%dT%H-%M-%S-') || lpad((epoch_ns(max(recv_ts)) % 1000000000)::VARCHAR, 9, '0') || 'Z.parquet'
-- @metadata instrument_id = symbol || '.' || upper(venue)
-- @metadata price_precision = max(decimals(price))
-- @metadata size_precision = max(decimals(size))
WITH rows AS (
    SELECT seq, 4 AS action, NULL AS side, 0 AS price, 0 AS size, last_id, ts, any_value(recv_ts) AS recv_ts,
           true AS is_snapshot, 0 AS step
    FROM book_in_order()
    WHERE is_snapshot AND side IS NOT NULL
    GROUP BY seq, ts, last_id
    UNION ALL
    SELECT seq, CASE WHEN size = 0 THEN 3 WHEN is_snapshot THEN 1 ELSE 2 END, side, price, size, last_id, ts, recv_ts,
           is_snapshot, 1
    FROM book_in_order()
    WHERE side IS NOT NULL
)
SELECT action::UTINYINT AS action, CASE side WHEN 'bid' THEN 1 WHEN 'ask' THEN 2 ELSE 0 END::UTINYINT AS side,
       price::VARCHAR::DECIMAL(38, 16) AS price, size::VARCHAR::DECIMAL(38, 16) AS size, 0::UBIGINT AS order_id,
       (16 + IF(is_snapshot, 32, 0)
           + IF(row_number() OVER w = count(*) OVER (PARTITION BY seq, ts, last_id), 128, 0))::UTINYINT AS flags,
       coalesce(last_id, 0)::UBIGINT AS sequence, epoch_ns(ts)::UBIGINT AS ts_event, epoch_ns(recv_ts)::UBIGINT AS ts_init
FROM rows
WINDOW w AS (PARTITION BY seq, ts, last_id ORDER BY step, side, price)
ORDER BY recv_ts, seq, ts, rows.last_id NULLS FIRST, step, rows.side, rows.price
