-- Trades: `match`, `last_match` (the latest trade once more, on subscribing; its id tells) and the REST answer, an
-- array newest first that does not name the product. `side` is the maker's, so the aggressor is the other one.
-- The text filters begin with no quotation mark on purpose: a rare first character is found many times faster.
-- @match match"
-- @match [{"
SELECT seq, recv_ts, venue, f[2] AS symbol, TRY_CAST(f[3] AS TIMESTAMP_NS) AS ts, f[4] AS trade_id,
       TRY_CAST(f[5] AS DOUBLE) AS price, TRY_CAST(f[6] AS DOUBLE) AS size,
       CASE f[7] WHEN 'buy' THEN 'sell' WHEN 'sell' THEN 'buy' ELSE 'unknown' END AS side
FROM (
    SELECT seq, recv_ts, venue,
           unnest(IF(starts_with(payload, '['),
               [['match', symbol, t.time, t.trade_id, t.price, t.size, t.side] FOR t IN
                from_json(payload, '[{"time": "VARCHAR", "trade_id": "VARCHAR", "price": "VARCHAR", "size": "VARCHAR",
                                      "side": "VARCHAR"}]')],
               [json_extract_string(payload, ['$.type', '$.product_id', '$.time', '$.trade_id', '$.price', '$.size',
                                              '$.side'])])) AS f
    FROM raw
    WHERE contains(payload, 'match"') OR starts_with(payload, '[{"') AND contains(payload, 'trade_id"')
)
WHERE f[1] IN ('match', 'last_match')
