-- Trades, single (`trade`) and aggregate (`aggTrade`). `m` is "the buyer is the maker", so true means
-- that the seller was the aggressor.
-- Times are milliseconds, or microseconds if the connection asked for timeUnit=MICROSECOND.
-- Over REST they come as an array that names no symbol: historicalTrades with the ids of `trade`, aggTrades with those
-- of `aggTrade`.
-- Messages come in a combined stream's envelope, {"stream": …, "data": {…}}, or bare.
-- The text filters begin with no quotation mark on purpose: a rare first character is found many times faster.
-- unnest keeps the filter on f above it; pushed down, it would read each message twice.
-- @match rade"
-- @match isBuyerMaker"
-- @match [{"a"
SELECT seq, recv_ts, venue, f[2] AS symbol,
       TRY(make_timestamp_ns(TRY_CAST(f[3] AS BIGINT) * IF(TRY_CAST(f[3] AS BIGINT) > 100000000000000, 1000, 1000000))) AS ts,
       IF(f[1] = 'aggTrade', 'a' || f[5], f[4]) AS trade_id,
       TRY_CAST(f[6] AS DOUBLE) AS price, TRY_CAST(f[7] AS DOUBLE) AS size,
       CASE TRY_CAST(f[8] AS BOOLEAN) WHEN true THEN 'sell' WHEN false THEN 'buy' ELSE 'unknown' END AS side,
       IF(f[1] = 'aggTrade', ['aggregate'], NULL) AS conditions
FROM (
    SELECT seq, recv_ts, venue,
           unnest(CASE
               WHEN starts_with(payload, '[')
               THEN [IF(t.id IS NULL, ['aggTrade', symbol, t.T, NULL, t.a, t.p, t.q, t.m],
                        ['trade', symbol, t.time, t.id, NULL, t.price, t.qty, t.isBuyerMaker])
                     FOR t IN from_json(payload, '[{"id": "VARCHAR", "time": "VARCHAR", "price": "VARCHAR",
                         "qty": "VARCHAR", "isBuyerMaker": "VARCHAR", "a": "VARCHAR", "T": "VARCHAR", "p": "VARCHAR",
                         "q": "VARCHAR", "m": "VARCHAR"}]')]
               WHEN contains(payload, 'stream"')
               THEN [json_extract_string(payload, ['$.data.e', '$.data.s', '$.data.T', '$.data.t', '$.data.a',
                                                   '$.data.p', '$.data.q', '$.data.m'])]
               ELSE [json_extract_string(payload, ['$.e', '$.s', '$.T', '$.t', '$.a', '$.p', '$.q', '$.m'])]
           END) AS f
    FROM raw WHERE contains(payload, 'rade"') OR starts_with(payload, '[{"')
)
WHERE f[1] IN ('trade', 'aggTrade')
