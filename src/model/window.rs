//! Windows of time, and the parts of time that have to be looked at again. All in ns since 1970-01-01 UTC.

use std::time::Duration;

use super::time::DAY_NS;

const WEEK_NS: i64 = 7 * DAY_NS;
/// The first Monday after 1970-01-01.
const MONDAY_NS: i64 = 4 * DAY_NS;

/// Windows of one length, one after the other. Those of whole weeks start on Mondays, all others are counted from
/// 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    ns: i64,
    origin_ns: i64,
}

impl Window {
    /// Windows of a length, which is cut to whole ns and at least one.
    pub fn of(length: Duration) -> Self {
        let ns = i64::try_from(length.as_nanos()).unwrap_or(i64::MAX).max(1);
        let origin_ns = if ns % WEEK_NS == 0 { MONDAY_NS } else { 0 };
        Self { ns, origin_ns }
    }

    /// Its length.
    pub fn ns(self) -> i64 {
        self.ns
    }

    /// The window that a moment lies in, as [start, end).
    pub fn around(self, ns: i64) -> (i64, i64) {
        let into = (ns - self.origin_ns).rem_euclid(self.ns);
        let start = ns.saturating_sub(into);
        (start, start.saturating_add(self.ns))
    }

    /// The start of the window of a `TIMESTAMP_NS` column, as an SQL expression of ns.
    pub fn start_sql(self, column: &str) -> String {
        let Self { ns, origin_ns } = self;
        let t = format!("(epoch_ns({column}) - {origin_ns})");
        format!("({t} - (({t} % {ns}) + {ns}) % {ns} + {origin_ns})")
    }
}

/// Parts of time, each [start, end), in order and apart from one another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(i64, i64)>);

impl Ranges {
    /// The parts.
    pub fn iter(&self) -> impl Iterator<Item = (i64, i64)> {
        self.0.iter().copied()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// From the first part's start to the last one's end.
    pub fn span(&self) -> Option<(i64, i64)> {
        Some((self.0.first()?.0, self.0.last()?.1))
    }

    /// Adds parts, in any order.
    pub fn extend(&mut self, parts: impl IntoIterator<Item = (i64, i64)>) {
        self.0
            .extend(parts.into_iter().filter(|(start, end)| start < end));
        self.0.sort_unstable();
        self.0.dedup_by(|next, before| {
            let meets = next.0 <= before.1;
            if meets {
                before.1 = before.1.max(next.1);
            }
            meets
        });
    }

    /// The same, made of whole windows.
    #[must_use]
    pub fn whole(&self, window: Window) -> Self {
        let mut whole = Self::default();
        whole.extend(
            self.iter()
                .map(|(start, end)| (window.around(start).0, window.around(end - 1).1)),
        );
        whole
    }

    /// What of it is not before a moment.
    #[must_use]
    pub fn from(&self, ns: i64) -> Self {
        let parts = self.iter().map(|(start, end)| (start.max(ns), end));
        Self(parts.filter(|(start, end)| start < end).collect())
    }

    /// At most so many parts: those that lie closest together become one, with the time between them.
    #[must_use]
    pub fn at_most(mut self, parts: usize) -> Self {
        if self.0.len() <= parts {
            return self;
        }
        let mut gaps: Vec<i64> = self.0.windows(2).map(|two| two[1].0 - two[0].1).collect();
        gaps.sort_unstable();
        // So many gaps are closed: the smallest ones.
        let close = self.0.len() - parts.max(1);
        let limit = gaps[close - 1];
        let mut left = gaps[..close].iter().filter(|&&gap| gap == limit).count();
        self.0.dedup_by(|next, before| {
            let gap = next.0 - before.1;
            let closes = gap < limit || (gap == limit && left > 0);
            if closes {
                left -= usize::from(gap == limit);
                before.1 = next.1;
            }
            closes
        });
        self
    }

    /// Cut at the given moments, which rise: the parts before the first one, those up to the second, and so on.
    pub fn cut(&self, at: &[i64]) -> Vec<Self> {
        let mut pieces = Vec::new();
        let mut start = i64::MIN;
        for end in at.iter().copied().chain([i64::MAX]) {
            let parts = self.iter().map(|(s, e)| (s.max(start), e.min(end)));
            let piece = Self(parts.filter(|(s, e)| s < e).collect());
            if !piece.is_empty() {
                pieces.push(piece);
            }
            start = end;
        }
        pieces
    }

    /// The condition that a `TIMESTAMP_NS` column lies in it.
    pub fn sql(&self, column: &str) -> String {
        self.condition(column, |_, ns| ns.to_string())
    }

    /// The same as a part of a prepared statement, whose parameters from `$1` on are the [`bounds`](Self::bounds).
    pub fn sql_of_bounds(&self, column: &str) -> String {
        self.condition(column, |at, _| format!("${}", at + 1))
    }

    /// Where each part starts and ends, ns.
    pub fn bounds(&self) -> impl Iterator<Item = i64> {
        self.iter().flat_map(|(start, end)| [start, end])
    }

    fn condition(&self, column: &str, bound: impl Fn(usize, i64) -> String) -> String {
        let parts = self.iter().enumerate().map(|(at, (start, end))| {
            let (start, end) = (bound(2 * at, start), bound(2 * at + 1, end));
            format!(
                "({column} >= make_timestamp_ns({start}) AND {column} < make_timestamp_ns({end}))"
            )
        });
        let parts: Vec<String> = parts.collect();
        if parts.is_empty() {
            return "false".to_owned();
        }
        format!("({})", parts.join(" OR "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ranges(parts: &[(i64, i64)]) -> Ranges {
        let mut ranges = Ranges::default();
        ranges.extend(parts.iter().copied());
        ranges
    }

    #[test]
    fn windows_start_where_people_expect_them() {
        let minute = Window::of(Duration::from_mins(1));
        assert_eq!(
            minute.around(61_000_000_000),
            (60_000_000_000, 120_000_000_000)
        );
        assert_eq!(minute.around(-1), (-60_000_000_000, 0));
        // 2024-08-08 was a Thursday.
        let thursday = 1_723_075_200_000_000_000;
        let week = Window::of(Duration::from_hours(7 * 24));
        assert_eq!(week.around(thursday).0, thursday - 3 * DAY_NS);
    }

    #[test]
    fn parts_that_meet_are_one_and_those_closest_are_joined_first() {
        let all = ranges(&[(10, 20), (0, 5), (5, 7), (30, 40), (42, 43), (100, 101)]);
        assert_eq!(all.0, [(0, 7), (10, 20), (30, 40), (42, 43), (100, 101)]);
        assert_eq!(all.clone().at_most(3).0, [(0, 20), (30, 43), (100, 101)]);
        assert_eq!(all.clone().at_most(1).0, [(0, 101)]);
        assert_eq!(all.from(15).span(), Some((15, 101)));
        let cut = all.cut(&[35, 60]);
        assert_eq!(
            cut,
            [
                ranges(&[(0, 7), (10, 20), (30, 35)]),
                ranges(&[(35, 40), (42, 43)]),
                ranges(&[(100, 101)])
            ]
        );
    }

    proptest! {
        #[test]
        fn nothing_is_lost_by_joining_widening_or_cutting(
            parts in proptest::collection::vec((-1000i64..1000, 1i64..50), 1..40),
            most in 1usize..10,
            mut at in proptest::collection::vec(-1000i64..1000, 0..5),
        ) {
            let parts: Vec<(i64, i64)> = parts.into_iter().map(|(s, n)| (s, s + n)).collect();
            let all = ranges(&parts);
            let holds = |r: &Ranges, ns: i64| r.iter().any(|(s, e)| s <= ns && ns < e);
            let few = all.clone().at_most(most);
            prop_assert!(few.0.len() <= most);
            let whole = all.whole(Window::of(Duration::from_nanos(7)));
            prop_assert!(whole.iter().all(|(s, e)| s % 7 == 0 && e % 7 == 0));
            at.sort_unstable();
            let cut = all.cut(&at);
            for ns in -1000..1100 {
                let there = parts.iter().any(|&(s, e)| s <= ns && ns < e);
                prop_assert_eq!(holds(&all, ns), there);
                prop_assert!(!there || (holds(&few, ns) && holds(&whole, ns)));
                prop_assert_eq!(cut.iter().filter(|piece| holds(piece, ns)).count(), usize::from(there));
            }
        }
    }
}
