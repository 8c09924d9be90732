-- Now, in UTC as all times here are: the start of the statement's transaction, the same for all rows of a query.
-- `now()` has a time zone, for which there is no arithmetic here.
-- Result: TIMESTAMP_NS, to the microsecond.
-- Example: FROM trades WHERE ts > now_utc() - INTERVAL 1 HOUR;
CREATE OR REPLACE MACRO now_utc() AS make_timestamp_ns(epoch_ns(now()));
