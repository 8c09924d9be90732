-- Trades, single (`trade`) and aggregate (`aggTrade`). `m` is "the buyer is the maker", so true means
-- that the seller was the aggressor.
-- Times are milliseconds, or microseconds if the connection asked for timeUnit=MICROSECOND.
-- Messages come in a combined stream's envelope, {"stream": …, "data": {…}}, or bare.
-- The text filters begin with no quotation mark on purpose: a rare first character is found many times faster.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each message twice.
-- @match rade"
SELECT seq, recv_ts, venue, f[2] AS symbol,
       make_timestamp_ns(f[3]::BIGINT * IF(f[3]::BIGINT > 100000000000000, 1000, 1000000)) AS ts,
       IF(f[1] = 'aggTrade', 'a' || f[5], f[4]) AS trade_id,
       f[6]::DOUBLE AS price, f[7]::DOUBLE AS size,
       CASE f[8]::BOOLEAN WHEN true THEN 'sell' WHEN false THEN 'buy' ELSE 'unknown' END AS side,
       IF(f[1] = 'aggTrade', ['aggregate'], NULL) AS conditions
FROM (
    SELECT seq, recv_ts, venue, unnest([IF(contains(payload, 'stream"'),
               json_extract_string(payload, ['$.data.e', '$.data.s', '$.data.T', '$.data.t', '$.data.a', '$.data.p',
                                             '$.data.q', '$.data.m']),
               json_extract_string(payload, ['$.e', '$.s', '$.T', '$.t', '$.a', '$.p', '$.q', '$.m']))]) AS f
    FROM raw WHERE contains(payload, 'rade"')
)
WHERE f[1] IN ('trade', 'aggTrade')
