-- Trades: `XT` on the WebSocket, /v3/trades by REST. Sizes are in base currency. Condition 1 says that the seller was the
-- aggressor, 2 the buyer, 0 or none nothing; any other stays in `conditions`.
-- An id, where there is one, is unique on its exchange: trade_id is <exchange>:<id>, the same by both ways. ts is the
-- exchange's time, in ms or, by REST, ns.
-- The WebSocket says BTC-USD, REST X:BTCUSD and not even that in a body: symbol is the request's, in the WebSocket's form.
-- TRY_CAST: an element that lacks what a trade needs is refused alone, not with all of its array.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each element twice.
-- @match :"XT"
-- @match : "XT"
-- @match participant_timestamp"
SELECT seq, recv_ts, venue, coalesce(f[2], symbol) AS symbol,
       TRY(make_timestamp_ns(TRY_CAST(f[3] AS BIGINT) * IF(rest, 1, 1000000))) AS ts,
       f[5] || ':' || f[4] AS trade_id, TRY_CAST(f[6] AS DOUBLE) AS price, TRY_CAST(f[7] AS DOUBLE) AS size,
       CASE WHEN list_contains(codes, '1') THEN 'sell' WHEN list_contains(codes, '2') THEN 'buy' ELSE 'unknown' END AS side,
       nullif(list_filter(codes, lambda code: code NOT IN ('0', '1', '2')), []) AS conditions
FROM (
    SELECT *, from_json(f[8], '["VARCHAR"]') AS codes
    FROM (
        SELECT seq, recv_ts, venue, symbol, rest,
               unnest([IF(rest,
                   json_extract_string(e, ['$.ev', '$.pair', '$.participant_timestamp', '$.id', '$.exchange', '$.price',
                                           '$.size', '$.conditions']),
                   json_extract_string(e, ['$.ev', '$.pair', '$.t', '$.i', '$.x', '$.p', '$.s', '$.c']))]) AS f
        FROM (
            SELECT *, unnest(IF(rest, json_extract(payload, '$.results[*]'), json_extract(payload, '$[*]'))) AS e
            FROM (SELECT *, NOT starts_with(payload, '[') AS rest FROM raw)
        )
    )
)
WHERE IF(rest, coalesce(f[6], f[7]) IS NOT NULL, f[1] = 'XT')
