-- Messages that are no market data: what the venue says of connection, authentication and subscriptions, if all of an
-- array is that, and REST bodies without records. An error (`error`) stays a dead letter.
-- @match success"
-- @match subscription"
-- @match next_page_token"
SELECT seq FROM raw
WHERE IF(starts_with(payload, '['),
         json_array_length(payload) > 0
         AND len(list_filter(json_extract_string(payload, '$[*].T'), lambda kind: kind IN ('success', 'subscription')))
             = json_array_length(payload),
         json_exists(payload, '$.next_page_token')
         AND coalesce(json_extract_string(payload, '$.trades'), json_extract_string(payload, '$.quotes'),
                      json_extract_string(payload, '$.bars'), '{}') IN ('{}', '[]'))
