-- Trades: `snapshotTrades` (the latest ones once more, on subscribing; their ids tell), `updateTrades` and the REST
-- answer, an array that names no symbol. `side` is the aggressor's.
-- The text filters begin with no quotation mark on purpose: a rare first character is found many times faster.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each message twice.
-- @match quantity"
SELECT seq, recv_ts, venue, symbol, TRY_CAST(t.timestamp AS TIMESTAMP_NS) AS ts, t.id AS trade_id,
       TRY_CAST(t.price AS DOUBLE) AS price, TRY_CAST(t.quantity AS DOUBLE) AS size, t.side
FROM (
    SELECT seq, recv_ts, venue, coalesce(f[2], symbol) AS symbol,
           unnest(from_json(f[3], '[{"id": "VARCHAR", "price": "VARCHAR", "quantity": "VARCHAR", "side": "VARCHAR",
                                     "timestamp": "VARCHAR"}]')) AS t
    FROM (
        SELECT seq, recv_ts, venue, symbol,
               unnest([IF(starts_with(payload, '['), ['updateTrades', NULL, payload],
                          json_extract_string(payload, ['$.method', '$.params.symbol', '$.params.data']))]) AS f
        FROM raw
        WHERE contains(payload, 'quantity"')
    )
    WHERE f[1] IN ('snapshotTrades', 'updateTrades')
)
