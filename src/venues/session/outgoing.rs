//! What a connection is about to send, at the rate the venue allows.

use std::collections::VecDeque;
use std::time::Duration;

/// The venue's limit is for any second; a little more keeps clear of how it measures.
const WINDOW: Duration = Duration::from_millis(1050);
/// Answers and pings that may wait at once. More are a venue gone wrong, and the oldest are dropped.
const MOST_URGENT: usize = 16;

/// One thing to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A text.
    Text(crate::config::secrets::Secret),
    /// A ping of the protocol.
    Ping,
}

/// Urgent things, and a count of what went out in the last second.
#[derive(Debug)]
pub(super) struct Outgoing {
    urgent: VecDeque<Item>,
    sent: VecDeque<Duration>,
    per_second: usize,
}

impl Outgoing {
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            urgent: VecDeque::new(),
            sent: VecDeque::new(),
            per_second: per_second.max(1) as usize,
        }
    }

    pub(super) fn push(&mut self, item: Item) {
        if self.urgent.len() == MOST_URGENT {
            self.urgent.pop_front();
        }
        self.urgent.push_back(item);
    }

    /// The next urgent thing, if the limit lets it go now.
    pub(super) fn pop(&mut self, now: Duration) -> Option<Item> {
        if self.urgent.is_empty() || !self.is_free(now) {
            return None;
        }
        self.count(now);
        self.urgent.pop_front()
    }

    /// Whether something may be sent now.
    pub(super) fn is_free(&mut self, now: Duration) -> bool {
        while self.sent.front().is_some_and(|&sent| sent + WINDOW <= now) {
            self.sent.pop_front();
        }
        self.sent.len() < self.per_second
    }

    /// One more was sent.
    pub(super) fn count(&mut self, now: Duration) {
        self.sent.push_back(now);
    }

    pub(super) fn has_urgent(&self) -> bool {
        !self.urgent.is_empty()
    }

    /// When something may be sent next.
    pub(super) fn free_at(&self) -> Duration {
        if self.sent.len() < self.per_second {
            return Duration::ZERO;
        }
        self.sent
            .front()
            .map_or(Duration::ZERO, |&sent| sent + WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_sees_more_than_the_limit() {
        let mut outgoing = Outgoing::new(3);
        let mut sent = Vec::new();
        for ms in (0..5000).step_by(10) {
            let now = Duration::from_millis(ms);
            outgoing.push(Item::Ping);
            while outgoing.pop(now).is_some() {
                sent.push(now);
            }
        }
        assert!(sent.len() > 10);
        assert!(
            sent.windows(4)
                .all(|w| w[3] > w[0] + Duration::from_secs(1))
        );
    }
}
