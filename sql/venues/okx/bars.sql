-- Bars: the channels `candle1m` … and the REST answer, which names neither instrument nor length: symbol is the
-- request's, the length stands in the request's name (`bars_1m`). Of 6 hours and longer, those whose name ends with
-- `utc` begin at midnight UTC, the others at midnight UTC+8. volume is contracts except for spot.
-- The text filters begin with no quotation mark on purpose: a rare first character is found many times faster.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each message twice.
-- @match candle
-- @match data":[["
SELECT seq, recv_ts, venue, symbol, TRY(make_timestamp_ns(TRY_CAST(b[1] AS BIGINT) * 1000000)) AS ts,
       translate(replace("interval", 'utc', ''), 'HDW', 'hdw') AS "interval",
       TRY_CAST(b[2] AS DOUBLE) AS open, TRY_CAST(b[3] AS DOUBLE) AS high, TRY_CAST(b[4] AS DOUBLE) AS low,
       TRY_CAST(b[5] AS DOUBLE) AS close, checked_number(b[6]) AS volume, checked_number(b[8]) AS quote_volume,
       b[9] = '1' AS is_final
FROM (
    SELECT seq, recv_ts, venue, coalesce(f[2], symbol) AS symbol,
           IF(f[1] IS NULL, substr(channel, 11), substr(f[1], 7)) AS "interval",
           unnest(from_json_strict(f[3], '[["VARCHAR"]]')) AS b
    FROM (
        SELECT seq, recv_ts, venue, channel, symbol,
               unnest([json_extract_string(payload, ['$.arg.channel', '$.arg.instId', '$.data'])]) AS f
        FROM raw WHERE contains(payload, 'candle') OR starts_with(channel, 'rest/bars_')
    )
    WHERE starts_with(f[1], 'candle') OR f[1] IS NULL AND starts_with(channel, 'rest/bars_')
)
