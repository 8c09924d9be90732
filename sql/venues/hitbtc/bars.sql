-- Bars: `snapshotCandles`, `updateCandles` and the REST answer, which names neither symbol nor length: symbol is the
-- request's, the length stands in the request's name (`bars_1m`). No message says that a bar is closed.
-- The text filters begin with no quotation mark on purpose: a rare first character is found many times faster.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each message twice.
-- @match min"
SELECT seq, recv_ts, venue, symbol, TRY_CAST(b.timestamp AS TIMESTAMP_NS) AS ts,
       CASE "interval" WHEN 'D7' THEN '1w' WHEN '1M' THEN '1M'
            ELSE IF("interval" ~ '^[MHD]', substr("interval", 2) || lower("interval"[1]), "interval") END AS "interval",
       TRY_CAST(b.open AS DOUBLE) AS open, TRY_CAST(b.max AS DOUBLE) AS high, TRY_CAST(b.min AS DOUBLE) AS low,
       TRY_CAST(b.close AS DOUBLE) AS close, checked_number(b.volume) AS volume,
       checked_number(b.volumeQuote) AS quote_volume
FROM (
    SELECT seq, recv_ts, venue, coalesce(f[2], symbol) AS symbol, f[3] AS "interval",
           unnest(from_json(f[4], '[{"timestamp": "VARCHAR", "open": "VARCHAR", "close": "VARCHAR", "min": "VARCHAR",
                                     "max": "VARCHAR", "volume": "VARCHAR", "volumeQuote": "VARCHAR"}]')) AS b
    FROM (
        SELECT seq, recv_ts, venue, symbol,
               unnest([IF(starts_with(payload, '['), ['updateCandles', NULL, substr(channel, 11), payload],
                          json_extract_string(payload, ['$.method', '$.params.symbol', '$.params.period',
                                                        '$.params.data']))]) AS f
        FROM raw
        WHERE contains(payload, 'min"')
    )
    WHERE f[1] IN ('snapshotCandles', 'updateCandles')
)
