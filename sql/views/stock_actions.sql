-- Splits and dividends of stocks, each once: what a venue said last of a day counts. Several dividends of one day that
-- it said at once are one. A rename changes no price, and is not in here.
-- @column venue VARCHAR venue that said it
-- @column symbol VARCHAR stock, in the venue's own spelling
-- @column ex_date DATE first day on which the price is without the right
-- @column ratio DOUBLE shares after a split for one before; 1 without one
-- @column amount DOUBLE dividends, cash a share as paid; 0 without one
SELECT venue, symbol, ex_date, coalesce(product(ratio ORDER BY ratio), 1) AS ratio,
       coalesce(fsum(amount ORDER BY amount), 0) AS amount
FROM (
    SELECT *, rank() OVER (PARTITION BY venue, symbol, kind, ex_date ORDER BY recv_ts DESC, seq DESC) AS age
    FROM corporate_actions
    WHERE (kind = 'split' AND ratio > 0) OR (kind = 'dividend' AND amount > 0)
)
WHERE age = 1
GROUP BY ALL
