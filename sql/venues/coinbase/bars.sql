-- Bars, over REST only: arrays of [start in seconds, low, high, open, close, volume], newest first, that name neither
-- product nor length. The product is the request's, the length stands in the request's name (`bars_1m`).
-- @match [[1
SELECT seq, recv_ts, venue, symbol, make_timestamp_ns(b[1]::BIGINT * 1000000000) AS ts,
       substr(channel, 11) AS "interval", b[4]::DOUBLE AS open, b[3]::DOUBLE AS high, b[2]::DOUBLE AS low,
       b[5]::DOUBLE AS close, b[6]::DOUBLE AS volume
FROM (
    SELECT seq, recv_ts, venue, symbol, channel, unnest(from_json_strict(payload, '[["VARCHAR"]]')) AS b
    FROM raw WHERE starts_with(channel, 'rest/bars_') AND starts_with(payload, '[[')
)
