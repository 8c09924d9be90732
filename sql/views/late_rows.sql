-- Rows that came later than the lateness of a mart that reads them, by the minute of their time: the mart was corrected all
-- the same, but for windows whose rows had been dropped before (`corrected` false). The rows themselves are those of
-- `source` with seq from first_seq to last_seq and ts in that minute; late_by is how far the latest of them was behind.
SELECT model, source, venue, symbol, window_ts AS ts, rows, first_seq, last_seq, late_by, corrected
FROM ops.late_rows
