-- The days of the New York Stock Exchange, and of Nasdaq, which keeps the same ones: every date from 1990 to 2050, made
-- from the exchange's rules and a list of what was out of turn. Later years are what the rules say today.
-- A holiday on a Saturday is kept on Friday, one on a Sunday on Monday; New Year's Day on a Saturday is not kept. The
-- exchange closes early, at 13:00, the day after Thanksgiving, on 24 December, and on 3 July; before 2013, where 4 July
-- was a Thursday, on the Friday after it instead. Regular hours are 9:30 to 16:00, before them trade others from 4:00,
-- after them until 20:00, after an early close for four hours too.
-- These are hours as announced. A day on which trading began late, paused or broke off by accident (1994-02-11,
-- 1995-12-18, 1996-01-08, 1997-10-27, 2002-09-11 …) has the usual ones here.
-- Result: date, is_open, pre_opens_at, opens_at, closes_at, post_closes_at (TIMESTAMP_NS, UTC; NULL if closed),
-- early_close, holiday (why it is closed; NULL on weekends).
-- Sources: NYSE Rule 7.2 and the exchange's list of special closings; its notice of 4 June 1999 for 1999-12-31. Easter
-- is by Carter's formula for 1900 to 2099.
-- Example: FROM xnys_days() WHERE year(date) = 2024 AND (early_close OR holiday IS NOT NULL);
CREATE OR REPLACE MACRO xnys_days() AS TABLE
WITH years AS (
    SELECT y::INTEGER AS y FROM range(1990, 2051) AS years(y)
), rules(holiday, since, month, day, weekday) AS (
    -- the first such weekday (1 = Monday) on or after the day, or the day itself
    VALUES ('New Year''s Day', 1990, 1, 1, NULL), ('Martin Luther King Jr. Day', 1998, 1, 15, 1),
           ('Washington''s Birthday', 1990, 2, 15, 1), ('Memorial Day', 1990, 5, 25, 1),
           ('Juneteenth', 2022, 6, 19, NULL), ('Independence Day', 1990, 7, 4, NULL), ('Labor Day', 1990, 9, 1, 1),
           ('Thanksgiving Day', 1990, 11, 22, 4), ('Christmas Day', 1990, 12, 25, NULL)
), by_rule AS (
    SELECT holiday, weekday, make_date(y, month, day) AS day FROM years JOIN rules ON y >= since
), full_moons AS (
    SELECT y, 21 + (204 - 11 * (y % 19)) % 30 AS moon FROM years
), easters AS (
    -- Easter as a day of March
    SELECT y, march + 7 - (y + y // 4 + march + 1) % 7 AS easter
    FROM (SELECT y, moon - (moon > 48)::INTEGER AS march FROM full_moons)
), holidays AS (
    SELECT CASE WHEN weekday IS NOT NULL THEN day + (weekday + 7 - isodow(day)::INTEGER) % 7
                WHEN isodow(day) = 6 THEN day - 1
                WHEN isodow(day) = 7 THEN day + 1
                ELSE day END AS date,
           holiday
    FROM by_rule WHERE NOT (holiday = 'New Year''s Day' AND isodow(day) = 6)
    UNION ALL
    SELECT make_date(y, 3, 1) + easter - 3, 'Good Friday' FROM easters
    UNION ALL
    SELECT date::DATE, holiday
    FROM (VALUES ('1994-04-27', 'Mourning for Richard Nixon'), ('2001-09-11', 'Attacks of 11 September'),
                 ('2001-09-12', 'Attacks of 11 September'), ('2001-09-13', 'Attacks of 11 September'),
                 ('2001-09-14', 'Attacks of 11 September'), ('2004-06-11', 'Mourning for Ronald Reagan'),
                 ('2007-01-02', 'Mourning for Gerald Ford'), ('2012-10-29', 'Hurricane Sandy'),
                 ('2012-10-30', 'Hurricane Sandy'), ('2018-12-05', 'Mourning for George H. W. Bush'),
                 ('2025-01-09', 'Mourning for Jimmy Carter')) AS once(date, holiday)
), early AS (
    SELECT date + 1 AS date FROM holidays WHERE holiday = 'Thanksgiving Day' AND year(date) >= 1992
    UNION ALL
    SELECT make_date(y, 12, 24) FROM years WHERE isodow(make_date(y, 12, 24)) <= 4
    UNION ALL
    SELECT make_date(y, 7, IF(y < 2013 AND isodow(make_date(y, 7, 4)) = 4, 5, 3))
    FROM years WHERE y >= 1995 AND isodow(make_date(y, 7, 3)) <= 4
    UNION ALL
    SELECT date::DATE FROM (VALUES ('1997-12-26'), ('1999-12-31'), ('2003-12-26')) AS once(date)
), days AS (
    SELECT d::DATE AS date, isodow(d) <= 5 AND holiday IS NULL AS is_open, early.date IS NOT NULL AS early_close, holiday
    FROM range(TIMESTAMP '1990-01-01', TIMESTAMP '2051-01-01', INTERVAL 1 DAY) AS days(d)
    LEFT JOIN holidays ON holidays.date = d::DATE LEFT JOIN early ON early.date = d::DATE
), hours AS (
    SELECT *, CASE WHEN NOT early_close THEN TIME '16:00'
                   WHEN year(date) < 1993 THEN TIME '14:00'
                   ELSE TIME '13:00' END AS closes
    FROM days
)
SELECT date, is_open,
       CASE WHEN is_open THEN from_zone(date + TIME '04:00', 'America/New_York') END AS pre_opens_at,
       CASE WHEN is_open THEN from_zone(date + TIME '09:30', 'America/New_York') END AS opens_at,
       CASE WHEN is_open THEN from_zone(date + closes, 'America/New_York') END AS closes_at,
       CASE WHEN is_open THEN from_zone(date + closes + INTERVAL 4 HOUR, 'America/New_York') END AS post_closes_at,
       early_close, holiday
FROM hours;
