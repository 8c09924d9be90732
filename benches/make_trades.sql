-- Makes the file that bulk loads are measured with: 244 million trades of 50 symbols in 30 days, in the order of their
-- time, 5 columns. Of other sizes: SET VARIABLE rows = 24000000 before it, and days = 1.
-- Run: mdb sql -f benches/make_trades.sql   (writes trades.parquet where it is run)
COPY (
    WITH trade AS (
        -- hash(i) is the randomness: the file is the same wherever it is made.
        SELECT i, hash(i) AS h, hash(i, 'symbol') % 50 AS symbol
        FROM range(coalesce(getvariable('rows'), 244000000)) AS t(i)
    )
    SELECT make_timestamp_ns(1722470400000000000 + (i * (coalesce(getvariable('days'), 30) * 86400e9 / coalesce(getvariable('rows'), 244000000)))::BIGINT) AS ts,
           format('SYM{:02d}USDT', symbol) AS symbol,
           round((10 + symbol * 7) * (1 + 0.05 * sin(i / 9e6 + symbol)) + (h % 41)::BIGINT / 100 - 0.2, 2) AS price,
           (1 + (h >> 20) % 97 * ((h >> 40) % 13))::DOUBLE / 1000 AS size,
           IF(h >> 63 = 0, 'buy', 'sell') AS side
    FROM trade
) TO 'trades.parquet' (FORMAT parquet, COMPRESSION snappy);
