-- A version of a stock says something else than the one before it.
SELECT venue, symbol, valid_from
FROM (
    SELECT venue, symbol, valid_from, what, lag(what) OVER versions AS before, row_number() OVER versions AS number
    FROM (
        SELECT venue, symbol, valid_from,
               {name: name, asset_class: asset_class, exchange: exchange, currency: currency, sector: sector,
                industry: industry, listed_on: listed_on, delisted_on: delisted_on, status: status} AS what
        FROM dim_stock
    )
    WINDOW versions AS (PARTITION BY venue, symbol ORDER BY valid_from)
)
WHERE number > 1 AND what IS NOT DISTINCT FROM before
