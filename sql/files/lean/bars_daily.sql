-- Bars of a day or an hour of equities in QuantConnect Lean's data folder: `equity/usa/daily/spy.zip` with the one file
-- `spy.csv`, without a header line.
-- `time` is the bar's start by New York's clock, `20131001 00:00`; no hour of trading starts at midnight, so that tells
-- the days. Prices are in 1/10,000 dollar, volume in shares. The venue is Lean's market, 'usa'.
-- Files of crypto have the same names and columns, but other prices and times: not to be loaded by this.
-- Columns: github.com/QuantConnect/Lean, Data/equity/readme.md.
-- @into bars
-- @columns time, open, high, low, close, volume
SELECT file_row, coalesce(given_venue, 'usa') AS venue,
       coalesce(given_symbol, upper(nullif(regexp_extract(file_name, '^([^_]+?)(?:\.(?:csv|gz|zst))*$', 1), '')))
       AS symbol,
       from_zone(start, 'America/New_York') AS ts,
       CASE WHEN start IS NOT NULL THEN IF(hour(start) = 0, '1d', '1h') END AS "interval",
       to_number(open) / 10000 AS open, to_number(high) / 10000 AS high, to_number(low) / 10000 AS low,
       to_number(close) / 10000 AS close, to_number(volume) AS volume, true AS is_final
FROM (SELECT *, try_strptime(time::VARCHAR, '%Y%m%d %H:%M') AS start FROM file)
