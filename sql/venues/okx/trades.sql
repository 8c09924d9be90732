-- Trades of every kind of instrument; `side` is the taker's, `sz` is contracts except for spot. They come by the
-- channels `trades-all` (each trade), `trades` (the fills of one taker's order at one price as one, `count` of them;
-- tradeId is the last one's) and from REST (each trade). What stands for several is an aggregate, with an id of its own
-- kind. `source` 1 is the venue's liquidity programme.
-- The text filters begin with no quotation mark on purpose: a rare first character is found many times faster.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each message twice.
-- @match tradeId"
SELECT seq, recv_ts, venue, t.instId AS symbol, TRY(make_timestamp_ns(TRY_CAST(t.ts AS BIGINT) * 1000000)) AS ts,
       IF(t.count <> '1', 'a' || t.tradeId, t.tradeId) AS trade_id,
       TRY_CAST(t.px AS DOUBLE) AS price, TRY_CAST(t.sz AS DOUBLE) AS size, t.side,
       nullif([c FOR c IN [IF(t.count <> '1', 'aggregate', NULL), IF(t.source = '1', 'liquidity_program', NULL)]
               IF c IS NOT NULL], []) AS conditions
FROM (
    SELECT seq, recv_ts, venue,
           unnest(from_json(f[2], '[{"instId": "VARCHAR", "tradeId": "VARCHAR", "px": "VARCHAR", "sz": "VARCHAR",
                                     "side": "VARCHAR", "ts": "VARCHAR", "count": "VARCHAR", "source": "VARCHAR"}]'))
           AS t
    FROM (
        SELECT seq, recv_ts, venue, unnest([json_extract_string(payload, ['$.arg.channel', '$.data', '$.code'])]) AS f
        FROM raw WHERE contains(payload, 'tradeId"')
    )
    WHERE f[1] IN ('trades', 'trades-all') OR f[1] IS NULL AND f[3] = '0'
)
