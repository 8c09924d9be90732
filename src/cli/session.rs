//! Where a command asks its questions: in the process that has the database open, or in the file.

use anyhow::Context;

use super::{PATIENCE, patiently};
use crate::config::Settings;
use crate::query::Session;
use crate::store;

/// Opens a session on the settings' database.
///
/// # Errors
/// If the database cannot be opened, or another process has it that does not answer.
pub(super) fn open(settings: &Settings, write: bool) -> anyhow::Result<Session> {
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
        Ok(session) => Ok(session?),
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
