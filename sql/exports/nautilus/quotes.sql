-- Best bid and ask as a NautilusTrader catalog has them (`QuoteTick`, of builds with 128 bits): Parquet of each symbol and
-- UTC date of receipt, below `data/`. A quote with one side only has no place there, and is left out.
-- @date bucket_start(recv_ts, '1 day')::DATE
-- @file 'data/quote_tick/' || replace(symbol, '/', '') || '.' || upper(venue) || '/' || strftime(min(recv_ts), '%Y-%m-%dT%H-%M-%S-') || lpad((epoch_ns(min(recv_ts)) % 1000000000)::VARCHAR, 9, '0') || 'Z_' || strftime(max(recv_ts), '%Y-%m-%dT%H-%M-%S-') || lpad((epoch_ns(max(recv_ts)) % 1000000000)::VARCHAR, 9, '0') || 'Z.parquet'
-- @metadata instrument_id = symbol || '.' || upper(venue)
-- @metadata price_precision = greatest(max(decimals(bid_price)), max(decimals(ask_price)))
-- @metadata size_precision = greatest(max(decimals(bid_size)), max(decimals(ask_size)))
SELECT bid_price::VARCHAR::DECIMAL(38, 16) AS bid_price, ask_price::VARCHAR::DECIMAL(38, 16) AS ask_price, bid_size::VARCHAR::DECIMAL(38, 16) AS bid_size,
       ask_size::VARCHAR::DECIMAL(38, 16) AS ask_size, epoch_ns(ts)::UBIGINT AS ts_event, epoch_ns(recv_ts)::UBIGINT AS ts_init
FROM quotes
WHERE bid_price IS NOT NULL AND ask_price IS NOT NULL AND bid_size IS NOT NULL AND ask_size IS NOT NULL
ORDER BY recv_ts, seq
