-- Quote ticks of crypto as QuantConnect Lean's data folder has them: `crypto/<market>/tick/<symbol>/<date>_quote.zip`, a
-- file of each UTC date. The market is the venue; Lean knows some by other names.
-- Times are milliseconds, with a fraction, since midnight; a price of 0 stands for no bid, or no ask.
-- @from quotes
-- @file 'crypto/' || lower(venue) || '/tick/' || lower(symbol) || '/' || strftime(date, '%Y%m%d') || '_quote.zip'
-- @member strftime(date, '%Y%m%d') || '_' || lower(symbol) || '_tick_quote.csv'
SELECT plain_number((epoch_ns(ts) - epoch_ns(date::TIMESTAMP_NS)) / 1e6), plain_number(coalesce(bid_price, 0)), plain_number(coalesce(bid_size, 0)),
       plain_number(coalesce(ask_price, 0)), plain_number(coalesce(ask_size, 0))
FROM quotes
ORDER BY ts, seq
