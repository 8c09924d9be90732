-- The moment of UTC at which the clocks of a time zone show a time: the inverse of `at_zone`.
-- Of an hour that comes twice it is the first. An hour that is skipped counts as if the clock had not changed yet: 2:30
-- is half an hour after the change, when the clock shows 3:30.
-- Arguments: ts (TIMESTAMP_NS, TIMESTAMP, DATE, or text that is one; by the zone's clock), zone (a name such as
-- 'America/New_York').
-- Result: TIMESTAMP_NS, exact; NULL if ts is no time, infinite or out of range, or zone is NULL. A name that is no
-- zone's is an error.
-- Example: FROM trades WHERE ts >= from_zone('2024-07-01 09:30', 'America/New_York');
CREATE OR REPLACE MACRO from_zone(ts, zone) AS from_zone_number(
    CASE WHEN typeof(ts) = 'VARCHAR' AND regexp_full_match(ts::VARCHAR, '.{10,}([+-]\d\d(:?\d\d)?|Z| UTC)')
         -- Not by `error`: see below.
         THEN make_timestamp_ns((
             'mdb: ''' || ts::VARCHAR || ''' says its offset itself: from_zone takes a local time, to_moment this one'
         )::BIGINT)
         ELSE TRY_CAST(ts AS TIMESTAMP_NS) END,
    -- `error` would count as a side effect, and the result could not be used by its alias.
    CASE WHEN zone_number(zone) < 0 THEN zone_problem(zone)::INTEGER ELSE zone_number(zone) END);
