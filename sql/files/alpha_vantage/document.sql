-- Bars of stocks of Alpha Vantage, JSON: TIME_SERIES_INTRADAY, _DAILY, _WEEKLY and _MONTHLY, and those that end in
-- _ADJUSTED. The document has `Meta Data` and one time series, an object from times to bars; all numbers are texts.
-- Times are by the clock that `Meta Data` names, US/Eastern. An intraday time is taken as the bar's start, which Alpha
-- Vantage does not document. A week or month is named by its last trading day, the running one by the latest, so the
-- bar moves to the Monday or the first of the month: its start, under which a later download replaces it.
-- The newest bar can still be running, which the document does not say: its is_final is NULL.
-- `adjusted close` becomes adj_close, `dividend amount` dividend; the other prices are as traded, of intraday bars
-- adjusted unless the request said otherwise.
-- What is no such document (an error, a notice, another series) is one row without a time.
-- Keys: alphavantage.co/documentation.
-- @into bars
-- @read document
-- @columns document
SELECT file_row, coalesce(given_venue, 'alpha_vantage') AS venue, coalesce(given_symbol, ticker) AS symbol,
       CASE zone WHEN 'US/Eastern' THEN from_zone(start, 'America/New_York')
                 WHEN 'UTC' THEN TRY_CAST(start AS TIMESTAMP_NS) END AS ts,
       "interval", to_number(f[1]) AS open, to_number(f[2]) AS high, to_number(f[3]) AS low, to_number(f[4]) AS close,
       to_number(f[5]) AS adj_close, to_number(coalesce(f[6], f[7])) AS volume, to_number(f[8]) AS dividend,
       CASE WHEN moment < newest THEN true END AS is_final
FROM (
    SELECT *, CASE "interval" WHEN '1w' THEN date_trunc('week', moment) WHEN '1M' THEN date_trunc('month', moment)
                              ELSE moment END AS start
    FROM (
        SELECT *, TRY_CAST(bar.key AS TIMESTAMP) AS moment, TRY_CAST(refreshed AS TIMESTAMP) AS newest,
               json_extract_string(bar.value, ['$."1. open"', '$."2. high"', '$."3. low"', '$."4. close"',
                                               '$."5. adjusted close"', '$."6. volume"', '$."5. volume"',
                                               '$."7. dividend amount"']) AS f
        FROM (
            SELECT *, document ->> '$."Meta Data"."2. Symbol"' AS ticker,
                   document ->> '$."Meta Data"."3. Last Refreshed"' AS refreshed,
                   coalesce(document ->> '$."Meta Data"."6. Time Zone"', document ->> '$."Meta Data"."5. Time Zone"',
                            document ->> '$."Meta Data"."4. Time Zone"') AS zone,
                   CASE WHEN name LIKE 'Weekly%' THEN '1w'
                        WHEN name LIKE 'Monthly%' THEN '1M'
                        WHEN name LIKE '%(Daily)' THEN '1d'
                        WHEN name LIKE '%(60min)' THEN '1h'
                        ELSE regexp_extract(name, '\((\d+m)in\)', 1) END AS "interval",
                   unnest(coalesce(nullif(map_entries(from_json(document -> ('$."' || name || '"'),
                                                                '"MAP(VARCHAR, JSON)"')), []), [NULL])) AS bar
            FROM (
                SELECT *, list_filter(json_keys(document), lambda k: regexp_matches(k,
                              '^(Time Series \((Daily|\d+min)\)|(Weekly|Monthly) (Adjusted )?Time Series)$'))[1] AS name
                FROM file
            )
        )
    )
)
