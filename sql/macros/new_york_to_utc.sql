-- A moment told by New York's clock, in UTC. Summer time as it has been since 1976: from the second Sunday of March to
-- the first of November; from 1987 to 2006 from the first Sunday of April to the last of October; before, from the last
-- of April. The clock changes at 2:00. What is earlier, or later than 2099, can be an hour off.
-- Of the hour that comes twice it is the first; the hour that is skipped counts as if the clock had not changed yet. In
-- the formula (1 + 5 * year // 4) % 7 gives the day of the week; moments are compared as month, day and hour.
-- Arguments: ts (TIMESTAMP, TIMESTAMP_NS or DATE).
-- Result: TIMESTAMP_NS; NULL if out of range. Never an error.
-- Example: SELECT new_york_to_utc('2024-07-01 09:30'::TIMESTAMP) AS opening;
CREATE OR REPLACE MACRO new_york_to_utc(ts) AS make_timestamp_ns(CASE
    WHEN epoch_ns(TRY_CAST(ts AS TIMESTAMP_NS)) < 9223350000000000000
    THEN epoch_ns(TRY_CAST(ts AS TIMESTAMP_NS)) + CASE
        WHEN month(ts) * 10000 + day(ts) * 100 + hour(ts) BETWEEN 3 + 100 * CASE
                 WHEN year(ts) >= 2007 THEN 314 - (1 + 5 * year(ts) // 4) % 7
                 WHEN year(ts) >= 1987 THEN 401 + (10 - (1 + 5 * year(ts) // 4) % 7) % 7
                 ELSE 424 + (8 - (1 + 5 * year(ts) // 4) % 7) % 7
             END
             AND 1 + 100 * (CASE WHEN year(ts) >= 2007 THEN 1107 ELSE 1031 END - (1 + 5 * year(ts) // 4) % 7)
        THEN 14400000000000 ELSE 18000000000000 END
END);
