-- Reports that call a trade off: OPRA's cancel conditions 201 (canceled), 203 (last and canceled), 205 (opening and
-- canceled) and 207 (only trade and canceled). They come as trades, which they are not: each voids itself, so that
-- `trades` is without it. The venue does not name the trade that is called off, so that one stays.
-- trade_id is made as trades.sql makes it.
-- @match :"T"
-- @match : "T"
-- @match sip_timestamp"
SELECT seq, recv_ts, venue, symbol, ts, trade_id, 'cancel' AS kind, code AS reason, ts AS from_ts, ts AS to_ts,
       price, size, conditions
FROM (
    SELECT seq, recv_ts, venue, f[2] AS symbol, TRY(make_timestamp_ns(TRY_CAST(f[3] AS BIGINT) * 1000000)) AS ts,
           'q' || f[4] AS trade_id, checked_number(f[5]) AS price, checked_number(f[6]) AS size,
           from_json(f[7], '["VARCHAR"]') AS conditions
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
           checked_number(f[3]) AS price, checked_number(f[4]) AS size, from_json(f[5], '["VARCHAR"]') AS conditions
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
), unnest(['201', '203', '205', '207']) AS cancels(code)
WHERE list_contains(conditions, code)
