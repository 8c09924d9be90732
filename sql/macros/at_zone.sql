-- What the clocks of a time zone show at a moment of UTC. The zones are those of the IANA database inside mdb, the same
-- on every machine. Plain DuckDB has not got this function; where it has ICU, `timezone` does the like.
-- Arguments: ts (TIMESTAMP_NS, TIMESTAMP, DATE, or text that is one; UTC, or by the text's offset), zone (a name such
-- as 'America/New_York').
-- Result: TIMESTAMP_NS, exact; NULL if ts is no time, infinite or out of range, or zone is NULL. A name that is no
-- zone's is an error.
-- Example: SELECT hour(at_zone(ts, 'America/New_York')) AS hour, sum(size) FROM trades GROUP BY ALL;
CREATE OR REPLACE MACRO at_zone(ts, zone) AS at_zone_number(
    -- Of a text the cast would pass over the offset.
    CASE WHEN typeof(ts) = 'VARCHAR' THEN from_iso(ts::VARCHAR) ELSE TRY_CAST(ts AS TIMESTAMP_NS) END,
    -- `error` would count as a side effect, and the result could not be used by its alias.
    CASE WHEN zone_number(zone) < 0 THEN zone_problem(zone)::INTEGER ELSE zone_number(zone) END);
