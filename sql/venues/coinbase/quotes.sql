-- Best bid and ask after a trade (`ticker`). Sizes are absent in recordings of before 2022. update_id is `sequence`,
-- the product's count of order messages, which stands at the trade; so the ticker that repeats the latest trade on
-- subscribing is the quote that is known already. A price of 0 stands for no bid, or no ask.
-- The text filters begin with no quotation mark on purpose: a rare first character is found many times faster.
-- unnest([…]) keeps the filter on f above it; pushed down, it would read each message twice.
-- @match ticker"
SELECT seq, recv_ts, venue, f[2] AS symbol, coalesce(f[3]::TIMESTAMP_NS, recv_ts) AS ts,
       nullif(bid, 0) AS bid_price, IF(bid = 0, NULL, nullif(f[6], '')::DOUBLE) AS bid_size,
       nullif(ask, 0) AS ask_price, IF(ask = 0, NULL, nullif(f[8], '')::DOUBLE) AS ask_size, f[4]::UBIGINT AS update_id
FROM (
    SELECT *, nullif(f[5], '')::DOUBLE AS bid, nullif(f[7], '')::DOUBLE AS ask
    FROM (
        SELECT seq, recv_ts, venue,
               unnest([json_extract_string(payload, ['$.type', '$.product_id', '$.time', '$.sequence', '$.best_bid',
                                                     '$.best_bid_size', '$.best_ask', '$.best_ask_size'])]) AS f
        FROM raw WHERE contains(payload, 'ticker"')
    )
)
WHERE f[1] = 'ticker'
