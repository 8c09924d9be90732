-- Messages that are no market data: what is sent when a request was granted, and REST answers and snapshots without a
-- record. An `error` stays a dead letter.
-- The text filters begin with no quotation mark on purpose: a rare first character is found many times faster.
-- @match result"
-- @match []
SELECT seq FROM raw
WHERE CASE
    WHEN trim(payload) = '[]' THEN true
    WHEN contains(payload, 'result"') THEN json_extract_string(payload, '$.result') = 'true'
    WHEN contains(payload, 'data":[]')
    THEN json_extract_string(payload, '$.method') IN ('snapshotTrades', 'updateTrades', 'snapshotCandles',
                                                      'updateCandles')
         AND json_array_length(payload, '$.params.data') = 0
END
