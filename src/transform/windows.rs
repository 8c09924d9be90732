//! The parts of time that a mart is made anew in, each small enough for the memory at hand.

use std::collections::BTreeMap;

use crate::model::time::DAY_NS;
use crate::model::window::{Ranges, Window};

/// Rows read at a time, about: a mart of seconds may make one of each, and that takes memory.
const ROWS: u64 = 1_000_000;
/// Parts of time in one statement; those closest together become one.
const PARTS: usize = 64;

/// Everything from the first day to the last, in whole windows.
pub(super) fn everything(days: &BTreeMap<i64, u64>, window: Window) -> Ranges {
    let mut all = Ranges::default();
    if let (Some((&first, _)), Some((&last, _))) = (days.first_key_value(), days.last_key_value()) {
        all.extend([(first, last.saturating_add(DAY_NS))]);
    }
    all.whole(window)
}

/// Cuts parts of time between windows, so that each piece reads a bounded number of rows, given the rows of each day. A day
/// that has more is cut into parts of one length.
pub(super) fn pieces(ranges: &Ranges, days: &BTreeMap<i64, u64>, window: Window) -> Vec<Ranges> {
    let (mut cuts, mut rows) = (Vec::new(), 0);
    for (&day, &count) in days {
        let parts = count.div_ceil(ROWS).max(1);
        for part in 0..parts {
            let at = window.around(day + DAY_NS / parts as i64 * part as i64).0;
            if rows > 0 && rows + count / parts > ROWS && cuts.last().is_none_or(|&last| at > last)
            {
                cuts.push(at);
                rows = 0;
            }
            rows += count / parts;
        }
    }
    ranges
        .cut(&cuts)
        .into_iter()
        .map(|piece| piece.at_most(PARTS))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn pieces_are_whole_days_and_whole_windows_and_nothing_is_lost() {
        let days: BTreeMap<i64, u64> = (0..10).map(|day| (day * DAY_NS, ROWS / 2)).collect();
        let minute = Window::of(Duration::from_mins(1));
        let all = everything(&days, minute);
        assert_eq!(all.span(), Some((0, 10 * DAY_NS)));
        let spans = |window: Window| -> Vec<(i64, i64)> {
            let all = everything(&days, window);
            let pieces = pieces(&all, &days, window);
            pieces
                .iter()
                .map(|p| p.span().unwrap())
                .map(|(s, e)| (s / DAY_NS, e / DAY_NS))
                .collect()
        };
        assert_eq!(spans(minute), [(0, 2), (2, 4), (4, 6), (6, 8), (8, 10)]);
        // The first Monday is day 4; a week is not cut.
        assert_eq!(
            spans(Window::of(Duration::from_hours(7 * 24))),
            [(-3, 4), (4, 11)]
        );
    }
}
