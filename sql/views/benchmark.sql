-- What stocks are compared with in fact_adjusted_prices: one row, the symbol of a stock or fund and its venue. Without a
-- venue it is the compared stock's own one if that has the symbol, else the first by name that has.
-- For another benchmark put a file of this name with another row into the database's sql/views/.
-- @column symbol VARCHAR in the venue's own spelling
-- @column venue VARCHAR a venue's name, or NULL
SELECT 'SPY' AS symbol, NULL::VARCHAR AS venue
