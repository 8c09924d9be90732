-- The symbol that a macro is asked for: the one given, or without one the session's, which `.symbol` sets in the shell
-- and `mdb sql --param symbol=BTCUSDT` for a script.
-- Arguments: sym (symbol or NULL).
-- Result: VARCHAR; an error if there is neither.
-- Example: FROM trades WHERE symbol = asked_symbol('BTCUSDT');
CREATE OR REPLACE MACRO asked_symbol(sym) AS coalesce(
    sym, getvariable('symbol'),
    -- `error` would count as a side effect: no constant would come of it, by which row groups can be skipped.
    'mdb: no symbol: it is an argument, or what .symbol or mdb sql --param symbol=… set'::UBIGINT::VARCHAR);
