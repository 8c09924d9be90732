-- Book levels: `book` of WebSocket v1 (arrays) and v2 (objects), asks before bids as on the wire.
-- Nothing is numbered; `checksum` is the CRC-32 of the ten best levels of each side, over the wire's own digits:
-- price_text and size_text. depth is what was subscribed: v1 says it in the channel's name, v2 nowhere, so that it is
-- what feed.toml asks for.
-- In v1 ts is the newest time among the levels changed; those that are only published again (`r`) keep their old
-- time, and a snapshot has none of its own: then ts is recv_ts.
-- v2 writes numbers, not texts: they are put in quotation marks before anything reads them, so that no digit is lost.
-- The text filters begin with no quotation mark on purpose: a rare first character is found many times faster.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each message twice.
-- @match book
SELECT seq, recv_ts, venue, symbol, ts, is_snapshot, side, l[1]::DOUBLE AS price,
       coalesce(l[2]::DOUBLE, IF(side IS NULL, NULL, error('a book level without a size'))) AS size, checksum,
       l[1] AS price_text, l[2] AS size_text, depth
FROM (
    SELECT * EXCLUDE (levels), unnest(levels) AS l
    FROM (
        SELECT seq, recv_ts, venue, symbol, coalesce(ts, recv_ts) AS ts, is_snapshot, checksum, depth,
               -- an update without levels is still one row
               unnest(IF(len(levels[1]) + len(levels[2]) = 0, [NULL], ['ask', 'bid'])) AS side,
               unnest(IF(len(levels[1]) + len(levels[2]) = 0, [[NULL]], levels)) AS levels
        FROM (
            SELECT seq, recv_ts, venue, symbol, is_snapshot, checksum, depth, levels,
                   make_timestamp_ns(split_part(newest, '.', 1)::BIGINT * 1000000000
                                     + rpad(split_part(newest, '.', 2), 9, '0')::BIGINT) AS ts
            FROM (
                SELECT *, IF(is_snapshot, NULL, list_max([l[3] FOR l IN levels[1] || levels[2] IF l[4] IS NULL]))
                          AS newest
                FROM (
                    SELECT seq, recv_ts, venue, f[10] AS symbol, f[1] IS NOT NULL AS is_snapshot,
                           coalesce(f[7], f[8])::BIGINT AS checksum,
                           substr(f[9], 6)::UINTEGER AS depth,
                           from_json_strict('[' || coalesce(f[1], f[3], f[5], '[]') || ','
                                                || coalesce(f[2], f[4], f[6], '[]') || ']', '[[["VARCHAR"]]]') AS levels
                    FROM (
                        SELECT seq, recv_ts, venue,
                               unnest([json_extract_string(payload, ['$[1].as', '$[1].bs', '$[1].a', '$[1].b',
                                   '$[2].a', '$[2].b', '$[1].c', '$[2].c', '$[#-2]', '$[#-1]'])]) AS f
                        FROM raw WHERE starts_with(payload, '[') AND contains(payload, 'book-')
                    )
                    WHERE starts_with(f[9], 'book-')
                )
            )
            UNION ALL
            SELECT seq, recv_ts, venue, b.symbol, is_snapshot, b.checksum::BIGINT AS checksum, 1000::UINTEGER AS depth,
                   [[[l.price, l.qty] FOR l IN coalesce(b.asks, [])], [[l.price, l.qty] FOR l IN coalesce(b.bids, [])]]
                   AS levels, b.timestamp::TIMESTAMP_NS AS ts
            FROM (
                SELECT seq, recv_ts, venue, m.type = 'snapshot' AS is_snapshot, unnest(m.data) AS b
                FROM (
                    SELECT seq, recv_ts, venue,
                           unnest([from_json(
                               regexp_replace(payload, '"(price|qty)":\s*([-+.0-9eE]+)', '"\1":"\2"', 'g'),
                               '{"channel": "VARCHAR", "type": "VARCHAR", "data": [{"symbol": "VARCHAR",
                                 "timestamp": "VARCHAR", "checksum": "VARCHAR",
                                 "asks": [{"price": "VARCHAR", "qty": "VARCHAR"}],
                                 "bids": [{"price": "VARCHAR", "qty": "VARCHAR"}]}]}')]) AS m
                    FROM raw WHERE starts_with(payload, '{') AND contains(payload, 'book"')
                )
                WHERE m.channel = 'book' AND m.type IN ('snapshot', 'update')
            )
        )
    )
)
