-- Bars (`kline`): sent again and again until `x` says that the bar is closed. ts is the bar's start.
-- `v` is in base currency, `q` in quote currency.
-- REST klines are arrays that name neither symbol nor interval: the symbol is the request's, the interval stands in the
-- request's name (`bars_1m`). Such a bar is closed if its end was over when it was received.
-- Times are milliseconds, or microseconds if the connection asked for timeUnit=MICROSECOND.
-- Messages come in a combined stream's envelope, {"stream": …, "data": {…}}, or bare.
-- The text filters begin with no quotation mark on purpose: a rare first character is found many times faster.
-- unnest keeps the filter on f above it; pushed down, it would read each message twice.
-- @match kline"
-- @match [[1
SELECT seq, recv_ts, venue, f[2] AS symbol,
       make_timestamp_ns(f[3]::BIGINT * IF(f[3]::BIGINT > 100000000000000, 1000, 1000000)) AS ts,
       f[4] AS "interval",
       f[5]::DOUBLE AS open, f[6]::DOUBLE AS high, f[7]::DOUBLE AS low, f[8]::DOUBLE AS close,
       f[9]::DOUBLE AS volume, f[10]::DOUBLE AS quote_volume, f[11]::UBIGINT AS trades, f[12]::BOOLEAN AS is_final
FROM (
    SELECT seq, recv_ts, venue,
           unnest(CASE
               WHEN starts_with(payload, '[')
               THEN [['kline', symbol, b[1], substr(channel, 11), b[2], b[3], b[4], b[5], b[6], b[8], b[9],
                      (make_timestamp_ns(b[7]::BIGINT * IF(b[7]::BIGINT > 100000000000000, 1000, 1000000))
                       < recv_ts)::VARCHAR]
                     FOR b IN from_json_strict(payload, '[["VARCHAR"]]')]
               WHEN contains(payload, 'stream"')
               THEN [json_extract_string(payload, ['$.data.e', '$.data.s', '$.data.k.t', '$.data.k.i', '$.data.k.o',
                                                   '$.data.k.h', '$.data.k.l', '$.data.k.c', '$.data.k.v', '$.data.k.q',
                                                   '$.data.k.n', '$.data.k.x'])]
               ELSE [json_extract_string(payload, ['$.e', '$.s', '$.k.t', '$.k.i', '$.k.o', '$.k.h', '$.k.l', '$.k.c',
                                                   '$.k.v', '$.k.q', '$.k.n', '$.k.x'])]
           END) AS f
    FROM raw WHERE contains(payload, 'kline"') OR starts_with(channel, 'rest/bars_') AND starts_with(payload, '[[')
)
WHERE f[1] = 'kline'
