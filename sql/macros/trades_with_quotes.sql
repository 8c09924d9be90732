-- Each trade with the quote in force at its ts. The same rows every time: of quotes of one ts the last, by seq and
-- update_id, is the one.
-- A quote of the trade's own ts counts as in force, although the trade may have caused it: where that matters, compare
-- quote_seq with seq.
-- Arguments: sym (symbol; the session's without it), "from" and "to" (trades of from <= ts < to; the session's range,
-- or everything, without them). Quotes from before from count.
-- Result: the columns of trades, then quote_ts, quote_seq, bid_price, bid_size, ask_price, ask_size, mid (all NULL
-- before the first quote; prices in quote currency) and staleness_ns = ts - quote_ts.
-- Aggregate trades have a row beside those of the single trades they stand for, where both were captured.
-- Example: SELECT avg(abs(price - mid)) FROM trades_with_quotes('BTCUSDT') WHERE staleness_ns < 1000000000;
CREATE OR REPLACE MACRO trades_with_quotes(sym := NULL, "from" := NULL, "to" := NULL) AS TABLE
WITH one_a_moment AS (
    SELECT venue, symbol, ts,
           arg_max({seq: seq, bid_price: bid_price, bid_size: bid_size, ask_price: ask_price, ask_size: ask_size},
                   seq::HUGEINT * 18446744073709551616 + coalesce(update_id, 0)) AS quote
    FROM quotes
    WHERE symbol = asked_symbol(sym) AND (asked_to("to") IS NULL OR ts < asked_to("to"))
    GROUP BY venue, symbol, ts
), asked AS (
    FROM trades
    WHERE symbol = asked_symbol(sym)
      AND (asked_from("from") IS NULL OR ts >= asked_from("from")) AND (asked_to("to") IS NULL OR ts < asked_to("to"))
)
SELECT asked.*, q.ts AS quote_ts, quote.seq AS quote_seq, quote.bid_price, quote.bid_size, quote.ask_price,
       quote.ask_size, (quote.bid_price + quote.ask_price) / 2 AS mid,
       epoch_ns(asked.ts) - epoch_ns(q.ts) AS staleness_ns
FROM asked ASOF LEFT JOIN one_a_moment AS q
    ON asked.venue = q.venue AND asked.symbol = q.symbol AND asked.ts >= q.ts;
