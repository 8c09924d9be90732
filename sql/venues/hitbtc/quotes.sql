-- Best bid and ask (`ticker`), without sizes and without an id. update_id is made of what the message says, so that its
-- copies get the same one: the time in milliseconds, and 20 bits of a hash of the two prices.
-- The text filters begin with no quotation mark on purpose: a rare first character is found many times faster.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each message twice.
-- @match ticker"
SELECT seq, recv_ts, venue, f[2] AS symbol, ts, f[4]::DOUBLE AS bid_price, f[5]::DOUBLE AS ask_price,
       epoch_ms(ts)::UBIGINT * 1048576 + md5_number_lower(concat_ws(' ', f[4], f[5])) % 1048576 AS update_id
FROM (
    SELECT *, f[3]::TIMESTAMP_NS AS ts
    FROM (
        SELECT seq, recv_ts, venue,
               unnest([json_extract_string(payload, ['$.method', '$.params.symbol', '$.params.timestamp',
                                                     '$.params.bid', '$.params.ask'])]) AS f
        FROM raw WHERE contains(payload, 'ticker"')
    )
    WHERE f[1] = 'ticker'
)
