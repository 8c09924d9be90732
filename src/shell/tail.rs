//! `.tail`: rows as they come in, above the prompt at which one goes on typing.

use std::fmt::Write as _;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustyline::ExternalPrinter;
use unicode_width::UnicodeWidthStr;

use super::command::Tail as Request;
use super::inspect::failed;
use super::last::Last;
use super::watch::texts;
use super::{Failure, Shell, layout, needs_terminal, output_error, say};
use crate::model::sql::{identifier, literal};
use crate::output;
use crate::query::{Interrupter, Session};
use crate::store;

/// How often new rows are looked for.
const EVERY: Duration = Duration::from_millis(250);

/// Rows that were there before.
const BEFORE: usize = 10;

/// Rows asked for at once; if there are more they follow without a pause.
const ROWS: usize = 500;

/// The prompt, for whoever prints above it.
pub(super) struct Prompt {
    printer: Mutex<Box<dyn ExternalPrinter + Send>>,
    /// Whether it is there: not while a statement runs.
    open: AtomicBool,
}

impl Prompt {
    pub(super) fn new(printer: impl ExternalPrinter + Send + 'static) -> Self {
        Self {
            printer: Mutex::new(Box::new(printer)),
            open: AtomicBool::new(false),
        }
    }

    /// Lets others print for as long as `read` waits for a line.
    pub(super) fn during<T>(&self, read: impl FnOnce() -> T) -> T {
        self.open.store(true, SeqCst);
        let line = read();
        self.open.store(false, SeqCst);
        line
    }

    fn is_open(&self) -> bool {
        self.open.load(SeqCst)
    }

    fn print(&self, text: String) -> rustyline::Result<()> {
        let mut printer = self.printer.lock().unwrap_or_else(PoisonError::into_inner);
        printer.print(text)
    }
}

/// Rows are followed for as long as this lives.
pub(super) struct Follower {
    stop: Option<SyncSender<()>>,
    interrupter: Interrupter,
}

impl Drop for Follower {
    fn drop(&mut self) {
        // The thread is not waited for: what it prints may wait for the next prompt.
        self.stop.take();
        self.interrupter.interrupt();
    }
}

impl Shell<'_> {
    pub(super) fn tail(&mut self, request: Option<&Request>) -> Result<(), Failure> {
        self.follower = None;
        let Some(request) = request else {
            return Ok(());
        };
        let attached = self.session.attached_to().is_some();
        let prompt = match &self.prompt {
            _ if !attached => None,
            Some(prompt) => Some(Arc::clone(prompt)),
            None => return Err(needs_terminal(".tail")),
        };
        let table = &request.table;
        let columns = self.tailed(table)?;
        let symbol = request.symbol.as_ref().or(self.focus.symbol.as_ref());
        let venue = request.venue.as_ref().or(self.focus.venue_of(symbol));
        let mut which = vec![("symbol", symbol), ("venue", venue)];
        if request.symbol.is_none() {
            // A table without such a column is followed whole.
            which.retain(|(name, _)| columns.iter().any(|column| column == name));
        }
        let mut of = String::new();
        for (column, value) in which {
            if let Some(value) = value {
                let _ = write!(of, " AND {column} = {}", literal(value));
            }
        }
        // Rows that come in are newer than any range that has an end.
        let within = if attached || !columns.iter().any(|column| column == "ts") {
            String::new()
        } else {
            let (from, to) = self.between()?;
            format!(" AND ts >= {from} AND ts < {to}")
        };
        let list: Vec<String> = columns.iter().map(|name| identifier(name)).collect();
        let list = list.join(", ");
        // New rows come into the database file; only what was there before may stand in the lake.
        let hot = self.ask(&format!(
            "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'hot' AND table_name = lower({})",
            literal(table)
        ))?;
        let recent = format!(
            "SELECT {list} FROM (SELECT * FROM {table} WHERE true{of}{within} ORDER BY seq DESC LIMIT {BEFORE}) ORDER BY seq"
        );
        let source = hot
            .into_iter()
            .flatten()
            .flatten()
            .next()
            .map_or_else(|| table.clone(), |name| store::hot_rows(&name));
        let mut tail = Tail::new(&columns);
        let (text, seq) = tail.lines(&self.fetch(&recent)?)?;
        self.printer.text(&text)?;
        let Some(prompt) = prompt else {
            say(
                "no other process is capturing into this database: no row will come in; these are the last\n",
            );
            return Ok(());
        };
        let newest = format!("SELECT coalesce(max(seq), 0)::VARCHAR FROM {source}");
        let seq = match seq {
            Some(seq) => Some(seq),
            None => self.ask(&newest)?.into_iter().flatten().flatten().next(),
        };
        let session = self.session.try_clone().map_err(failed)?;
        let words = [Some(table), request.symbol.as_ref(), request.venue.as_ref()];
        let words: Vec<&str> = words.into_iter().flatten().map(String::as_str).collect();
        let following = Following {
            again: words.join(" "),
            session,
            prompt,
            tail,
            rows: format!("FROM {source} WHERE true{of}"),
            list,
            seq: seq.unwrap_or_else(|| "0".to_owned()),
        };
        self.follower = Some(following.start().map_err(output_error)?);
        say("new rows come in above the prompt; .tail off ends that\n");
        Ok(())
    }

    /// The columns of a table that is followed: `seq` first.
    fn tailed(&mut self, table: &str) -> Result<Vec<String>, Failure> {
        let described = self.ask(&format!("SELECT column_name FROM (DESCRIBE {table})"))?;
        let columns: Vec<String> = described.into_iter().flatten().flatten().collect();
        if !columns.iter().any(|column| column == "seq") {
            return Err(Failure::Report(format!(
                "error: {table} has no column seq that tells which rows are new\nhint: .watch SELECT … repeats a query\n"
            )));
        }
        let shown = columns
            .into_iter()
            .filter(|column| !matches!(column.as_str(), "seq" | "recv_ts" | "conditions"));
        Ok(std::iter::once("seq".to_owned()).chain(shown).collect())
    }
}

/// What the thread that follows rows knows.
struct Following {
    /// What `.tail` was told to follow.
    again: String,
    session: Session,
    prompt: Arc<Prompt>,
    tail: Tail,
    /// The rows that are followed, old and new: a query without its columns.
    rows: String,
    /// Their columns.
    list: String,
    /// Of the last one that was seen.
    seq: String,
}

impl Following {
    fn start(self) -> io::Result<Follower> {
        let (stop, stopped) = sync_channel(0);
        let interrupter = self.session.interrupter();
        thread::Builder::new()
            .name("tail".into())
            .spawn(move || self.follow(&stopped))?;
        Ok(Follower {
            stop: Some(stop),
            interrupter,
        })
    }

    /// Prints new rows until it is stopped, or there is nothing to be followed any more.
    fn follow(mut self, stopped: &Receiver<()>) {
        let mut text = String::new();
        let mut wait = EVERY;
        while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
            wait = EVERY;
            if self.prompt.is_open() && text.is_empty() {
                match self.newer() {
                    Ok((new, full)) => {
                        text = new;
                        if full {
                            wait = Duration::ZERO;
                        }
                    }
                    // By who wants no more rows, which the next look tells; or by a process that ends.
                    Err(Failure::Interrupted) => {}
                    Err(failure) => {
                        // Nobody is left to tell.
                        let _ = self.prompt.print(format!(
                            "{failure}\nhint: no more rows are followed; .tail {} begins again\n",
                            self.again
                        ));
                        return;
                    }
                }
            }
            let ready = !text.is_empty() && self.prompt.is_open();
            if ready && self.prompt.print(std::mem::take(&mut text)).is_err() {
                return;
            }
        }
    }

    /// The lines of the next rows, and whether there may be more.
    fn newer(&mut self) -> Result<(String, bool), Failure> {
        let new = format!("{} AND seq > {}", self.rows, self.seq);
        // The rows of one message stay together.
        let sql = format!(
            "SELECT {} {new} AND seq <= (SELECT max(seq) FROM (SELECT seq {new} ORDER BY seq LIMIT {ROWS})) ORDER BY seq",
            self.list
        );
        let rows = Last::of(&mut self.session, &sql).map_err(failed)?;
        let (text, seq) = self.tail.lines(&rows)?;
        if let Some(seq) = seq {
            self.seq = seq;
        }
        Ok((text, rows.rows() >= ROWS))
    }
}

/// Rows below one another, the columns as wide as the widest value so far.
struct Tail {
    names: Vec<String>,
    widths: Vec<usize>,
    started: bool,
}

impl Tail {
    fn new(names: &[String]) -> Self {
        Self {
            widths: names.iter().map(|name| name.width()).collect(),
            names: names.to_vec(),
            started: false,
        }
    }

    /// The lines of rows, and the last one's `seq`.
    fn lines(&mut self, last: &Last) -> Result<(String, Option<String>), Failure> {
        let rows = texts(last)?;
        let numbers: Vec<bool> = last
            .schema
            .fields()
            .iter()
            .map(|field| output::is_number(field))
            .collect();
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = cell.as_deref().map_or(4, str::width).max(*width);
            }
        }
        let mut text = String::new();
        let limit = layout().width.unwrap_or(usize::MAX);
        if !self.started && !rows.is_empty() {
            self.started = true;
            let names: Vec<Option<String>> = self.names.iter().cloned().map(Some).collect();
            self.line(&names, &numbers, limit, &mut text);
        }
        for row in &rows {
            self.line(row, &numbers, limit, &mut text);
        }
        let seq = rows.last().and_then(|row| row.first().cloned().flatten());
        Ok((text, seq))
    }

    fn line(&self, row: &[Option<String>], numbers: &[bool], limit: usize, text: &mut String) {
        let start = text.len();
        for ((cell, &width), &number) in row.iter().zip(&self.widths).zip(numbers) {
            let cell = output::printable(cell.as_deref().unwrap_or("NULL").as_bytes());
            if text.len() > start {
                text.push_str("  ");
            }
            let space = " ".repeat(width.saturating_sub(cell.width()));
            if number {
                text.push_str(&space);
                text.push_str(&cell);
            } else {
                text.push_str(&cell);
                text.push_str(&space);
            }
        }
        let line = output::cut(text[start..].trim_end(), limit);
        text.truncate(start);
        text.push_str(&line);
        text.push('\n');
    }
}
