-- Stocks, slowly changing (type 2): a row for each version of what a venue says a stock is, from valid_from until
-- valid_to; what did not change is one version, however often it was said.
-- What holds of a stock before anything was said of it is the first version, so it is valid from 1900 on; first_seen
-- tells when it was said. A stock of which there are only prices or corporate actions has one version that knows
-- nothing but its name.
-- `dim_stock_current` is the same with one row a stock (type 1).
-- @materialize full
-- @key stock_key
-- @column stock_key VARCHAR md5 of venue|symbol|valid_from
-- @column venue VARCHAR venue's name
-- @column symbol VARCHAR stock, in the venue's own spelling
-- @column name VARCHAR company's or fund's full name
-- @column asset_class VARCHAR 'equity', 'etf' …
-- @column exchange VARCHAR primary exchange
-- @column currency VARCHAR currency the price is in
-- @column sector VARCHAR sector, in the venue's own words
-- @column industry VARCHAR industry, in the venue's own words
-- @column listed_on DATE first day of trading
-- @column delisted_on DATE day of delisting; NULL while listed
-- @column status VARCHAR trading status, in the venue's own words
-- @column first_seen TIMESTAMP_NS since when the venue says so, UTC; NULL if it says nothing
-- @column valid_from TIMESTAMP_NS from then on it holds, UTC
-- @column valid_to TIMESTAMP_NS it holds before then, UTC; NULL if it still does
-- @column is_current BOOLEAN whether it is the last version
-- @test not_null stock_key, venue, symbol, valid_from, is_current
-- @test unique stock_key
-- @test unique venue, symbol, valid_from
-- @test range valid_to IS NULL OR valid_to > valid_from
-- @test range is_current = (valid_to IS NULL)
WITH said AS (
    SELECT venue, symbol, ts,
           {name: name, asset_class: asset_class, exchange: exchange, currency: "quote", sector: sector,
            industry: industry, listed_on: listed_on, delisted_on: delisted_on, status: status} AS what
    FROM instruments
    QUALIFY row_number() OVER (PARTITION BY venue, symbol, ts ORDER BY seq) = 1
), changed AS (
    SELECT *, row_number() OVER version AS number
    FROM (
        SELECT *, row_number() OVER said_of = 1 OR what IS DISTINCT FROM lag(what) OVER said_of AS is_new
        FROM said
        WINDOW said_of AS (PARTITION BY venue, symbol ORDER BY ts)
    )
    WHERE is_new
    WINDOW version AS (PARTITION BY venue, symbol ORDER BY ts)
), stocks AS (
    -- What was once called a stock stays one.
    SELECT venue, symbol FROM instruments WHERE lower(asset_class) IN ('equity', 'stock', 'etf', 'fund')
    UNION
    SELECT venue, symbol FROM stock_bars
    UNION
    SELECT venue, symbol FROM stock_actions
), versions AS (
    SELECT venue, symbol, what, ts AS first_seen,
           IF(coalesce(number, 1) = 1, '1900-01-01'::TIMESTAMP_NS, ts) AS valid_from,
           lead(ts) OVER (PARTITION BY venue, symbol ORDER BY number) AS valid_to
    FROM stocks LEFT JOIN changed USING (venue, symbol)
)
SELECT md5(venue || '|' || symbol || '|' || valid_from::VARCHAR) AS stock_key, venue, symbol,
       what.name, what.asset_class, what.exchange, what.currency, what.sector, what.industry,
       what.listed_on, what.delisted_on, what.status,
       first_seen, valid_from, valid_to, valid_to IS NULL AS is_current
FROM versions
