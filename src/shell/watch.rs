//! `.watch`: what changes while one looks.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray};

use super::last::Last;
use super::screen::{Block, Key};
use super::{Failure, Shell, output_error, stdout};
use crate::output;

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
            let held = last
                .note()
                .map_or_else(String::new, |note| format!("{note} · "));
            let text = format!(
                "{table}{held}every {every:?} · run {run} · {:.3} s · {} changed · q ends\n",
                took.as_secs_f64(),
                marked.len()
            );
            block.paint(&text, &mut out).map_err(output_error)?;
            self.set_last(last, query);
            before = Some(rows);
            if self.rests(
                every.saturating_sub(took).max(took * REST),
                &mut block,
                &mut out,
            )? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Waits; true if the user has seen enough.
    fn rests(
        &self,
        wait: Duration,
        block: &mut Block,
        out: &mut dyn Write,
    ) -> Result<bool, Failure> {
        let start = Instant::now();
        loop {
            match self.key(wait.saturating_sub(start.elapsed()))? {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Layout;
    use crate::query::Session;

    fn last(sql: &str) -> Last {
        let mut session = Session::new(duckdb::Connection::open_in_memory().unwrap(), true);
        Last::of(&mut session, sql).unwrap()
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
