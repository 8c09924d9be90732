//! Where a command asks its questions: in the process that has the database open, or in the file.

use std::io::Write;

use anyhow::Context;

use super::{PATIENCE, patiently};
use crate::config::Settings;
use crate::query::Session;
use crate::store;

/// Opens a session on the settings' database. That there was none, and now is, is said: it may be another that is meant.
///
/// # Errors
/// If the database cannot be opened, or another process has it that does not answer.
pub(super) fn open(settings: &Settings, write: bool) -> anyhow::Result<Session> {
    let is_new = store::must_exist(&settings.db).is_err();
    let opened = patiently(&settings.db, PATIENCE, || {
        match Session::attach(&settings.db, write) {
            Ok(None) => {
                let connection = store::open_reader(settings, write)?;
                Ok(Ok(Session::new(connection, write)))
            }
            Ok(Some(session)) => Ok(Ok(session)),
            Err(error) => Ok(Err(error)),
        }
    });
    match opened {
        Ok(session) => {
            let session = session?;
            if is_new {
                // Nobody may be left to read it.
                let _ = writeln!(
                    std::io::stderr(),
                    "there was no database in {}: an empty one was made; --db DIR, or MDB_DB, says where another is",
                    settings.db.display()
                );
            }
            Ok(session)
        }
        Err(error @ store::Error::InUse { .. }) => Err(error)
            .context("another process has the database open, and does not answer on mdb.sock"),
        Err(error) => Err(error.into()),
    }
}

/// The same on a database that is there; Ctrl-C stops what the session runs.
///
/// # Errors
/// If there is no database, or it cannot be opened.
pub(super) fn open_existing(settings: &Settings) -> anyhow::Result<Session> {
    store::must_exist(&settings.db)?;
    let session = open(settings, false)?;
    session
        .interrupter()
        .on_ctrl_c()
        .context("cannot listen for Ctrl-C")?;
    Ok(session)
}
