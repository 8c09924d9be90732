-- Messages that are no market data: notes about the quota or the plan (`Note`, `Information`), and bodies that say that
-- there is nothing: no dividend or split, no overview of this symbol. An error (`Error Message`) stays a dead letter.
-- @match Note"
-- @match Information"
-- @match "data"
-- @match {}
SELECT seq FROM raw
WHERE json_exists(payload, '$.Note') OR json_exists(payload, '$.Information')
   OR json_array_length(payload, '$.data') = 0
   OR trim(payload, E' \t\r\n') = '{}'
