-- A rebuilt book whose best bid reaches its best ask has missed an update: the book engine makes a gap of that, never a
-- top.
SELECT venue, symbol, count(*) AS tops, min(ts) AS first_ts, any_value(epoch) AS epoch,
       'best bid is not below best ask' AS reason
FROM book_tops
WHERE bid_price >= ask_price
GROUP BY venue, symbol
