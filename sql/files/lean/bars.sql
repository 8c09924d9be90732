-- Bars of a minute or a second of equities in QuantConnect Lean's data folder:
-- `equity/usa/minute/spy/20131007_trade.zip` with the one file `20131007_spy_minute_trade.csv`, without a header line.
-- `time` is the bar's start, in milliseconds since New York's midnight of the date in the file's name. Prices are in
-- 1/10,000 dollar, volume in shares. The venue is Lean's market, 'usa'.
-- Files of crypto have the same names and columns, but other prices and times: not to be loaded by this.
-- Columns: github.com/QuantConnect/Lean, Data/equity/readme.md.
-- @columns time, open, high, low, close, volume
-- @name *_minute_trade*, *_second_trade*
SELECT file_row, coalesce(given_venue, 'usa') AS venue, named AS symbol,
       make_timestamp_ns(CASE WHEN ms BETWEEN 0 AND 86400000 AND midnight < 9223200000000000000
                              THEN midnight + TRY_CAST(ms * 1000000 AS BIGINT) END) AS ts,
       CASE lower(length) WHEN 'minute' THEN '1m' WHEN 'second' THEN '1s' END AS "interval",
       to_number(open) / 10000 AS open, to_number(high) / 10000 AS high, to_number(low) / 10000 AS low,
       to_number(close) / 10000 AS close, to_number(volume) AS volume, true AS is_final
FROM (
    -- of a day on which the clock changes, what counts is the afternoon's time: nothing trades before
    SELECT *, TRY_CAST(time AS DOUBLE) AS ms,
           epoch_ns(from_zone(TRY_CAST(day AS TIMESTAMP_NS) + INTERVAL 12 HOUR, 'America/New_York'))
           - 43200000000000 AS midnight
    FROM (
        SELECT *, coalesce(given_date, try_strptime(left(file_name, 8), '%Y%m%d')::DATE) AS day,
               coalesce(given_symbol,
                        upper(nullif(regexp_extract(file_name, '^\d{8}_(.+)_(?:minute|second)_trade', 1, 'i'), '')))
               AS named,
               regexp_extract(file_name, '(minute|second)_trade', 1, 'i') AS length
        FROM file
    )
)
