-- Quote ticks of crypto in QuantConnect Lean's data folder: `crypto/coinbase/tick/btcusd/20180101_quote.zip` with the
-- one file `20180101_btcusd_tick_quote.csv`, without a header line.
-- `time` is milliseconds since midnight, UTC, of the date in the file's name. Prices and sizes are decimals; a price of
-- 0 stands for no bid, or no ask.
-- The venue is the folder's market, which the file's name does not tell: it must be given.
-- Columns: github.com/QuantConnect/Lean, Data/crypto/readme.md.
-- @into quotes
-- @columns time, bid_price, bid_size, ask_price, ask_size
-- @name *_tick_quote*
SELECT file_row, given_venue AS venue, named AS symbol, ts,
       bid AS bid_price, CASE WHEN bid IS NOT NULL THEN to_number(bid_size) END AS bid_size,
       ask AS ask_price, CASE WHEN ask IS NOT NULL THEN to_number(ask_size) END AS ask_size
FROM (
    SELECT *, nullif(to_number(bid_price), 0) AS bid, nullif(to_number(ask_price), 0) AS ask,
           make_timestamp_ns(CASE WHEN ms BETWEEN 0 AND 86400000 AND midnight < 9223200000000000000
                                  THEN midnight + TRY_CAST(ms * 1000000 AS BIGINT) END) AS ts
    FROM (
        SELECT *, TRY_CAST(time AS DOUBLE) AS ms, epoch_ns(TRY_CAST(day AS TIMESTAMP_NS)) AS midnight
        FROM (
            SELECT *, coalesce(given_date, try_strptime(left(file_name, 8), '%Y%m%d')::DATE) AS day,
                   coalesce(given_symbol,
                            upper(nullif(regexp_extract(file_name, '^\d{8}_(.+)_tick_quote', 1, 'i'), ''))) AS named
            FROM file
        )
    )
)
