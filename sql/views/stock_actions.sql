-- Splits and dividends of stocks, each once: what a venue said last of a day counts. Several dividends of one day that
-- it said at once, in one message or one file, are one. A rename changes no price, and is not in here.
-- @column venue VARCHAR venue that said it
-- @column symbol VARCHAR stock, in the venue's own spelling
-- @column ex_date DATE first day on which the price is without the right
-- @column ratio DOUBLE shares after a split for one before; 1 without one
-- @column amount DOUBLE dividends, cash a share as paid; 0 without one
WITH actions AS (
    -- Of a message all rows have its seq, of a file each its own: there the last one's stands for it. A line that a file
    -- has twice is one.
    SELECT DISTINCT a.* EXCLUDE (seq, ts), coalesce(f.last_seq, a.seq) AS said
    FROM corporate_actions a
    LEFT JOIN (SELECT last_seq, last_seq - rows AS before FROM ops.file_loads WHERE into_table = 'corporate_actions') f
           ON a.seq > f.before AND a.seq <= f.last_seq
    WHERE (kind = 'split' AND ratio > 0) OR (kind = 'dividend' AND amount > 0)
)
SELECT venue, symbol, ex_date, coalesce(product(ratio ORDER BY ratio), 1) AS ratio,
       coalesce(fsum(amount ORDER BY amount), 0) AS amount
FROM (
    SELECT *, rank() OVER (PARTITION BY venue, symbol, kind, ex_date ORDER BY heard DESC, said DESC) AS age
    FROM (SELECT *, max(recv_ts) OVER (PARTITION BY venue, symbol, kind, ex_date, said) AS heard FROM actions)
)
WHERE age = 1
GROUP BY ALL
