-- Messages that are no market data: answers to subscribe and unsubscribe, the notice of a service upgrade, counts of
-- connections, the answer to our ping, and REST answers without a record. An `error` stays a dead letter.
-- The text filters begin with no quotation mark on purpose: a rare first character is found many times faster.
-- @match event"
-- @match pong
-- @match data":[]
SELECT seq FROM raw
WHERE CASE
    WHEN payload = 'pong' THEN true
    WHEN contains(payload, 'event"')
    THEN json_extract_string(payload, '$.event') IN ('subscribe', 'unsubscribe', 'notice', 'channel-conn-count')
    WHEN contains(payload, 'code"')
    THEN json_extract_string(payload, '$.code') = '0' AND json_array_length(payload, '$.data') = 0
END
