//! Stopping a query from another thread, such as the one that hears of Ctrl-C.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;

use super::remote::Bell;

/// How long to wait before DuckDB is told again; it forgets an interrupt that comes just before a query starts.
const AGAIN: Duration = Duration::from_millis(10);

/// Stops the query its session is running. Cheap to clone, and usable from any thread.
#[derive(Clone)]
pub struct Interrupter {
    state: Arc<State>,
}

struct State {
    handle: Mutex<Handle>,
    asked: AtomicBool,
    running: AtomicBool,
}

/// How the session is told.
#[derive(Clone)]
pub(super) enum Handle {
    Local(Arc<duckdb::InterruptHandle>),
    Remote(Bell),
    /// There is nothing to be stopped.
    None,
}

impl Handle {
    fn interrupt(&self) {
        match self {
            Self::Local(handle) => handle.interrupt(),
            Self::Remote(bell) => bell.ring(),
            Self::None => {}
        }
    }
}

impl Interrupter {
    pub(super) fn new(handle: Handle) -> Self {
        Self {
            state: Arc::new(State {
                handle: Mutex::new(handle),
                asked: AtomicBool::new(false),
                running: AtomicBool::new(false),
            }),
        }
    }

    /// From now on stops what another session runs, so that whoever holds this need not know of the change.
    pub(super) fn move_to(&self, other: &Self) {
        let handle = other.handle();
        *self
            .state
            .handle
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = handle;
    }

    fn handle(&self) -> Handle {
        self.state
            .handle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Asks the running query to stop, and returns once it has. What the session is asked to run afterwards
    /// fails at once, until [`Session::forget_interrupt`](super::Session::forget_interrupt).
    pub fn interrupt(&self) {
        self.state.asked.store(true, SeqCst);
        while self.asked() && self.state.running.load(SeqCst) {
            self.handle().interrupt();
            thread::sleep(AGAIN);
        }
    }

    /// Interrupts at every Ctrl-C (SIGINT) from now on, for the rest of the process.
    ///
    /// # Errors
    /// If the signal cannot be caught or the thread that waits for it cannot start.
    pub fn on_ctrl_c(&self) -> io::Result<()> {
        let mut signals = Signals::new([SIGINT])?;
        let interrupter = self.clone();
        thread::Builder::new()
            .name("ctrl-c".into())
            .spawn(move || {
                for _ in signals.forever() {
                    // A thread of its own, so that a second Ctrl-C is not missed while the first takes effect.
                    let interrupter = interrupter.clone();
                    thread::spawn(move || interrupter.interrupt());
                }
            })?;
        Ok(())
    }

    pub(super) fn asked(&self) -> bool {
        self.state.asked.load(SeqCst)
    }

    pub(super) fn forget(&self) {
        self.state.asked.store(false, SeqCst);
    }

    pub(super) fn running(&self) -> Running {
        self.state.running.store(true, SeqCst);
        Running(Arc::clone(&self.state))
    }
}

/// Alive while a query may be interrupted.
pub(super) struct Running(Arc<State>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.store(false, SeqCst);
    }
}
