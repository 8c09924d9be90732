-- Bars: `XA` and `XAS` on the WebSocket (a minute, a second), sent once the time is over; /v2/aggs by REST. Volume is in
-- base currency.
-- A REST body names neither the interval, which is in the name of the request (`rest/bars_1m`), nor the pair as the
-- WebSocket spells it: symbol is the request's. Bars of a body that came otherwise are refused.
-- REST bars are final if their time was over when they were received.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each element twice.
-- @match :"XA
-- @match : "XA
-- @match queryCount"
SELECT seq, recv_ts, venue, coalesce(f[2], symbol) AS symbol, ts, "interval",
       TRY_CAST(f[4] AS DOUBLE) AS open, TRY_CAST(f[5] AS DOUBLE) AS high, TRY_CAST(f[6] AS DOUBLE) AS low,
       TRY_CAST(f[7] AS DOUBLE) AS close, checked_number(f[8]) AS volume,
       TRY_CAST(f[10] AS UBIGINT) AS trades, checked_number(f[9]) AS vwap,
       NOT rest OR epoch_ms(recv_ts) >= epoch_ms(ts) + CASE "interval" WHEN '1m' THEN 60000 WHEN '1h' THEN 3600000
                                                                       WHEN '1d' THEN 86400000 END AS is_final
FROM (
    SELECT *, TRY(make_timestamp_ns(TRY_CAST(f[3] AS BIGINT) * 1000000)) AS ts,
           IF(rest, nullif(regexp_extract(channel, '^rest/bars_(.+)$', 1), ''), IF(f[1] = 'XA', '1m', '1s')) AS "interval"
    FROM (
        SELECT seq, recv_ts, venue, channel, symbol, rest,
               unnest([IF(rest,
                   json_extract_string(e, ['$.ev', '$.pair', '$.t', '$.o', '$.h', '$.l', '$.c', '$.v', '$.vw', '$.n']),
                   json_extract_string(e, ['$.ev', '$.pair', '$.s', '$.o', '$.h', '$.l', '$.c', '$.v', '$.vw',
                                           '$.n']))]) AS f
        FROM (
            SELECT *, unnest(IF(rest, json_extract(payload, '$.results[*]'), json_extract(payload, '$[*]'))) AS e
            FROM (SELECT *, NOT starts_with(payload, '[') AS rest FROM raw)
        )
    )
    WHERE IF(rest, f[3] IS NOT NULL, f[1] IN ('XA', 'XAS'))
)
