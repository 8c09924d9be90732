//! The shell's session: what of the user's is in it, when it lets go of the database file, and how there is one again.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::screen::{self, Key, Raw};
use super::{Failure, Options, Outcome, Shell, output_error, say, tell};

/// Tells whether another process waits for the database file, which a shell that only waits for its user need not hold.
pub type Wanted = Arc<dyn Fn() -> bool + Send + Sync>;

/// How often it is looked for: those who wait have more patience.
const LOOK: Duration = Duration::from_millis(250);

/// Statements that set something, as many as are kept.
const SETTINGS: usize = 100;

/// What of the user's is in a session, and a new one would lack.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// The statements that have set something: a new session is told them again.
    settings: Vec<String>,
    /// Whether there is more than that: temporary objects, parameters.
    pub(super) more: bool,
}

impl Own {
    /// Takes note of what a statement has left.
    pub(super) fn note(&mut self, sql: &str, outcome: Outcome) {
        let mut words = sql.split_whitespace().map(str::to_ascii_lowercase);
        let words = [words.next(), words.next()].map(Option::unwrap_or_default);
        match words.each_ref().map(String::as_str) {
            ["set" | "reset", scope] if scope != "variable" && self.settings.len() < SETTINGS => {
                self.settings.push(sql.to_owned());
            }
            [
                "copy" | "export" | "begin" | "start" | "commit" | "end" | "rollback" | "abort",
                _,
            ] => {}
            ["pragma", _] => self.more = true,
            _ => self.more |= !matches!(outcome, Outcome::Rows(_)),
        }
    }
}

impl Shell<'_> {
    /// Tells when the file is to be let go; `None` if another process has it.
    pub(super) fn wanted(&self) -> Option<Wanted> {
        let wanted = self.wanted.clone();
        wanted.filter(|_| self.session.attached_to().is_none())
    }

    /// The same; `None` also if the session would lose something by that.
    fn wanted_if_idle(&self) -> Option<Wanted> {
        self.wanted()
            .filter(|_| !self.own.more && !self.session.in_transaction())
    }

    /// Reads a line.
    pub(super) fn line<T>(&mut self, read: impl FnOnce() -> T) -> T {
        let prompt = self.prompt.clone();
        self.idle(|| match prompt {
            Some(prompt) => prompt.during(read),
            None => read(),
        })
    }

    /// Waits for a key, no longer than `wait`. For a command that goes on reading the database it is the end if another
    /// process wants the file, which is let go at the prompt then.
    pub(super) fn key(&self, wait: Duration) -> Result<Key, Failure> {
        let start = Instant::now();
        let wanted = self.wanted_if_idle();
        let look = if wanted.is_some() { LOOK } else { wait };
        let raw = Raw::enter().map_err(output_error)?;
        loop {
            let left = wait.saturating_sub(start.elapsed());
            let key = screen::key(left.min(look)).map_err(output_error)?;
            if key != Key::None {
                return Ok(key);
            }
            if wanted.as_ref().is_some_and(|wanted| wanted()) {
                drop(raw);
                say("ended, for another mdb to write to the database\n");
                return Ok(Key::Stop);
            }
            if left <= look {
                return Ok(Key::None);
            }
        }
    }

    /// Waits for the user. A database file that another process wants meanwhile is let go, if the session loses nothing by
    /// that.
    pub(super) fn idle<T>(&mut self, read: impl FnOnce() -> T) -> T {
        let Some(wanted) = self.wanted_if_idle() else {
            return read();
        };
        let session = &mut self.session;
        thread::scope(|scope| {
            let (_done, waits) = channel::<()>();
            scope.spawn(move || {
                if until_wanted(&waits, Some(&wanted)) == Err(RecvTimeoutError::Timeout) {
                    session.let_go();
                }
            });
            read()
        })
    }

    /// Takes the place of a session that is lost; false if that cannot be now.
    pub(super) fn reopen(&mut self, options: &Options<'_>) -> bool {
        let Some(reopen) = options.reopen else {
            return false;
        };
        let session = match reopen() {
            Ok(session) => session,
            Err(why) => {
                say(&format!("error: {why}\n"));
                return false;
            }
        };
        let process = session.attached_to().map(|process| {
            format!(
                "attached to mdb {} (PID {}) now",
                process.command, process.pid
            )
        });
        // Nobody need know that the file was let go for a while.
        let unseen = self.session.is_away() && process.is_none();
        let mut told = process.unwrap_or_else(|| "the database file is open now".to_owned());
        if std::mem::take(&mut self.own.more) {
            told.push_str("; temporary tables and parameters of before are gone");
        }
        self.session.move_to(session);
        self.offered = false;
        for setting in &self.own.settings {
            if let Err(error) = self.session.strings(setting) {
                let _ = write!(told, "\n{setting} does not hold there: {error}");
            }
        }
        if self.has_focus() {
            let _ = self.tell_focus().or_else(|failure| tell(failure).map(drop));
        }
        if !unseen {
            say(&format!("{told}\n"));
        }
        true
    }
}

/// What comes, or [`RecvTimeoutError::Timeout`] once the file is wanted.
pub(super) fn until_wanted<T>(
    waits: &Receiver<T>,
    wanted: Option<&Wanted>,
) -> Result<T, RecvTimeoutError> {
    let Some(wanted) = wanted else {
        return Ok(waits.recv()?);
    };
    loop {
        match waits.recv_timeout(LOOK) {
            Err(RecvTimeoutError::Timeout) if !wanted() => {}
            came => return came,
        }
    }
}
