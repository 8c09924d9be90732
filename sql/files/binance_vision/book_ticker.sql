-- Best bid and ask of data.binance.vision: `BTCUSDT-bookTicker-2024-03-01.csv`, of USD-M and COIN-M futures (there is
-- none of spot), with a header line. COIN-M symbols go on after `USD_`; its quantities are contracts.
-- Times are milliseconds; `transaction_time` is the matching engine's, `event_time` (not kept) that of sending, as in
-- the stream's `bookTicker`. The lines are not quite in order.
-- @into quotes
-- @columns update_id, best_bid_price, best_bid_qty, best_ask_price, best_ask_qty, transaction_time, event_time
-- @required update_id, bid_price, bid_size, ask_price, ask_size
-- @name *-bookTicker-*
SELECT file_row,
       coalesce(given_venue, IF(contains(named, 'USD_'), 'binance_coinm', 'binance_usdm')) AS venue,
       named AS symbol, from_epoch(transaction_time) AS ts,
       to_number(best_bid_price) AS bid_price, to_number(best_bid_qty) AS bid_size,
       to_number(best_ask_price) AS ask_price, to_number(best_ask_qty) AS ask_size,
       TRY_CAST(update_id AS UBIGINT) AS update_id
FROM (
    SELECT *, coalesce(given_symbol, nullif(regexp_extract(file_name, '^(.+)-bookTicker-', 1), '')) AS named FROM file
)
