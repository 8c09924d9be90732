-- Quote ticks of equities as QuantConnect Lean's data folder has them: `equity/usa/tick/<symbol>/<date>_quote.zip`, a
-- file of each date of New York.
-- Times are milliseconds, with a fraction, since New York's midnight. Prices are in 1/10,000 dollar: what is finer is
-- rounded; 0 stands for no bid, or no ask.
-- @date bucket_start(at_zone(ts, 'America/New_York'), '1 day')::DATE
-- @file 'equity/usa/tick/' || lower(symbol) || '/' || strftime(date, '%Y%m%d') || '_quote.zip'
-- @member strftime(date, '%Y%m%d') || '_' || lower(symbol) || '_Quote_Tick.csv'
SELECT plain_number((epoch_ns(ts) - epoch_ns(from_zone(date::TIMESTAMP_NS + INTERVAL 12 HOUR, 'America/New_York'))) / 1e6 + 43200000),
       round(coalesce(bid_price, 0) * 10000)::BIGINT, plain_number(coalesce(bid_size, 0)),
       round(coalesce(ask_price, 0) * 10000)::BIGINT, plain_number(coalesce(ask_size, 0)), '' AS exchange, '0', 0
FROM quotes
ORDER BY ts, seq
