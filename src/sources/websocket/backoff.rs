//! How long to wait before the next attempt: longer each time, never in step with others, short again after health; and
//! how connections of one venue keep apart.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// The lengths of time that reconnecting keeps to.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// Before the first attempt anew; doubled for each next.
    pub base: Duration,
    /// Never longer.
    pub most: Duration,
    /// A connection that lived this long was healthy: the next wait starts at `base`.
    pub healthy: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(100),
            most: Duration::from_secs(30),
            healthy: Duration::from_mins(1),
        }
    }
}

/// Waits of one connection.
#[derive(Debug)]
pub(super) struct Waits {
    backoff: Backoff,
    failures: u32,
    random: u64,
}

impl Waits {
    pub(super) fn new(backoff: Backoff, seed: u64) -> Self {
        Self {
            backoff,
            failures: 0,
            random: seed,
        }
    }

    /// The wait before the next attempt: between half and all of what has doubled so far.
    pub(super) fn next(&mut self) -> Duration {
        let doubled = self.backoff.base.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let all = doubled.min(self.backoff.most);
        // splitmix64: https://prng.di.unimi.it/splitmix64.c
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let part = (bits ^ (bits >> 31)) as f64 / u64::MAX as f64;
        all.mul_f64(0.5 + part / 2.0)
    }

    /// Attempts that failed since the last healthy connection.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// A connection ended that had lived this long.
    pub(super) fn lived(&mut self, life: Duration) {
        if life >= self.backoff.healthy {
            self.failures = 0;
        }
    }
}

/// Keeps the openings of connections to one venue apart.
#[derive(Debug)]
pub struct Pacer {
    every: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pacer {
    /// At least `every` between two openings.
    pub fn new(every: Duration) -> Self {
        Self {
            every,
            next: Mutex::new(None),
        }
    }

    /// Waits for its turn.
    pub(super) async fn turn(&self) {
        let at = {
            let mut next = self
                .next
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            let now = Instant::now();
            let at = next.map_or(now, |next| next.max(now));
            *next = Some(at + self.every);
            at
        };
        tokio::time::sleep_until(at).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_start_over_after_health() {
        let mut waits = Waits::new(Backoff::default(), 7);
        let taken: Vec<Duration> = (0..20).map(|_| waits.next()).collect();
        for (at, wait) in taken.iter().enumerate() {
            let all = Duration::from_millis(100).saturating_mul(1 << at.min(16));
            let all = all.min(Duration::from_secs(30));
            assert!(*wait >= all / 2 && *wait <= all, "{at}: {wait:?}");
        }
        waits.lived(Duration::from_secs(59));
        assert!(waits.next() >= Duration::from_secs(15));
        waits.lived(Duration::from_mins(1));
        assert!(waits.next() <= Duration::from_millis(100));
        let mut other = Waits::new(Backoff::default(), 8);
        assert_ne!(taken[0], other.next());
    }

    #[tokio::test]
    async fn openings_keep_apart() {
        let pacer = Pacer::new(Duration::from_millis(20));
        let start = Instant::now();
        for at in 0..3 {
            pacer.turn().await;
            assert!(start.elapsed() >= Duration::from_millis(20 * at));
        }
    }
}
