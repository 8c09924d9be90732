-- A stock's versions follow one another: each holds until the next one does, the first from 1900 on, and one is the
-- last.
SELECT venue, symbol, valid_from, valid_to, next_from
FROM (
    SELECT *, lead(valid_from) OVER versions AS next_from, row_number() OVER versions AS number
    FROM dim_stock
    WINDOW versions AS (PARTITION BY venue, symbol ORDER BY valid_from)
)
WHERE valid_to IS DISTINCT FROM next_from OR (number = 1) <> (valid_from = '1900-01-01'::TIMESTAMP_NS)
