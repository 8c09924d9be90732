-- Bars of stocks of Alpha Vantage, CSV (`datatype=csv`): TIME_SERIES_DAILY_ADJUSTED. The symbol stands in the file's
-- name at most, as in `daily_adjusted_IBM.csv` or `IBM_daily.csv`.
-- Days begin at New York's midnight. `adjusted_close` becomes adj_close, `dividend_amount` dividend; the other prices
-- are as traded. Splits (`split_coefficient`) are not kept.
-- Whether the newest bar is over, the file does not say: is_final is NULL.
-- Columns: alphavantage.co/documentation.
-- @into bars
-- @columns timestamp, open, high, low, close, adjusted_close, volume, dividend_amount, split_coefficient
SELECT file_row, coalesce(given_venue, 'alpha_vantage') AS venue, coalesce(given_symbol, upper(named)) AS symbol,
       from_zone(TRY_CAST(timestamp AS TIMESTAMP), 'America/New_York') AS ts, '1d' AS "interval",
       to_number(open) AS open, to_number(high) AS high, to_number(low) AS low, to_number(close) AS close,
       to_number(adjusted_close) AS adj_close, to_number(volume) AS volume, to_number(dividend_amount) AS dividend
FROM (
    SELECT *, coalesce(nullif(regexp_extract(file_name, '(?:adjusted|daily)_([^_]+?)(?:\.csv.*)?$', 1, 'i'), ''),
                       nullif(regexp_extract(file_name, '^([^_]+)_daily', 1, 'i'), '')) AS named
    FROM file
)
