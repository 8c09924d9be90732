//! `.watch` and `.tail`: what changes while one looks.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::io::Write;
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray};
use unicode_width::UnicodeWidthStr;

use super::command::Tail as Request;
use super::last::Last;
use super::screen::{self, Block, Key, Raw};
use super::{Failure, Shell, literal, output_error, stdout};
use crate::output::{self, Layout};
use crate::store;

/// How often new rows are looked for.
const TAIL_EVERY: Duration = Duration::from_millis(250);

/// Rows that were there before.
const TAIL_BEFORE: usize = 10;

/// Rows asked for at once; if there are more they follow without a pause.
const TAIL_ROWS: usize = 500;

/// A query is run again only after it has rested for as long as it ran.
const REST: u32 = 1;

/// The texts of a result, row by row.
pub(super) type Rows = Vec<Vec<Option<String>>>;

impl Shell<'_> {
    pub(super) fn watch(&mut self, every: Duration, query: &str) -> Result<(), Failure> {
        self.needs_terminal(".watch")?;
        let query = query.trim_end_matches(';');
        let mut out = stdout().map_err(output_error)?;
        let mut block = Block::default();
        let mut before: Option<Rows> = None;
        for run in 1_u64.. {
            let start = Instant::now();
            let last = self.fetch(query)?;
            let took = start.elapsed();
            let rows = texts(&last)?;
            let marked = before
                .as_ref()
                .map_or_else(HashSet::new, |before| changed(&last, before, &rows));
            let table = output::marked_table(&last.schema, &last.batches, self.layout(), &marked)?;
            let text = format!(
                "{table}every {every:?} · run {run} · {:.3} s · {} changed · q ends\n",
                took.as_secs_f64(),
                marked.len()
            );
            block.paint(&text, &mut out).map_err(output_error)?;
            self.set_last(last, query);
            before = Some(rows);
            if rests(
                every.saturating_sub(took).max(took * REST),
                &mut block,
                &mut out,
            )? {
                return Ok(());
            }
        }
        Ok(())
    }

    pub(super) fn tail(&mut self, request: &Request) -> Result<(), Failure> {
        let attached = self.session.attached_to().is_some();
        if attached {
            self.needs_terminal(".tail")?;
        }
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
        let list: Vec<String> = columns
            .iter()
            .map(|name| format!("\"{}\"", name.replace('"', "\"\"")))
            .collect();
        let list = list.join(", ");
        // New rows come into the database file; only what was there before may stand in the lake.
        let hot = self.ask(&format!(
            "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'hot' AND table_name = lower({})",
            literal(table)
        ))?;
        let recent = format!(
            "SELECT {list} FROM (SELECT * FROM {table} WHERE true{of}{within} ORDER BY seq DESC LIMIT {TAIL_BEFORE}) ORDER BY seq"
        );
        let source = hot
            .into_iter()
            .flatten()
            .flatten()
            .next()
            .map_or_else(|| table.clone(), |name| store::hot_rows(&name));
        let mut tail = Tail::new(&columns);
        let first = self.fetch(&recent)?;
        let mut seq = tail.show(&first, self)?;
        if !attached {
            super::say(
                "no other process is capturing into this database: no row will come in; these are the last\n",
            );
            return Ok(());
        }
        if seq.is_none() {
            seq = self
                .ask(&format!(
                    "SELECT coalesce(max(seq), 0)::VARCHAR FROM {source}"
                ))?
                .into_iter()
                .flatten()
                .flatten()
                .next();
        }
        let mut wait = TAIL_EVERY;
        while key(wait)? != Key::Stop {
            let after = seq.clone().unwrap_or_else(|| "0".to_owned());
            let new = format!("FROM {source} WHERE seq > {after}{of}");
            // The rows of one message stay together.
            let rows = self.fetch(&format!(
                "SELECT {list} {new} AND seq <= (SELECT max(seq) FROM (SELECT seq {new} ORDER BY seq LIMIT {TAIL_ROWS})) \
                 ORDER BY seq"
            ))?;
            if let Some(last) = tail.show(&rows, self)? {
                seq = Some(last);
            }
            let full = rows
                .batches
                .iter()
                .map(arrow::array::RecordBatch::num_rows)
                .sum::<usize>()
                >= TAIL_ROWS;
            wait = if full { Duration::ZERO } else { TAIL_EVERY };
        }
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

/// Waits; true if the user has seen enough.
fn rests(wait: Duration, block: &mut Block, out: &mut dyn Write) -> Result<bool, Failure> {
    let start = Instant::now();
    loop {
        match key(wait.saturating_sub(start.elapsed()))? {
            Key::Stop => return Ok(true),
            Key::Resized => {
                block.forget(out).map_err(output_error)?;
                return Ok(false);
            }
            Key::None => return Ok(false),
            Key::Left | Key::Right | Key::Up | Key::Down => {}
        }
    }
}

/// Waits for a key without the terminal's own handling of it; while a query runs Ctrl-C is a signal as ever.
fn key(wait: Duration) -> Result<Key, Failure> {
    let _raw = Raw::enter().map_err(output_error)?;
    screen::key(wait).map_err(output_error)
}

/// The texts of a result's cells.
pub(super) fn texts(last: &Last) -> Result<Rows, Failure> {
    let mut rows = Vec::new();
    for batch in &last.batches {
        let texts = output::texts(&last.schema, batch)?;
        for row in 0..texts.num_rows() {
            let cell = |column: &arrow::array::ArrayRef| {
                let column = column.as_string::<i32>();
                (!column.is_null(row)).then(|| column.value(row).to_owned())
            };
            rows.push(texts.columns().iter().map(cell).collect());
        }
    }
    Ok(rows)
}

/// The cells that differ from what they were. Rows are the same if their texts are; where several have the same, or
/// there are none, if they stand at the same place.
fn changed(last: &Last, before: &Rows, now: &Rows) -> HashSet<(usize, usize)> {
    let is_text: Vec<bool> = last
        .schema
        .fields()
        .iter()
        .map(|field| output::type_name(field) == "varchar")
        .collect();
    let key = |row: &Vec<Option<String>>| -> Vec<Option<String>> {
        row.iter()
            .zip(&is_text)
            .filter(|(_, is_text)| **is_text)
            .map(|(cell, _)| cell.clone())
            .collect()
    };
    let by_key: HashMap<Vec<Option<String>>, &Vec<Option<String>>> =
        before.iter().map(|row| (key(row), row)).collect();
    let keys: HashSet<Vec<Option<String>>> = now.iter().map(key).collect();
    let unique = is_text.contains(&true) && by_key.len() == before.len() && keys.len() == now.len();
    let mut marked = HashSet::new();
    for (i, row) in now.iter().enumerate() {
        let old = if unique {
            by_key.get(&key(row)).copied()
        } else {
            before.get(i)
        };
        for (column, cell) in row.iter().enumerate() {
            if old.and_then(|old| old.get(column)) != Some(cell) {
                marked.insert((i, column));
            }
        }
    }
    marked
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

    /// Prints rows; the last one's `seq`.
    fn show(&mut self, last: &Last, shell: &mut Shell<'_>) -> Result<Option<String>, Failure> {
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
        let Layout { width, .. } = shell.layout();
        let limit = width.unwrap_or(usize::MAX);
        if !self.started && !rows.is_empty() {
            self.started = true;
            let names: Vec<Option<String>> = self.names.iter().cloned().map(Some).collect();
            self.line(&names, &numbers, limit, &mut text);
        }
        for row in &rows {
            self.line(row, &numbers, limit, &mut text);
        }
        shell.printer.text(&text)?;
        Ok(rows.last().and_then(|row| row.first().cloned().flatten()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Session, Types};

    fn last(sql: &str) -> Last {
        let mut session = Session::new(duckdb::Connection::open_in_memory().unwrap(), true);
        let rows = session.run(sql, Types::Exact).unwrap();
        let mut last = Last::new(rows.schema());
        rows.for_each(|batch| last.keep(&batch.unwrap()));
        last
    }

    /// The cells that are marked when one result follows another.
    fn marked(before: &str, now: &str) -> Vec<(usize, usize)> {
        let (before, now) = (last(before), last(now));
        let mut marked: Vec<_> = changed(&now, &texts(&before).unwrap(), &texts(&now).unwrap())
            .into_iter()
            .collect();
        marked.sort_unstable();
        marked
    }

    #[test]
    fn rows_are_told_by_their_texts_else_by_their_place() {
        let (one, two) = ("VALUES ('A', 1), ('B', 2)", "VALUES ('B', 2), ('A', 3)");
        assert_eq!(marked(one, one), []);
        assert_eq!(marked(one, two), [(1, 1)]);
        assert_eq!(
            marked("VALUES (1), (2)", "VALUES (1), (3), (4)"),
            [(1, 0), (2, 0)]
        );
        assert_eq!(
            marked("VALUES ('A', 1), ('A', 2)", "VALUES ('A', 1), ('A', 3)"),
            [(1, 1)]
        );
        assert_eq!(
            marked("VALUES ('A', 1)", "VALUES ('C', 1)"),
            [(0, 0), (0, 1)]
        );
    }

    #[test]
    fn changed_cells_are_marked_without_colours_too() {
        let now = last("SELECT 'A' AS symbol, 2 AS n");
        let layout = Layout {
            width: Some(40),
            rows: Some(10),
            ..Layout::default()
        };
        let text =
            output::marked_table(&now.schema, &now.batches, layout, &HashSet::from([(0, 1)]))
                .unwrap();
        assert!(text.contains("2*") && !text.contains("A*"), "{text}");
    }
}
