-- Trades; `side` is the taker's. They come in three forms:
-- WebSocket v2: objects, with the book's own count as the id.
-- REST: arrays with that same id. Their time is a floating-point number, in which nothing below a microsecond is
-- meant: cut off there, it is the time of v2.
-- WebSocket v1: arrays without an id. trade_id is NULL, for nothing tells a copy from another trade that is alike;
-- so two connections, or the 50 trades that v1 repeats on subscribing, do not become one. The feed subscribes to v2.
-- The text filters begin with no quotation mark on purpose: a rare first character is found many times faster.
-- @match trade"
-- @match result"
SELECT seq, recv_ts, venue, symbol,
       CASE WHEN contains(time, 'T') THEN TRY_CAST(time AS TIMESTAMP_NS)
            ELSE TRY(make_timestamp_ns(TRY_CAST(split_part(time, '.', 1) AS BIGINT) * 1000000000
                                       + TRY_CAST(rpad(split_part(time, '.', 2), 9, '0') AS BIGINT))) END AS ts,
       trade_id, TRY_CAST(price AS DOUBLE) AS price, TRY_CAST(size AS DOUBLE) AS size,
       CASE side WHEN 'b' THEN 'buy' WHEN 's' THEN 'sell' ELSE side END AS side
FROM (
    SELECT seq, recv_ts, venue, t.symbol, t.timestamp AS time, t.trade_id, t.price, t.qty AS size, t.side
    FROM (
        SELECT seq, recv_ts, venue, unnest(m.data) AS t
        FROM (
            SELECT seq, recv_ts, venue,
                   unnest([from_json(payload, '{"channel": "VARCHAR", "data": [{"symbol": "VARCHAR",
                       "timestamp": "VARCHAR", "trade_id": "VARCHAR", "price": "VARCHAR", "qty": "VARCHAR",
                       "side": "VARCHAR"}]}')]) AS m
            FROM raw WHERE starts_with(payload, '{') AND contains(payload, 'trade"')
        )
        WHERE m.channel = 'trade'
    )
    UNION ALL
    SELECT seq, recv_ts, venue, symbol, t[3] AS time, NULL AS trade_id, t[1] AS price, t[2] AS size, t[4] AS side
    FROM (
        SELECT seq, recv_ts, venue, f[3] AS symbol, unnest(from_json_strict(f[1], '[["VARCHAR"]]')) AS t
        FROM (
            SELECT seq, recv_ts, venue, unnest([json_extract_string(payload, ['$[1]', '$[#-2]', '$[#-1]'])]) AS f
            FROM raw WHERE starts_with(payload, '[') AND contains(payload, 'trade"')
        )
        WHERE f[2] = 'trade'
    )
    UNION ALL
    SELECT seq, recv_ts, venue, symbol, regexp_extract(t[3], '^\d+(\.\d{1,6})?') AS time, t[7] AS trade_id,
           t[1] AS price, t[2] AS size, t[4] AS side
    FROM (
        SELECT seq, recv_ts, venue, symbol,
               unnest([from_json_strict(v, '[["VARCHAR"]]') FOR v IN json_extract(payload, '$.result.*')
                       IF json_type(v) = 'ARRAY'][1]) AS t
        FROM raw WHERE starts_with(payload, '{') AND contains(payload, 'result"') AND contains(payload, 'last"')
    )
    WHERE len(t) = 7
)
