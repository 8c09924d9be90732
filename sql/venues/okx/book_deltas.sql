-- Book levels: the channels `books`, `books-l2-tbt` (400 levels a side) and `books50-l2-tbt` (50), and the REST answer,
-- which names no instrument: symbol is the request's. Asks before bids as on the wire; sizes are contracts except for
-- spot. `books5` and `books-elp` are other books and must not enter.
-- prevSeqId is -1 in a snapshot. An update without levels, sent after a minute of silence, repeats the last seqId.
-- Recordings of before 2023 have no ids. `checksum` has been 0, which means none, since June 2026; before it was a
-- signed CRC-32 over the wire's own digits: price_text and size_text.
-- The text filters begin with no quotation mark on purpose: a rare first character is found many times faster.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each message twice.
-- @match books
-- @match code"
SELECT seq, recv_ts, venue, symbol, ts, last_id, prev_id, is_snapshot, side, l[1]::DOUBLE AS price,
       coalesce(l[2]::DOUBLE, IF(side IS NULL, NULL, error('a book level without a size'))) AS size, checksum,
       l[1] AS price_text, l[2] AS size_text, depth
FROM (
    SELECT * EXCLUDE (levels), unnest(levels) AS l
    FROM (
        SELECT seq, recv_ts, venue, symbol, make_timestamp_ns(b.ts::BIGINT * 1000000) AS ts,
               b.seqId::UBIGINT AS last_id, nullif(b.prevSeqId, '-1')::UBIGINT AS prev_id, is_snapshot,
               nullif(b.checksum::BIGINT, 0) AS checksum, depth,
               -- an update without levels is still one row
               unnest(IF(len(b.asks) + len(b.bids) = 0, [NULL], ['ask', 'bid'])) AS side,
               unnest(IF(len(b.asks) + len(b.bids) = 0, [[NULL]], [b.asks, b.bids])) AS levels
        FROM (
            SELECT seq, recv_ts, venue, coalesce(f[2], symbol) AS symbol,
                   f[3] IS DISTINCT FROM 'update' AS is_snapshot,
                   IF(f[1] = 'books50-l2-tbt', 50, 400)::UINTEGER AS depth,
                   unnest(from_json(f[4], '[{"ts": "VARCHAR", "seqId": "VARCHAR", "prevSeqId": "VARCHAR",
                       "checksum": "VARCHAR", "asks": [["VARCHAR"]], "bids": [["VARCHAR"]]}]')) AS b
            FROM (
                SELECT seq, recv_ts, venue, symbol,
                       unnest([json_extract_string(payload, ['$.arg.channel', '$.arg.instId', '$.action', '$.data',
                                                             '$.code'])]) AS f
                FROM raw
                WHERE contains(payload, 'books') OR contains(payload, 'code"') AND contains(payload, 'asks"')
            )
            WHERE f[1] IN ('books', 'books-l2-tbt', 'books50-l2-tbt') AND f[3] IN ('snapshot', 'update')
               OR f[1] IS NULL AND f[5] = '0'
        )
    )
)
