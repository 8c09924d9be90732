-- The rows of a table that fall into an exchange's regular hours, by the calendars of `exchange_days`.
-- Arguments: rel (name of a table or view that has ts, as text), calendar (text: 'XNYS', 'XNAS', '24x7', or your own),
-- extended (true adds trading before and after regular hours), days (name of a table or view like `exchange_days`, as
-- text).
-- Result: the columns of rel. An unknown calendar is an error.
-- Example: SELECT symbol, sum(size) FROM in_session('trades', 'XNYS') WHERE ts >= '2024-07-01' GROUP BY symbol;
CREATE OR REPLACE MACRO in_session(rel, calendar, extended := false, days := 'exchange_days') AS TABLE
WITH own_days AS MATERIALIZED (
    SELECT is_open, IF(extended, pre_opens_at, opens_at) AS starts, IF(extended, post_closes_at, closes_at) AS ends
    FROM query_table(days) AS e WHERE e.calendar = calendar
), by_date AS (
    -- a session may reach into the UTC dates around its own
    SELECT unnest(range(date_trunc('day', starts::TIMESTAMP), ends::TIMESTAMP, INTERVAL 1 DAY))::DATE AS date,
           starts, ends
    FROM own_days WHERE is_open
)
SELECT r.* FROM query_table(rel) AS r
-- `ts::DATE` would put the last half microsecond of a date into the next one.
SEMI JOIN by_date AS h ON bucket_start(r.ts, '1 day')::DATE = h.date AND r.ts >= h.starts AND r.ts < h.ends
WHERE calendar IS DISTINCT FROM '24x7' AND (
    SELECT IF(count(*) = 0 AND calendar IS DISTINCT FROM '24x7',
              error('there is no calendar ''' || coalesce(calendar, 'NULL') || ''' in ' || days), true) FROM own_days)
UNION ALL
SELECT r.* FROM query_table(rel) AS r WHERE calendar = '24x7';
