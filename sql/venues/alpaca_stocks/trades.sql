-- Trades: `t` on the WebSocket, /v2/stocks/trades by REST; and the trades that take a corrected one's place: `c`, or by
-- REST `u` = 'corrected'. Sizes are shares; less than a share is reported as one. The venue does not say who was the
-- aggressor.
-- An id is unique for a symbol, an exchange and a day: trade_id is <exchange>:<id>, the same by both ways. A corrected
-- trade has an id of its own; should it ever keep the old one, ':c' is put behind it. What is void: trade_corrections.sql.
-- A REST body has the records in an object by symbol, or, if the request named one symbol in its path, in an array beside
-- that `symbol`.
-- TRY_CAST: an element that lacks what a trade needs is refused alone, not with all of its array.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each element twice.
-- @match :"t"
-- @match : "t"
-- @match :"c"
-- @match : "c"
-- @match trades"
SELECT seq, recv_ts, venue, coalesce(f[2], name, symbol) AS symbol, TRY_CAST(f[3] AS TIMESTAMP_NS) AS ts,
       f[4] || ':' || IF(f[1] = 'c', f[9] || IF(f[9] = f[14], ':c', ''), f[5]) AS trade_id,
       TRY_CAST(IF(f[1] = 'c', f[10], f[6]) AS DOUBLE) AS price,
       TRY_CAST(IF(f[1] = 'c', f[11], f[7]) AS DOUBLE) AS size, 'unknown' AS side,
       IF(f[1] = 'c' OR f[13] = 'corrected', list_append(coalesce(codes, []), 'corrected'), codes) AS conditions
FROM (
    SELECT *, from_json(IF(f[1] = 'c', f[12], f[8]), '["VARCHAR"]') AS codes
    FROM (
        SELECT seq, recv_ts, venue, symbol, name, rest,
               unnest([json_extract_string(e, ['$.T', '$.S', '$.t', '$.x', '$.i', '$.p', '$.s', '$.c', '$.ci', '$.cp', '$.cs',
                                               '$.cc', '$.u', '$.oi'])]) AS f
        FROM (
            SELECT *, unnest(CASE WHEN NOT rest THEN json_extract(payload, '$[*]')
                                  WHEN name IS NULL THEN json_extract(payload, '$.trades[*]')
                                  ELSE from_json(json_extract(payload, '$.trades."' || name || '"'), '["JSON"]') END) AS e
            FROM (
                SELECT *, unnest(IF(rest AND json_type(payload, '$.trades') = 'OBJECT',
                                    json_keys(payload, '$.trades'), [NULL])) AS name
                FROM (
                    SELECT * REPLACE (IF(starts_with(payload, '['), symbol,
                                         coalesce(json_extract_string(payload, '$.symbol'), symbol)) AS symbol),
                           NOT starts_with(payload, '[') AS rest
                    FROM raw
                )
            )
        )
    )
)
WHERE rest OR f[1] IN ('t', 'c')
