//! A session on a connection of this process.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use duckdb::{Connection, InterruptHandle, ProgressHandle, Statement};

use super::Types;
use super::as_text;
use super::error::{Error, SqlError};
use super::parameters;
use super::paths;
use super::shared::{self, After, Shared};
use super::tokens::Edited;
use crate::model::statements::first_word;
use crate::store::{Lease, Reader, history};

/// What a statement has in it that reads past versions of the lake: it must know of all of them.
const AS_OF: &str = "as_of";

pub(super) struct Local {
    // Before the lease.
    connection: Connection,
    write: bool,
    types: Option<Types>,
    tracked: bool,
    /// Only on a database that this process has open for something else too.
    shared: Option<(Shared, Lease)>,
}

impl Local {
    pub(super) fn alone(connection: Connection, write: bool) -> Self {
        Self::new(connection, write, None)
    }

    pub(super) fn shared(reader: Reader, write: bool) -> Self {
        let shared = (Shared::default(), reader.lease);
        Self::new(reader.connection, write, Some(shared))
    }

    fn new(connection: Connection, write: bool, shared: Option<(Shared, Lease)>) -> Self {
        // Errors as JSON carry their exact place, and a typo in a transaction costs the statement alone. Where the
        // configuration is locked errors stay text, and are shown as DuckDB words them.
        let _ = connection.execute_batch(
            "SET SESSION errors_as_json = true;
             SET SESSION default_transaction_invalidation_policy = 'SYNTACTIC_ERRORS_DO_NOT_INVALIDATE'",
        );
        Self {
            connection,
            write,
            types: None,
            tracked: false,
            shared,
        }
    }

    pub(super) fn try_clone(&self) -> Result<Self, Error> {
        if let Some((_, lease)) = &self.shared {
            let reader = lease.another();
            let reader = reader.map_err(|error| Error::Remote(error.to_string()))?;
            return Ok(Self::shared(reader, self.write));
        }
        let connection = self.connection.try_clone().map_err(Error::from_duckdb)?;
        Ok(Self::alone(connection, self.write))
    }

    pub(super) fn interrupt_handle(&self) -> Arc<InterruptHandle> {
        self.connection.interrupt_handle()
    }

    pub(super) fn progress_handle(&self) -> ProgressHandle {
        self.connection.progress_handle()
    }

    pub(super) fn track_progress(&mut self) {
        if self.tracked {
            return;
        }
        self.tracked = true;
        // As in `new`: a locked configuration only costs the estimate.
        let _ = self.connection.set_query_progress_tracking(true);
    }

    pub(super) fn run(&mut self, sql: &str, types: Types) -> Result<LocalRows<'_>, Error> {
        if matches!(first_word(sql).as_str(), "commit" | "end") {
            self.refuse_if_spoilt()?;
        }
        self.set_types(types);
        if sql.contains(AS_OF) {
            // A database that is no market database has no versions: what `as_of` says then is right.
            let _ = self.connection.execute_batch(history::known());
        }
        let looked_up = parameters::looked_up(sql, || variables(&self.connection))?;
        let asked = looked_up
            .as_ref()
            .map_or(sql, |edited| &edited.sql)
            .to_owned();
        let Some((shared, lease)) = &mut self.shared else {
            let edited = match std::env::current_dir() {
                Ok(here) => paths::absolute_patterns(&asked, &here, Path::exists),
                Err(_) => Edited::new(&asked, Vec::new()),
            };
            return start(&self.connection, edited.after(looked_up), Guard::none())
                .map_err(|error| error.with_advice(self.write));
        };
        let admitted = shared.admit(&asked, self.write);
        let admitted = admitted.map_err(|error| match &looked_up {
            Some(edited) => error.placed(|at| edited.written(at)),
            None => error,
        })?;
        let guard = Guard {
            transaction: admitted.guarded.then_some(&self.connection),
            // Only what names a file can have opened and closed one.
            lock: sql.contains(['\'', '"', '$']).then_some(lease),
            failed: true,
        };
        let rows = start(&self.connection, admitted.edited.after(looked_up), guard);
        shared.ran(admitted.after, rows.is_ok());
        rows.map_err(|error| shared::explain(error).with_advice(self.write))
    }

    /// Ends a transaction that an error has spoilt. DuckDB would roll it back as well, and report a success.
    fn refuse_if_spoilt(&mut self) -> Result<(), Error> {
        let Err(error) = self.connection.execute_batch("SELECT 1") else {
            return Ok(());
        };
        if !error.to_string().contains("transaction is aborted") {
            return Ok(());
        }
        self.connection
            .execute_batch("ROLLBACK")
            .map_err(Error::from_duckdb)?;
        if let Some((shared, _)) = &mut self.shared {
            shared.ran(After::Ended, false);
        }
        Err(Error::Sql(Box::new(SqlError {
            message: "nothing was committed: an error in the transaction had spoilt it, and it was rolled back"
                .to_owned(),
            at: None,
            hint: Some("run it again from its BEGIN, without what failed".to_owned()),
        })))
    }

    fn set_types(&mut self, types: Types) {
        if self.types != Some(types) {
            let on = types == Types::Exact;
            // As in `new`: a locked configuration only costs the finer types.
            let _ = self
                .connection
                .execute_batch(&format!("SET SESSION arrow_lossless_conversion = {on}"));
            self.types = Some(types);
        }
    }
}

/// Names of the session's variables.
fn variables(connection: &Connection) -> Result<Vec<String>, Error> {
    let mut statement = connection
        .prepare("SELECT name FROM duckdb_variables()")
        .map_err(Error::from_duckdb)?;
    let names = statement
        .query_map([], |row| row.get(0))
        .map_err(Error::from_duckdb)?;
    names.collect::<Result<_, _>>().map_err(Error::from_duckdb)
}

/// Starts a statement, in the guard's transaction if it has one.
fn start<'s>(
    connection: &'s Connection,
    edited: Edited,
    guard: Guard<'s>,
) -> Result<LocalRows<'s>, Error> {
    if let Some(connection) = guard.transaction {
        connection
            .execute_batch("BEGIN TRANSACTION READ ONLY")
            .map_err(Error::from_duckdb)?;
    }
    let has_parameters = edited.is_second();
    let mut started = begun(connection, &edited);
    let mut asked = edited;
    let mut called: Option<SchemaRef> = None;
    if as_text::is_needed(&started) && as_text::is_possible(&asked.sql) {
        // While its rows wait, the connection answers nothing else.
        drop(started);
        let text = as_text::as_text(connection, &asked);
        started = begun(
            connection,
            text.as_ref().map_or(&asked, |text| &text.edited),
        );
        if let (Some(text), Ok(statement)) = (&text, &started) {
            called = Some(text.named(&statement.schema()));
        }
        asked = text.map_or(asked, |text| text.edited);
    }
    let statement =
        started.map_err(|error| Error::from_duckdb(error).placed(|at| asked.written(at)))?;
    let schema = statement.schema();
    let written = if has_parameters {
        parameters::as_written(called.as_ref().unwrap_or(&schema))
    } else {
        None
    };
    Ok(LocalRows {
        statement,
        schema,
        named: written.or(called),
        edited: asked,
        guard,
    })
}

/// A statement whose rows can be fetched.
fn begun<'s>(connection: &'s Connection, edited: &Edited) -> duckdb::Result<Statement<'s>> {
    let mut statement = connection.prepare(&edited.sql)?;
    // The stream only borrows the statement; its rows are fetched by `step` just as well.
    drop(statement.stream_arrow([])?);
    Ok(statement)
}

/// The rows of one statement.
pub(super) struct LocalRows<'s> {
    // Before the guard: a result that is still open would keep its transaction from ending.
    statement: Statement<'s>,
    schema: SchemaRef,
    /// The same with the names that columns have after the statement as it was written, where those differ.
    named: Option<SchemaRef>,
    edited: Edited,
    guard: Guard<'s>,
}

impl LocalRows<'_> {
    pub(super) fn schema(&self) -> SchemaRef {
        SchemaRef::clone(self.named.as_ref().unwrap_or(&self.schema))
    }

    pub(super) fn step(&mut self) -> Result<Option<RecordBatch>, Error> {
        let step = self.statement.step();
        self.guard.failed = step.is_err();
        match step {
            Ok(batch) => {
                Ok(batch.map(|batch| named(RecordBatch::from(&batch), self.named.as_ref())))
            }
            Err(error) => Err(Error::from_duckdb(error).placed(|at| self.edited.written(at))),
        }
    }
}

/// Rows under other names of their columns, if there are such.
fn named(batch: RecordBatch, schema: Option<&SchemaRef>) -> RecordBatch {
    let Some(schema) = schema else {
        return batch;
    };
    let columns = batch.columns().to_vec();
    // The names alone differ.
    RecordBatch::try_new(SchemaRef::clone(schema), columns).unwrap_or(batch)
}

/// What is to be done when a statement of a shared session is over.
struct Guard<'s> {
    /// A transaction around the statement, which ends with it.
    transaction: Option<&'s Connection>,
    /// The lock on the database, which the statement may have dropped.
    lock: Option<&'s Lease>,
    failed: bool,
}

impl Guard<'_> {
    fn none() -> Self {
        Self {
            transaction: None,
            lock: None,
            failed: true,
        }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let end = if self.failed { "ROLLBACK" } else { "COMMIT" };
        if let Some(connection) = self.transaction
            && connection.execute_batch(end).is_err()
        {
            // Nothing of the database was changed in it; it must only not stay open.
            let _ = connection.execute_batch("ROLLBACK");
        }
        if let Some(lease) = self.lock {
            lease.hold_lock();
        }
    }
}
