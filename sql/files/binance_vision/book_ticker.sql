-- Best bid and ask of data.binance.vision: `BTCUSDT-bookTicker-2024-03-01.csv`, of USD-M and COIN-M futures (there is
-- none of spot), with a header line. COIN-M symbols go on after `USD_`; its quantities are contracts.
-- Times are milliseconds; `transaction_time` is the matching engine's, `event_time` (not kept) that of sending, as in
-- the stream's `bookTicker`. The lines are not quite in order. A price of 0 stands for no bid, or no ask.
-- @into quotes
-- @columns update_id, best_bid_price, best_bid_qty, best_ask_price, best_ask_qty, transaction_time, event_time
-- @required update_id
-- @name *-bookTicker-*
SELECT file_row,
       coalesce(given_venue, IF(contains(named, 'USD_'), 'binance_coinm', 'binance_usdm')) AS venue,
       named AS symbol, from_epoch(transaction_time) AS ts,
       nullif(bid, 0) AS bid_price, IF(bid = 0, NULL, coalesce(TRY_CAST(best_bid_qty AS DOUBLE), 'nan')) AS bid_size,
       nullif(ask, 0) AS ask_price, IF(ask = 0, NULL, coalesce(TRY_CAST(best_ask_qty AS DOUBLE), 'nan')) AS ask_size,
       TRY_CAST(update_id AS UBIGINT) AS update_id
FROM (
    SELECT *, coalesce(given_symbol, nullif(regexp_extract(file_name, '^(.+)-bookTicker-', 1), '')) AS named,
           -- What is no number is refused as NaN, and not taken for no bid.
           coalesce(TRY_CAST(best_bid_price AS DOUBLE), 'nan') AS bid,
           coalesce(TRY_CAST(best_ask_price AS DOUBLE), 'nan') AS ask
    FROM file
)
