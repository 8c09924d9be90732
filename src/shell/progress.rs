//! What is shown while a query runs for long: how far it is, in a line on standard error that is taken away again.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::say;
use crate::output;
use crate::query::{Meter, Progress, Session};

/// A query that is done before is done at once, for a person.
const FIRST: Duration = Duration::from_millis(500);

/// How often the line is painted again.
const AGAIN: Duration = Duration::from_millis(200);

/// Less of a query than this says nothing about the rest.
const TELLING_PERCENT: f64 = 1.0;

/// Shows how far a query is until this is ended or dropped.
pub(super) struct Waiting {
    stop: Option<SyncSender<()>>,
    painter: Option<JoinHandle<()>>,
}

impl Waiting {
    /// Begins to wait for what `session` runs next. Nothing is shown where standard error is no terminal.
    pub(super) fn begin(session: &mut Session) -> Self {
        let nobody = Self {
            stop: None,
            painter: None,
        };
        if !io::stderr().is_terminal()
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb")
        {
            return nobody;
        }
        session.track_progress();
        let meter = session.meter();
        let (stop, stopped) = sync_channel::<()>(0);
        let painter = thread::Builder::new()
            .name("progress".into())
            .spawn(move || {
                let start = Instant::now();
                let mut wait = FIRST;
                while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                    paint(start, &meter);
                    wait = AGAIN;
                }
                if wait == AGAIN {
                    say("\r\x1b[K");
                }
            });
        match painter {
            Ok(painter) => Self {
                stop: Some(stop),
                painter: Some(painter),
            },
            // The query is what counts.
            Err(_) => nobody,
        }
    }

    /// Takes the line away, and returns once it is gone.
    pub(super) fn end(&mut self) {
        self.stop.take();
        if let Some(painter) = self.painter.take() {
            let _ = painter.join();
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.end();
    }
}

fn paint(start: Instant, meter: &Meter) {
    let width = crossterm::terminal::size().map_or(80, |(width, _)| usize::from(width));
    let line = line(start.elapsed(), meter.read());
    // The last column is left free, or some terminals go on to the next line.
    say(&format!(
        "\r{}\x1b[K",
        output::cut(&line, width.saturating_sub(1))
    ));
}

/// `3.2 s · 42 % · 12.3 M rows/s · 4 s left`, as far as it is known.
fn line(spent: Duration, progress: Option<Progress>) -> String {
    let spent = spent.as_secs_f64();
    let mut line = format!("{spent:.1} s");
    if let Some(Progress { percent, rows }) = progress {
        let _ = write!(line, " · {percent:.0} %");
        if rows > 0 {
            let _ = write!(line, " · {} rows/s", output::rounded(rows as f64 / spent));
        }
        if percent >= TELLING_PERCENT {
            let left = spent * (100.0 - percent) / percent;
            let _ = write!(line, " · {} left", length(left));
        }
    }
    line.push_str(" · Ctrl-C stops it");
    line
}

fn length(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match seconds {
        0..100 => format!("{seconds} s"),
        100..6000 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h", seconds.div_ceil(3600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_is_known() {
        let spent = Duration::from_millis(3210);
        let at = |percent, rows| line(spent, Some(Progress { percent, rows }));
        assert_eq!(line(spent, None), "3.2 s · Ctrl-C stops it");
        assert_eq!(
            at(42.3, 39_500_000),
            "3.2 s · 42 % · 12.3 M rows/s · 4 s left · Ctrl-C stops it"
        );
        assert_eq!(at(0.2, 0), "3.2 s · 0 % · Ctrl-C stops it");
        assert!(at(1.0, 900).contains(" · 280 rows/s · 6 min left"));
        assert!(at(100.0, 1).contains(" · 0 s left"));
    }
}
