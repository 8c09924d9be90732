//! Runs commands: `Live` while they run, `Run` once they are done.
//!
//! Every command has a deadline, and none may panic or die of a signal unasked; both are checked here, so
//! that no test has to.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long any one command may take before the test calls it hung.
const DEADLINE: Duration = Duration::from_mins(5);

/// Output kept of one stream; a query meant to run for ever must not fill the memory.
const OUTPUT_LIMIT_BYTES: usize = 256 << 20;

/// A finished command.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) command: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) elapsed: Duration,
}

impl Run {
    /// Asserts success.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.exits(0)
    }

    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "unexpected exit code\n{self}");
        self
    }

    /// Asserts exit code 1 and an error on stderr that holds each of `parts`.
    #[track_caller]
    pub(crate) fn fails_naming(self, parts: &[&str]) -> Self {
        self.exits(1).says(parts)
    }

    /// Asserts that stderr holds each of `parts`.
    #[track_caller]
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        assert!(
            !self.stderr.trim().is_empty(),
            "an error without a word\n{self}"
        );
        for part in parts {
            assert!(
                self.stderr.contains(part),
                "stderr does not name {part:?}\n{self}"
            );
        }
        self
    }

    /// Asserts that stdout holds each of `parts`.
    #[track_caller]
    pub(crate) fn shows(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(
                self.stdout.contains(part),
                "stdout does not show {part:?}\n{self}"
            );
        }
        self
    }

    /// Asserts that stderr holds at least one of `parts`, in any case.
    #[track_caller]
    pub(crate) fn says_one_of(self, parts: &[&str]) -> Self {
        let stderr = self.stderr.to_lowercase();
        assert!(
            parts.iter().any(|part| stderr.contains(part)),
            "stderr says none of {parts:?}\n{self}"
        );
        self
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "command: {}\nexit code: {:?} after {:.3} s\n--- stdout\n{}\n--- stderr\n{}",
            self.command,
            self.code,
            self.elapsed.as_secs_f64(),
            head(&self.stdout),
            head(&self.stderr),
        )
    }
}

/// A running command whose output is read as it comes.
pub(crate) struct Live {
    command: String,
    child: Child,
    started: Instant,
    /// Says, once, that stdout brought its first bytes.
    first_output: Receiver<()>,
    /// Disconnects when stdout and stderr are both at their end.
    finished: Receiver<()>,
    stdout: Arc<Mutex<Vec<u8>>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Live {
    /// Starts `command` with nothing on its stdin.
    pub(crate) fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null());
        Self::start(command, true)
    }

    /// Starts `command` with nobody at the other end of its stderr, as when the one that kept its log has died.
    pub(crate) fn spawn_unheard(mut command: Command) -> Self {
        command.stdin(Stdio::null());
        Self::start(command, false)
    }

    /// Starts `command` with a pipe on its stdin, which the caller closes by dropping it.
    pub(crate) fn spawn_fed(mut command: Command) -> (Self, ChildStdin) {
        command.stdin(Stdio::piped());
        let mut live = Self::start(command, true);
        let stdin = live.child.stdin.take().unwrap();
        (live, stdin)
    }

    fn start(mut command: Command, heard: bool) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let text = format!("{command:?}");
        let started = Instant::now();
        let mut child = command.spawn().unwrap();
        let (first_tx, first_output) = channel();
        let (done_tx, finished) = channel::<()>();
        let stdout = Arc::default();
        let stderr = Arc::default();
        let mut readers = vec![collect(
            child.stdout.take().unwrap(),
            &stdout,
            move || {
                let _ = first_tx.send(());
            },
            done_tx.clone(),
        )];
        let pipe = child.stderr.take().unwrap();
        if heard {
            readers.push(collect(pipe, &stderr, || {}, done_tx));
        }
        Self {
            command: text,
            child,
            started,
            first_output,
            finished,
            stdout,
            stderr,
            readers,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the first bytes on stdout.
    pub(crate) fn await_output(&self) {
        self.first_output
            .recv_timeout(DEADLINE)
            .unwrap_or_else(|_| panic!("no output from {}", self.command));
    }

    /// What it has written to stdout so far.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&self.stdout.lock().unwrap()).into_owned()
    }

    pub(crate) fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
    }

    /// Processor time the command has used, in clock ticks; 0 where the system does not tell.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let fields = after_name.split_whitespace().skip(11).take(2);
        fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
    }

    /// The most memory the command has had, in bytes; `None` where the system does not tell.
    pub(crate) fn peak_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kilobytes << 10)
    }

    /// How long it has been running.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// SIGKILL.
    pub(crate) fn kill(self) {
        assert!(
            self.kill_after(Duration::ZERO),
            "it had ended before it was killed"
        );
    }

    /// Waits for the end of the command, at most `DEADLINE`.
    pub(crate) fn finish(mut self) -> Run {
        if self.ends_within(DEADLINE) {
            let status = self.child.wait().unwrap();
            return self.into_run(status);
        }
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        let run = self.into_run_unchecked(status);
        panic!("hung for {} s\n{run}", DEADLINE.as_secs());
    }

    /// SIGKILL at `delay` after the start; true if the command was still running then.
    pub(crate) fn kill_after(mut self, delay: Duration) -> bool {
        let remaining = delay.saturating_sub(self.started.elapsed());
        let hit = !self.ends_within(remaining);
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        if status.signal() == Some(9) {
            return hit;
        }
        let run = self.into_run(status);
        assert_eq!(run.code, Some(0), "failed before it was killed\n{run}");
        false
    }

    fn ends_within(&self, limit: Duration) -> bool {
        matches!(
            self.finished.recv_timeout(limit),
            Err(RecvTimeoutError::Disconnected)
        )
    }

    #[track_caller]
    fn into_run(self, status: ExitStatus) -> Run {
        let run = self.into_run_unchecked(status);
        assert!(
            !run.stderr.contains("panicked") && run.code != Some(101),
            "a panic\n{run}"
        );
        assert_eq!(status.signal(), None, "died of a signal\n{run}");
        run
    }

    fn into_run_unchecked(mut self, status: ExitStatus) -> Run {
        let elapsed = self.started.elapsed();
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let text =
            |bytes: &Mutex<Vec<u8>>| String::from_utf8_lossy(&bytes.lock().unwrap()).into_owned();
        Run {
            command: std::mem::take(&mut self.command),
            code: status.code(),
            stdout: text(&self.stdout),
            stderr: text(&self.stderr),
            elapsed,
        }
    }
}

/// A test that fails leaves nothing running.
impl Drop for Live {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads `pipe` to its end on a thread of its own, keeping up to the limit.
fn collect(
    mut pipe: impl Read + Send + 'static,
    into: &Arc<Mutex<Vec<u8>>>,
    on_first: impl FnOnce() + Send + 'static,
    done: Sender<()>,
) -> JoinHandle<()> {
    let into = Arc::clone(into);
    thread::spawn(move || {
        let mut chunk = vec![0; 1 << 16];
        let mut on_first = Some(on_first);
        while let Ok(n @ 1..) = pipe.read(&mut chunk) {
            if let Some(on_first) = on_first.take() {
                on_first();
            }
            let mut kept = into.lock().unwrap();
            let room = OUTPUT_LIMIT_BYTES.saturating_sub(kept.len());
            kept.extend_from_slice(&chunk[..n.min(room)]);
        }
        drop(done);
    })
}

/// Asks again and again until `ready`, for what no event tells.
pub(crate) fn poll(what: &str, mut ready: impl FnMut() -> bool) {
    let started = Instant::now();
    while !ready() {
        assert!(started.elapsed() < DEADLINE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn head(text: &str) -> String {
    text.chars().take(3000).collect()
}
