-- Best bid and ask (`bookTicker`). Spot sends neither a time nor an event name with it: ts is recv_ts, and
-- what tells it from other messages is `B`, `u` and the absence of `e`.
-- A price of 0 stands for no bid, or no ask.
-- Messages come in a combined stream's envelope, {"stream": …, "data": {…}}, or bare.
-- The text filters begin with no quotation mark on purpose: a rare first character is found many times faster.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each message twice.
-- @match B"
SELECT seq, recv_ts, venue, f[2] AS symbol, recv_ts AS ts,
       nullif(f[4]::DOUBLE, 0) AS bid_price, IF(f[4]::DOUBLE = 0, NULL, f[5]::DOUBLE) AS bid_size,
       nullif(f[6]::DOUBLE, 0) AS ask_price, IF(f[6]::DOUBLE = 0, NULL, f[7]::DOUBLE) AS ask_size,
       f[3]::UBIGINT AS update_id
FROM (
    SELECT seq, recv_ts, venue, unnest([IF(contains(payload, 'stream"'),
               json_extract_string(payload, ['$.data.e', '$.data.s', '$.data.u', '$.data.b', '$.data.B', '$.data.a',
                                             '$.data.A']),
               json_extract_string(payload, ['$.e', '$.s', '$.u', '$.b', '$.B', '$.a', '$.A']))]) AS f
    FROM raw WHERE contains(payload, 'B"')
)
WHERE f[1] IS NULL AND f[3] IS NOT NULL AND f[5] IS NOT NULL AND f[7] IS NOT NULL
