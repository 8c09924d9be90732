-- What is traded: one row a version of an instrument (SCD type 2). A version holds from ts until the
-- next one's ts.
-- @key venue, symbol, ts
CREATE TABLE IF NOT EXISTS hot.instruments (
    seq           UBIGINT NOT NULL,      -- raw message this row was made from
    venue         VARCHAR NOT NULL,      -- venue folder's name, e.g. 'binance_spot'
    symbol        VARCHAR NOT NULL,      -- instrument, in the venue's own spelling
    ts            TIMESTAMP_NS NOT NULL, -- time from which this version holds, UTC
    recv_ts       TIMESTAMP_NS NOT NULL, -- time the message was received here, UTC
    asset_class   VARCHAR,               -- 'crypto', 'equity', 'future', 'perpetual', 'option', 'fx', 'index' …
    name          VARCHAR,               -- instrument's full name
    base          VARCHAR,               -- what is traded: base currency, or the underlying
    quote         VARCHAR,               -- currency the price is in
    tick_size     DOUBLE,                -- smallest price step, in quote currency
    lot_size      DOUBLE,                -- smallest quantity step, same unit as trades.size
    contract_size DOUBLE,                -- what one contract stands for; 1 or NULL where size is no number of contracts
    exchange      VARCHAR,               -- primary exchange, where the venue is not one itself
    sector        VARCHAR,               -- sector, in the venue's own words
    industry      VARCHAR,               -- industry, in the venue's own words
    listed_on     DATE,                  -- first day of trading
    expires_on    DATE,                  -- last day of trading of a dated contract
    delisted_on   DATE,                  -- day of delisting; NULL while listed
    status        VARCHAR                -- trading status, in the venue's own words
);
