-- Trades that the venue takes back: `c` (another one takes its place), `x` (cancel or error), which come with a
-- subscription to trades; by REST a trade's `u` = 'incorrect' or 'canceled'.
-- An id comes again on another day: the void trade lies in the session, which changes at 5 h UTC, when US markets sleep.
-- trade_id is made as trades.sql makes it.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each element twice.
-- @match :"c"
-- @match : "c"
-- @match :"x"
-- @match : "x"
-- @match incorrect"
-- @match canceled"
SELECT seq, recv_ts, venue, symbol, ts, f[4] || ':' || IF(f[1] = 'c', f[9], f[5]) AS trade_id,
       IF(f[1] = 'c' OR f[17] = 'incorrect', 'correct', 'cancel') AS kind, coalesce(f[16], f[17]) AS reason,
       make_timestamp_ns(session) AS from_ts, make_timestamp_ns(session + 86400000000000 - 1) AS to_ts,
       checked_number(IF(f[1] = 'c', f[10], f[6])) AS price, checked_number(IF(f[1] = 'c', f[11], f[7])) AS size,
       from_json(IF(f[1] = 'c', f[12], f[8]), '["VARCHAR"]') AS conditions,
       f[4] || ':' || f[13] || IF(f[13] = f[9], ':c', '') AS new_trade_id,
       checked_number(f[14]) AS new_price, checked_number(f[15]) AS new_size
FROM (
    SELECT seq, recv_ts, venue, f, coalesce(f[2], name, symbol) AS symbol, TRY_CAST(f[3] AS TIMESTAMP_NS) AS ts,
           epoch_ns(TRY_CAST(f[3] AS TIMESTAMP_NS)) AS ns, ns - (ns - 18000000000000) % 86400000000000 AS session
    FROM (
        SELECT seq, recv_ts, venue, symbol, name, rest,
               unnest([json_extract_string(e, ['$.T', '$.S', '$.t', '$.x', '$.i', '$.p', '$.s', '$.c', '$.oi', '$.op', '$.os',
                                               '$.oc', '$.ci', '$.cp', '$.cs', '$.a', '$.u'])]) AS f
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
    WHERE IF(rest, f[17] IN ('incorrect', 'canceled'), f[1] IN ('c', 'x'))
)
