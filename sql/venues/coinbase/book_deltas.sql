-- Book levels: `snapshot` and `l2update` of the channels level2 and level2_batch. Nothing is numbered; a snapshot has
-- no time of its own, so ts is recv_ts there.
-- The text filters begin with no quotation mark on purpose: a rare first character is found many times faster.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each message twice.
-- @match l2update"
-- @match snapshot"
SELECT seq, recv_ts, venue, symbol, ts, is_snapshot,
       CASE WHEN l[1] = 'buy' THEN 'bid' WHEN l[1] = 'sell' THEN 'ask'
            WHEN len(l) > 1 THEN error('a book level without a side') END AS side,
       l[2]::DOUBLE AS price,
       coalesce(l[3]::DOUBLE, IF(len(l) > 1, error('a book level without a size'), NULL)) AS size
FROM (
    SELECT seq, recv_ts, venue, symbol, ts, is_snapshot,
           -- an update without levels is still one row
           unnest(IF(len(levels) = 0, [[NULL]], levels)) AS l
    FROM (
        SELECT seq, recv_ts, venue, f[2] AS symbol, coalesce(f[3]::TIMESTAMP_NS, recv_ts) AS ts,
               f[1] = 'snapshot' AS is_snapshot,
               IF(f[1] = 'snapshot',
                  [['buy', b[1], b[2]] FOR b IN from_json_strict(f[5], '[["VARCHAR"]]')]
                  || [['sell', a[1], a[2]] FOR a IN from_json_strict(f[6], '[["VARCHAR"]]')],
                  from_json_strict(f[4], '[["VARCHAR"]]')) AS levels
        FROM (
            SELECT seq, recv_ts, venue,
                   unnest([json_extract_string(payload, ['$.type', '$.product_id', '$.time', '$.changes', '$.bids',
                                                         '$.asks'])]) AS f
            FROM raw WHERE contains(payload, 'l2update"') OR contains(payload, 'snapshot"')
        )
        WHERE f[1] IN ('snapshot', 'l2update')
    )
)
