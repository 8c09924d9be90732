-- The last trade and the last quote of each symbol and venue. Last is by ts, by seq among equal ts, and by trade_id among
-- trades of one message.
WITH last_trade AS (
    SELECT venue, symbol,
           arg_max({ts: ts, price: price, size: size, side: side}, arrival(ts, seq, trade_id)) AS t
    FROM trades GROUP BY venue, symbol
), last_quote AS (
    SELECT venue, symbol,
           arg_max({ts: ts, bid_price: bid_price, bid_size: bid_size, ask_price: ask_price, ask_size: ask_size},
                   epoch_ns(ts)::HUGEINT * 18446744073709551616 + seq) AS q
    FROM quotes GROUP BY venue, symbol
)
SELECT venue, symbol,
       t.ts AS trade_ts, t.price AS last, t.size AS last_size, t.side AS last_side,
       q.ts AS quote_ts, q.bid_price AS bid, q.bid_size, q.ask_price AS ask, q.ask_size
FROM last_trade FULL JOIN last_quote USING (venue, symbol);
