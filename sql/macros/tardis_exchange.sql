-- What Tardis calls a venue: the inverse of tardis_venue.
-- Arguments: venue, symbol (OKX is four exchanges there, told by the symbol).
-- Result: VARCHAR; the venue itself where Tardis has no other name.
-- Example: SELECT tardis_exchange('binance_usdm', 'BTCUSDT') AS exchange;
CREATE OR REPLACE MACRO tardis_exchange(venue, symbol) AS
    CASE venue WHEN 'binance_spot' THEN 'binance' WHEN 'binance_usdm' THEN 'binance-futures'
               WHEN 'binance_coinm' THEN 'binance-delivery'
               WHEN 'okx' THEN CASE WHEN symbol LIKE '%-SWAP' THEN 'okex-swap'
                                    WHEN regexp_full_match(symbol, '.*-[CP]') THEN 'okex-options'
                                    WHEN regexp_full_match(symbol, '.*-\d{6}') THEN 'okex-futures' ELSE 'okex' END
               ELSE venue END;
