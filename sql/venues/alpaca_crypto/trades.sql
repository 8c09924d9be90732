-- Trades: `t` on the WebSocket, /v1beta3/crypto/us/trades by REST. Sizes are in base currency; `tks` is the taker's side,
-- B, S or - (unknown). Ids are unique for the venue, the same by both ways.
-- A REST body has the records in an object by symbol.
-- TRY_CAST: an element that lacks what a trade needs is refused alone, not with all of its array.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each element twice.
-- @match :"t"
-- @match : "t"
-- @match trades"
SELECT seq, recv_ts, venue, coalesce(f[2], name, symbol) AS symbol, TRY_CAST(f[3] AS TIMESTAMP_NS) AS ts,
       f[4] AS trade_id, TRY_CAST(f[5] AS DOUBLE) AS price, TRY_CAST(f[6] AS DOUBLE) AS size,
       CASE f[7] WHEN 'B' THEN 'buy' WHEN 'S' THEN 'sell' ELSE 'unknown' END AS side
FROM (
    SELECT seq, recv_ts, venue, symbol, name, rest,
           unnest([json_extract_string(e, ['$.T', '$.S', '$.t', '$.i', '$.p', '$.s', '$.tks'])]) AS f
    FROM (
        SELECT *, unnest(IF(rest, from_json(json_extract(payload, '$.trades."' || name || '"'), '["JSON"]'),
                            json_extract(payload, '$[*]'))) AS e
        FROM (
            SELECT *, unnest(IF(rest, json_keys(payload, '$.trades'), [NULL])) AS name
            FROM (SELECT *, NOT starts_with(payload, '[') AS rest FROM raw)
        )
    )
)
WHERE rest OR f[1] = 't'
