-- Liquidity by minute: how wide the market was, how much was quoted, to which side the book leaned. What has no _avg,
-- _min, _median or _max in its name is the last of the minute, by ts and update id. Averages are of quotes or book
-- updates, not of time: `spread_stats` weighs them by time.
-- A quote that lacks a side (a price that is NULL or not above 0) or is crossed (bid above ask) is counted, and is in
-- no other number; nor is such a top of the book. A minute without a whole quote has NULL there.
-- @materialize incremental
-- @key venue, symbol, ts
-- @time ts
-- @window 1 minute
-- @lateness 10 minutes
-- @column venue VARCHAR venue folder's name
-- @column symbol VARCHAR instrument, in the venue's own spelling
-- @column ts TIMESTAMP_NS start of the minute, UTC
-- @column quotes UBIGINT number of quotes
-- @column one_sided UBIGINT those of them that lack a side
-- @column crossed UBIGINT those of them whose bid is above the ask
-- @column bid_price DOUBLE best bid, in quote currency
-- @column bid_size DOUBLE quantity at it, same unit as trades.size
-- @column ask_price DOUBLE best ask, in quote currency
-- @column ask_size DOUBLE quantity at it, same unit as trades.size
-- @column spread_bps DOUBLE ask_price - bid_price, in 1/10,000 of the mid
-- @column spread_bps_avg DOUBLE in 1/10,000 of the mid
-- @column spread_bps_min DOUBLE in 1/10,000 of the mid
-- @column spread_bps_median DOUBLE in 1/10,000 of the mid
-- @column spread_bps_max DOUBLE in 1/10,000 of the mid
-- @column bid_size_avg DOUBLE same unit as trades.size
-- @column ask_size_avg DOUBLE same unit as trades.size
-- @column bid_value_avg DOUBLE bid_price * bid_size, in quote currency where size is no number of contracts
-- @column ask_value_avg DOUBLE ask_price * ask_size, in quote currency where size is no number of contracts
-- @column imbalance_avg DOUBLE (bid_size - ask_size) / (bid_size + ask_size) of the quotes: -1 … 1
-- @column book_updates UBIGINT number of tops of the rebuilt book that have two sides
-- @column imbalance_5 DOUBLE (bids - asks) / (bids + asks), quantity of the book's best five levels: -1 … 1
-- @column imbalance_5_avg DOUBLE the same, of all updates
-- @test not_null venue, symbol, ts, quotes, one_sided, crossed, book_updates
-- @test unique venue, symbol, ts
-- @test range quotes + book_updates > 0
-- @test range one_sided + crossed <= quotes
-- @test range 0 <= spread_bps_min AND spread_bps_min <= spread_bps_median AND spread_bps_median <= spread_bps_max
-- @test range spread_bps BETWEEN spread_bps_min AND spread_bps_max
-- @test warn: range imbalance_avg BETWEEN -1 AND 1 AND imbalance_5_avg BETWEEN -1 AND 1
WITH whole_quotes AS (
    -- Of a quote that is not whole, everything is NULL from here on, and aggregates pass over it.
    SELECT venue, symbol, ts, one_sided, crossed,
           IF(one_sided OR crossed, NULL, bid_price) AS bid_price,
           IF(one_sided OR crossed, NULL, bid_size) AS bid_size,
           IF(one_sided OR crossed, NULL, ask_price) AS ask_price,
           IF(one_sided OR crossed, NULL, ask_size) AS ask_size,
           epoch_ns(ts)::HUGEINT * 18446744073709551616
           + coalesce(update_id, hash(bid_price, bid_size, ask_price, ask_size)) AS place
    FROM (
        SELECT *, NOT coalesce(bid_price > 0 AND ask_price > 0, false) AS one_sided,
               NOT one_sided AND bid_price > ask_price AS crossed
        FROM quotes
    )
), of_quotes AS (
    SELECT venue, symbol, window_start(ts, 60_000_000_000) AS ts,
           count(*)::UBIGINT AS quotes,
           count_if(one_sided)::UBIGINT AS one_sided,
           count_if(crossed)::UBIGINT AS crossed,
           -- One quote's, whichever of its sizes is not known.
           arg_max(IF(bid_price IS NULL, NULL, {bid_price: bid_price, bid_size: bid_size, ask_price: ask_price, ask_size: ask_size}),
                   place) AS last,
           favg(20000 * (ask_price - bid_price) / (ask_price + bid_price)) AS spread_bps_avg,
           min(20000 * (ask_price - bid_price) / (ask_price + bid_price)) AS spread_bps_min,
           median(20000 * (ask_price - bid_price) / (ask_price + bid_price)) AS spread_bps_median,
           max(20000 * (ask_price - bid_price) / (ask_price + bid_price)) AS spread_bps_max,
           favg(bid_size) AS bid_size_avg,
           favg(ask_size) AS ask_size_avg,
           favg(bid_price * bid_size) AS bid_value_avg,
           favg(ask_price * ask_size) AS ask_value_avg,
           favg((bid_size - ask_size) / nullif(bid_size + ask_size, 0)) AS imbalance_avg
    FROM whole_quotes
    GROUP BY 1, 2, 3
), of_book AS (
    SELECT venue, symbol, window_start(ts, 60_000_000_000) AS ts,
           count(*)::UBIGINT AS book_updates,
           arg_max(imbalance_5, epoch_ns(ts)::HUGEINT * 18446744073709551616 + coalesce(last_id, hash(imbalance_5)))
               AS imbalance_5,
           favg(imbalance_5) AS imbalance_5_avg
    FROM book_tops
    WHERE bid_price <= ask_price
    GROUP BY 1, 2, 3
)
SELECT venue, symbol, ts, coalesce(quotes, 0) AS quotes, coalesce(one_sided, 0) AS one_sided,
       coalesce(crossed, 0) AS crossed, last.bid_price AS bid_price, last.bid_size AS bid_size,
       last.ask_price AS ask_price, last.ask_size AS ask_size,
       20000 * (last.ask_price - last.bid_price) / (last.ask_price + last.bid_price) AS spread_bps, spread_bps_avg, spread_bps_min,
       spread_bps_median, spread_bps_max, bid_size_avg, ask_size_avg, bid_value_avg, ask_value_avg, imbalance_avg,
       coalesce(book_updates, 0) AS book_updates, imbalance_5, imbalance_5_avg
FROM of_quotes FULL JOIN of_book USING (venue, symbol, ts)
