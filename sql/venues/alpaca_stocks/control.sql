-- Messages that are no market data: what the venue says of connection, authentication and subscriptions, if all of an
-- array is that, and REST bodies without records: null, or of each symbol null. An error (`error`) stays a dead letter.
-- It is shown every message: an array in which there is an element of a kind that no file here reads is a dead letter,
-- too, whatever is made of the others.
SELECT seq, unread_kinds(venue, kinds, ['t', 'q', 'b', 'u', 'd', 'c', 'x', 'success', 'subscription']) AS refused
FROM (
    SELECT seq, venue, [coalesce(e.T, 'without T') FOR e IN from_json(payload, '[{"T": "VARCHAR"}]')] AS kinds
    FROM raw WHERE starts_with(payload, '[')
)
WHERE refused IS NOT NULL OR len(kinds) > 0 AND list_has_all(['success', 'subscription'], kinds)
UNION ALL
SELECT seq, NULL AS refused
FROM raw
WHERE NOT starts_with(payload, '[')
  AND regexp_full_match(coalesce(json_extract_string(payload, '$.trades'), json_extract_string(payload, '$.quotes'),
                                 json_extract_string(payload, '$.bars'),
                                 IF(json_exists(payload, '$.next_page_token'), '{}', NULL)),
                        '\[\]|\{("[^"]*":(null|\[\]),?)*\}')
