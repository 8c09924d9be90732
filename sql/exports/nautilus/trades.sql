-- Trades as a NautilusTrader catalog has them (`TradeTick`, of builds with 128 bits): Parquet of each symbol and UTC date
-- of receipt, below `data/`. The instrument is `<symbol>.<VENUE>`. A price is a whole number of 10^-16.
-- Where the venue gives no id, its place stands for it.
-- @date bucket_start(recv_ts, '1 day')::DATE
-- @file 'data/trade_tick/' || replace(symbol, '/', '') || '.' || upper(venue) || '/' || strftime(min(recv_ts), '%Y-%m-%dT%H-%M-%S-') || lpad((epoch_ns(min(recv_ts)) % 1000000000)::VARCHAR, 9, '0') || 'Z_' || strftime(max(recv_ts), '%Y-%m-%dT%H-%M-%S-') || lpad((epoch_ns(max(recv_ts)) % 1000000000)::VARCHAR, 9, '0') || 'Z.parquet'
-- @metadata instrument_id = symbol || '.' || upper(venue)
-- @metadata price_precision = max(decimals(price))
-- @metadata size_precision = max(decimals(size))
SELECT price::VARCHAR::DECIMAL(38, 16) AS price, size::VARCHAR::DECIMAL(38, 16) AS size,
       CASE side WHEN 'buy' THEN 1 WHEN 'sell' THEN 2 ELSE 0 END::UTINYINT AS aggressor_side,
       coalesce(trade_id, seq::VARCHAR, epoch_ns(ts)::VARCHAR) AS trade_id,
       epoch_ns(ts)::UBIGINT AS ts_event, epoch_ns(recv_ts)::UBIGINT AS ts_init
FROM trades
ORDER BY recv_ts, seq
