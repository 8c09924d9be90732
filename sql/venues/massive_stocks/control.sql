-- Messages that are no market data: what the venue says of connection, authentication and subscriptions, if all of an
-- array is that, and REST bodies without results. A refusal (`auth_failed`, `error` …) stays a dead letter.
-- It is shown every message: an array in which there is a refusal, or an element of a kind that no file here reads, is a
-- dead letter, too, whatever is made of the others.
-- Bars are as traded. Those that the venue has adjusted for splits, as /v2/aggs does unless it is told otherwise, say so.
SELECT seq, unread_kinds(venue, kinds, ['T', 'Q', 'A', 'AM'] || granted) AS refused
FROM (
    SELECT seq, venue, ['status connected', 'status auth_success', 'status success'] AS granted,
           [IF(e.ev = 'status', concat_ws(' ', e.ev, e.status), coalesce(e.ev, 'without ev'))
            FOR e IN from_json(payload, '[{"ev": "VARCHAR", "status": "VARCHAR"}]')] AS kinds
    FROM raw WHERE starts_with(payload, '[')
)
WHERE refused IS NOT NULL OR len(kinds) > 0 AND list_has_all(granted, kinds)
UNION ALL
SELECT seq, NULL AS refused
FROM raw
WHERE NOT starts_with(payload, '[')
  AND json_extract_string(payload, '$.status') IN ('OK', 'DELAYED') AND json_exists(payload, '$.request_id')
  AND coalesce(json_array_length(payload, '$.results'), 0) = 0
UNION ALL
SELECT seq, 'its bars are adjusted for splits ("adjusted":true), not as traded: ask for them with adjusted=false' AS refused
FROM raw
WHERE NOT starts_with(payload, '[') AND json_extract_string(payload, '$.adjusted') = 'true'
  AND json_exists(payload, '$.queryCount') AND json_array_length(payload, '$.results') > 0
