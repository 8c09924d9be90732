-- Messages that are no market data: the list of subscriptions that answers (un)subscribing, heartbeats, the products'
-- status, and REST answers without a record. An `error` stays a dead letter.
-- The text filters begin with no quotation mark on purpose: a rare first character is found many times faster.
-- @match subscriptions"
-- @match heartbeat"
-- @match status"
-- @match []
SELECT seq FROM raw
WHERE CASE
    WHEN trim(payload) = '[]' THEN true
    WHEN contains(payload, 'subscriptions"') OR contains(payload, 'heartbeat"') OR contains(payload, 'status"')
    THEN json_extract_string(payload, '$.type') IN ('subscriptions', 'heartbeat', 'status')
END
