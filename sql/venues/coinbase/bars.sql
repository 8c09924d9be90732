-- Bars, over REST only: arrays of [start in seconds, low, high, open, close, volume], newest first, that name neither
-- product nor length. The product is the request's, the length stands in the request's name (`bars_1m`).
-- @match [[1
SELECT seq, recv_ts, venue, symbol, TRY(make_timestamp_ns(TRY_CAST(b[1] AS BIGINT) * 1000000000)) AS ts,
       substr(channel, 11) AS "interval", TRY_CAST(b[4] AS DOUBLE) AS open, TRY_CAST(b[3] AS DOUBLE) AS high,
       TRY_CAST(b[2] AS DOUBLE) AS low, TRY_CAST(b[5] AS DOUBLE) AS close, checked_number(b[6]) AS volume
FROM (
    SELECT seq, recv_ts, venue, symbol, channel, unnest(from_json_strict(payload, '[["VARCHAR"]]')) AS b
    FROM raw WHERE starts_with(channel, 'rest/bars_') AND starts_with(payload, '[[')
)
