-- Bars: `b` (a minute, sent once it is over), `u` (the same again, after late trades), `d` (the day so far), and
-- /v2/stocks/bars by REST. ts is the bar's start, of a day New York's midnight. Volume is shares.
-- A REST body does not name the interval: it is in the name of the request (`rest/bars_1m`); bars of a body that came
-- otherwise are refused. REST bars are final if their time was over when they were received.
-- A REST body has the records in an object by symbol, or, if the request named one symbol in its path, in an array beside
-- that `symbol`.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each element twice.
-- @match :"b"
-- @match : "b"
-- @match :"u"
-- @match : "u"
-- @match :"d"
-- @match : "d"
-- @match bars"
SELECT seq, recv_ts, venue, symbol, ts, "interval",
       TRY_CAST(f[4] AS DOUBLE) AS open, TRY_CAST(f[5] AS DOUBLE) AS high, TRY_CAST(f[6] AS DOUBLE) AS low,
       TRY_CAST(f[7] AS DOUBLE) AS close, checked_number(f[8]) AS volume, TRY_CAST(f[9] AS UBIGINT) AS trades,
       checked_number(f[10]) AS vwap,
       IF(rest, epoch_ms(recv_ts) >= epoch_ms(ts) + CASE "interval" WHEN '1m' THEN 60000 WHEN '1h' THEN 3600000
                                                                    WHEN '1d' THEN 86400000 END,
          f[1] <> 'd') AS is_final
FROM (
    SELECT seq, recv_ts, venue, f, rest, coalesce(f[2], name, symbol) AS symbol, TRY_CAST(f[3] AS TIMESTAMP_NS) AS ts,
           IF(rest, nullif(regexp_extract(channel, '^rest/bars_(.+)$', 1), ''), IF(f[1] = 'd', '1d', '1m')) AS "interval"
    FROM (
        SELECT seq, recv_ts, venue, channel, symbol, name, rest,
               unnest([json_extract_string(e, ['$.T', '$.S', '$.t', '$.o', '$.h', '$.l', '$.c', '$.v', '$.n', '$.vw'])]) AS f
        FROM (
            SELECT *, unnest(CASE WHEN NOT rest THEN json_extract(payload, '$[*]')
                                  WHEN name IS NULL THEN json_extract(payload, '$.bars[*]')
                                  ELSE from_json(json_extract(payload, '$.bars."' || name || '"'), '["JSON"]') END) AS e
            FROM (
                SELECT *, unnest(IF(rest AND json_type(payload, '$.bars') = 'OBJECT',
                                    json_keys(payload, '$.bars'), [NULL])) AS name
                FROM (
                    SELECT * REPLACE (IF(starts_with(payload, '['), symbol,
                                         coalesce(json_extract_string(payload, '$.symbol'), symbol)) AS symbol),
                           NOT starts_with(payload, '[') AS rest
                    FROM raw
                )
            )
        )
    )
    WHERE rest OR f[1] IN ('b', 'u', 'd')
)
