//! Finds out what completion does not know yet: a thread with a session of its own, so that Tab waits no longer than
//! it is told to, and the user's transaction is left alone.

use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::catalog::{Catalog, ValuesOf, list};
use crate::model::sql::identifier;
use crate::query::{Error, Interrupter, Session};
use crate::shell::session::{Wanted, until_wanted};

/// Questions that wait at most; a further one is asked at the next Tab.
const WAITING: usize = 16;

/// How long one question may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is older is asked for again, while the old answer serves.
const FRESH: Duration = Duration::from_mins(1);

/// Rows that are looked at in each table of the database file: the newest.
const RECENT_ROWS: usize = 200_000;

/// A date of a table's lake with more rows is left out.
const LAKE_ROWS: usize = 5_000_000;

/// Values kept of one column.
const VALUES: usize = 20_000;

/// Rows of a relation that has no newest ones.
const SAMPLE_ROWS: usize = 100_000;

enum Question {
    Names,
    Columns(String),
    Values(ValuesOf),
}

enum Answer {
    Names(Box<Catalog>),
    Columns(String, Vec<String>),
    Values(ValuesOf, Vec<String>),
    Nothing,
}

/// The catalog, and who fills it.
pub(in crate::shell) struct Librarian {
    catalog: Catalog,
    questions: Option<SyncSender<Question>>,
    answers: Receiver<Answer>,
    /// Questions that are not answered yet.
    open: usize,
    /// When the names were asked for.
    named: Instant,
    /// When values were asked for.
    valued: HashMap<ValuesOf, Instant>,
    interrupter: Interrupter,
    thread: Option<JoinHandle<()>>,
}

impl Librarian {
    /// Starts asking `session`, which is let go of once it is `wanted`.
    pub(in crate::shell) fn new(session: Session, wanted: Option<Wanted>) -> Self {
        let mut librarian = Self {
            catalog: Catalog::default(),
            questions: None,
            answers: channel().1,
            open: 0,
            named: Instant::now(),
            valued: HashMap::new(),
            interrupter: session.interrupter(),
            thread: None,
        };
        librarian.go_on(session, wanted);
        librarian
    }

    /// Asks `session` from now on.
    pub(in crate::shell) fn go_on(&mut self, mut session: Session, wanted: Option<Wanted>) {
        self.leave();
        let (questions, asked) = sync_channel(WAITING);
        let (answering, answers) = sync_channel(WAITING + 1);
        self.interrupter = session.interrupter();
        let work = move || {
            while let Ok(question) = until_wanted(&asked, wanted.as_ref()) {
                let answer = limited(&mut session, |session| answer(session, question));
                if answering.send(answer.unwrap_or(Answer::Nothing)).is_err() {
                    break;
                }
            }
        };
        let thread = thread::Builder::new().name("completion".into()).spawn(work);
        self.questions = thread.is_ok().then_some(questions);
        self.answers = answers;
        self.thread = thread.ok();
        self.open = 0;
        self.valued.clear();
        self.refresh();
        for column in ["symbol", "venue"] {
            self.values(&shared_by_all(column), Duration::ZERO);
        }
    }

    /// Asks nobody any more. What is known stays known.
    pub(in crate::shell) fn leave(&mut self) {
        // The thread ends at the first answer that nobody takes: questions that still wait are not asked.
        self.answers = channel().1;
        self.questions = None;
        self.interrupter.interrupt();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    /// Whether nobody is asked.
    pub(in crate::shell) fn has_left(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// What is known.
    pub(in crate::shell) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// What is known, for those who know better.
    pub(in crate::shell) fn catalog_mut(&mut self) -> &mut Catalog {
        &mut self.catalog
    }

    /// Sets the temporary objects, which only the user's own session sees.
    pub(in crate::shell) fn set_temporary(&mut self, relations: BTreeMap<String, Vec<String>>) {
        self.catalog.temporary = relations;
    }

    /// Names may have changed.
    pub(in crate::shell) fn refresh(&mut self) {
        self.named = Instant::now();
        self.ask(Question::Names);
    }

    /// Makes sure that names are there, if that takes no longer than `wait`.
    pub(in crate::shell) fn names(&mut self, wait: Duration) {
        if self.named.elapsed() > FRESH {
            self.named = Instant::now();
            self.ask(Question::Names);
        }
        let start = Instant::now();
        self.take(Duration::ZERO);
        if self.catalog.keywords.is_empty() && self.open == 0 {
            // They could not be had before.
            self.ask(Question::Names);
        }
        while self.catalog.keywords.is_empty() && self.take(wait.saturating_sub(start.elapsed())) {}
    }

    /// Takes in what has been found out, without waiting.
    pub(in crate::shell) fn listen(&mut self) {
        self.take(Duration::ZERO);
    }

    /// Finds out the columns of a source, if that takes no longer than `wait`.
    pub(in crate::shell) fn columns(&mut self, source: &str, wait: Duration) {
        self.ask(Question::Columns(source.to_owned()));
        let start = Instant::now();
        while self.catalog.described(source).is_none()
            && self.take(wait.saturating_sub(start.elapsed()))
        {}
    }

    /// Finds out the values of a column, if that takes no longer than `wait`. Values that are only old are asked for
    /// without waiting.
    pub(in crate::shell) fn values(&mut self, of: &ValuesOf, wait: Duration) {
        let now = Instant::now();
        let asked = self.valued.get(of);
        if asked.is_none_or(|asked| asked.elapsed() > FRESH) {
            self.valued.insert(of.clone(), now);
            self.ask(Question::Values(of.clone()));
        }
        while self.catalog.values(of).is_none() && self.take(wait.saturating_sub(now.elapsed())) {}
    }

    /// The symbols that the newest rows have, without waiting: if they are known already, and all of them.
    pub(in crate::shell) fn symbols(&mut self) -> Option<&[String]> {
        let of = shared_by_all("symbol");
        self.listen();
        self.values(&of, Duration::ZERO);
        let known = self.catalog.values(&of);
        known.filter(|known| (1..VALUES).contains(&known.len()))
    }

    fn ask(&mut self, question: Question) {
        let sent = self
            .questions
            .as_ref()
            .is_some_and(|questions| questions.try_send(question).is_ok());
        self.open += usize::from(sent);
    }

    /// Takes in answers: all that are there, and if there is none, one that comes within `wait`. False if none came.
    fn take(&mut self, wait: Duration) -> bool {
        let mut came = false;
        while self.open > 0 {
            let wait = if came { Duration::ZERO } else { wait };
            match self.answers.recv_timeout(wait) {
                Ok(answer) => self.learn(answer),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    self.open = 0;
                    break;
                }
            }
            self.open -= 1;
            came = true;
        }
        came
    }

    fn learn(&mut self, answer: Answer) {
        match answer {
            Answer::Names(mut catalog) => {
                catalog.inherit(std::mem::take(&mut self.catalog));
                self.catalog = *catalog;
            }
            Answer::Columns(source, columns) => self.catalog.learn_columns(source, columns),
            Answer::Values(of, values) => self.catalog.learn_values(of, values),
            Answer::Nothing => {}
        }
    }
}

impl Drop for Librarian {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A column that canonical tables share.
fn shared_by_all(column: &str) -> ValuesOf {
    ValuesOf {
        relation: None,
        column: column.to_owned(),
    }
}

/// Runs `work`, and interrupts what it runs after a while.
fn limited<T>(session: &mut Session, work: impl FnOnce(&mut Session) -> T) -> T {
    let (done, waits) = channel::<()>();
    let interrupter = session.interrupter();
    let watch = thread::spawn(move || {
        if waits.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            interrupter.interrupt();
        }
    });
    let result = work(session);
    drop(done);
    let _ = watch.join();
    session.forget_interrupt();
    result
}

fn answer(session: &mut Session, question: Question) -> Result<Answer, Error> {
    match question {
        Question::Names => Ok(Answer::Names(Box::new(Catalog::load(session)?))),
        Question::Columns(source) => {
            let described =
                session.strings(&format!("SELECT column_name FROM (DESCRIBE FROM {source})"));
            // A source that cannot be described has no columns; it is not asked for again.
            Ok(Answer::Columns(
                source,
                described.map(list).unwrap_or_default(),
            ))
        }
        Question::Values(of) => {
            let values = match &of.relation {
                Some(relation) => sample(session, relation, &of.column),
                None => shared(session, &of.column),
            };
            Ok(Answer::Values(of, values.unwrap_or_default()))
        }
    }
}

/// A name in quotes, part by part.
fn quoted(name: &str) -> String {
    let parts = name.split('.').map(identifier);
    parts.collect::<Vec<_>>().join(".")
}

/// Values of a text column among a relation's first rows.
fn sample(session: &mut Session, relation: &str, column: &str) -> Result<Vec<String>, Error> {
    const LISTED: usize = 1000;
    let (relation, column) = (quoted(relation), quoted(column));
    let sql = format!(
        "SELECT value::VARCHAR FROM (SELECT {column} AS value FROM {relation} LIMIT {SAMPLE_ROWS}) \
         WHERE typeof(value) = 'VARCHAR' OR typeof(value) LIKE 'ENUM%' \
         GROUP BY value ORDER BY count(*) DESC, value LIMIT {LISTED}"
    );
    session.strings(&sql).map(list)
}

/// Values of a column that canonical tables share: of the newest rows in the database file and of the newest date of
/// the lake, the most frequent first.
fn shared(session: &mut Session, column: &str) -> Result<Vec<String>, Error> {
    let column = column.replace('\'', "''");
    let hot = format!(
        "SELECT format('SELECT \"{column}\" AS value FROM {{0}}.\"{{1}}\" WHERE rowid >= \
                (SELECT coalesce(max(rowid), 0) - {RECENT_ROWS} FROM {{0}}.\"{{1}}\")', schema_name, table_name) \
         FROM duckdb_columns() WHERE database_name = current_database() AND schema_name IN ('hot', 'hot_b') \
           AND column_name = '{column}' AND table_name <> 'raw_messages'"
    );
    let mut parts = list(session.strings(&hot)?);
    let lake = format!(
        "SELECT 'SELECT \"{column}\" AS value FROM read_parquet([' \
                || string_agg('''' || replace(path, '''', '''''') || '''', ', ') || '], hive_partitioning = false)' \
         FROM ops.manifest AS m \
         WHERE date = (SELECT max(date) FROM ops.manifest AS o WHERE o.table_name = m.table_name) \
           AND table_name IN (SELECT table_name FROM duckdb_columns() WHERE database_name = current_database() \
                              AND schema_name = 'hot' AND column_name = '{column}') \
           AND table_name <> 'raw_messages' \
         GROUP BY table_name HAVING sum(rows) <= {LAKE_ROWS} AND count(*) <= 64"
    );
    // A database that is no market database has no manifest.
    parts.extend(session.strings(&lake).map(list).unwrap_or_default());
    if parts.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT value FROM ({}) WHERE value IS NOT NULL \
         GROUP BY value ORDER BY count(*) DESC, value LIMIT {VALUES}",
        parts.join(" UNION ALL ")
    );
    session.strings(&sql).map(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaving_waits_for_no_question() {
        let mut session = Session::new(duckdb::Connection::open_in_memory().unwrap(), true);
        let relations = ["a", "b", "c"];
        for name in relations {
            let slow = format!(
                "CREATE VIEW {name} AS SELECT max(hash(l.range, r.range))::VARCHAR AS x \
                 FROM range(1000000) l, range(1000000) r"
            );
            session.strings(&slow).unwrap();
        }
        let mut librarian = Librarian::new(session, None);
        for name in relations {
            let of = ValuesOf {
                relation: Some(name.to_owned()),
                column: "x".to_owned(),
            };
            librarian.values(&of, Duration::ZERO);
        }
        let start = Instant::now();
        drop(librarian);
        assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
    }
}
