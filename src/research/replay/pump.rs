//! The pump: takes the recording item by item, at the speed that was asked for, to all who listen.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::queue::{Out, Refused};
use super::stage::{Delivery, Stage};
use super::{Chunk, Error, Speed};

/// A client that takes nothing for so long is not waited for, even where the speed is its own.
const PATIENCE: Duration = Duration::from_mins(1);
/// Longer silence in the recording is shortened to this.
const LONGEST_SILENCE_NS: i64 = 60_000_000_000;

/// Plays the recording once; says through `ready` when the books of its beginning are made, and through `end` when
/// every client has got it all.
pub(super) async fn run(
    stage: Arc<Stage>,
    items: mpsc::Receiver<Chunk>,
    mut stop: watch::Receiver<bool>,
    ready: oneshot::Sender<()>,
    end: watch::Sender<bool>,
) -> Result<(), Error> {
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => Ok(()),
        played = play(&stage, items, ready) => {
            played?;
            let _ = end.send(true);
            Ok(())
        }
    }
}

async fn play(
    stage: &Stage,
    mut items: mpsc::Receiver<Chunk>,
    ready: oneshot::Sender<()>,
) -> Result<(), Error> {
    let mut ready = Some(ready);
    let mut clock: Option<Clock> = None;
    let mut deliveries = Vec::new();
    while let Some(chunk) = items.recv().await {
        for item in chunk? {
            if !item.before {
                if let Some(ready) = ready.take() {
                    let _ = ready.send(());
                    stage.until_start().await;
                }
                let clock =
                    clock.get_or_insert_with(|| Clock::new(stage.options.speed, item.at_ns));
                if item.frame.is_some() {
                    clock.wait_for(item.at_ns).await;
                }
            }
            stage.advance(&item, &mut deliveries);
            for delivery in deliveries.drain(..) {
                deliver(stage, delivery).await;
            }
        }
    }
    let mut marks = Vec::new();
    let last = stage.deliver_to_all(|| {
        let (mark, marked) = oneshot::channel();
        marks.push(marked);
        Out::Mark(mark)
    });
    for delivery in last {
        deliver(stage, delivery).await;
    }
    for mark in marks {
        // A client that has left needs nothing any more.
        let _ = tokio::time::timeout(PATIENCE, mark).await;
    }
    Ok(())
}

async fn deliver(stage: &Stage, delivery: Delivery) {
    let Delivery {
        number,
        outbox,
        out,
    } = delivery;
    let pushed = if stage.options.speed == Speed::Max || matches!(out, Out::Mark(_)) {
        outbox.push(out, PATIENCE).await
    } else {
        outbox.try_push(out)
    };
    if pushed == Err(Refused::Full) {
        tracing::warn!(client = number, "cannot keep up and is cut off");
        stage.kick(number);
    }
}

/// When each message is due.
struct Clock {
    speed: Speed,
    start: Instant,
    count: u64,
    /// Receive time of the message before.
    last_ns: i64,
    /// Recorded time that has passed, long silences shortened.
    passed_ns: i64,
}

impl Clock {
    fn new(speed: Speed, first_ns: i64) -> Self {
        Self {
            speed,
            start: Instant::now(),
            count: 0,
            last_ns: first_ns,
            passed_ns: 0,
        }
    }

    async fn wait_for(&mut self, at_ns: i64) {
        let Some(due) = self.due(at_ns) else {
            return;
        };
        if due > Instant::now() {
            tokio::time::sleep_until(due).await;
        }
    }

    /// When the next message, received at `at_ns`, is due; at once if `None`.
    fn due(&mut self, at_ns: i64) -> Option<Instant> {
        let silence_ns = at_ns
            .saturating_sub(self.last_ns)
            .clamp(0, LONGEST_SILENCE_NS);
        self.last_ns = at_ns;
        self.passed_ns = self.passed_ns.saturating_add(silence_ns);
        self.count += 1;
        let seconds = match self.speed {
            Speed::Max => return None,
            Speed::Times(times) => self.passed_ns as f64 / 1e9 / times,
            Speed::PerSecond(rate) => (self.count - 1) as f64 / rate,
        };
        let after = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        self.start.checked_add(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_as_they_were_received() {
        let due = |speed: Speed, seconds: &[i64]| -> Vec<u64> {
            let mut clock = Clock::new(speed, seconds[0] * 1_000_000_000);
            seconds
                .iter()
                .map(|s| {
                    let due = clock.due(s * 1_000_000_000);
                    due.map_or(0, |due| (due - clock.start).as_millis() as u64)
                })
                .collect()
        };
        let seconds = [100, 101, 101, 111, 100_000, 100_010];
        assert_eq!(
            due(Speed::Times(1.0), &seconds),
            [0, 1000, 1000, 11_000, 71_000, 81_000]
        );
        assert_eq!(
            due(Speed::Times(20.0), &seconds),
            [0, 50, 50, 550, 3550, 4050]
        );
        assert_eq!(
            due(Speed::PerSecond(4.0), &seconds),
            [0, 250, 500, 750, 1000, 1250]
        );
        assert_eq!(due(Speed::Max, &seconds), [0; 6]);
    }
}
