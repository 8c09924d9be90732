-- Stocks as they are now (type 1): the last version of each in dim_stock.
SELECT * EXCLUDE (valid_to, is_current) FROM dim_stock WHERE is_current
