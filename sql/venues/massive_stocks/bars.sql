-- Bars: `AM` and `A` on the WebSocket (a minute, a second), sent once the time is over; /v2/aggs by REST. Volume is
-- shares; `dv` has the fraction of a share that `v` may cut off.
-- A REST body does not name the interval: it is in the name of the request (`rest/bars_1m`). In a body that came
-- otherwise bars a day to four apart that all start at New York's midnight are days; others are refused.
-- REST bars are final if their time was over when they were received. A body of prices adjusted for splits is refused: see
-- control.sql.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each element twice.
-- @match :"AM"
-- @match : "AM"
-- @match :"A"
-- @match : "A"
-- @match queryCount"
SELECT seq, recv_ts, venue, coalesce(f[2], symbol) AS symbol, ts, "interval",
       TRY_CAST(f[4] AS DOUBLE) AS open, TRY_CAST(f[5] AS DOUBLE) AS high, TRY_CAST(f[6] AS DOUBLE) AS low,
       TRY_CAST(f[7] AS DOUBLE) AS close, checked_number(coalesce(f[9], f[8])) AS volume,
       TRY_CAST(f[11] AS UBIGINT) AS trades, checked_number(f[10]) AS vwap,
       NOT rest OR epoch_ms(recv_ts) >= epoch_ms(ts) + CASE "interval" WHEN '1m' THEN 60000 WHEN '1h' THEN 3600000
                                                                       WHEN '1d' THEN 86400000 END AS is_final
FROM (
    SELECT *, TRY(make_timestamp_ns(TRY_CAST(f[3] AS BIGINT) * 1000000)) AS ts,
           IF(rest, rest_interval, IF(f[1] = 'AM', '1m', '1s')) AS "interval"
    FROM (
        SELECT seq, recv_ts, venue, symbol, rest, rest_interval,
               unnest([IF(rest,
                   json_extract_string(e, ['$.ev', '$.sym', '$.t', '$.o', '$.h', '$.l', '$.c', '$.v', '$.dv', '$.vw', '$.n']),
                   json_extract_string(e, ['$.ev', '$.sym', '$.s', '$.o', '$.h', '$.l', '$.c', '$.v', '$.dv', '$.vw',
                                           '$.n']))]) AS f
        FROM (
            SELECT *, coalesce(nullif(regexp_extract(channel, '^rest/bars_(.+)$', 1), ''),
                               IF(len(starts) > 1 AND list_bool_and([t % 86400000 IN (14400000, 18000000) FOR t IN starts])
                                  AND list_min([abs(starts[i + 1] - starts[i]) FOR i IN range(1, len(starts))]) <= 345600000,
                                  '1d', NULL)) AS rest_interval,
                   unnest(elements) AS e
            FROM (
                SELECT *, IF(rest, json_extract(payload, '$.results[*]'), json_extract(payload, '$[*]')) AS elements,
                       IF(rest, [TRY_CAST(t AS BIGINT) FOR t IN json_extract_string(payload, '$.results[*].t')], []) AS starts
                FROM (SELECT *, NOT starts_with(payload, '[') AS rest FROM raw)
                WHERE NOT rest OR json_extract_string(payload, '$.adjusted') IS DISTINCT FROM 'true'
            )
        )
    )
    WHERE IF(rest, f[3] IS NOT NULL, f[1] IN ('A', 'AM'))
)
