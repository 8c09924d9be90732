-- Bars of Databento, from DBN, its CSV or its DataFrames: schemas `ohlcv-1s`, `-1m`, `-1h` and `-1d`, made of the
-- trades of the interval; without a trade there is no bar. `rtype` tells the interval. Days are UTC days.
-- `ts_event` is the start of the interval: nanoseconds since 1970, or written out. Prices are decimals, or whole
-- numbers of 1e-9.
-- Of a dataset with several publishers the bars of each come one beside the other; only one of them is kept here. The
-- venue is the dataset (`GLBX.MDP3`), told by the file's name (`glbx-mdp3-20240108.ohlcv-1m.csv`) if nothing else; if
-- that does not tell, 'databento'.
-- Columns: databento.com/docs/schemas-and-data-formats/ohlcv.
-- @into bars
-- @columns ts_event, rtype, publisher_id, instrument_id, open, high, low, close, volume
-- @optional symbol, dataset
-- @name *.ohlcv-*, ohlcv-*
SELECT file_row,
       coalesce(given_venue, dataset::VARCHAR,
                upper(nullif(replace(regexp_extract(file_name, '^([a-z]+-[a-z0-9]+)-\d{8}', 1), '-', '.'), '')),
                'databento') AS venue,
       coalesce(given_symbol, symbol::VARCHAR, instrument_id::VARCHAR) AS symbol,
       coalesce(from_epoch(ts_event), TRY_CAST(ts_event AS TIMESTAMP_NS)) AS ts,
       CASE TRY_CAST(rtype AS INTEGER) WHEN 32 THEN '1s' WHEN 33 THEN '1m' WHEN 34 THEN '1h' WHEN 35 THEN '1d' END
       AS "interval",
       to_number(open) / scale AS open, to_number(high) / scale AS high, to_number(low) / scale AS low,
       to_number(close) / scale AS close, to_number(volume) AS volume, true AS is_final
FROM (
    SELECT *, CASE WHEN typeof(open) IN ('BIGINT', 'UBIGINT', 'HUGEINT')
                        OR typeof(open) = 'VARCHAR' AND NOT contains(open::VARCHAR, '.') THEN 1e9 ELSE 1 END AS scale
    FROM file
)
