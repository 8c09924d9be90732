-- Trade ticks of equities as QuantConnect Lean's data folder has them: `equity/usa/tick/<symbol>/<date>_trade.zip`, a
-- file of each date of New York.
-- Times are milliseconds, with a fraction, since New York's midnight. Prices are in 1/10,000 dollar: what is finer is
-- rounded. Lean has no trade ids and no aggressor; `conditions` of mdb that are no number of Lean's are left out.
-- @date bucket_start(at_zone(ts, 'America/New_York'), '1 day')::DATE
-- @file 'equity/usa/tick/' || lower(symbol) || '/' || strftime(date, '%Y%m%d') || '_trade.zip'
-- @member strftime(date, '%Y%m%d') || '_' || lower(symbol) || '_Trade_Tick.csv'
SELECT plain_number((epoch_ns(ts) - epoch_ns(from_zone(date::TIMESTAMP_NS + INTERVAL 12 HOUR, 'America/New_York'))) / 1e6 + 43200000),
       round(price * 10000)::BIGINT, plain_number(size), '' AS exchange,
       coalesce(list_filter(conditions, lambda c: regexp_full_match(c, '[0-9A-Fa-f]+'))[1], '0'),
       coalesce(list_contains(conditions, 'suspicious')::INT, 0)
FROM trades
ORDER BY ts, seq
