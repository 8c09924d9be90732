-- Best bid and ask: `bbo-tbt`, whose update_id is the book's seqId, and `tickers`. A ticker has no id; its update_id is
-- made of what it says, so that its copies get the same one: the time in milliseconds, and 20 bits of a hash of the
-- prices and sizes. Sizes are contracts except for spot.
-- The text filters begin with no quotation mark on purpose: a rare first character is found many times faster.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each message twice.
-- @match bbo-tbt"
-- @match tickers"
SELECT seq, recv_ts, venue, symbol, TRY(make_timestamp_ns(TRY_CAST(q.ts AS BIGINT) * 1000000)) AS ts,
       checked_number(nullif(coalesce(q.bids[1][1], q.bidPx), '')) AS bid_price,
       checked_number(nullif(coalesce(q.bids[1][2], q.bidSz), '')) AS bid_size,
       checked_number(nullif(coalesce(q.asks[1][1], q.askPx), '')) AS ask_price,
       checked_number(nullif(coalesce(q.asks[1][2], q.askSz), '')) AS ask_size,
       IF(q.bids IS NOT NULL, TRY_CAST(q.seqId AS UBIGINT),
          TRY(TRY_CAST(q.ts AS UBIGINT) * 1048576
              + md5_number_lower(concat_ws(' ', q.bidPx, q.bidSz, q.askPx, q.askSz)) % 1048576)) AS update_id
FROM (
    SELECT seq, recv_ts, venue, f[2] AS symbol,
           unnest(from_json(f[3], '[{"ts": "VARCHAR", "seqId": "VARCHAR", "bids": [["VARCHAR"]], "asks": [["VARCHAR"]],
               "bidPx": "VARCHAR", "bidSz": "VARCHAR", "askPx": "VARCHAR", "askSz": "VARCHAR"}]')) AS q
    FROM (
        SELECT seq, recv_ts, venue,
               unnest([json_extract_string(payload, ['$.arg.channel', '$.arg.instId', '$.data'])]) AS f
        FROM raw WHERE contains(payload, 'bbo-tbt"') OR contains(payload, 'tickers"')
    )
    WHERE f[1] IN ('bbo-tbt', 'tickers')
)
