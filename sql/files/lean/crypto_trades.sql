-- Trade ticks of crypto in QuantConnect Lean's data folder: `crypto/coinbase/tick/btcusd/20180101_trade.zip` with the
-- one file `20180101_btcusd_tick_trade.csv`, without a header line.
-- `time` is milliseconds since midnight, UTC, of the date in the file's name. Prices and quantities are decimals. Lean
-- has no trade ids. The venue is the folder's market, which the file's name does not tell: it must be given.
-- Columns: github.com/QuantConnect/Lean, Data/crypto/readme.md.
-- @into trades
-- @columns time, price, quantity
-- @name *_tick_trade*
SELECT file_row, given_venue AS venue,
       coalesce(given_symbol, upper(nullif(regexp_extract(file_name, '^\d{8}_(.+)_tick_trade', 1, 'i'), ''))) AS symbol,
       make_timestamp_ns(CASE WHEN ms BETWEEN 0 AND 86400000 AND midnight < 9223200000000000000
                              THEN midnight + TRY_CAST(ms * 1000000 AS BIGINT) END) AS ts,
       to_number(price) AS price, to_number(quantity) AS size, 'unknown' AS side
FROM (
    SELECT *, TRY_CAST(time AS DOUBLE) AS ms, epoch_ns(TRY_CAST(day AS TIMESTAMP_NS)) AS midnight
    FROM (SELECT *, coalesce(given_date, try_strptime(left(file_name, 8), '%Y%m%d')::DATE) AS day FROM file)
)
