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
       TRY(make_timestamp_ns(TRY_CAST(f[3] AS BIGINT) * IF(TRY_CAST(f[3] AS BIGINT) > 100000000000000, 1000, 1000000))) AS ts,
       f[4] AS "interval",
       TRY_CAST(f[5] AS DOUBLE) AS open, TRY_CAST(f[6] AS DOUBLE) AS high, TRY_CAST(f[7] AS DOUBLE) AS low,
       TRY_CAST(f[8] AS DOUBLE) AS close, checked_number(f[9]) AS volume, checked_number(f[10]) AS quote_volume,
       TRY_CAST(f[11] AS UBIGINT) AS trades, TRY_CAST(f[12] AS BOOLEAN) AS is_final
FROM (
    SELECT seq, recv_ts, venue,
           unnest(CASE
               WHEN starts_with(payload, '[')
               THEN [['kline', symbol, b[1], substr(channel, 11), b[2], b[3], b[4], b[5], b[6], b[8], b[9],
                      TRY(make_timestamp_ns(TRY_CAST(b[7] AS BIGINT)
                                            * IF(TRY_CAST(b[7] AS BIGINT) > 100000000000000, 1000, 1000000))
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
