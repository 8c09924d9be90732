//! What a query took: time, processor time, bytes read and memory, of this process or of the one that does the work.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Clock ticks a second in `/proc`, on every Linux.
const TICKS: f64 = 100.0;

/// Figures from the start of a query.
pub(super) struct Usage {
    pid: Option<u32>,
    start: Instant,
    user: u64,
    system: u64,
    read: Option<u64>,
}

/// Figures of a query that has ended; those the system does not tell are absent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spent {
    wall: Duration,
    /// Seconds of processor time: its own, and the system's for it.
    processor: Option<(f64, f64)>,
    rows: Option<u64>,
    /// From files, also where the system still had them in memory; a capture's own reading counts too.
    read_bytes: Option<u64>,
    peak_bytes: Option<u64>,
}

impl Usage {
    /// Begins to count, for the process `pid`, or this one.
    pub(super) fn start(pid: Option<u32>) -> Self {
        if pid.is_none() {
            // The peak is counted anew; where that cannot be it is the one since the start of the process.
            let _ = std::fs::write("/proc/self/clear_refs", "5");
        }
        let (user, system) = processor(pid).unwrap_or_default();
        Self {
            pid,
            start: Instant::now(),
            user,
            system,
            read: read(pid),
        }
    }

    /// What was spent until now.
    pub(super) fn spent(&self, rows: Option<u64>) -> Spent {
        let wall = self.start.elapsed();
        let seconds = |ticks: u64| ticks as f64 / TICKS;
        let processor = processor(self.pid).map(|(user, system)| {
            (
                seconds(user.saturating_sub(self.user)),
                seconds(system.saturating_sub(self.system)),
            )
        });
        Spent {
            wall,
            processor,
            rows,
            read_bytes: read(self.pid)
                .zip(self.read)
                .map(|(now, before)| now.saturating_sub(before)),
            peak_bytes: peak(self.pid),
        }
    }
}

impl Spent {
    /// One line, with its break.
    pub(super) fn line(&self) -> String {
        let mut line = format!("{:.3} s", self.wall.as_secs_f64());
        if let Some((user, system)) = self.processor {
            let _ = write!(line, " · user {user:.2} s · system {system:.2} s");
        }
        if let Some(rows) = self.rows {
            let rows = usize::try_from(rows).unwrap_or(usize::MAX);
            let plural = if rows == 1 { "" } else { "s" };
            let _ = write!(line, " · {} row{plural}", crate::output::grouped(rows));
        }
        if let Some(read) = self.read_bytes {
            let _ = write!(line, " · read {:.1} MB", read as f64 / 1e6);
        }
        if let Some(peak) = self.peak_bytes {
            let _ = write!(line, " · peak memory {:.0} MB", peak as f64 / 1e6);
        }
        line.push('\n');
        line
    }
}

fn file(pid: Option<u32>, name: &str) -> Option<String> {
    let process = pid.map_or("self".to_owned(), |pid| pid.to_string());
    std::fs::read_to_string(format!("/proc/{process}/{name}")).ok()
}

/// Ticks of processor time that a process and its threads have used: its own, and the system's for it.
fn processor(pid: Option<u32>) -> Option<(u64, u64)> {
    let stat = file(pid, "stat")?;
    // The name before it may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Bytes that a process has read.
fn read(pid: Option<u32>) -> Option<u64> {
    let io = file(pid, "io")?;
    let line = io.lines().find_map(|line| line.strip_prefix("rchar:"))?;
    line.trim().parse().ok()
}

/// The most memory a process has had.
fn peak(pid: Option<u32>) -> Option<u64> {
    let status = file(pid, "status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_is_known() {
        let spent = Spent {
            wall: Duration::from_millis(1234),
            processor: Some((1.5, 0.25)),
            rows: Some(12_345),
            read_bytes: Some(25_700_000),
            peak_bytes: Some(120_000_000),
        };
        assert_eq!(
            spent.line(),
            "1.234 s · user 1.50 s · system 0.25 s · 12,345 rows · read 25.7 MB · peak memory 120 MB\n"
        );
        let little = Spent {
            processor: None,
            rows: None,
            read_bytes: None,
            peak_bytes: None,
            ..spent
        };
        assert_eq!(little.line(), "1.234 s\n");
    }

    #[test]
    fn work_is_counted() {
        let usage = Usage::start(None);
        let start = Instant::now();
        let mut sum = 0_u64;
        while start.elapsed() < Duration::from_millis(60) {
            sum = sum.wrapping_add(std::hint::black_box(start.elapsed().as_nanos() as u64));
        }
        std::hint::black_box(sum);
        let spent = usage.spent(Some(1));
        assert!(spent.wall >= Duration::from_millis(60));
        if let Some((user, system)) = spent.processor {
            assert!(user + system > 0.0);
        }
    }
}
