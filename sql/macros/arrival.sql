-- The place of a trade among others as one value: by ts, among equal ts by seq, and among trades of one message by
-- trade_id: the shorter first, then as text, so that numbers are in their order.
-- Arguments: ts (TIMESTAMP_NS), seq (of the raw message), trade_id (text or NULL, which comes last).
-- Result: BLOB.
-- Example: SELECT arg_max(price, arrival(ts, seq, trade_id)) FROM trades WHERE symbol = 'BTCUSDT';
CREATE OR REPLACE MACRO arrival(ts, seq, trade_id) AS
    create_sort_key(ts, 'ASC NULLS LAST', seq, 'ASC NULLS LAST', strlen(trade_id), 'ASC NULLS LAST',
                    trade_id, 'ASC NULLS LAST');
