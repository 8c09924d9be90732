-- Which part of an exchange's day a moment falls into, by the calendars of `exchange_days`.
-- Arguments: ts (TIMESTAMP_NS, TIMESTAMP or DATE, UTC), calendar (constant text: 'XNYS', 'XNAS', '24x7', or your own),
-- days (name of a table or view like `exchange_days`, as text).
-- Result: STRUCT of date (the trading day, by the exchange's date), kind ('pre', 'regular', 'post' or 'closed'),
-- opens_at and closes_at (regular hours of that day, TIMESTAMP_NS, UTC), minutes_since_open (whole ones, negative
-- before). Hours begin with their first moment and end before their last. Where it is 'closed' all but kind are NULL.
-- 24x7 has UTC days, all of them regular. NULL if ts is NULL or a date the calendar has not; an unknown calendar is an
-- error.
-- A mart by windows that calls it says `-- @whole exchange_days`.
-- It costs about 0.3 µs a row. If you only want the rows of regular hours, `in_session` is many times quicker.
-- Example: SELECT s.date, s.kind, sum(size) FROM (SELECT size, session(ts, 'XNYS') AS s FROM trades) GROUP BY ALL;
CREATE OR REPLACE MACRO session(ts, calendar, days := 'exchange_days') AS CASE
    WHEN ts IS NULL THEN NULL
    -- Dates by bucket_start: `ts::DATE` would put the last half microsecond of a date into the next one.
    WHEN calendar = '24x7' THEN {
        date: bucket_start(ts::TIMESTAMP_NS, '1 day')::DATE, kind: 'regular',
        opens_at: bucket_start(ts::TIMESTAMP_NS, '1 day'),
        closes_at: (bucket_start(ts::TIMESTAMP_NS, '1 day')::DATE + 1)::TIMESTAMP_NS,
        minutes_since_open: (epoch_ns(ts::TIMESTAMP_NS) - epoch_ns(bucket_start(ts::TIMESTAMP_NS, '1 day'))) // 60000000000}
    -- The list has an item for each date of UTC since 1970, itself a list of one: the sessions that touch the date, which
    -- may be those of the dates around. It is NULL where the calendar has no date. The list is made once in a query; an
    -- item is found without a search. No window function makes it, for a mart by windows may have none.
    ELSE list_transform((
        SELECT list_concat(list_resize(touching[:0], first - DATE '1970-01-01'), touching)
        FROM (
            SELECT CASE
                WHEN count(*) = 0 AND calendar IS DISTINCT FROM '24x7'
                THEN error('there is no calendar ''' || coalesce(calendar, 'NULL') || ''' in ' || days)
                WHEN max(d.date) - min(d.date) >= count(*)
                THEN error(days || ' lacks dates of the calendar ''' || calendar || '''')
                ELSE list([d.sessions] ORDER BY d.date)
            END AS touching, min(d.date) AS first
            FROM (
                SELECT t.date, coalesce(list(t.own ORDER BY t.own.date)
                                        FILTER (t.own.starts < t.date + 1 AND t.own.ends > t.date), []) AS sessions
                FROM (SELECT e.date + unnest([-1, 0, 1]) AS date,
                             {date: e.date, starts: pre_opens_at, opens: opens_at, closes: closes_at,
                              ends: post_closes_at} AS own
                      FROM query_table(days) AS e WHERE e.calendar = calendar AND e.date >= DATE '1970-01-01') AS t
                GROUP BY t.date HAVING bool_or(t.own.date = t.date)
            ) AS d
        )
    )[greatest(bucket_start(TRY_CAST(ts AS TIMESTAMP_NS), '1 day')::DATE - DATE '1970-01-01' + 1, 0)], lambda sessions: coalesce(
        list_transform(
            list_filter(sessions, lambda s: ts >= s.starts AND ts < s.ends),
            lambda s: {
                date: s.date,
                kind: CASE WHEN ts < s.opens THEN 'pre' WHEN ts < s.closes THEN 'regular' ELSE 'post' END,
                opens_at: s.opens, closes_at: s.closes,
                minutes_since_open: floor((epoch_ns(ts::TIMESTAMP_NS) - epoch_ns(s.opens)) / 60000000000)::BIGINT})[1],
        {date: NULL::DATE, kind: 'closed', opens_at: NULL::TIMESTAMP_NS, closes_at: NULL::TIMESTAMP_NS,
         minutes_since_open: NULL::BIGINT}))[1]
END;
