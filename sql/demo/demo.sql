-- What `mdb demo` shows of the sample: each query's heading stands in the comment above it.

-- What is stored: rows and bytes of each table in the lake
SELECT table_name AS "table", sum(rows)::BIGINT AS rows, sum(bytes)::BIGINT AS bytes,
       (sum(bytes) / sum(rows))::DECIMAL(9, 1) AS bytes_per_row, count(*) AS files
FROM ops.manifest
GROUP BY table_name
ORDER BY rows DESC, table_name;

-- One-minute bars, from a mart that is kept up to date
SELECT symbol, strftime(ts, '%H:%M') AS time, open::DECIMAL(12, 2) AS open, high::DECIMAL(12, 2) AS high,
       low::DECIMAL(12, 2) AS low, close::DECIMAL(12, 2) AS close, volume::DECIMAL(12, 2) AS volume, trades,
       vwap::DECIMAL(12, 2) AS vwap, (100 * buy_volume / volume)::DECIMAL(5, 1) AS "buy%"
FROM ohlcv_1m
ORDER BY symbol, ts;

-- Liquidity: spread in basis points and order-book imbalance by minute
SELECT symbol, strftime(time_bucket(INTERVAL 1 minute, ts), '%H:%M') AS minute, count(*) AS books,
       (10000 * avg(spread / mid))::DECIMAL(9, 4) AS spread_bps,
       (10000 * max(spread / mid))::DECIMAL(9, 4) AS widest_bps,
       (100 * avg((spread < 0.015)::INT))::DECIMAL(5, 1) AS "at_one_tick_%",
       avg(bid_size + ask_size)::DECIMAL(9, 3) AS size_at_top,
       avg(imbalance_5)::DECIMAL(5, 2) AS imbalance_5
FROM book_tops
GROUP BY ALL
ORDER BY symbol, minute;

-- The largest trades, each with the quote it met
WITH quote AS (
    SELECT venue, symbol, recv_ts, arg_max({bid: bid_price, ask: ask_price}, seq) AS q
    FROM quotes
    GROUP BY venue, symbol, recv_ts
)
SELECT symbol, strftime(t.ts, '%H:%M:%S.%g') AS time, t.side, t.size, q.bid::DECIMAL(12, 2) AS bid,
       t.price::DECIMAL(12, 2) AS price, q.ask::DECIMAL(12, 2) AS ask,
       (price * size)::DECIMAL(12, 0) AS notional,
       ((epoch_ns(t.recv_ts) - epoch_ns(quote.recv_ts)) / 1e6)::DECIMAL(9, 3) AS age_ms
FROM trades t
ASOF JOIN quote USING (venue, symbol, recv_ts)
ORDER BY price * size DESC, t.seq
LIMIT 8;

-- The book as it stands at the end
WITH snapshot AS (
    SELECT venue, symbol, max(last_id) AS last_id FROM book_deltas WHERE is_snapshot GROUP BY ALL
), level AS (
    SELECT symbol, side, price, arg_max(size, (d.last_id, d.seq)) AS size
    FROM book_deltas d JOIN snapshot s USING (venue, symbol)
    WHERE d.last_id >= s.last_id
    GROUP BY ALL
    HAVING size > 0
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY symbol, side ORDER BY IF(side = 'bid', -price, price)) AS level
    FROM level
)
SELECT symbol, level,
       max(size) FILTER (side = 'bid') AS bid_size, (max(price) FILTER (side = 'bid'))::DECIMAL(12, 2) AS bid,
       (max(price) FILTER (side = 'ask'))::DECIMAL(12, 2) AS ask, max(size) FILTER (side = 'ask') AS ask_size
FROM ranked
WHERE level <= 5
GROUP BY ALL
ORDER BY symbol, level;

-- Last trade and quote of each symbol
SELECT symbol, strftime(trade_ts, '%H:%M:%S.%g') AS trade_time, last::DECIMAL(12, 2) AS last, last_size AS size,
       last_side AS side, bid::DECIMAL(12, 2) AS bid, bid_size, ask::DECIMAL(12, 2) AS ask, ask_size
FROM latest
ORDER BY symbol;
