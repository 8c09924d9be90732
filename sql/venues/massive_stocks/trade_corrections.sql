-- Trades that turned out void, as REST tells by `correction` (the codes of NYSE TAQ); the WebSocket does not say it.
--   1   a trade with corrected data, at its own time and under its old id: what was printed under that id is void, and
--       trades.sql has the corrected one as <id>:c
--   12  the incorrect data of such a trade, at the time of the correction: what the void one was
--   7, 8    a trade that was later called an error, or cancelled
--   10, 11  the record of that, at the time it was done
-- A trade that is called off may have been corrected before: so what took its place, <id>:c, is void, too.
-- An id comes again on another day: the void trade's own time is known to the ms (its row may be from the WebSocket), or
-- it lies in the session, which changes at 5 h UTC, when US markets sleep.
-- @match correction"
SELECT seq, recv_ts, venue, symbol, ts,
       unnest(IF(kind = 'cancel' AND trade_id IS NOT NULL, [trade_id, trade_id || ':c'], [trade_id])) AS trade_id,
       kind, f[1] AS reason,
       make_timestamp_ns(IF(own_time, ns - ns % 1000000, session)) AS from_ts,
       make_timestamp_ns(IF(own_time, ns, session + 86400000000000 - 1)) AS to_ts,
       IF(f[1] = '1', NULL, price) AS price, IF(f[1] = '1', NULL, size) AS size,
       IF(f[1] = '1', NULL, from_json(f[8], '["VARCHAR"]')) AS conditions,
       IF(f[1] = '1', trade_id || ':c', NULL) AS new_trade_id,
       IF(f[1] = '1', price, NULL) AS new_price, IF(f[1] = '1', size, NULL) AS new_size
FROM (
    SELECT *, make_timestamp_ns(ns) AS ts, ns - (ns - 18000000000000) % 86400000000000 AS session,
           IF(f[3] IS NULL, NULL, concat_ws(':', f[4], nullif(f[5], '0'), f[3])) AS trade_id,
           f[1] IN ('1', '7', '8') AS own_time, IF(f[1] IN ('1', '12'), 'correct', 'cancel') AS kind,
           checked_number(f[6]) AS price, checked_number(coalesce(f[9], f[7])) AS size
    FROM (
        SELECT seq, recv_ts, venue, symbol, f, TRY_CAST(f[2] AS BIGINT) AS ns
        FROM (
            SELECT seq, recv_ts, venue, symbol,
                   unnest([json_extract_string(e, ['$.correction', '$.sip_timestamp', '$.id', '$.exchange', '$.trf_id',
                                                   '$.price', '$.size', '$.conditions', '$.decimal_size'])]) AS f
            FROM (SELECT *, unnest(json_extract(payload, '$.results[*]')) AS e FROM raw)
        )
        WHERE f[1] IN ('1', '7', '8', '10', '11', '12')
    )
)
