-- Best bid and ask of one exchange at a time (`XQ`). Sizes are in base currency. There is no history of them by REST.
-- The venue numbers nothing: update_id is a hash of exchange, time and content, so that the same quote received twice is
-- there once. Two equal quotes of one exchange within a millisecond are one, too.
-- A price of 0 stands for no bid, or no ask.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each element twice.
-- @match :"XQ"
-- @match : "XQ"
SELECT seq, recv_ts, venue, f[2] AS symbol, TRY(make_timestamp_ns(TRY_CAST(f[3] AS BIGINT) * 1000000)) AS ts,
       nullif(checked_number(f[5]), 0) AS bid_price,
       IF(TRY_CAST(f[5] AS DOUBLE) = 0, NULL, checked_number(f[6])) AS bid_size,
       nullif(checked_number(f[7]), 0) AS ask_price,
       IF(TRY_CAST(f[7] AS DOUBLE) = 0, NULL, checked_number(f[8])) AS ask_size,
       md5_number_lower(array_to_string([coalesce(v, '') FOR v IN f[3:8]], ',')) AS update_id
FROM (
    SELECT seq, recv_ts, venue,
           unnest([json_extract_string(e, ['$.ev', '$.pair', '$.t', '$.x', '$.bp', '$.bs', '$.ap', '$.as'])]) AS f
    FROM (SELECT *, unnest(json_extract(payload, '$[*]')) AS e FROM raw)
)
WHERE f[1] = 'XQ'
