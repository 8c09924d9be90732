-- What a venue folder here is called that reads what Tardis calls an exchange: the inverse of tardis_exchange.
-- Arguments: exchange (Tardis' name).
-- Result: VARCHAR; the exchange itself where no venue folder has another name for it.
-- Example: SELECT tardis_venue('binance-futures') AS venue;
CREATE OR REPLACE MACRO tardis_venue(exchange) AS
    CASE exchange::VARCHAR WHEN 'binance' THEN 'binance_spot' WHEN 'binance-futures' THEN 'binance_usdm'
                           WHEN 'binance-delivery' THEN 'binance_coinm' WHEN 'okex' THEN 'okx'
                           WHEN 'okex-swap' THEN 'okx' WHEN 'okex-futures' THEN 'okx' WHEN 'okex-options' THEN 'okx'
                           ELSE exchange::VARCHAR END;
