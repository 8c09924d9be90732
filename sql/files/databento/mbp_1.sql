-- Best bid and ask of Databento, from DBN, its CSV or its DataFrames: schema `mbp-1`, a record whenever the best level
-- changed or traded, with what stands there then; a record of a trade repeats the quote that it met. `tbbo` and
-- `mbp-10` have these columns too, the former of trades only.
-- `ts_event` is the venue's time, `ts_recv` that of Databento's capture: nanoseconds since 1970, or written out. Prices
-- are decimals, or whole numbers of 1e-9; a side that is not there is empty or 9223372036854775807.
-- update_id is NULL: `sequence` is that of a packet, and within one a quote may come, go and come again.
-- The venue is the dataset (`GLBX.MDP3`), told by the file's name (`glbx-mdp3-20240108.mbp-1.csv`) if nothing else; if
-- that does not tell, 'databento'.
-- Columns: databento.com/docs/schemas-and-data-formats/mbp-1.
-- @into quotes
-- @columns ts_recv, ts_event, publisher_id, instrument_id, action, side, bid_px_00, ask_px_00, bid_sz_00, ask_sz_00
-- @optional symbol, dataset
-- @name *.mbp-1.*, mbp-1*
SELECT file_row,
       coalesce(given_venue, dataset::VARCHAR,
                upper(nullif(replace(regexp_extract(file_name, '^([a-z]+-[a-z0-9]+)-\d{8}', 1), '-', '.'), '')),
                'databento') AS venue,
       coalesce(given_symbol, symbol::VARCHAR, instrument_id::VARCHAR) AS symbol,
       coalesce(from_epoch(ts_event), TRY_CAST(ts_event AS TIMESTAMP_NS)) AS ts,
       coalesce(from_epoch(ts_recv), TRY_CAST(ts_recv AS TIMESTAMP_NS)) AS recv_ts,
       bid / scale AS bid_price, CASE WHEN bid IS NOT NULL THEN to_number(bid_sz_00) END AS bid_size,
       ask / scale AS ask_price, CASE WHEN ask IS NOT NULL THEN to_number(ask_sz_00) END AS ask_size
FROM (
    SELECT *, nullif(to_number(bid_px_00), 9223372036854775807::DOUBLE) AS bid,
           nullif(to_number(ask_px_00), 9223372036854775807::DOUBLE) AS ask,
           CASE WHEN typeof(bid_px_00) IN ('BIGINT', 'UBIGINT', 'HUGEINT')
                     OR typeof(bid_px_00) = 'VARCHAR'
                        AND NOT contains(coalesce(bid_px_00, ask_px_00)::VARCHAR, '.') THEN 1e9 ELSE 1 END AS scale
    FROM file
)
