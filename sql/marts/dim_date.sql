-- Days from 1990 to 2050, with ISO weeks and the trading days of New York's exchanges.
-- The macro `xnys_days` says by which rules. Days that end early are trading days.
-- @materialize full
-- @key date_key
-- @column date_key VARCHAR md5 of the date as text
-- @column date DATE day
-- @column year BIGINT year
-- @column quarter BIGINT quarter, 1 to 4
-- @column month BIGINT month, 1 to 12
-- @column month_name VARCHAR 'January' …
-- @column day BIGINT day of the month
-- @column day_of_year BIGINT day of the year
-- @column day_of_week BIGINT ISO: 1 is Monday, 7 Sunday
-- @column day_name VARCHAR 'Monday' …
-- @column iso_year BIGINT year that the ISO week belongs to
-- @column iso_week BIGINT ISO week, 1 to 53
-- @column week_start DATE Monday of the week: the date of weekly bars
-- @column is_month_end BOOLEAN last day of the month
-- @column is_quarter_end BOOLEAN last day of the quarter
-- @column is_weekend BOOLEAN Saturday or Sunday
-- @column is_trading_day BOOLEAN whether New York's exchanges are open
-- @column trading_days_in_week BIGINT trading days of its week
-- @column is_first_trading_day_of_week BOOLEAN whether it is the first of them
-- @column is_last_trading_day_of_week BOOLEAN whether it is the last of them
-- @test not_null date_key, date, iso_week, is_trading_day
-- @test unique date_key
-- @test unique date
-- @test row_count = 22280
-- @test range trading_days_in_week BETWEEN 0 AND 5
WITH days AS (
    SELECT date, date_trunc('week', date)::DATE AS week_start, is_open AS is_trading_day FROM xnys_days()
)
SELECT md5(date::VARCHAR) AS date_key, date, year(date) AS year, quarter(date) AS quarter, month(date) AS month,
       monthname(date) AS month_name, day(date) AS day, dayofyear(date) AS day_of_year, isodow(date) AS day_of_week,
       dayname(date) AS day_name, isoyear(date) AS iso_year, weekofyear(date) AS iso_week, week_start,
       date = last_day(date) AS is_month_end, date = last_day(date) AND month(date) % 3 = 0 AS is_quarter_end,
       isodow(date) > 5 AS is_weekend, is_trading_day, trading_days AS trading_days_in_week,
       is_trading_day AND date = first_day AS is_first_trading_day_of_week,
       is_trading_day AND date = last_one AS is_last_trading_day_of_week
FROM days
JOIN (
    SELECT week_start, count(*) FILTER (is_trading_day) AS trading_days, min(date) FILTER (is_trading_day) AS first_day,
           max(date) FILTER (is_trading_day) AS last_one
    FROM days GROUP BY week_start
) USING (week_start)
