-- The moment of a time of day on a date, which a file has in two columns: 2024-01-02 and 09:30:00.123456789, or 20240102
-- and 93000. If the time has a date of its own, that one counts. Digits that may as well be seconds or milliseconds since
-- midnight, or hours and minutes, are no time: rather none than a wrong one.
-- Arguments: date (DATE, TIMESTAMP, number or text, as `from_iso` and `from_number` read it), time (TIME; text such as
-- '9:30' or '09:30:00.5'; six digits, or a number over 86400, of which the last four are minutes and seconds; or a moment).
-- Result: TIMESTAMP_NS; NULL if either cannot be read. Never an error.
-- Example: SELECT from_date_and_time('2024-01-02', '09:30:00.5') AS ts;
CREATE OR REPLACE MACRO from_date_and_time(date, time) AS CASE
    WHEN regexp_full_match(trim(time::VARCHAR), '\d{1,2}:\d\d(:\d\d([.]\d{1,9})?)?')
    THEN TRY_CAST(strftime(coalesce(from_iso(date::VARCHAR), from_number(date::VARCHAR)), '%Y-%m-%d ')
         || trim(time::VARCHAR) AS TIMESTAMP_NS)
    WHEN regexp_full_match(trim(time::VARCHAR), '\d{6}') OR TRY_CAST(time::VARCHAR AS DOUBLE) BETWEEN 86401 AND 235959
    THEN TRY_CAST(strftime(coalesce(from_iso(date::VARCHAR), from_number(date::VARCHAR)), '%Y-%m-%d ')
         || format('{:02d}:{:02d}:{:02d}', TRY_CAST(time::VARCHAR AS INTEGER) // 10000,
                   TRY_CAST(time::VARCHAR AS INTEGER) // 100 % 100, TRY_CAST(time::VARCHAR AS INTEGER) % 100) AS TIMESTAMP_NS)
    -- What is less is no second since 1970 that anybody has beside a date.
    WHEN TRY_CAST(time::VARCHAR AS DOUBLE) < 1000000000 THEN NULL
    ELSE coalesce(from_iso(time::VARCHAR), from_number(time::VARCHAR))
END;
