-- The place of a trade among others as one number: by ts, among equal ts by seq, and among trades of one message by
-- the number in trade_id. An id without a number counts as 0.
-- Arguments: ts (TIMESTAMP_NS), seq (of the raw message, below 2^44), trade_id (text or NULL).
-- Result: HUGEINT.
-- Example: SELECT arg_max(price, arrival(ts, seq, trade_id)) FROM trades WHERE symbol = 'BTCUSDT';
CREATE OR REPLACE MACRO arrival(ts, seq, trade_id) AS
    epoch_ns(ts)::HUGEINT * 18446744073709551616 + seq::UBIGINT * 1048576
    + coalesce(try_cast(trade_id AS UBIGINT), 0) % 1048576;
