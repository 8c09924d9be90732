-- Bars of one second, made from trades. A second without a trade has no bar.
-- Open and close are the first and the last trade by ts, and among equal ts by trade_id: the shorter first, then as
-- text, so that numbers are in their order. Trades without an id come after those, by their hash: in any order, but the
-- same every time. The order of receipt does not matter.
-- Every trade counts, whatever its conditions, but none twice: of a second in which a symbol has single trades, those
-- that stand for several ('aggregate') are left out. Where single trades are missing in part of such a second, they are
-- missing in its bar. A venue's channel of aggregates is taken to mark all it sends: of one that does not mark those of
-- a single fill (OKX's `trades`, which mdb does not subscribe to), the bars hold too little.
-- @materialize incremental
-- @key venue, symbol, ts
-- @time ts
-- @window 1 second
-- @lateness 10 minutes
-- @column venue VARCHAR venue folder's name
-- @column symbol VARCHAR instrument, in the venue's own spelling
-- @column ts TIMESTAMP_NS start of the second, UTC
-- @column open DOUBLE first price, in quote currency
-- @column high DOUBLE highest price, in quote currency
-- @column low DOUBLE lowest price, in quote currency
-- @column close DOUBLE last price, in quote currency
-- @column volume DOUBLE sum of size, same unit as trades.size
-- @column quote_volume DOUBLE sum of price * size, in quote currency where size is no number of contracts
-- @column trades UBIGINT number of trades
-- @column vwap DOUBLE quote_volume / volume, in quote currency; NULL if no size was traded
-- @column buy_volume DOUBLE size bought by the aggressor; what is of unknown side is in volume only
-- @column sell_volume DOUBLE size sold by the aggressor
-- @column first_trade_id VARCHAR id of the first trade that has one
-- @column last_trade_id VARCHAR id of the last trade that has one
-- @test not_null venue, symbol, ts, open, high, low, close, volume, quote_volume, trades, buy_volume, sell_volume
-- @test unique venue, symbol, ts
-- @test range trades > 0
-- @test range low <= least(open, close) AND greatest(open, close) <= high
-- @test warn: range volume >= 0 AND buy_volume + sell_volume <= volume * (1 + 1e-9)
-- @test warn: range vwap BETWEEN low - 1e-9 * abs(low) AND high + 1e-9 * abs(high)
WITH by_kind AS (
    SELECT venue, symbol, epoch_ns(ts) // 1000000000 AS second, is_aggregate,
           arg_min(price, place) AS open,
           max(price) AS high,
           min(price) AS low,
           arg_max(price, place) AS close,
           fsum(size) AS volume,
           fsum(price * size) AS quote_volume,
           count(*)::UBIGINT AS trades,
           fsum(IF(side = 'buy', size, 0)) AS buy_volume,
           fsum(IF(side = 'sell', size, 0)) AS sell_volume,
           arg_min(trade_id, place) AS first_trade_id,
           arg_max(trade_id, place) AS last_trade_id
    FROM (
        -- A key of bytes: exact for every id, and hardly slower than a number made of ts and an id of digits.
        SELECT *, coalesce(list_contains(conditions, 'aggregate'), false) AS is_aggregate,
               create_sort_key((ts, length(trade_id), coalesce(trade_id, hash(price, size, side)::VARCHAR)),
                               'ASC NULLS FIRST') AS place
        FROM trades
    )
    GROUP BY venue, symbol, second, is_aggregate
)
SELECT venue, symbol, make_timestamp_ns(second * 1000000000) AS ts, open, high, low, close, volume, quote_volume,
       trades, quote_volume / nullif(volume, 0) AS vwap, buy_volume, sell_volume, first_trade_id, last_trade_id
FROM by_kind AS bar
WHERE NOT is_aggregate
   OR NOT EXISTS (FROM by_kind AS single
                  WHERE NOT single.is_aggregate AND single.venue = bar.venue AND single.symbol = bar.symbol
                    AND single.second = bar.second)
