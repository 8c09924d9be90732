-- The order book as it stood at a moment, made from book_deltas: the snapshot the book was last started from, and the
-- updates after it that join.
-- Arguments: sym (symbol; the session's without it), t (moment, by the venue's time: what has ts <= t is in it; the end
-- of the session's range, or of everything, without it), levels (best levels of each side; NULL for all).
-- Result: venue, symbol, side ('bid' or 'ask'), level (1 = the best), price, size (in the unit of trades.size), seq
-- and ts of the message that set the level.
-- A venue has no rows before its first snapshot, and while its book is broken: from a gap in feed_events to the next
-- resync.
-- Where a subscription ends at a depth, the book engine forgets what falls out of it, and the venue tells no more of it.
-- That depth is no column of book_deltas: here such a level stays, and may come up again wrongly.
-- Example: FROM book_at('BTCUSDT', '2024-08-08 23:55', 10) ORDER BY venue, side, level;
CREATE OR REPLACE MACRO book_at(sym := NULL, t := NULL, levels := 10) AS TABLE
WITH reached AS (
    SELECT venue, max(seq) AS seq FROM book_tops
    WHERE symbol = asked_symbol(sym) AND ts <= coalesce(asked_to(t), 'infinity')
    GROUP BY venue
), states AS (
    -- A snapshot without a time of the venue's has that of its receipt, by another clock: it was there also if an
    -- update after it was.
    SELECT e.venue, max(e.seq) FILTER (kind = 'resync') AS start_seq,
           max(e.seq) FILTER (kind = 'gap' AND ts <= coalesce(asked_to(t), 'infinity')) AS gap_seq
    FROM feed_events AS e LEFT JOIN reached ON e.venue = reached.venue
    WHERE symbol = asked_symbol(sym) AND channel = 'book' AND kind IN ('resync', 'gap')
      AND (ts <= coalesce(asked_to(t), 'infinity') OR e.seq <= reached.seq)
    GROUP BY e.venue
), starts AS (
    -- Updates that waited for the snapshot may have come before it, but not before the last gap.
    SELECT venue, start_seq,
           (SELECT coalesce(max(seq), 0) FROM feed_events AS e
            WHERE e.venue = states.venue AND e.symbol = asked_symbol(sym) AND e.channel = 'book' AND e.kind = 'gap'
              AND e.seq <= start_seq) AS waiting_seq,
           (SELECT {id: max(last_id), ts: max(ts)} FROM book_deltas AS d
            WHERE d.venue = states.venue AND d.symbol = asked_symbol(sym) AND d.seq = start_seq
              AND d.is_snapshot) AS start
    FROM states
    WHERE start_seq IS NOT NULL AND (gap_seq IS NULL OR gap_seq <= start_seq)
), updates AS (
    SELECT DISTINCT d.venue, d.seq, d.last_id, d.prev_id, start_seq, start.id AS start_id
    FROM book_deltas AS d JOIN starts ON d.venue = starts.venue AND d.seq >= waiting_seq
    WHERE d.symbol = asked_symbol(sym) AND NOT d.is_snapshot AND d.ts <= coalesce(asked_to(t), 'infinity')
      -- A snapshot without an id may have updates behind it in its own message.
      AND (d.seq > start_seq OR d.last_id > start.id OR start.id IS NULL AND d.seq = start_seq AND d.ts >= start.ts)
), runs AS (
    -- A venue that begins to count anew names a predecessor with a higher id.
    SELECT *, count(*) FILTER (seq > start_seq AND prev_id > last_id) OVER (
               PARTITION BY venue ORDER BY seq, last_id ROWS UNBOUNDED PRECEDING) AS run
    FROM updates
), joined AS (
    -- What the snapshot holds already, or a later update has overtaken, is passed over.
    SELECT venue, seq, last_id FROM runs
    QUALIFY last_id IS NULL OR last_id > coalesce(
        max(last_id) OVER (PARTITION BY venue, run ORDER BY seq, last_id
                           ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
        CASE WHEN run = 0 THEN start_id - 1 END, 0)
), changes AS (
    SELECT d.venue, side, price, size, d.seq, d.ts, -1::HUGEINT AS place
    FROM book_deltas AS d JOIN starts ON d.venue = starts.venue AND d.seq = start_seq
    WHERE d.symbol = asked_symbol(sym) AND d.is_snapshot
    UNION ALL
    SELECT d.venue, side, price, size, d.seq, d.ts, d.seq::HUGEINT * 18446744073709551616 + coalesce(d.last_id, 0)
    FROM book_deltas AS d JOIN joined ON d.venue = joined.venue AND d.seq = joined.seq
        AND d.last_id IS NOT DISTINCT FROM joined.last_id
    WHERE d.symbol = asked_symbol(sym) AND NOT d.is_snapshot
), standing AS (
    SELECT venue, side, price, arg_max({size: size, seq: seq, ts: ts}, place) AS change
    FROM changes WHERE side IS NOT NULL
    GROUP BY venue, side, price
)
SELECT venue, asked_symbol(sym) AS symbol, side,
       row_number() OVER (PARTITION BY venue, side ORDER BY CASE side WHEN 'bid' THEN -price ELSE price END) AS level,
       price, change.size AS size, change.seq AS seq, change.ts AS ts
FROM standing
WHERE change.size > 0
QUALIFY levels IS NULL OR level <= levels;
