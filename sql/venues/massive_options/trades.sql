-- Trades: `T` on the WebSocket, /v3/trades by REST. Sizes are contracts. The venue does not say who was the aggressor.
-- The venue gives no id. On the WebSocket its sequence number is unique for a contract and day: trade_id is 'q' and that
-- number. REST leaves it out: trade_id is <exchange>:<time>:<price>:<size>:<how often that came before in the page>, so
-- that the same history fetched twice is there once. The two kinds of id cannot be told to be the same trade, which is
-- why feed.toml backfills no trades.
-- ts is OPRA's time, in ms or, by REST, ns. A REST body names no ticker: symbol is the request's.
-- Reports that call a trade off (conditions 201, 203, 205, 207) come as trades: see trade_corrections.sql.
-- TRY_CAST: an element that lacks what a trade needs is refused alone, not with all of its array.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each element twice.
-- @match :"T"
-- @match : "T"
-- @match sip_timestamp"
SELECT seq, recv_ts, venue, f[2] AS symbol, TRY(make_timestamp_ns(TRY_CAST(f[3] AS BIGINT) * 1000000)) AS ts,
       'q' || f[4] AS trade_id, TRY_CAST(f[5] AS DOUBLE) AS price, TRY_CAST(f[6] AS DOUBLE) AS size,
       'unknown' AS side, from_json(f[7], '["VARCHAR"]') AS conditions
FROM (
    SELECT seq, recv_ts, venue,
           unnest([json_extract_string(e, ['$.ev', '$.sym', '$.t', '$.q', '$.p', '$.s', '$.c'])]) AS f
    FROM (SELECT *, unnest(json_extract(payload, '$[*]')) AS e FROM raw WHERE starts_with(payload, '['))
)
WHERE f[1] = 'T'
UNION ALL
SELECT seq, recv_ts, venue, symbol, make_timestamp_ns(TRY_CAST(f[1] AS BIGINT)) AS ts,
       concat_ws(':', f[2], f[1], f[3], f[4],
                 row_number() OVER (PARTITION BY seq, f[1], f[2], f[3], f[4] ORDER BY place) - 1) AS trade_id,
       TRY_CAST(f[3] AS DOUBLE) AS price, TRY_CAST(f[4] AS DOUBLE) AS size,
       'unknown' AS side, from_json(f[5], '["VARCHAR"]') AS conditions
FROM (
    SELECT seq, recv_ts, venue, symbol, place,
           unnest([json_extract_string(e, ['$.sip_timestamp', '$.exchange', '$.price', '$.size', '$.conditions'])]) AS f
    FROM (
        SELECT *, unnest(json_extract(payload, '$.results[*]')) AS e,
               unnest(range(json_array_length(payload, '$.results')::BIGINT)) AS place
        FROM raw WHERE NOT starts_with(payload, '[')
    )
)
WHERE f[3] IS NOT NULL
