//! Statements one after the other, their results to one output: what the shell, `mdb sql` and a script on
//! standard input have in common.

use super::hint;
use super::last::Last;
use super::progress::Waiting;
use super::terminal::report_width;
use crate::output::{self, Format, Layout, Out};
use crate::query::{self, Kind, Session, Source, Statement, Types, statements};

/// Why a statement or script did not run to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// A report for a person, which names the place and ends with a line break.
    #[error("{}", .0.trim_end())]
    Report(String),
    /// Someone pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The results cannot be written.
    #[error(transparent)]
    Output(#[from] output::Error),
}

impl Failure {
    /// A report that names no place in a script yet, with it.
    pub(super) fn at(self, name: &str, line: usize) -> Self {
        match self {
            Self::Report(report) => {
                let (first, rest) = report.split_once('\n').unwrap_or((&report, ""));
                Self::Report(format!("{first}\n{name}:{line}:\n{rest}"))
            }
            other => other,
        }
    }
}

/// What came of one statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Rows were written, so many.
    Rows(u64),
    /// Rows were changed, so many.
    Changed(i64),
    /// It answers nothing.
    Nothing,
}

/// Writes results one after the other.
pub struct Printer<'w> {
    /// The format of the results that follow.
    pub format: Format,
    /// Where they will stand.
    pub layout: Layout,
    out: Out<'w>,
    results: usize,
    /// Rows of all results.
    rows: u64,
    /// Whether all results are to stand in one file.
    one_file: bool,
    /// The last result, if results are to be kept.
    kept: Option<Kept>,
}

/// Results are kept; this is the last one, if there was one.
type Kept = Option<Last>;

impl<'w> Printer<'w> {
    /// A printer on `out`.
    pub fn new(format: Format, layout: Layout, out: Out<'w>) -> Self {
        Self {
            format,
            layout,
            out,
            results: 0,
            rows: 0,
            one_file: false,
            kept: None,
        }
    }

    /// All results stand in one file: a second one is refused where a file of the format holds one.
    #[must_use]
    pub fn of_one_file(mut self) -> Self {
        self.one_file = true;
        self
    }

    /// Rows that were written so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Keeps results from now on, up to a limit.
    pub(super) fn keeping(mut self) -> Self {
        self.kept = Some(None);
        self
    }

    /// The last result, if it is kept.
    pub(super) fn last(&self) -> Option<&Last> {
        self.kept.as_ref()?.as_ref()
    }

    /// The same, for whoever keeps it elsewhere.
    pub(super) fn take_last(&mut self) -> Option<Last> {
        self.kept.as_mut()?.take()
    }

    /// Makes a result the last one.
    pub(super) fn set_last(&mut self, last: Last) {
        self.kept = Some(Some(last));
    }

    /// Goes on behind results that were written to the same place before.
    pub(super) fn after(mut self, results: usize) -> Self {
        self.results = results;
        self
    }

    /// Runs all statements of a script and stops at the first that fails.
    ///
    /// # Errors
    /// The first failure.
    pub fn script(&mut self, session: &mut Session, source: Source<'_>) -> Result<(), Failure> {
        for statement in statements(source.text) {
            self.statement(session, source, statement)?;
        }
        Ok(())
    }

    /// Runs one statement of a script and writes its rows.
    ///
    /// # Errors
    /// If the statement fails, with its place in `source`, or the output does.
    pub fn statement(
        &mut self,
        session: &mut Session,
        source: Source<'_>,
        statement: Statement<'_>,
    ) -> Result<Outcome, Failure> {
        let mut waiting = Waiting::begin(session);
        let outcome = session
            .run(statement.text, Types::Exact)
            .map_err(Stop::Query)
            .and_then(|rows| match rows.kind() {
                Kind::Answer => self.answer(rows, &mut waiting),
                Kind::Changes => Ok(rows
                    .finish()
                    .map_err(Stop::Query)?
                    .map_or(Outcome::Nothing, Outcome::Changed)),
                Kind::Nothing => {
                    rows.finish().map_err(Stop::Query)?;
                    Ok(Outcome::Nothing)
                }
            });
        waiting.end();
        outcome.map_err(|stop| match stop {
            Stop::Query(query::Error::Interrupted) => Failure::Interrupted,
            Stop::Query(error) => {
                let error = hint::improved(error, statement.text, session);
                Failure::Report(error.report(source, statement, report_width()))
            }
            Stop::Output(error) => Failure::Output(error),
        })
    }

    /// Writes plain text among the results.
    ///
    /// # Errors
    /// If the output fails.
    pub fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush())
            .map_err(output::Error::from)?;
        Ok(())
    }

    fn answer(&mut self, rows: query::Rows<'_>, waiting: &mut Waiting) -> Result<Outcome, Stop> {
        self.separate()?;
        let schema = rows.schema();
        let mut last = self.kept.is_some().then(|| Last::new(rows.schema()));
        // A table is written once all its rows are known; other formats at once, where the line would stand.
        let at_once =
            self.layout.width.is_some() && !matches!(self.format, Format::Table | Format::Chart);
        let mut rows = rows;
        let rows = std::iter::from_fn(|| {
            let batch = rows.next();
            if at_once || batch.is_none() {
                waiting.end();
            }
            batch
        });
        let rows = rows.map(|batch| {
            let batch = batch.map_err(Stop::Query)?;
            if let Some(last) = &mut last {
                last.keep(&batch);
            }
            Ok::<_, Stop>(batch)
        });
        let count = output::encode(self.format, self.layout, &schema, rows, self.out)?;
        if last.is_some() {
            self.kept = Some(last);
        }
        self.rows += count;
        self.out.flush().map_err(output::Error::from)?;
        Ok(Outcome::Rows(count))
    }

    fn separate(&mut self) -> Result<(), output::Error> {
        self.results += 1;
        if self.results == 1 {
            return Ok(());
        }
        if self.format.is_binary() || (self.one_file && self.format.is_of_one_result()) {
            return Err(output::Error::OneResult(self.format));
        }
        if self.layout.width.is_none()
            && matches!(self.format, Format::Table | Format::Markdown | Format::Line)
        {
            self.out.write_all(b"\n")?;
        }
        Ok(())
    }
}

enum Stop {
    Query(query::Error),
    Output(output::Error),
}

impl From<output::Error> for Stop {
    fn from(error: output::Error) -> Self {
        Self::Output(error)
    }
}
