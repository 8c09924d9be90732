-- Trade ticks of crypto as QuantConnect Lean's data folder has them: `crypto/<market>/tick/<symbol>/<date>_trade.zip`, a
-- file of each UTC date. The market is the venue; Lean knows some by other names.
-- Times are milliseconds, with a fraction, since midnight. Lean has no trade ids and no aggressor.
-- @from trades
-- @file 'crypto/' || lower(venue) || '/tick/' || lower(symbol) || '/' || strftime(date, '%Y%m%d') || '_trade.zip'
-- @member strftime(date, '%Y%m%d') || '_' || lower(symbol) || '_tick_trade.csv'
SELECT plain_number((epoch_ns(ts) - epoch_ns(date::TIMESTAMP_NS)) / 1e6), plain_number(price), plain_number(size)
FROM trades
ORDER BY ts, seq
