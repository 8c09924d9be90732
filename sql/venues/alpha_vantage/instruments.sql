-- What a company is: OVERVIEW. The venue does not say since when, so a version holds from when it was received. Of the
-- many figures in it only what describes the stock is taken; they stay in raw.
-- @match AssetType
SELECT seq, recv_ts, venue, upper(coalesce(f[1], symbol)) AS symbol, recv_ts AS ts,
       CASE f[2] WHEN 'Common Stock' THEN 'equity' ELSE lower(f[2]) END AS asset_class,
       f[3] AS name, f[4] AS "quote", f[5] AS exchange, f[6] AS sector, f[7] AS industry
FROM (
    -- What is not known is written None, or a dash.
    SELECT *, [IF(x IN ('', '-', 'None'), NULL, x)
               FOR x IN json_extract_string(payload, ['$.Symbol', '$.AssetType', '$.Name', '$.Currency', '$.Exchange',
                                                      '$.Sector', '$.Industry'])] AS f
    FROM raw WHERE json_exists(payload, '$.AssetType')
)
