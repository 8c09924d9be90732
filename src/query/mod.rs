//! SQL in, Arrow batches out: sessions, here or in another process, the splitting of scripts, errors with their place.

mod as_text;
mod error;
mod interrupt;
mod local;
mod nearest;
mod parameters;
mod paths;
mod progress;
mod remote;
mod shared;
mod tokens;
pub mod wire;

use std::path::Path;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use arrow::record_batch::RecordBatch;

use interrupt::Handle;
use local::{Local, LocalRows};
use remote::{Answer, Remote};
use tokens::verb;

use crate::store::Reader;

pub use crate::model::statements::{
    Open, Piece, Pieces, Statement, first_word, open_at_end, statements,
};
pub use error::{Error, Source, SqlError};
pub use interrupt::Interrupter;
pub use nearest::{meant, nearest};
pub use paths::{is_from, is_path, is_wordy_call};
pub use progress::{Meter, Progress};
pub use remote::status;
pub use tokens::{Token, TokenKind, tokens};

/// How types that Arrow lacks come out of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Types {
    /// Every type keeps its identity and all its digits, as an Arrow extension type (`arrow.json`,
    /// `arrow.uuid`, DuckDB's own `hugeint`, `time_tz`, `bit`): for results, of which `output` makes what a format holds.
    Exact,
    /// The nearest plain Arrow type, as DuckDB makes it (`hugeint` as a decimal, a UUID as text): for what mdb itself
    /// asks. Of some types it is a wrong value, of `uhugeint` for one.
    Plain,
}

/// Where to ask questions, one at a time.
pub struct Session {
    place: Place,
    write: bool,
    interrupter: Interrupter,
    /// Whether the user has begun a transaction.
    transaction: bool,
    /// Whether a statement failed because the session is over.
    lost: bool,
}

/// Why a session is over that has let go of its database.
const LET_GO: &str = "the database file was let go, as another process wanted it";

enum Place {
    Here(Local),
    There(Box<Remote>),
    /// Nowhere: the file was let go.
    Away,
}

impl Session {
    /// A session on `connection`, which has the database to itself. `write` says whether it was opened for writing:
    /// it only decides what a refused change is answered with, the refusal is DuckDB's.
    #[must_use]
    pub fn new(connection: duckdb::Connection, write: bool) -> Self {
        Self::at(Place::Here(Local::alone(connection, write)), write)
    }

    /// A session in a process that has the database open for writing, and goes on with that. It
    /// may do what one with the file to itself may, but for what concerns the whole process; without `write` it
    /// changes nothing.
    #[must_use]
    pub fn shared(reader: Reader, write: bool) -> Self {
        Self::at(Place::Here(Local::shared(reader, write)), write)
    }

    /// A session in the process that has the database in `db` open; `None` if no process answers there.
    ///
    /// # Errors
    /// If one does, but not with a session.
    pub fn attach(db: &Path, write: bool) -> Result<Option<Self>, Error> {
        let remote = Remote::connect(db, write)?;
        Ok(remote.map(|remote| Self::at(Place::There(Box::new(remote)), write)))
    }

    fn at(place: Place, write: bool) -> Self {
        let handle = match &place {
            Place::Here(local) => Handle::Local(local.interrupt_handle()),
            Place::There(remote) => Handle::Remote(remote.bell()),
            Place::Away => Handle::None,
        };
        Self {
            place,
            write,
            interrupter: Interrupter::new(handle),
            transaction: false,
            lost: false,
        }
    }

    /// A second session on the same database.
    ///
    /// # Errors
    /// If no further connection can be made.
    pub fn try_clone(&self) -> Result<Self, Error> {
        let place = match &self.place {
            Place::Here(local) => Place::Here(local.try_clone()?),
            Place::There(remote) => Place::There(Box::new(remote.try_clone()?)),
            Place::Away => return Err(Error::Lost(LET_GO.to_owned())),
        };
        Ok(Self::at(place, self.write))
    }

    /// Goes on in `other`'s place, which must be newly opened. Whoever can interrupt this session still can.
    pub fn move_to(&mut self, other: Self) {
        self.interrupter.move_to(&other.interrupter);
        self.place = other.place;
        self.write = other.write;
        self.lost = other.lost;
        self.transaction = other.transaction;
    }

    /// Lets go of the database file, for another process to write to. The session is lost, until it
    /// [moves](Self::move_to) to a new one.
    pub fn let_go(&mut self) {
        self.place = Place::Away;
        self.interrupter.move_to(&Interrupter::new(Handle::None));
        self.lost = true;
        self.transaction = false;
    }

    /// Whether the session has let go of its database.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self.place, Place::Away)
    }

    /// Takes note if the process in which this session runs has ended, so that no statement need find it out.
    pub fn look(&mut self) {
        if let Place::There(remote) = &mut self.place {
            self.lost |= remote.is_over();
        }
    }

    /// Ends the use of a database that was only read, in a process that is about to end too: there is nothing to be written,
    /// and the system takes memory and threads back faster than DuckDB gives them.
    pub fn leave(self) {
        if !self.write && matches!(self.place, Place::Here(_)) {
            std::mem::forget(self);
        }
    }

    /// The handle with which another thread stops what this session runs.
    #[must_use]
    pub fn interrupter(&self) -> Interrupter {
        self.interrupter.clone()
    }

    /// The handle with which another thread learns how far this session's query is, once
    /// [`track_progress`](Self::track_progress) was called where the session is.
    #[must_use]
    pub fn meter(&self) -> Meter {
        match &self.place {
            Place::Here(local) => Meter::here(local.progress_handle()),
            Place::There(remote) => Meter::there(remote.bell()),
            Place::Away => Meter::none(),
        }
    }

    /// From now on DuckDB keeps account of how far queries are. A process that others ask does so for their sessions.
    pub fn track_progress(&mut self) {
        if let Place::Here(local) = &mut self.place {
            local.track_progress();
        }
    }

    /// Whether the session may change the database.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.write
    }

    /// The process in which this session runs, if that is another one.
    #[must_use]
    pub fn attached_to(&self) -> Option<&wire::Welcome> {
        match &self.place {
            Place::Here(_) | Place::Away => None,
            Place::There(remote) => Some(remote.welcome()),
        }
    }

    /// What the process that has the database open says of itself, as JSON, if this session is in another one; it is
    /// not waited for longer than `patience`.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn status(&self, patience: Duration) -> Result<Option<serde_json::Value>, Error> {
        match &self.place {
            Place::Here(_) | Place::Away => Ok(None),
            Place::There(remote) => remote.status(patience),
        }
    }

    /// Whether the session is over, as [`Error::Lost`] has said.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// Whether the user has a transaction open. Also one that an error has spoilt is, until it is ended.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.transaction
    }

    /// Runs again after an interrupt.
    pub fn forget_interrupt(&mut self) {
        self.interrupter.forget();
    }

    /// Starts one statement. Its rows come as they are asked for; only a few batches are held in memory.
    ///
    /// # Errors
    /// [`Error::Sql`] if DuckDB refuses the statement, with its place in `sql`; [`Error::Interrupted`];
    /// [`Error::Lost`].
    pub fn run(&mut self, sql: &str, types: Types) -> Result<Rows<'_>, Error> {
        let running = self.interrupter.running();
        if self.interrupter.asked() {
            return Err(Error::Interrupted);
        }
        let (lost, interrupter) = (&mut self.lost, self.interrupter.clone());
        let batches = match &mut self.place {
            Place::Here(local) => local
                .run(sql, types)
                .map(|rows| Batches::Here(Box::new(rows))),
            Place::There(remote) => remote
                .run(sql, types)
                .map(|answer| Batches::There(Box::new(answer))),
            Place::Away => Err(Error::Lost(LET_GO.to_owned())),
        };
        let batches = batches.inspect_err(|error| *lost |= matches!(error, Error::Lost(_)));
        match first_word(sql).as_str() {
            "begin" | "start" if batches.is_ok() => self.transaction = true,
            // Also if it failed: whatever was open is rolled back then.
            "commit" | "end" | "rollback" | "abort" => self.transaction = false,
            _ => {}
        }
        let batches = batches?;
        let schema = match &batches {
            Batches::Here(rows) => rows.schema(),
            Batches::There(answer) => answer.schema(),
        };
        Ok(Rows {
            batches,
            kind: Kind::of(sql, &schema),
            schema,
            interrupter,
            lost,
            done: false,
            _running: running,
        })
    }

    /// All rows of a small query whose columns are text, NULL as `None`: for what the shell itself wants to know.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn strings(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
        let mut all = Vec::new();
        for batch in self.run(sql, Types::Plain)? {
            let batch = batch?;
            let columns: Vec<_> = batch
                .columns()
                .iter()
                .filter_map(|column| column.as_string_opt::<i32>())
                .collect();
            all.extend((0..batch.num_rows()).map(|row| {
                let cell = |column: &&arrow::array::StringArray| {
                    (!arrow::array::Array::is_null(*column, row))
                        .then(|| column.value(row).to_owned())
                };
                columns.iter().map(cell).collect()
            }));
        }
        Ok(all)
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
        const QUESTIONS: [&str; 14] = [
            "select",
            "from",
            "values",
            "table",
            "show",
            "describe",
            "desc",
            "summarize",
            "pragma",
            "explain",
            "pivot",
            "unpivot",
            "call",
            "",
        ];
        let [field] = schema.fields().iter().as_slice() else {
            return Self::Answer;
        };
        let verb = verb(sql);
        if QUESTIONS.contains(&verb.as_str()) {
            return Self::Answer;
        }
        match (field.name().as_str(), field.data_type()) {
            ("Count", DataType::Int64) if verb == "create" => Self::Nothing,
            // What was prepared may be a question that has such a column.
            ("Count", _) if verb == "execute" => Self::Answer,
            ("Count", DataType::Int64) => Self::Changes,
            ("Success" | "Count", _) => Self::Nothing,
            _ => Self::Answer,
        }
    }
}

/// The rows of one statement, batch by batch.
pub struct Rows<'s> {
    batches: Batches<'s>,
    schema: SchemaRef,
    kind: Kind,
    interrupter: Interrupter,
    lost: &'s mut bool,
    done: bool,
    _running: interrupt::Running,
}

enum Batches<'s> {
    Here(Box<LocalRows<'s>>),
    There(Box<Answer<'s>>),
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

    fn step(&mut self) -> Result<Option<RecordBatch>, Error> {
        if self.interrupter.asked() {
            return Err(Error::Interrupted);
        }
        match &mut self.batches {
            Batches::Here(rows) => rows.step(),
            Batches::There(answer) => answer.step(),
        }
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<RecordBatch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let step = self.step();
        self.done = !matches!(step, Ok(Some(_)));
        *self.lost |= matches!(step, Err(Error::Lost(_)));
        step.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Instant;

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
    fn columns_that_cannot_be_read_come_as_text_under_their_own_names() {
        let mut session = session();
        let asked = "SELECT '7' AS a, {'b': 2}::VARIANT AS b, 'POINT(1 2)'::GEOMETRY AS \"the g\", [1::VARIANT] AS l, \
                     {'p': 'POINT(3 4)'::GEOMETRY} AS s";
        let mut shown = |sql: &str| {
            let schema = session.run(sql, Types::Exact).unwrap().schema();
            let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            let rows = session.strings(sql).unwrap().into_iter();
            let rows: Vec<String> = rows
                .map(|row| row.into_iter().flatten().collect::<Vec<_>>().join(","))
                .collect();
            format!("{}\n{}", names.join(","), rows.join("\n"))
        };
        assert_eq!(
            shown(asked),
            "a,b,the g,l,s\n7,{'b': 2},POINT (1 2),[1],{'p': 'POINT (3 4)'}"
        );
        shown("SET VARIABLE n = 3");
        assert_eq!(
            shown("SELECT $n::VARIANT -- and no more"),
            "CAST($n AS VARIANT)\n3"
        );
        let sorted = "WITH x AS (SELECT i::VARIANT AS v, i FROM range(9) t(i)) SELECT v FROM x ORDER BY i DESC LIMIT 2";
        assert_eq!(shown(sorted), "v\n8\n7");
    }

    #[test]
    fn what_cannot_be_asked_again_says_which_column_to_cast() {
        let mut session = session();
        let mut run = |sql: &str| {
            let rows = session.run(sql, Types::Exact)?;
            rows.finish()
        };
        run("CREATE TABLE v (i INTEGER, v VARIANT)").unwrap();
        let error = run("INSERT INTO v VALUES (1, 2) RETURNING i, v").unwrap_err();
        assert_eq!(
            error.to_string(),
            "column 2 is a VARIANT, which cannot be shown as it is"
        );
        let Error::Sql(error) = error else {
            panic!("no hint: {error}")
        };
        assert!(error.hint.unwrap().contains("::VARCHAR"));
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
        assert_eq!(
            run("with n(i) as (select 8), m as materialized (from n) insert into t from m"),
            (Kind::Changes, Some(1))
        );
        run("prepare counted as select count(*) as \"Count\" from t");
        for question in [
            "select count(*) as \"Count\" from t",
            "with recursive n(i) as (select 1) select count(*) as \"Count\" from n",
            "with n as (from t) (select count(*) as \"Count\" from n)",
            "pivot (select 'Count' as k, 5::BIGINT as v) on k using first(v)",
            "execute counted",
        ] {
            assert_eq!(run(question).0, Kind::Answer, "{question}");
        }
    }

    #[test]
    fn a_transaction_that_an_error_has_spoilt_is_not_committed_in_silence() {
        let mut session = session();
        let mut run = |sql: &str| {
            let rows = session.run(sql, Types::Exact)?;
            rows.finish()
        };
        run("create table t (i int not null)").unwrap();
        for end in ["commit", "END"] {
            run("begin").unwrap();
            run("insert into t values (1)").unwrap();
            assert!(run("insert into t values (null)").is_err());
            let error = run(end).unwrap_err().to_string();
            assert!(error.starts_with("nothing was committed"), "{error}");
            assert_eq!(run("delete from t").unwrap(), Some(0));
        }
        // A slip of the pen spoils nothing.
        run("begin").unwrap();
        run("insert into t values (2)").unwrap();
        assert!(run("insert int t values (3)").is_err());
        run("commit").unwrap();
        assert_eq!(run("delete from t").unwrap(), Some(1));
        assert!(!session.in_transaction());
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
