-- Trades and quotes in one relation of the shape people know. A quote has bid and ask, a trade has last and
-- volume; id is the raw message's seq. Where a venue sends single and aggregate trades both, each fill is in here
-- twice: `trades` can tell them apart.
SELECT seq AS id, symbol, ts, NULL::DOUBLE AS bid, NULL::DOUBLE AS ask, price AS last, size AS volume,
       venue AS provider
FROM trades
UNION ALL
SELECT seq AS id, symbol, ts, bid_price AS bid, ask_price AS ask, NULL::DOUBLE AS last, NULL::DOUBLE AS volume,
       venue AS provider
FROM quotes;
