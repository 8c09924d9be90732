-- What comes in of each venue, by minute: `ingest_1m`, and the rows it became, from `exchange_health_1m`. Messages,
-- bytes, dead letters and events count in the minute of their receipt, rows in the minute of their ts: what is late, is
-- fetched later or is loaded from a vendor's file, counts when it happened. Rates are over the whole minute, also while
-- it is running.
-- @column venue VARCHAR venue folder's name; '' where there is none
-- @column ts TIMESTAMP_NS start of the minute, UTC
-- @column messages UBIGINT number of messages
-- @column messages_per_second DOUBLE messages / 60
-- @column bytes UBIGINT their length in bytes, UTF-8
-- @column rows UBIGINT number of rows of the four tables
-- @column rows_per_second DOUBLE rows / 60
-- @column trades UBIGINT rows of trades
-- @column quotes UBIGINT rows of quotes
-- @column book_tops UBIGINT rows of book_tops, one for each update of a book
-- @column bars UBIGINT rows of bars
-- @column dead_letters UBIGINT number of records that no table took
-- @column gaps UBIGINT number of gaps
-- @column disconnects UBIGINT number of connections that ended
-- @column errors UBIGINT number of faults
-- @column backpressures UBIGINT number of times that reading stood still, because the writer had no room
-- @column backpressure_seconds DOUBLE time from the first to the last standstill of each, s
-- @test unique venue, ts
WITH made AS (
    SELECT venue, ts, sum(rows) AS rows, sum(gaps) AS gaps,
           sum(rows) FILTER (channel = 'trades') AS trades,
           sum(rows) FILTER (channel = 'quotes') AS quotes,
           sum(rows) FILTER (channel = 'book_tops') AS book_tops,
           sum(rows) FILTER (channel = 'bars') AS bars
    FROM exchange_health_1m
    GROUP BY ALL
)
SELECT venue, ts,
       coalesce(messages, 0) AS messages,
       coalesce(messages, 0) / 60 AS messages_per_second,
       coalesce(bytes, 0) AS bytes,
       coalesce(rows, 0)::UBIGINT AS rows,
       coalesce(rows, 0) / 60 AS rows_per_second,
       coalesce(trades, 0)::UBIGINT AS trades,
       coalesce(quotes, 0)::UBIGINT AS quotes,
       coalesce(book_tops, 0)::UBIGINT AS book_tops,
       coalesce(bars, 0)::UBIGINT AS bars,
       coalesce(dead_letters, 0) AS dead_letters,
       coalesce(gaps, 0)::UBIGINT AS gaps,
       coalesce(disconnects, 0) AS disconnects,
       coalesce(errors, 0) AS errors,
       coalesce(backpressures, 0) AS backpressures,
       coalesce(backpressure_seconds, 0) AS backpressure_seconds
FROM ingest_1m FULL JOIN made USING (venue, ts)
