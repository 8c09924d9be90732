-- Each trade with the quote in force at its time. The same rows every time: of quotes of one time the last, by seq and
-- update_id, is the one.
-- A quote of the trade's own time counts as in force, although the trade may have caused it: where that matters, compare
-- quote_seq with seq.
-- Arguments: sym (symbol; the session's without it), "from" and "to" (trades of from <= ts < to; the session's range,
-- or everything, without them; quotes from before from count), clock ('venue': times are ts; 'receipt': they are
-- recv_ts). Venues that give their quotes no time, as binance_spot, have there that of their receipt: compared with the
-- venue's time of a trade such a quote seems later than it was, by as long as messages take. 'receipt' compares like with
-- like.
-- Result: the columns of trades, then quote_ts (by that clock), quote_seq, bid_price, bid_size, ask_price, ask_size, mid
-- (all NULL before the first quote; prices in quote currency) and staleness_ns, from the quote to the trade.
-- Aggregate trades have a row beside those of the single trades they stand for, where both were captured.
-- Example: SELECT avg(abs(price - mid)) FROM trades_with_quotes('BTCUSDT') WHERE staleness_ns < 1000000000;
CREATE OR REPLACE MACRO trades_with_quotes(sym := NULL, "from" := NULL, "to" := NULL, clock := 'venue') AS TABLE
WITH asked AS NOT MATERIALIZED (
    SELECT *, CASE clock WHEN 'venue' THEN ts WHEN 'receipt' THEN recv_ts ELSE make_timestamp_ns((
                  -- Not by `error`: see `asked_symbol`.
                  'mdb: ''' || coalesce(clock, 'NULL') || ''' is no clock of trades_with_quotes: venue or receipt'
              )::BIGINT) END AS moment
    FROM trades
    WHERE symbol = asked_symbol(sym)
      AND ts >= coalesce(asked_from("from"), '-infinity') AND ts < coalesce(asked_to("to"), 'infinity')
), span AS MATERIALIZED (
    SELECT min(moment) AS first, max(moment) AS last FROM asked
), quoted AS NOT MATERIALIZED (
    SELECT *, IF(clock = 'venue', ts, recv_ts) AS moment FROM quotes WHERE symbol = asked_symbol(sym)
), in_force AS MATERIALIZED (
    -- No quote from before the one that stands at a venue's first trade is read.
    SELECT venue, max(moment) AS moment FROM quoted WHERE moment <= (SELECT first FROM span) GROUP BY venue
), one_a_moment AS (
    SELECT venue, moment,
           arg_max({seq: seq, bid_price: bid_price, bid_size: bid_size, ask_price: ask_price, ask_size: ask_size},
                   seq::HUGEINT * 18446744073709551616 + coalesce(update_id, 0)) AS quote
    FROM quoted
    WHERE moment <= (SELECT last FROM span) AND moment >= coalesce((SELECT min(moment) FROM in_force), '-infinity')
    GROUP BY venue, moment
)
SELECT asked.* EXCLUDE (moment), q.moment AS quote_ts, quote.seq AS quote_seq, quote.bid_price, quote.bid_size, quote.ask_price,
       quote.ask_size, (quote.bid_price + quote.ask_price) / 2 AS mid,
       epoch_ns(asked.moment) - epoch_ns(q.moment) AS staleness_ns
FROM asked ASOF LEFT JOIN one_a_moment AS q ON asked.venue = q.venue AND asked.moment >= q.moment;
