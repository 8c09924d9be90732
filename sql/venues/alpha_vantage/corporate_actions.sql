-- Splits and dividends: SPLITS, DIVIDENDS, and the days of TIME_SERIES_DAILY_ADJUSTED that have one. An amount is cash a
-- share as it was paid, not adjusted for later splits; the venue does not name its currency.
-- ts is the start of the day in New York. An action without its number is refused: its kind is left out then.
-- @match ex_dividend_date
-- @match split_factor
-- @match split coefficient
SELECT seq, recv_ts, venue, symbol, from_zone(a.ex_date, 'America/New_York') AS ts,
       IF(a.number IS NULL, NULL, a.kind) AS kind,
       a.ex_date, IF(a.kind = 'split', a.number, NULL) AS ratio, IF(a.kind = 'dividend', a.number, NULL) AS amount,
       a.declared_on, a.record_date, a.pay_date
FROM (
    SELECT seq, recv_ts, venue, upper(coalesce(payload ->> '$.symbol', symbol)) AS symbol,
           {kind: IF(f[1] IS NULL, 'dividend', 'split'), number: to_number(coalesce(f[2], f[4])),
            ex_date: TRY_CAST(coalesce(f[1], f[3]) AS DATE), declared_on: TRY_CAST(f[5] AS DATE),
            record_date: TRY_CAST(f[6] AS DATE), pay_date: TRY_CAST(f[7] AS DATE)} AS a
    FROM (
        SELECT *, json_extract_string(e, ['$.effective_date', '$.split_factor', '$.ex_dividend_date', '$.amount',
                                          '$.declaration_date', '$.record_date', '$.payment_date']) AS f
        FROM (SELECT *, unnest(json_extract(payload, '$.data[*]')) AS e FROM raw)
    )
    UNION ALL
    SELECT seq, recv_ts, venue, upper(coalesce(payload ->> '$."Meta Data"."2. Symbol"', symbol)) AS symbol,
           unnest(list_filter(
               [{kind: 'split', number: nullif(to_number(f[1]), 1), ex_date: on_day, declared_on: NULL::DATE,
                 record_date: NULL::DATE, pay_date: NULL::DATE},
                {kind: 'dividend', number: nullif(to_number(f[2]), 0), ex_date: on_day, declared_on: NULL::DATE,
                 record_date: NULL::DATE, pay_date: NULL::DATE}],
               lambda a: a.number IS NOT NULL)) AS a
    FROM (
        SELECT *, TRY_CAST(day.key AS DATE) AS on_day,
               json_extract_string(day.value, ['$."8. split coefficient"', '$."7. dividend amount"']) AS f
        FROM (
            SELECT *, unnest(map_entries(from_json(payload -> '$."Time Series (Daily)"', '"MAP(VARCHAR, JSON)"'))) AS day
            FROM raw WHERE contains(payload, '"8. split coefficient"')
        )
    )
)
