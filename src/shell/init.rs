//! What the user has every shell on a terminal begin with: a file of statements and commands.

use std::io;
use std::path::PathBuf;

use super::{Failure, Next, Shell, history, say, tell};

/// `$XDG_CONFIG_HOME/mdb/init.sql`, by default `~/.config/mdb/init.sql`; `None` without a home.
fn path() -> Option<PathBuf> {
    Some(history::directory("XDG_CONFIG_HOME", ".config")?.join("init.sql"))
}

impl Shell<'_> {
    /// Runs the file, if there is one. What is wrong in it is shown, and what follows is run all the same.
    ///
    /// # Errors
    /// If nobody sees what is shown.
    pub(super) fn init(&mut self) -> Result<Next, Failure> {
        let Some(path) = path() else {
            return Ok(Next::Go);
        };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Next::Go),
            Err(error) => {
                say(&format!("error: cannot read {}: {error}\n", path.display()));
                return Ok(Next::Go);
            }
        };
        self.printer.layout = self.layout();
        let name = path.display().to_string();
        self.script_past(Some(&name), &text, 0, |failure| tell(failure).map(drop))
    }
}
