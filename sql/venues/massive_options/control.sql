-- Messages that are no market data: what the venue says of connection, authentication and subscriptions, if all of an
-- array is that, and REST bodies without results. A refusal (`auth_failed`, `error` …) stays a dead letter.
-- @match status"
SELECT seq FROM raw
WHERE IF(starts_with(payload, '['),
         json_array_length(payload) > 0
         AND len(list_filter(json_extract_string(payload, '$[*].ev'), lambda ev: ev = 'status')) = json_array_length(payload)
         AND len(list_filter(json_extract_string(payload, '$[*].status'),
                             lambda status: status IN ('connected', 'auth_success', 'success')))
             = json_array_length(payload),
         json_extract_string(payload, '$.status') IN ('OK', 'DELAYED') AND json_exists(payload, '$.request_id')
         AND coalesce(json_array_length(payload, '$.results'), 0) = 0)
