-- Bars of one UTC day, made from those of one hour: the same numbers as from the trades themselves, save for the last
-- digits of sums. Days without a trade have no bar. `ohlcv_1s` says which trades count, and in which order.
-- @materialize incremental
-- @key venue, symbol, ts
-- @time ts
-- @window 1 day
-- @lateness 10 minutes
-- @column venue VARCHAR venue folder's name
-- @column symbol VARCHAR instrument, in the venue's own spelling
-- @column ts TIMESTAMP_NS start of the day, UTC
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
SELECT venue, symbol, window_start(ts, 86_400_000_000_000) AS ts,
       arg_min(open, ts) AS open,
       max(high) AS high,
       min(low) AS low,
       arg_max(close, ts) AS close,
       fsum(volume) AS volume,
       fsum(quote_volume) AS quote_volume,
       sum(trades)::UBIGINT AS trades,
       fsum(quote_volume) / nullif(fsum(volume), 0) AS vwap,
       fsum(buy_volume) AS buy_volume,
       fsum(sell_volume) AS sell_volume,
       arg_min(first_trade_id, ts) AS first_trade_id,
       arg_max(last_trade_id, ts) AS last_trade_id
FROM ohlcv_1h
GROUP BY 1, 2, 3
