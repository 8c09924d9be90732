-- Best bid and ask of one exchange at a time (`XQ`). Sizes are in base currency. There is no history of them by REST.
-- The venue numbers nothing: update_id is a hash of exchange, time and content, so that the same quote received twice is
-- there once. Two equal quotes of one exchange within a millisecond are one, too.
-- A price of 0 stands for no bid, or no ask.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each element twice.
-- @match :"XQ"
-- @match : "XQ"
SELECT seq, recv_ts, venue, f[2] AS symbol, make_timestamp_ns(TRY_CAST(f[3] AS BIGINT) * 1000000) AS ts,
       nullif(f[5]::DOUBLE, 0) AS bid_price, IF(f[5]::DOUBLE = 0, NULL, f[6]::DOUBLE) AS bid_size,
       nullif(f[7]::DOUBLE, 0) AS ask_price, IF(f[7]::DOUBLE = 0, NULL, f[8]::DOUBLE) AS ask_size,
       md5_number_lower(array_to_string([coalesce(v, '') FOR v IN f[3:8]], ',')) AS update_id
FROM (
    SELECT seq, recv_ts, venue,
           unnest([json_extract_string(e, ['$.ev', '$.pair', '$.t', '$.x', '$.bp', '$.bs', '$.ap', '$.as'])]) AS f
    FROM (SELECT *, unnest(json_extract(payload, '$[*]')) AS e FROM raw)
)
WHERE f[1] = 'XQ'
