//! The shell's session: what of the user's is in it, when it lets go of the database file, and how there is one again.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use super::{Options, Outcome, Shell, say, tell};

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
    pub(super) fn wanted(&self, options: &Options<'_>) -> Option<Wanted> {
        let wanted = options.wanted.clone();
        wanted.filter(|_| self.session.attached_to().is_none())
    }

    /// Reads a line. A database file that another process wants meanwhile is let go, if the session loses nothing by that.
    pub(super) fn line<T>(&mut self, options: &Options<'_>, mut read: impl FnMut() -> T) -> T {
        let mut read = || match &self.prompt {
            Some(prompt) => prompt.during(&mut read),
            None => read(),
        };
        let Some(wanted) = self
            .wanted(options)
            .filter(|_| !self.own.more && !self.session.in_transaction())
        else {
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
