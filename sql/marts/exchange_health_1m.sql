-- How each channel fared, by minute. A row counts in the minute of its ts, a gap in the minute of the event that tells
-- of it. A channel is the canonical table it fills; of an order book that is book_tops,
-- which has a row for each update that was applied, and none while the book is not known to be right.
-- Latency is recv_ts - ts, and below zero where the venue's clock is ahead of ours. Rows have none where the venue
-- gives no time (ts = recv_ts), and bars have none, because their ts is the start of the bar. What was fetched later,
-- or has its recv_ts from a vendor's file, is in it as it is.
-- @materialize incremental
-- @key venue, symbol, channel, ts
-- @time ts
-- @window 1 minute
-- @lateness 10 minutes
-- @column venue VARCHAR venue folder's name
-- @column symbol VARCHAR instrument, in the venue's own spelling
-- @column channel VARCHAR table the channel fills: 'trades', 'quotes', 'book_tops' or 'bars'
-- @column ts TIMESTAMP_NS start of the minute, UTC
-- @column rows UBIGINT number of rows
-- @column gaps UBIGINT number of gaps: ids of trades, or updates of the book, that were not received
-- @column last_ts TIMESTAMP_NS newest ts, UTC; NULL if there is only a gap
-- @column last_recv_ts TIMESTAMP_NS newest recv_ts, UTC; NULL likewise
-- @column timed UBIGINT number of rows that have a latency
-- @column latency_p50_ms DOUBLE half of them took no longer, ms; NULL if there are none
-- @column latency_p99_ms DOUBLE 99 of 100 took no longer, ms
-- @column latency_max_ms DOUBLE the longest, ms
-- @test not_null venue, symbol, channel, ts, rows, gaps, timed
-- @test unique venue, symbol, channel, ts
-- @test accepted channel trades|quotes|book_tops|bars
-- @test range rows + gaps > 0 AND timed <= rows
-- @test range latency_p50_ms <= latency_p99_ms AND latency_p99_ms <= latency_max_ms
WITH seen AS (
    SELECT venue, symbol, 'trades' AS channel, ts, recv_ts, epoch_ns(recv_ts) - epoch_ns(ts) AS latency_ns FROM trades
    UNION ALL
    SELECT venue, symbol, 'quotes', ts, recv_ts, epoch_ns(recv_ts) - epoch_ns(ts) FROM quotes
    UNION ALL
    SELECT venue, symbol, 'book_tops', ts, recv_ts, epoch_ns(recv_ts) - epoch_ns(ts) FROM book_tops
    UNION ALL
    SELECT venue, symbol, 'bars', ts, recv_ts, NULL FROM bars
    UNION ALL
    -- A gap is the row that has no recv_ts.
    SELECT venue, symbol, IF(channel = 'book', 'book_tops', channel), ts, NULL, NULL FROM feed_events
    WHERE kind = 'gap'
), minutes AS (
    SELECT venue, symbol, channel, window_start(ts, 60_000_000_000) AS ts,
           count(recv_ts)::UBIGINT AS rows,
           count_if(recv_ts IS NULL)::UBIGINT AS gaps,
           max(IF(recv_ts IS NULL, NULL, ts)) AS last_ts,
           max(recv_ts) AS last_recv_ts,
           count(nullif(latency_ns, 0))::UBIGINT AS timed,
           quantile_disc(nullif(latency_ns, 0), [0.5, 0.99, 1]) AS latencies
    FROM seen
    GROUP BY 1, 2, 3, 4
)
SELECT venue, symbol, channel, ts, rows, gaps, last_ts, last_recv_ts, timed, latencies[1] / 1e6 AS latency_p50_ms,
       latencies[2] / 1e6 AS latency_p99_ms, latencies[3] / 1e6 AS latency_max_ms
FROM minutes
