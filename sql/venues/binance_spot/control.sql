-- Messages that are no market data: answers to SUBSCRIBE, UNSUBSCRIBE and LIST_SUBSCRIPTIONS, the notice that the
-- server is about to close the connection, and REST answers without a record. An error answer has no `result`, and so
-- stays a dead letter.
-- The text filters begin with no quotation mark on purpose: a rare first character is found many times faster.
-- @match result"
-- @match serverShutdown"
-- @match []
SELECT seq FROM raw
WHERE CASE
    WHEN trim(payload) = '[]' THEN true
    WHEN contains(payload, 'result"')
    THEN json_type(payload, '$.result') IN ('NULL', 'ARRAY')
         AND json_exists(payload, '$.id') AND NOT json_exists(payload, '$.data')
    WHEN contains(payload, 'serverShutdown"')
    THEN 'serverShutdown' IN (json_extract_string(payload, '$.e'), json_extract_string(payload, '$.data.e'))
END
