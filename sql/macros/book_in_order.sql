-- Order book updates in the order in which they make a book: of what was received before a snapshot, that which is newer
-- than it comes right after it, a microsecond a message; what a snapshot holds already is left out after it. A program
-- that takes them one by one, as `mdb export --as` writes them, then has the book right from each snapshot on.
-- Where a venue numbers no updates they are as they were received.
-- Arguments: none; `book_deltas` is the table, or what a query calls so in a WITH before it.
-- Result: the columns of book_deltas; ts and recv_ts are those of the snapshot where a message was put after it.
-- Example: SELECT count(*) FROM book_in_order() WHERE symbol = 'BTCUSDT';
CREATE OR REPLACE MACRO book_in_order() AS TABLE
WITH snapshots AS (
    SELECT venue, symbol, seq, max(last_id) AS id, any_value(ts) AS ts, any_value(recv_ts) AS recv_ts
    FROM book_deltas
    WHERE is_snapshot
    GROUP BY venue, symbol, seq
), around AS (
    SELECT d.*, n.seq AS next_seq, n.ts AS next_ts, n.recv_ts AS next_recv_ts,
           coalesce(NOT d.is_snapshot AND d.last_id > n.id, false) AS waits,
           coalesce(NOT d.is_snapshot AND d.last_id <= b.id
                    AND epoch_ns(d.recv_ts) < epoch_ns(b.recv_ts) + 60000000000, false) AS known
    FROM book_deltas AS d
    ASOF LEFT JOIN snapshots AS n ON d.venue = n.venue AND d.symbol = n.symbol AND d.seq < n.seq
    ASOF LEFT JOIN snapshots AS b ON d.venue = b.venue AND d.symbol = b.symbol AND d.seq > b.seq
)
SELECT * EXCLUDE (next_seq, next_ts, next_recv_ts, waits, known) FROM around WHERE NOT waits AND NOT known
UNION ALL BY NAME
SELECT * EXCLUDE (next_seq, next_ts, next_recv_ts, waits, known, message)
         REPLACE (greatest(ts, make_timestamp_ns(epoch_ns(next_ts) + 1000 * message)) AS ts,
                  greatest(recv_ts, make_timestamp_ns(epoch_ns(next_recv_ts) + 1000 * message)) AS recv_ts)
FROM (SELECT *, dense_rank() OVER (PARTITION BY venue, symbol, next_seq ORDER BY seq, last_id) AS message
      FROM around WHERE waits);
