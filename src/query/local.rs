//! A session on a connection of this process.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use duckdb::{Connection, InterruptHandle, Statement};

use super::Types;
use super::error::Error;
use super::shared::{self, Shared};
use super::tokens::Edited;

pub(super) struct Local {
    connection: Connection,
    write: bool,
    types: Option<Types>,
    /// Only on a database that this process has open for something else too.
    shared: Option<Shared>,
}

impl Local {
    pub(super) fn new(connection: Connection, write: bool, shared: bool) -> Self {
        // Errors as JSON carry their exact place. Where the configuration is locked they stay text,
        // and are shown as DuckDB words them.
        let _ = connection.execute_batch("SET SESSION errors_as_json = true");
        Self {
            connection,
            write,
            types: None,
            shared: shared.then(Shared::default),
        }
    }

    pub(super) fn try_clone(&self) -> Result<Self, Error> {
        let connection = self.connection.try_clone().map_err(Error::from_duckdb)?;
        Ok(Self::new(connection, self.write, self.shared.is_some()))
    }

    pub(super) fn interrupt_handle(&self) -> Arc<InterruptHandle> {
        self.connection.interrupt_handle()
    }

    /// Whether the user of a shared database has a transaction open.
    pub(super) fn in_transaction(&self) -> bool {
        self.shared.as_ref().is_some_and(Shared::in_transaction)
    }

    pub(super) fn run(&mut self, sql: &str, types: Types) -> Result<LocalRows<'_>, Error> {
        self.set_types(types);
        let Some(shared) = &mut self.shared else {
            return start(&self.connection, Edited::new(sql, Vec::new()), false)
                .map_err(|error| error.with_advice(self.write));
        };
        let admitted = shared.admit(sql, self.write)?;
        let (guarded, after) = (admitted.guarded, admitted.after);
        let rows = start(&self.connection, admitted.edited, guarded);
        shared.ran(after, rows.is_ok());
        rows.map_err(|error| shared::explain(error).with_advice(self.write))
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

/// Starts a statement, if `guarded` in a read-only transaction of its own.
fn start(connection: &Connection, edited: Edited, guarded: bool) -> Result<LocalRows<'_>, Error> {
    if guarded {
        connection
            .execute_batch("BEGIN TRANSACTION READ ONLY")
            .map_err(Error::from_duckdb)?;
    }
    let guard = Guard {
        connection: guarded.then_some(connection),
        failed: true,
    };
    let failed = |error| Error::from_duckdb(error).placed(|at| edited.written(at));
    let mut statement = connection.prepare(&edited.sql).map_err(failed)?;
    // The stream only borrows the statement; its rows are fetched by `step` just as well.
    drop(statement.stream_arrow([]).map_err(failed)?);
    Ok(LocalRows {
        schema: statement.schema(),
        statement,
        guard,
        edited,
    })
}

/// The rows of one statement.
pub(super) struct LocalRows<'s> {
    // Before the guard: a result that is still open would keep its transaction from ending.
    statement: Statement<'s>,
    schema: SchemaRef,
    edited: Edited,
    guard: Guard<'s>,
}

impl LocalRows<'_> {
    pub(super) fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    pub(super) fn step(&mut self) -> Result<Option<RecordBatch>, Error> {
        let step = self.statement.step();
        self.guard.failed = step.is_err();
        match step {
            Ok(batch) => Ok(batch.map(|batch| RecordBatch::from(&batch))),
            Err(error) => Err(Error::from_duckdb(error).placed(|at| self.edited.written(at))),
        }
    }
}

/// A transaction around one statement, which ends with it.
struct Guard<'s> {
    connection: Option<&'s Connection>,
    failed: bool,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let end = if self.failed { "ROLLBACK" } else { "COMMIT" };
        if let Some(connection) = self.connection
            && connection.execute_batch(end).is_err()
        {
            // Nothing of the database was changed in it; it must only not stay open.
            let _ = connection.execute_batch("ROLLBACK");
        }
    }
}
