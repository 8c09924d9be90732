-- Book levels: depth diffs (`depthUpdate`) and REST depth snapshots, bids before asks, as on the wire.
-- A snapshot may name no symbol: then it is the request's. ts is the matching engine's time.
-- Partial depth streams (`@depth5` and the like, `@rpiDepth`) are no diffs and must not enter the book: they are
-- told apart by the stream's name, so by the envelope only. A bare connection must not subscribe to them.
-- Messages come in a combined stream's envelope, {"stream": …, "data": {…}}, or bare.
-- The text filters begin with no quotation mark on purpose: a rare first character is found many times faster.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each message twice.
-- @match depthUpdate"
-- @match lastUpdateId"
SELECT seq, recv_ts, venue, symbol, ts, first_id, last_id, prev_id, is_snapshot, side,
       l[1]::DOUBLE AS price,
       coalesce(l[2]::DOUBLE, IF(side IS NULL, NULL, error('a book level without a size'))) AS size
FROM (
    SELECT * EXCLUDE (levels), unnest(levels) AS l
    FROM (
        SELECT seq, recv_ts, venue, coalesce(f[3], symbol) AS symbol,
               coalesce(make_timestamp_ns(f[4]::BIGINT * 1000000), recv_ts) AS ts,
               f[5]::UBIGINT AS first_id, f[6]::UBIGINT AS last_id, f[7]::UBIGINT AS prev_id,
               f[2] IS NULL AS is_snapshot,
               -- an update without levels is still one row
               unnest(IF(len(levels[1]) + len(levels[2]) = 0, [NULL], ['bid', 'ask'])) AS side,
               unnest(IF(len(levels[1]) + len(levels[2]) = 0, [[NULL]], levels)) AS levels
        FROM (
            SELECT *, from_json_strict('[' || f[8] || ',' || f[9] || ']', '[[["VARCHAR"]]]') AS levels
            FROM (
                SELECT seq, recv_ts, venue, symbol,
                       unnest([CASE WHEN contains(payload, 'stream"')
                            THEN json_extract_string(payload, ['$.stream', '$.data.e', '$.data.s', '$.data.T',
                                                          '$.data.U', '$.data.u', '$.data.pu', '$.data.b',
                                                          '$.data.a'])
                            WHEN contains(payload, 'lastUpdateId"')
                            THEN json_extract_string(payload, ['$.stream', '$.e', '$.symbol', '$.T', '$.U',
                                                          '$.lastUpdateId', '$.pu', '$.bids', '$.asks'])
                            ELSE json_extract_string(payload, ['$.stream', '$.e', '$.s', '$.T', '$.U', '$.u', '$.pu',
                                                          '$.b', '$.a'])
                       END]) AS f
                FROM raw
                WHERE contains(payload, 'depthUpdate"') OR contains(payload, 'lastUpdateId"')
            )
            WHERE f[6] IS NOT NULL
              AND (f[2] IS NULL
                   OR f[2] = 'depthUpdate' AND (f[1] IS NULL OR regexp_matches(f[1], '@depth(@|$)')))
        )
    )
)
