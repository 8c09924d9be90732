-- Bars of stocks of Alpha Vantage, CSV (`datatype=csv`): TIME_SERIES_INTRADAY, _DAILY, _WEEKLY and _MONTHLY, which all
-- have these columns. Symbol and interval stand in the file's name at most, as in `intraday_5min_IBM.csv`,
-- `weekly_IBM.csv` or `IBM_daily.csv`; where it tells no interval (nor `--set interval=1w`), dates without a time of
-- day are days.
-- Times are by New York's clock. An intraday time is taken as the bar's start, which Alpha Vantage does not document. A
-- week or month is named by its last trading day, the running one by the latest, so the bar moves to the Monday or the
-- first of the month: its start, under which a later download replaces it.
-- Whether the newest bar is over, the file does not say: is_final is NULL.
-- Columns: alphavantage.co/documentation.
-- @columns timestamp, open, high, low, close, volume
-- @optional interval
SELECT file_row, coalesce(given_venue, 'alpha_vantage') AS venue, coalesce(given_symbol, upper(named)) AS symbol,
       from_zone(CASE span WHEN '1w' THEN date_trunc('week', moment) WHEN '1M' THEN date_trunc('month', moment)
                           ELSE moment END, 'America/New_York') AS ts,
       coalesce(span, CASE WHEN length(timestamp::VARCHAR) = 10 THEN '1d' END) AS "interval",
       to_number(open) AS open, to_number(high) AS high, to_number(low) AS low, to_number(close) AS close,
       to_number(volume) AS volume
FROM (
    SELECT *, TRY_CAST(timestamp AS TIMESTAMP) AS moment,
           coalesce(
               nullif(regexp_extract(file_name, '(?:intraday|daily|weekly|monthly|\dmin)_([^_]+?)(?:\.csv.*)?$', 1, 'i'),
                      ''),
               nullif(regexp_extract(file_name, '^([^_]+)_(?:intraday|daily|weekly|monthly|\d+min)', 1, 'i'), ''))
           AS named,
           coalesce("interval"::VARCHAR, CASE lower(regexp_extract(file_name, 'daily|weekly|monthly|\d+min', 0, 'i'))
               WHEN 'daily' THEN '1d' WHEN 'weekly' THEN '1w' WHEN 'monthly' THEN '1M'
               WHEN '1min' THEN '1m' WHEN '5min' THEN '5m' WHEN '15min' THEN '15m' WHEN '30min' THEN '30m'
               WHEN '60min' THEN '1h' END) AS span
    FROM file
)
