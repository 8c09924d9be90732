-- Messages that are no market data, of both versions: heartbeats, the exchange's status, answers to subscribe,
-- unsubscribe and ping, and REST answers without a record. Refusals (`status` error, `success` false) stay dead
-- letters.
-- The text filters begin with no quotation mark on purpose: a rare first character is found many times faster.
-- @match event"
-- @match method"
-- @match heartbeat"
-- @match status"
-- @match error":[]
SELECT seq FROM raw
WHERE CASE
    WHEN contains(payload, 'error":[]')
    THEN len([v FOR v IN json_extract(payload, '$.result.*') IF json_type(v) = 'ARRAY']) > 0
         AND len([v FOR v IN json_extract(payload, '$.result.*') IF json_array_length(v) > 0]) = 0
    WHEN contains(payload, 'event"')
    THEN json_extract_string(payload, '$.event') IN ('heartbeat', 'systemStatus', 'subscriptionStatus', 'pong')
         AND json_extract_string(payload, '$.status') IS DISTINCT FROM 'error'
    WHEN contains(payload, 'method"')
    THEN json_extract_string(payload, '$.method') IN ('subscribe', 'unsubscribe', 'pong')
         AND json_extract_string(payload, '$.success') IS DISTINCT FROM 'false'
    WHEN contains(payload, 'heartbeat"') OR contains(payload, 'status"')
    THEN json_extract_string(payload, '$.channel') IN ('heartbeat', 'status')
END
