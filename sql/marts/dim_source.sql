-- Where prices and facts about stocks come from: venues, and what files were loaded as.
-- @materialize full
-- @key source_key
-- @column source_key VARCHAR md5 of the venue
-- @column venue VARCHAR venue's name
-- @column stocks BIGINT stocks that it says anything of
-- @column bars BIGINT their daily and weekly bars
-- @column first_date DATE first day of the first bar
-- @column last_date DATE first day of the last bar
-- @column gives_adj_close BOOLEAN whether it gives adjusted closes of its own
-- @test not_null source_key, venue
-- @test unique source_key
-- @test unique venue
SELECT md5(venue) AS source_key, venue, stocks, coalesce(bars, 0) AS bars, first_date, last_date,
       coalesce(gives_adj_close, false) AS gives_adj_close
FROM (SELECT venue, count(DISTINCT symbol) AS stocks FROM dim_stock GROUP BY venue)
LEFT JOIN (
    SELECT venue, count(*) AS bars, min(date) AS first_date, max(date) AS last_date,
           count(adj_close) > 0 AS gives_adj_close
    FROM stock_bars GROUP BY venue
) USING (venue)
