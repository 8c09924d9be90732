//! What a venue lets its clients spend: never more than a weight in any window of a length of time.
//!
//! A log of what was spent instead of a bucket that refills: a bucket lets nearly twice the weight through in a
//! window that begins just before it is emptied, and venues count by windows of their own.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Pure: the time is handed in.
#[derive(Debug)]
pub(super) struct Budget {
    weight: u32,
    per: Duration,
    /// At most one entry for each unit of weight.
    spent: VecDeque<(Instant, u32)>,
    sum: u32,
    /// The venue has asked for silence until then.
    closed_until: Option<Instant>,
}

/// When to ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// The budget is spent.
    Spent(Instant),
    /// The venue has asked for silence.
    Closed(Instant),
}

impl Budget {
    pub(super) fn new(weight: u32, per: Duration) -> Self {
        Self {
            weight,
            per,
            spent: VecDeque::new(),
            sum: 0,
            closed_until: None,
        }
    }

    /// Spends at `now`, or says when to ask again. `weight` is at most the budget's.
    pub(super) fn spend(&mut self, now: Instant, weight: u32) -> Result<(), Wait> {
        debug_assert!(weight <= self.weight);
        if let Some(until) = self.closed_until {
            if now < until {
                return Err(Wait::Closed(until));
            }
            self.closed_until = None;
        }
        while let Some(&(at, spent)) = self.spent.front()
            && at + self.per <= now
        {
            self.sum -= spent;
            self.spent.pop_front();
        }
        if self.sum + weight <= self.weight {
            if weight > 0 {
                self.sum += weight;
                self.spent.push_back((now, weight));
            }
            return Ok(());
        }
        let mut left = self.sum;
        for &(at, spent) in &self.spent {
            left -= spent;
            if left + weight <= self.weight {
                return Err(Wait::Spent(at + self.per));
            }
        }
        // Only a weight above the budget's gets here, and the caller has refused it.
        Err(Wait::Spent(now + self.per))
    }

    /// Nothing is spent before `until`.
    pub(super) fn close(&mut self, until: Instant) {
        self.closed_until = Some(self.closed_until.map_or(until, |was| was.max(until)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_spent_comes_back_after_the_window() {
        let start = Instant::now();
        let mut budget = Budget::new(10, 60 * SECOND);
        assert_eq!(budget.spend(start, 6), Ok(()));
        assert_eq!(budget.spend(start + SECOND, 4), Ok(()));
        let again = Err(Wait::Spent(start + 60 * SECOND));
        assert_eq!(budget.spend(start + 2 * SECOND, 1), again);
        assert_eq!(budget.spend(start + 2 * SECOND, 6), again);
        let later = Err(Wait::Spent(start + 61 * SECOND));
        assert_eq!(budget.spend(start + 2 * SECOND, 7), later);
        assert_eq!(budget.spend(start + 60 * SECOND, 6), Ok(()));
        assert_eq!(budget.spend(start + 60 * SECOND, 0), Ok(()));
        assert_eq!(budget.spend(start + 60 * SECOND, 1), later);
    }

    #[test]
    fn a_closed_budget_gives_nothing_until_it_opens() {
        let start = Instant::now();
        let mut budget = Budget::new(10, SECOND);
        budget.close(start + 5 * SECOND);
        budget.close(start + 3 * SECOND);
        let closed = Err(Wait::Closed(start + 5 * SECOND));
        assert_eq!(budget.spend(start + 4 * SECOND, 1), closed);
        assert_eq!(budget.spend(start + 5 * SECOND, 1), Ok(()));
    }

    proptest! {
        /// Whatever is asked for and when: no window of the length holds more than the weight, and whoever
        /// waits as long as told gets it.
        #[test]
        fn no_window_holds_more_than_the_weight(
            asked in prop::collection::vec((0_u64..2000, 0_u32..=7), 1..200),
        ) {
            let start = Instant::now();
            let per = SECOND;
            let mut budget = Budget::new(7, per);
            let mut now = start;
            let mut log: Vec<(Instant, u32)> = Vec::new();
            for (ms, weight) in asked {
                now += Duration::from_millis(ms / 4);
                if let Err(wait) = budget.spend(now, weight) {
                    let Wait::Spent(until) = wait else { panic!("closed") };
                    prop_assert!(until > now && until <= now + per);
                    now = until;
                    prop_assert_eq!(budget.spend(now, weight), Ok(()));
                }
                log.push((now, weight));
            }
            for (i, &(from, _)) in log.iter().enumerate() {
                let window = log[i..].iter().take_while(|(at, _)| *at < from + per);
                prop_assert!(window.map(|(_, w)| w).sum::<u32>() <= 7);
            }
        }
    }
}
