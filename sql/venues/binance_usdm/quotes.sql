-- Best bid and ask (`bookTicker`). `T` is the matching engine's time, `E` (not kept) the time of sending.
-- A price of 0 stands for no bid, or no ask.
-- Messages come in a combined stream's envelope, {"stream": …, "data": {…}}, or bare.
-- The text filters begin with no quotation mark on purpose: a rare first character is found many times faster.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each message twice.
-- @match bookTicker"
SELECT seq, recv_ts, venue, f[2] AS symbol, make_timestamp_ns(f[3]::BIGINT * 1000000) AS ts,
       nullif(f[5]::DOUBLE, 0) AS bid_price, IF(f[5]::DOUBLE = 0, NULL, f[6]::DOUBLE) AS bid_size,
       nullif(f[7]::DOUBLE, 0) AS ask_price, IF(f[7]::DOUBLE = 0, NULL, f[8]::DOUBLE) AS ask_size,
       f[4]::UBIGINT AS update_id
FROM (
    SELECT seq, recv_ts, venue, unnest([IF(contains(payload, 'stream"'),
               json_extract_string(payload, ['$.data.e', '$.data.s', '$.data.T', '$.data.u', '$.data.b', '$.data.B',
                                             '$.data.a', '$.data.A']),
               json_extract_string(payload, ['$.e', '$.s', '$.T', '$.u', '$.b', '$.B', '$.a', '$.A']))]) AS f
    FROM raw WHERE contains(payload, 'bookTicker"')
)
WHERE f[1] = 'bookTicker'
