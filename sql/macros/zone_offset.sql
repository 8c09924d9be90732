-- How far the clocks of a time zone are ahead of UTC at a moment of UTC; west of Greenwich it is negative.
-- Arguments: ts (TIMESTAMP_NS, TIMESTAMP, DATE, or text that is one; UTC, or by the text's offset), zone (a name such
-- as 'America/New_York').
-- Result: INTERVAL; NULL if ts is no time, infinite or out of range, or zone is NULL. A name that is no zone's is an
-- error.
-- Example: SELECT zone_offset('2024-07-01', 'America/New_York') AS summer;
CREATE OR REPLACE MACRO zone_offset(ts, zone) AS to_microseconds(zone_offset_ns(
    -- Of a text the cast would pass over the offset.
    CASE WHEN typeof(ts) = 'VARCHAR' THEN from_iso(ts::VARCHAR) ELSE TRY_CAST(ts AS TIMESTAMP_NS) END,
    -- `error` would count as a side effect, and the result could not be used by its alias.
    CASE WHEN zone_number(zone) < 0 THEN zone_problem(zone)::INTEGER ELSE zone_number(zone) END) // 1000);
