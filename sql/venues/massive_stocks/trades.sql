-- Trades: `T` on the WebSocket, /v3/trades by REST. Sizes are shares; `ds` (`decimal_size`) has the fraction of a share
-- that `s` cuts off. The venue does not say who was the aggressor.
-- An id is unique for a ticker, an exchange and a reporting facility (and a day): trade_id is <exchange>:<id>, or
-- <exchange>:<facility>:<id>, the same by both ways. ts is the SIP's time, in ms or, by REST, ns.
-- The WebSocket prints a trade as it was first reported and never takes it back. REST tells later, by `correction`
-- (the codes of NYSE TAQ): 1 is a trade with corrected data under its old id, so ':c' is put behind that, and the old
-- one is void; 7 and 8 were trades until they were called off; 10, 11 and 12 only repeat what is void: see
-- trade_corrections.sql.
-- A REST body names no ticker: symbol is the request's.
-- TRY_CAST: an element that lacks what a trade needs is refused alone, not with all of its array.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each element twice.
-- @match :"T"
-- @match : "T"
-- @match sip_timestamp"
SELECT seq, recv_ts, venue, coalesce(f[2], symbol) AS symbol,
       TRY(make_timestamp_ns(TRY_CAST(f[3] AS BIGINT) * IF(rest, 1, 1000000))) AS ts,
       IF(f[4] IS NULL, NULL, concat_ws(':', f[5], nullif(f[6], '0'), f[4], IF(f[10] = '1', 'c', NULL))) AS trade_id,
       TRY_CAST(f[7] AS DOUBLE) AS price, TRY_CAST(coalesce(f[11], f[8]) AS DOUBLE) AS size, 'unknown' AS side,
       IF(f[10] = '1', list_append(coalesce(codes, []), 'corrected'), codes) AS conditions
FROM (
    SELECT *, from_json(f[9], '["VARCHAR"]') AS codes
    FROM (
        SELECT seq, recv_ts, venue, symbol, rest,
               unnest([IF(rest,
                   json_extract_string(e, ['$.ev', '$.sym', '$.sip_timestamp', '$.id', '$.exchange', '$.trf_id', '$.price',
                                           '$.size', '$.conditions', '$.correction', '$.decimal_size', '$.ask_price',
                                           '$.bid_price']),
                   json_extract_string(e, ['$.ev', '$.sym', '$.t', '$.i', '$.x', '$.trfi', '$.p', '$.s', '$.c',
                                           '$.correction', '$.ds', '$.ap', '$.bp']))]) AS f
        FROM (
            SELECT *, unnest(IF(rest, json_extract(payload, '$.results[*]'), json_extract(payload, '$[*]'))) AS e
            FROM (SELECT *, NOT starts_with(payload, '[') AS rest FROM raw)
        )
    )
)
WHERE IF(rest, coalesce(f[7], f[8]) IS NOT NULL AND coalesce(f[10], '0') NOT IN ('10', '11', '12'), f[1] = 'T')
