-- Book levels (`o`): the whole book (`r` true), sent when the channel is subscribed, then changes; size 0 removes a level.
-- The venue numbers nothing: an update's time in nanoseconds stands for its id, so that the same one received twice is
-- there once, and several of one array are told apart. The whole book has no id: it may come again with the same time,
-- and must count then, for what came in between may have been lost.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each element twice.
-- @match :"o"
-- @match : "o"
SELECT seq, recv_ts, venue, symbol, ts, last_id, is_snapshot, side,
       l.p::DOUBLE AS price,
       coalesce(l.s::DOUBLE, IF(side IS NULL, NULL, error('a book level without a size'))) AS size
FROM (
    SELECT * EXCLUDE (levels), unnest(levels) AS l
    FROM (
        SELECT seq, recv_ts, venue, f[2] AS symbol, f[3]::TIMESTAMP_NS AS ts,
               IF(f[4] = 'true', NULL, epoch_ns(f[3]::TIMESTAMP_NS)::UBIGINT) AS last_id,
               coalesce(f[4] = 'true', false) AS is_snapshot,
               -- an update without levels is still one row
               unnest(IF(len(bids) + len(asks) = 0, [NULL], ['bid', 'ask'])) AS side,
               unnest(IF(len(bids) + len(asks) = 0, [[NULL]], [bids, asks])) AS levels
        FROM (
            SELECT *, from_json_strict(coalesce(f[5], '[]'), '[{"p":"VARCHAR","s":"VARCHAR"}]') AS bids,
                   from_json_strict(coalesce(f[6], '[]'), '[{"p":"VARCHAR","s":"VARCHAR"}]') AS asks
            FROM (
                SELECT seq, recv_ts, venue,
                       unnest([json_extract_string(e, ['$.T', '$.S', '$.t', '$.r', '$.b', '$.a'])]) AS f
                FROM (SELECT *, unnest(json_extract(payload, '$[*]')) AS e FROM raw)
            )
            WHERE f[1] = 'o'
        )
    )
)
