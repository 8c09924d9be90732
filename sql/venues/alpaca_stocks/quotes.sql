-- Best bid and ask: `q` on the WebSocket, /v2/stocks/quotes by REST.
-- Sizes are shares. Until 2025-11-03 the venue, as the SIPs, sent round lots of 100 shares, so those are multiplied; for
-- the few stocks of smaller lots that is too much. A price of 0 stands for no bid, or no ask.
-- The venue numbers nothing: update_id is a hash of time and content, so that the same quote, received twice or by both
-- ways, is there once. Two equal quotes of one nanosecond are one, too.
-- A REST body has the records in an object by symbol, or, if the request named one symbol in its path, in an array beside
-- that `symbol`.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each element twice.
-- @match :"q"
-- @match : "q"
-- @match quotes"
SELECT seq, recv_ts, venue, symbol, ts,
       nullif(checked_number(f[5]), 0) AS bid_price,
       IF(TRY_CAST(f[5] AS DOUBLE) = 0, NULL, checked_number(f[6]) * lot) AS bid_size,
       nullif(checked_number(f[8]), 0) AS ask_price,
       IF(TRY_CAST(f[8] AS DOUBLE) = 0, NULL, checked_number(f[9]) * lot) AS ask_size,
       md5_number_lower(epoch_ns(ts) || array_to_string([coalesce(v, '') FOR v IN f[4:11]], ',')) AS update_id
FROM (
    SELECT *, IF(ts < '2025-11-03'::TIMESTAMP_NS, 100, 1) AS lot
    FROM (
        SELECT seq, recv_ts, venue, f, coalesce(f[2], name, symbol) AS symbol, TRY_CAST(f[3] AS TIMESTAMP_NS) AS ts
        FROM (
            SELECT seq, recv_ts, venue, symbol, name, rest,
                   unnest([json_extract_string(e, ['$.T', '$.S', '$.t', '$.bx', '$.bp', '$.bs', '$.ax', '$.ap', '$.as',
                                                   '$.c', '$.z'])]) AS f
            FROM (
                SELECT *, unnest(CASE WHEN NOT rest THEN json_extract(payload, '$[*]')
                                      WHEN name IS NULL THEN json_extract(payload, '$.quotes[*]')
                                      ELSE from_json(json_extract(payload, '$.quotes."' || name || '"'), '["JSON"]') END) AS e
                FROM (
                    SELECT *, unnest(IF(rest AND json_type(payload, '$.quotes') = 'OBJECT',
                                        json_keys(payload, '$.quotes'), [NULL])) AS name
                    FROM (
                        SELECT * REPLACE (IF(starts_with(payload, '['), symbol,
                                             coalesce(json_extract_string(payload, '$.symbol'), symbol)) AS symbol),
                               NOT starts_with(payload, '[') AS rest
                        FROM raw
                    )
                )
            )
        )
        WHERE rest OR f[1] = 'q'
    )
)
