-- Trades of Databento, from DBN, its CSV or its DataFrames: schema `trades`, and the trades among the records of
-- `tbbo`, `mbp-1`, `mbp-10` and `mbo` (`action` T; other records are left out).
-- `ts_event` is the venue's time, `ts_recv` that of Databento's capture: nanoseconds since 1970, or written out. Prices
-- are decimals, or whole numbers of 1e-9; 9223372036854775807 stands for none. `side` is the aggressor's: A(sk) a
-- seller, B(id) a buyer, N neither said.
-- Databento has no trade ids. trade_id is <publisher>:<sequence>:<nanosecond of ts_event>:<price in 1e-9>:<size>: a
-- sequence number is that of a packet, which may hold several trades. Where the venue numbers nothing it is NULL.
-- The venue is the dataset (`GLBX.MDP3`), told by the file's name (`glbx-mdp3-20240108.trades.csv`) if nothing else; if
-- that does not tell, 'databento'.
-- Columns: databento.com/docs/schemas-and-data-formats/trades.
-- @columns ts_recv, ts_event, publisher_id, instrument_id, action, side, price, size, sequence
-- @optional symbol, dataset
-- @name *.trades.*, *.tbbo.*, trades*, tbbo*
SELECT file_row, venue, symbol, ts, recv_ts,
       CASE WHEN number > 0
            THEN publisher_id || ':' || number || ':' || epoch_ns(ts) % 1000000000 || ':'
                 || TRY_CAST(price * 1e9 AS BIGINT) || ':' || size END AS trade_id,
       CASE WHEN action = 'T' THEN price END AS price, to_number(size) AS size,
       CASE side WHEN 'A' THEN 'sell' WHEN 'B' THEN 'buy' ELSE 'unknown' END AS side
FROM (
    SELECT file_row, publisher_id, action, side, size, TRY_CAST(sequence AS UINTEGER) AS number,
           coalesce(given_venue, dataset::VARCHAR,
                    upper(nullif(replace(regexp_extract(file_name, '^([a-z]+-[a-z0-9]+)-\d{8}', 1), '-', '.'), '')),
                    'databento') AS venue,
           coalesce(given_symbol, symbol::VARCHAR, instrument_id::VARCHAR) AS symbol,
           coalesce(from_epoch(ts_event), TRY_CAST(ts_event AS TIMESTAMP_NS)) AS ts,
           coalesce(from_epoch(ts_recv), TRY_CAST(ts_recv AS TIMESTAMP_NS)) AS recv_ts,
           nullif(to_number(price), 9223372036854775807::DOUBLE)
           / CASE WHEN typeof(price) IN ('BIGINT', 'UBIGINT', 'HUGEINT')
                       OR typeof(price) = 'VARCHAR' AND NOT contains(price::VARCHAR, '.') THEN 1e9 ELSE 1 END AS price
    FROM file
    WHERE action IS NULL OR action NOT IN ('A', 'C', 'M', 'R', 'F', 'N')
)
