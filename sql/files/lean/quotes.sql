-- Quote ticks of equities in QuantConnect Lean's data folder: `equity/usa/tick/spy/20131007_quote.zip` with the one
-- file `20131007_spy_Quote_Tick.csv`, without a header line.
-- Each is the best bid or the best ask of one exchange, not of the market, and its other side is 0: NULL here, which
-- says nothing of whether there was one. What is flagged as suspicious is left out, as Lean does in its bars: a quote
-- could not be marked.
-- `time` is milliseconds, with a fraction, since New York's midnight of the date in the file's name. Prices are in
-- 1/10,000 dollar, sizes in shares. The venue is Lean's market, 'usa'.
-- Lean has no update ids, and the exchange's letter is not kept.
-- Columns: github.com/QuantConnect/Lean, Data/equity/readme.md.
-- @columns time, bid_price, bid_size, ask_price, ask_size, exchange, condition, suspicious
-- @name *_quote_tick*
SELECT file_row, coalesce(given_venue, 'usa') AS venue, named AS symbol, ts,
       bid / 10000 AS bid_price, CASE WHEN bid IS NOT NULL THEN to_number(bid_size) END AS bid_size,
       ask / 10000 AS ask_price, CASE WHEN ask IS NOT NULL THEN to_number(ask_size) END AS ask_size
FROM (
    SELECT *, nullif(to_number(bid_price), 0) AS bid, nullif(to_number(ask_price), 0) AS ask,
           make_timestamp_ns(CASE WHEN ms BETWEEN 0 AND 86400000 AND midnight < 9223200000000000000
                                  THEN midnight + TRY_CAST(ms * 1000000 AS BIGINT) END) AS ts
    FROM (
        -- of a day on which the clock changes, what counts is the afternoon's time: nothing trades before
        SELECT *, TRY_CAST(time AS DOUBLE) AS ms,
               epoch_ns(from_zone(TRY_CAST(day AS TIMESTAMP_NS) + INTERVAL 12 HOUR, 'America/New_York'))
               - 43200000000000 AS midnight
        FROM (
            SELECT *, coalesce(given_date, try_strptime(left(file_name, 8), '%Y%m%d')::DATE) AS day,
                   coalesce(given_symbol,
                            upper(nullif(regexp_extract(file_name, '^\d{8}_(.+)_quote_tick', 1, 'i'), ''))) AS named
            FROM file
        )
    )
    WHERE TRY_CAST(suspicious AS BOOLEAN) IS DISTINCT FROM true
)
