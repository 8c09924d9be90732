//! SQL in, Arrow batches out: sessions on a connection, the splitting of scripts, errors with their place.

mod error;
mod interrupt;
mod statements;

use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;

pub use error::{Error, Source, SqlError};
pub use interrupt::Interrupter;
pub use statements::{Open, Piece, Pieces, Statement, first_word, open_at_end, statements};

/// How types that Arrow lacks come out of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Types {
    /// Every type keeps its identity and all its digits, as an Arrow extension type (`arrow.json`,
    /// `arrow.uuid`, DuckDB's own `hugeint`, `time_tz`, `bit`): for text.
    Exact,
    /// The nearest plain Arrow type (`hugeint` as a decimal, a UUID as text): for files that others read.
    Plain,
}

/// A connection to ask questions on, one at a time.
pub struct Session {
    connection: duckdb::Connection,
    write: bool,
    interrupter: Interrupter,
    types: Option<Types>,
}

impl Session {
    /// A session on `connection`. `write` says whether it was opened for writing: it only decides what
    /// a refused change is answered with, the refusal is DuckDB's.
    #[must_use]
    pub fn new(connection: duckdb::Connection, write: bool) -> Self {
        // Errors as JSON carry their exact place. Where the configuration is locked they stay text,
        // and are shown as DuckDB words them.
        let _ = connection.execute_batch("SET SESSION errors_as_json = true");
        let interrupter = Interrupter::new(connection.interrupt_handle());
        Self {
            connection,
            write,
            interrupter,
            types: None,
        }
    }

    /// A second session on the same database.
    ///
    /// # Errors
    /// If no further connection can be made.
    pub fn try_clone(&self) -> Result<Self, Error> {
        Ok(Self::new(
            self.connection.try_clone().map_err(Error::from_duckdb)?,
            self.write,
        ))
    }

    /// The handle with which another thread stops what this session runs.
    #[must_use]
    pub fn interrupter(&self) -> Interrupter {
        self.interrupter.clone()
    }

    /// Whether the session may change the database.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.write
    }

    /// Runs again after an interrupt.
    pub fn forget_interrupt(&mut self) {
        self.interrupter.forget();
    }

    /// Starts one statement. Its rows come as they are asked for; only a few batches are held in memory.
    ///
    /// # Errors
    /// [`Error::Sql`] if DuckDB refuses the statement, with its place in `sql`; [`Error::Interrupted`].
    pub fn run(&mut self, sql: &str, types: Types) -> Result<Rows<'_>, Error> {
        self.set_types(types);
        let running = self.interrupter.running();
        if self.interrupter.asked() {
            return Err(Error::Interrupted);
        }
        let failed = |e| Error::from_duckdb(e).with_advice(self.write);
        let mut statement = self.connection.prepare(sql).map_err(failed)?;
        // The stream only borrows the statement; its rows are fetched by `step` just as well.
        drop(statement.stream_arrow([]).map_err(failed)?);
        let schema = statement.schema();
        let kind = Kind::of(sql, &schema);
        Ok(Rows {
            statement,
            schema,
            kind,
            interrupter: self.interrupter.clone(),
            done: false,
            _running: running,
        })
    }

    /// All rows of a small query as text, NULL as `None`: for what the shell itself wants to know.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn strings(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
        let mut statement = self.connection.prepare(sql).map_err(Error::from_duckdb)?;
        let mut rows = statement.query([]).map_err(Error::from_duckdb)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(Error::from_duckdb)? {
            let columns = row.as_ref().column_count();
            let cells: Result<Vec<Option<String>>, _> = (0..columns).map(|i| row.get(i)).collect();
            all.push(cells.map_err(Error::from_duckdb)?);
        }
        Ok(all)
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

/// What a statement's rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The answer to a question.
    Answer,
    /// One row with the number of rows changed.
    Changes,
    /// Nothing a person asked for (`CREATE`, `SET`, …).
    Nothing,
}

impl Kind {
    fn of(sql: &str, schema: &SchemaRef) -> Self {
        const QUESTIONS: [&str; 12] = [
            "select",
            "from",
            "with",
            "values",
            "table",
            "show",
            "describe",
            "desc",
            "summarize",
            "pragma",
            "explain",
            "",
        ];
        let [field] = schema.fields().iter().as_slice() else {
            return Self::Answer;
        };
        if QUESTIONS.contains(&first_word(sql).as_str()) {
            return Self::Answer;
        }
        match (field.name().as_str(), field.data_type()) {
            ("Count", DataType::Int64) if first_word(sql) == "create" => Self::Nothing,
            ("Count", DataType::Int64) => Self::Changes,
            ("Success" | "Count", _) => Self::Nothing,
            _ => Self::Answer,
        }
    }
}

/// The rows of one statement, batch by batch.
pub struct Rows<'s> {
    statement: duckdb::Statement<'s>,
    schema: SchemaRef,
    kind: Kind,
    interrupter: Interrupter,
    done: bool,
    _running: interrupt::Running,
}

impl Rows<'_> {
    /// Names and types of the columns.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    /// What the rows are.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Runs a statement that answers nothing to its end; the number of rows it changed, if it counts them.
    ///
    /// # Errors
    /// As the iterator.
    pub fn finish(self) -> Result<Option<i64>, Error> {
        use arrow::array::{AsArray, types::Int64Type};
        let changes = self.kind == Kind::Changes;
        let mut count = None;
        for batch in self {
            let batch = batch?;
            if changes && batch.num_rows() > 0 {
                count = batch
                    .column(0)
                    .as_primitive_opt::<Int64Type>()
                    .map(|column| column.value(0));
            }
        }
        Ok(count)
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<RecordBatch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let step = if self.interrupter.asked() {
            Err(Error::Interrupted)
        } else {
            self.statement.step().map_err(Error::from_duckdb)
        };
        match step {
            Ok(Some(batch)) => Some(Ok(RecordBatch::from(&batch))),
            Ok(None) => {
                self.done = true;
                None
            }
            Err(error) => {
                self.done = true;
                Some(Err(error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::{Duration, Instant};

    fn session() -> Session {
        Session::new(duckdb::Connection::open_in_memory().unwrap(), true)
    }

    #[test]
    fn rows_stream_in_batches() {
        let mut session = session();
        let rows = session.run("from range(10000)", Types::Exact).unwrap();
        assert_eq!(rows.kind(), Kind::Answer);
        let sizes: Vec<usize> = rows.map(|batch| batch.unwrap().num_rows()).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 10000);
        assert!(sizes.len() > 1);
    }

    #[test]
    fn an_error_in_the_middle_of_a_stream_is_an_error() {
        let mut session = session();
        let sql = "select if(i = 50000, error('stop'), i::varchar) from range(100000) t(i)";
        let last = session
            .run(sql, Types::Exact)
            .and_then(|rows| rows.last().unwrap());
        assert!(last.unwrap_err().to_string().contains("stop"));
        assert_eq!(session.run("select 1", Types::Exact).unwrap().count(), 1);
    }

    #[test]
    fn changes_are_counted_and_definitions_answer_nothing() {
        let mut session = session();
        let mut run = |sql: &str| {
            let rows = session.run(sql, Types::Exact).unwrap();
            (rows.kind(), rows.finish().unwrap())
        };
        assert_eq!(run("create table t (i int)"), (Kind::Nothing, None));
        assert_eq!(
            run("insert into t values (1), (2), (3)"),
            (Kind::Changes, Some(3))
        );
        assert_eq!(run("delete from t where i = 2"), (Kind::Changes, Some(1)));
        assert_eq!(run("insert into t values (7) returning i").0, Kind::Answer);
        assert_eq!(run("set threads = 1").0, Kind::Nothing);
        assert_eq!(run("select count(*) as \"Count\" from t").0, Kind::Answer);
    }

    #[test]
    fn an_interrupt_stops_a_query_and_the_session_goes_on() {
        let mut session = session();
        let interrupter = session.interrupter();
        let helper = thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            interrupter.interrupt();
        });
        let start = Instant::now();
        let sql =
            "select count(*) from range(10000000) a, range(1000000) b where a.range * b.range = 3";
        let result = session.run(sql, Types::Exact).and_then(super::Rows::finish);
        assert!(matches!(result, Err(Error::Interrupted)), "{result:?}");
        assert!(start.elapsed() < Duration::from_secs(5));
        helper.join().unwrap();
        assert!(matches!(
            session.run("select 1", Types::Exact).err(),
            Some(Error::Interrupted)
        ));
        session.forget_interrupt();
        assert_eq!(session.run("select 1", Types::Exact).unwrap().count(), 1);
    }
}
