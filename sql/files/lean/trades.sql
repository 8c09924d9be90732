-- Trade ticks of equities in QuantConnect Lean's data folder: `equity/usa/tick/spy/20131007_trade.zip` with the one
-- file `20131007_spy_Trade_Tick.csv`, without a header line.
-- `time` is milliseconds, with a fraction, since New York's midnight of the date in the file's name. Prices are in
-- 1/10,000 dollar, quantities in shares. The venue is Lean's market, 'usa'.
-- Lean has no trade ids, and the exchange's letter is not kept. `condition` is a set of Lean's TradeConditionFlags as
-- one hexadecimal number, kept as it is; a tick that is flagged as suspicious also has the condition 'suspicious'.
-- Columns: github.com/QuantConnect/Lean, Data/equity/readme.md.
-- @columns time, price, quantity, exchange, condition, suspicious
-- @name *_trade_tick*
SELECT file_row, coalesce(given_venue, 'usa') AS venue, named AS symbol,
       make_timestamp_ns(CASE WHEN ms BETWEEN 0 AND 86400000 AND midnight < 9223200000000000000
                              THEN midnight + TRY_CAST(ms * 1000000 AS BIGINT) END) AS ts,
       to_number(price) / 10000 AS price, to_number(quantity) AS size, 'unknown' AS side,
       CASE WHEN TRY_CAST(suspicious AS BOOLEAN)
            THEN CASE WHEN condition <> '0' THEN [condition::VARCHAR, 'suspicious'] ELSE ['suspicious'] END
            WHEN condition <> '0' THEN [condition::VARCHAR] END AS conditions
FROM (
    -- of a day on which the clock changes, what counts is the afternoon's time: nothing trades before
    SELECT *, TRY_CAST(time AS DOUBLE) AS ms,
           epoch_ns(from_zone(TRY_CAST(day AS TIMESTAMP_NS) + INTERVAL 12 HOUR, 'America/New_York'))
           - 43200000000000 AS midnight
    FROM (
        SELECT *, coalesce(given_date, try_strptime(left(file_name, 8), '%Y%m%d')::DATE) AS day,
               coalesce(given_symbol, upper(nullif(regexp_extract(file_name, '^\d{8}_(.+)_trade_tick', 1, 'i'), '')))
               AS named
        FROM file
    )
)
