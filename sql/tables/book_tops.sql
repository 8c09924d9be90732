-- The top of the rebuilt book after each applied update. Written by the book engine, not by a
-- normalizer.
-- @delta seq, ts, recv_ts, last_id
-- @plain bid_size, ask_size, mid
-- @split imbalance_5
CREATE TABLE IF NOT EXISTS hot.book_tops (
    seq         UBIGINT NOT NULL,      -- raw message this row was made from
    venue       VARCHAR NOT NULL,      -- venue folder's name, e.g. 'binance_spot'
    symbol      VARCHAR NOT NULL,      -- instrument, in the venue's own spelling
    ts          TIMESTAMP_NS NOT NULL, -- venue's event time, UTC; equals recv_ts where the venue gives none
    recv_ts     TIMESTAMP_NS NOT NULL, -- time the message was received here, UTC
    last_id     UBIGINT,               -- update id the book stands at
    bid_price   DOUBLE,                -- best bid, in quote currency; NULL if that side is empty
    bid_size    DOUBLE,                -- quantity at the best bid, same unit as trades.size
    ask_price   DOUBLE,                -- best ask, in quote currency; NULL if that side is empty
    ask_size    DOUBLE,                -- quantity at the best ask, same unit as trades.size
    spread      DOUBLE,                -- ask_price - bid_price, in quote currency
    mid         DOUBLE,                -- (bid_price + ask_price) / 2, in quote currency
    imbalance_5 DOUBLE,                -- (bids - asks) / (bids + asks), quantity of the best five levels: -1 … 1
    epoch       UINTEGER NOT NULL      -- counts the unbroken stretches of a book: one more after each gap or snapshot
);
