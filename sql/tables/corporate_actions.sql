-- Splits, dividends and renames. ts is when the venue made it known, or the start of ex_date where it
-- does not say.
CREATE TABLE IF NOT EXISTS hot.corporate_actions (
    seq         UBIGINT NOT NULL,      -- raw message this row was made from
    venue       VARCHAR NOT NULL,      -- venue folder's name, e.g. 'binance_spot'
    symbol      VARCHAR NOT NULL,      -- instrument, in the venue's own spelling
    ts          TIMESTAMP_NS NOT NULL, -- venue's event time, UTC; equals recv_ts where the venue gives none
    recv_ts     TIMESTAMP_NS NOT NULL, -- time the message was received here, UTC
    kind        VARCHAR NOT NULL,      -- 'split', 'dividend' or 'rename'
    ex_date     DATE NOT NULL,         -- first day on which the price is without the right
    ratio       DOUBLE,                -- split: shares after for one share before, e.g. 4 for 4:1
    amount      DOUBLE,                -- dividend: cash a share, in `currency`
    currency    VARCHAR,               -- currency of `amount`
    new_symbol  VARCHAR,               -- rename: the symbol from ex_date on
    declared_on DATE,                  -- day of announcement
    record_date DATE,                  -- day whose holders are entitled
    pay_date    DATE                   -- day of payment
);
