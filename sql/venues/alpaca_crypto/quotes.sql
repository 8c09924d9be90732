-- Best bid and ask: `q` on the WebSocket, /v1beta3/crypto/us/quotes by REST. Sizes are in base currency. A price of 0
-- stands for no bid, or no ask.
-- The venue numbers nothing: update_id is a hash of time and content, so that the same quote, received twice or by both
-- ways, is there once. Two equal quotes of one nanosecond are one, too.
-- A REST body has the records in an object by symbol.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each element twice.
-- @match :"q"
-- @match : "q"
-- @match quotes"
SELECT seq, recv_ts, venue, symbol, ts,
       nullif(checked_number(f[4]), 0) AS bid_price, IF(TRY_CAST(f[4] AS DOUBLE) = 0, NULL, checked_number(f[5])) AS bid_size,
       nullif(checked_number(f[6]), 0) AS ask_price, IF(TRY_CAST(f[6] AS DOUBLE) = 0, NULL, checked_number(f[7])) AS ask_size,
       md5_number_lower(epoch_ns(ts) || array_to_string([coalesce(v, '') FOR v IN f[4:7]], ',')) AS update_id
FROM (
    SELECT seq, recv_ts, venue, f, coalesce(f[2], name, symbol) AS symbol, TRY_CAST(f[3] AS TIMESTAMP_NS) AS ts
    FROM (
        SELECT seq, recv_ts, venue, symbol, name, rest,
               unnest([json_extract_string(e, ['$.T', '$.S', '$.t', '$.bp', '$.bs', '$.ap', '$.as'])]) AS f
        FROM (
            SELECT *, unnest(IF(rest, from_json(json_extract(payload, '$.quotes."' || name || '"'), '["JSON"]'),
                                json_extract(payload, '$[*]'))) AS e
            FROM (
                SELECT *, unnest(IF(rest, json_keys(payload, '$.quotes'), [NULL])) AS name
                FROM (SELECT *, NOT starts_with(payload, '[') AS rest FROM raw)
            )
        )
    )
    WHERE rest OR f[1] = 'q'
)
