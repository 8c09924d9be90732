-- Days from 1990 to 2050, with ISO weeks and the trading days of New York's exchanges.
-- Their holidays follow from the rules: those on a Saturday are kept on the Friday, but for New Year's, those on a Sunday
-- on the Monday; Martin Luther King's from 1998, Juneteenth from 2022. Single days on which they were closed are listed
-- up to January 2025. Days that end early are trading days.
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
WITH years AS (
    SELECT y, make_date(y, 1, 1) AS new_year, make_date(y, 7, 4) AS july_4, make_date(y, 12, 25) AS christmas,
           -- Easter, by the rule of Meeus, Jones and Butcher.
           make_date(y, (h + l - 7 * m + 114) // 31, (h + l - 7 * m + 114) % 31 + 1) AS easter
    FROM (
        SELECT *, (32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7 AS l,
               (a + 11 * h + 22 * ((32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7)) // 451 AS m
        FROM (
            SELECT y, y % 19 AS a, y // 100 AS b, y % 100 AS c,
                   (19 * (y % 19) + y // 100 - y // 400 - (y // 100 - (y // 100 + 8) // 25 + 1) // 3 + 15) % 30 AS h
            FROM (SELECT unnest(range(1989, 2052)) AS y)
        )
    )
), closed AS (
    -- The n-th Monday of a month is the one that falls on its days 7 n - 6 to 7 n.
    SELECT unnest([
        CASE dayofweek(new_year) WHEN 6 THEN NULL WHEN 0 THEN new_year + 1 ELSE new_year END,
        IF(y >= 1998, make_date(y, 1, 21) - (isodow(make_date(y, 1, 21)) - 1)::INTEGER, NULL),
        make_date(y, 2, 21) - (isodow(make_date(y, 2, 21)) - 1)::INTEGER,
        easter - 2,
        make_date(y, 5, 31) - (isodow(make_date(y, 5, 31)) - 1)::INTEGER,
        IF(y >= 2022, CASE dayofweek(make_date(y, 6, 19)) WHEN 6 THEN make_date(y, 6, 18) WHEN 0 THEN make_date(y, 6, 20)
                                                          ELSE make_date(y, 6, 19) END, NULL),
        CASE dayofweek(july_4) WHEN 6 THEN july_4 - 1 WHEN 0 THEN july_4 + 1 ELSE july_4 END,
        make_date(y, 9, 7) - (isodow(make_date(y, 9, 7)) - 1)::INTEGER,
        make_date(y, 11, 28) - ((isodow(make_date(y, 11, 28)) + 3) % 7)::INTEGER,
        CASE dayofweek(christmas) WHEN 6 THEN christmas - 1 WHEN 0 THEN christmas + 1 ELSE christmas END
    ]) AS date
    FROM years
    UNION
    -- Funerals of presidents, September 2001, a hurricane.
    SELECT unnest(['1994-04-27', '2001-09-11', '2001-09-12', '2001-09-13', '2001-09-14', '2004-06-11', '2007-01-02',
                   '2012-10-29', '2012-10-30', '2018-12-05', '2025-01-09']::DATE[])
), days AS (
    SELECT date, (date_trunc('week', date))::DATE AS week_start,
           isodow(date) < 6 AND date NOT IN (SELECT date FROM closed WHERE date IS NOT NULL) AS is_trading_day
    -- A week more at either end, so that the first and last are whole.
    FROM (SELECT unnest(range('1989-12-25'::DATE, '2051-01-09'::DATE, INTERVAL 1 DAY))::DATE AS date)
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
WHERE date BETWEEN '1990-01-01' AND '2050-12-31'
