-- Bars of stocks of Alpha Vantage, CSV (`datatype=csv`): TIME_SERIES_WEEKLY_ADJUSTED and _MONTHLY_ADJUSTED, which have
-- the same columns. Symbol and interval stand in the file's name at most, as in `weekly_adjusted_IBM.csv` or
-- `IBM_monthly.csv`; where it tells no interval (nor `--set interval=1M`), they are weeks.
-- A week or month is named by its last trading day, the running one by the latest, so the bar moves to the Monday or
-- the first of the month, New York's midnight: its start, under which a later download replaces it.
-- `adjusted close` becomes adj_close, `dividend amount` dividend; the other prices are as traded.
-- Whether the newest bar is over, the file does not say: is_final is NULL.
-- Columns: alphavantage.co/documentation.
-- @into bars
-- @columns timestamp, open, high, low, close, adjusted close, volume, dividend amount
-- @optional interval
SELECT file_row, coalesce(given_venue, 'alpha_vantage') AS venue, coalesce(given_symbol, upper(named)) AS symbol,
       from_zone(date_trunc(IF(span = '1M', 'month', 'week'), moment), 'America/New_York') AS ts, span AS "interval",
       to_number(open) AS open, to_number(high) AS high, to_number(low) AS low, to_number(close) AS close,
       to_number("adjusted close") AS adj_close, to_number(volume) AS volume, to_number("dividend amount") AS dividend
FROM (
    SELECT *, TRY_CAST(timestamp AS TIMESTAMP) AS moment,
           coalesce(
               nullif(regexp_extract(file_name, '(?:adjusted|weekly|monthly)_([^_]+?)(?:\.csv.*)?$', 1, 'i'), ''),
               nullif(regexp_extract(file_name, '^([^_]+)_(?:weekly|monthly)', 1, 'i'), '')) AS named,
           coalesce("interval"::VARCHAR, IF(regexp_matches(file_name, 'monthly', 'i'), '1M', '1w')) AS span
    FROM file
)
