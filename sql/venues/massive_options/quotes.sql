-- Best bid and ask of all exchanges: `Q` on the WebSocket, /v3/quotes by REST. Sizes are contracts. ts is OPRA's time, in
-- ms or, by REST, ns. update_id is the venue's sequence number, which rises within a contract's day and names a quote by
-- both ways. A price of 0 stands for no bid, or no ask.
-- A REST body names no ticker: symbol is the request's.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each element twice.
-- @match :"Q"
-- @match : "Q"
-- @match sip_timestamp"
SELECT seq, recv_ts, venue, coalesce(f[2], symbol) AS symbol, ts,
       nullif(checked_number(f[5]), 0) AS bid_price,
       IF(TRY_CAST(f[5] AS DOUBLE) = 0, NULL, checked_number(f[6])) AS bid_size,
       nullif(checked_number(f[7]), 0) AS ask_price,
       IF(TRY_CAST(f[7] AS DOUBLE) = 0, NULL, checked_number(f[8])) AS ask_size,
       TRY_CAST(f[4] AS UBIGINT) AS update_id
FROM (
    SELECT *, TRY(make_timestamp_ns(TRY_CAST(f[3] AS BIGINT) * IF(rest, 1, 1000000))) AS ts
    FROM (
        SELECT seq, recv_ts, venue, symbol, rest,
               unnest([IF(rest,
                   json_extract_string(e, ['$.ev', '$.sym', '$.sip_timestamp', '$.sequence_number', '$.bid_price',
                                           '$.bid_size', '$.ask_price', '$.ask_size']),
                   json_extract_string(e, ['$.ev', '$.sym', '$.t', '$.q', '$.bp', '$.bs', '$.ap', '$.as']))]) AS f
        FROM (
            SELECT *, unnest(IF(rest, json_extract(payload, '$.results[*]'), json_extract(payload, '$[*]'))) AS e
            FROM (SELECT *, NOT starts_with(payload, '[') AS rest FROM raw)
        )
    )
    WHERE IF(rest, f[3] IS NOT NULL AND coalesce(f[5], f[7]) IS NOT NULL, f[1] = 'Q')
)
