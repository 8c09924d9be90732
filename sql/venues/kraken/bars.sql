-- Bars: `ohlc` of WebSocket v2 and v1, and the REST answer, whose length stands in the request's name (`bars_1m`).
-- v1 gives the end of the interval, the others its start. No message says that a bar is closed: the next one begins.
-- The text filters begin with no quotation mark on purpose: a rare first character is found many times faster.
-- @match ohlc
-- @match result"
SELECT seq, recv_ts, venue, symbol, ts,
       CASE "interval" WHEN '60' THEN '1h' WHEN '240' THEN '4h' WHEN '1440' THEN '1d' WHEN '10080' THEN '1w'
                       WHEN '21600' THEN '15d' ELSE regexp_replace("interval", '^\d+$', '\0m') END AS "interval",
       TRY_CAST(open AS DOUBLE) AS open, TRY_CAST(high AS DOUBLE) AS high, TRY_CAST(low AS DOUBLE) AS low,
       TRY_CAST(close AS DOUBLE) AS close, checked_number(volume) AS volume, TRY_CAST(trades AS UBIGINT) AS trades,
       checked_number(vwap) AS vwap
FROM (
    SELECT seq, recv_ts, venue, b.symbol, TRY_CAST(b.interval_begin AS TIMESTAMP_NS) AS ts, b.interval AS "interval",
           b.open, b.high, b.low, b.close, b.volume, b.trades, b.vwap
    FROM (
        SELECT seq, recv_ts, venue, unnest(m.data) AS b
        FROM (
            SELECT seq, recv_ts, venue,
                   unnest([from_json(payload, '{"channel": "VARCHAR", "data": [{"symbol": "VARCHAR",
                       "interval_begin": "VARCHAR", "interval": "VARCHAR", "open": "VARCHAR", "high": "VARCHAR",
                       "low": "VARCHAR", "close": "VARCHAR", "volume": "VARCHAR", "trades": "VARCHAR",
                       "vwap": "VARCHAR"}]}')]) AS m
            FROM raw WHERE starts_with(payload, '{') AND contains(payload, 'ohlc"')
        )
        WHERE m.channel = 'ohlc'
    )
    UNION ALL
    SELECT seq, recv_ts, venue, symbol,
           make_timestamp_ns((split_part(f[1], '.', 1)::BIGINT // 60 - "interval"::BIGINT) * 60000000000) AS ts,
           "interval", f[2] AS open, f[3] AS high, f[4] AS low, f[5] AS close, f[7] AS volume, f[8] AS trades, f[6] AS vwap
    FROM (
        SELECT seq, recv_ts, venue, f, f[10] AS symbol, substr(f[9], 6) AS "interval"
        FROM (
            SELECT seq, recv_ts, venue,
                   unnest([json_extract_string(payload, ['$[1][1]', '$[1][2]', '$[1][3]', '$[1][4]', '$[1][5]',
                                                         '$[1][6]', '$[1][7]', '$[1][8]', '$[#-2]', '$[#-1]'])]) AS f
            FROM raw WHERE starts_with(payload, '[') AND contains(payload, 'ohlc-')
        )
        WHERE starts_with(f[9], 'ohlc-')
    )
    UNION ALL
    SELECT seq, recv_ts, venue, symbol, TRY(make_timestamp_ns(TRY_CAST(b[1] AS BIGINT) * 1000000000)) AS ts,
           substr(channel, 11) AS "interval",
           b[2] AS open, b[3] AS high, b[4] AS low, b[5] AS close, b[7] AS volume, b[8] AS trades, b[6] AS vwap
    FROM (
        SELECT seq, recv_ts, venue, symbol, channel,
               unnest([from_json_strict(v, '[["VARCHAR"]]') FOR v IN json_extract(payload, '$.result.*')
                       IF json_type(v) = 'ARRAY'][1]) AS b
        FROM raw WHERE starts_with(channel, 'rest/bars_') AND contains(payload, 'result"')
    )
    WHERE len(b) = 8
)
