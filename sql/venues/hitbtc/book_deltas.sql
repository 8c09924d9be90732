-- Book levels: `snapshotOrderbook` and `updateOrderbook`, asks before bids as on the wire. `sequence` counts the
-- updates of a symbol one by one; a snapshot's is that of the last update in it.
-- The text filters begin with no quotation mark on purpose: a rare first character is found many times faster.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each message twice.
-- @match Orderbook"
SELECT seq, recv_ts, venue, symbol, ts, IF(is_snapshot, NULL, last_id) AS first_id, last_id, is_snapshot, side,
       l.price::DOUBLE AS price,
       coalesce(l.size::DOUBLE, IF(side IS NULL, NULL, error('a book level without a size'))) AS size
FROM (
    SELECT * EXCLUDE (levels), unnest(levels) AS l
    FROM (
        SELECT seq, recv_ts, venue, f[2] AS symbol, f[3]::TIMESTAMP_NS AS ts, f[4]::UBIGINT AS last_id,
               f[1] = 'snapshotOrderbook' AS is_snapshot,
               -- an update without levels is still one row
               unnest(IF(len(levels[1]) + len(levels[2]) = 0, [NULL], ['ask', 'bid'])) AS side,
               unnest(IF(len(levels[1]) + len(levels[2]) = 0, [[NULL]], levels)) AS levels
        FROM (
            SELECT *, from_json('[' || f[5] || ',' || f[6] || ']', '[[{"price": "VARCHAR", "size": "VARCHAR"}]]')
                      AS levels
            FROM (
                SELECT seq, recv_ts, venue,
                       unnest([json_extract_string(payload, ['$.method', '$.params.symbol', '$.params.timestamp',
                                                             '$.params.sequence', '$.params.ask',
                                                             '$.params.bid'])]) AS f
                FROM raw WHERE contains(payload, 'Orderbook"')
            )
            WHERE f[1] IN ('snapshotOrderbook', 'updateOrderbook')
        )
    )
)
