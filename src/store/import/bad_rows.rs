//! Rows of a file that no table can take: found while it is read, and written to the dead letters as they stand in it.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, BooleanArray, Float64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampNanosecondType;
use duckdb::Connection;

use super::dialect::Select;
use super::refused;
use super::relation::Relation;
use crate::model::BARS;
use crate::model::interval::{INTERVAL, LENGTH};
use crate::sources::files::Input;
use crate::store::error::{Doing, Result};
use crate::store::raw::DeadLetter;

/// Times that a market can have: the years 1800 to 2199. Others come from a unit taken for another.
pub(in crate::store) const TIMES_NS: std::ops::Range<i64> =
    -5_364_662_400_000_000_000..7_258_118_400_000_000_000;

/// Rows that were refused, by their number in the order of the SELECT, from 0.
pub(super) struct Refused {
    limit: u64,
    reasons: BTreeMap<u64, String>,
}

impl Refused {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            reasons: BTreeMap::new(),
        }
    }

    /// Leaves out the rows of a batch that lack something. `first` is the number of its first row.
    pub(super) fn sift(
        &mut self,
        select: &Select,
        batch: RecordBatch,
        first: u64,
        input: &Input,
    ) -> Result<RecordBatch> {
        let (table, columns) = (&select.table, &select.columns);
        let mut faults: BTreeMap<usize, String> = BTreeMap::new();
        for (name, array) in columns.iter().zip(batch.columns()) {
            let Some(column) = table.columns.iter().find(|c| c.name == *name) else {
                continue;
            };
            let required = column.required || select.required.contains(name);
            if required && array.null_count() > 0 {
                let wanted = match name.as_str() {
                    INTERVAL if table.name == BARS => LENGTH,
                    _ => column.sql_type.as_str(),
                };
                let missing = (0..array.len()).filter(|&row| array.is_null(row));
                for row in missing {
                    faults
                        .entry(row)
                        .or_insert_with(|| format!("'{name}' is missing, or no {wanted}"));
                }
            }
            if let Some(numbers) = array.as_any().downcast_ref::<Float64Array>()
                && !numbers
                    .values()
                    .iter()
                    .fold(true, |all, n| all & n.is_finite())
            {
                let bad = |&row: &usize| numbers.is_valid(row) && !numbers.value(row).is_finite();
                for row in (0..array.len()).filter(bad) {
                    faults
                        .entry(row)
                        .or_insert_with(|| format!("'{name}' is out of range"));
                }
            }
            if name == table.time() {
                let times = array.as_primitive::<TimestampNanosecondType>();
                let bad =
                    |&row: &usize| times.is_valid(row) && !TIMES_NS.contains(&times.value(row));
                for row in (0..array.len()).filter(bad) {
                    faults
                        .entry(row)
                        .or_insert_with(|| format!("'{name}' is no time a market can have"));
                }
            }
        }
        if faults.is_empty() {
            return Ok(batch);
        }
        let mut keep = vec![true; batch.num_rows()];
        for (row, reason) in faults {
            keep[row] = false;
            self.reasons.insert(first + row as u64, reason);
        }
        if self.reasons.len() as u64 > self.limit {
            let (row, reason) = self
                .reasons
                .first_key_value()
                .map_or((0, ""), |(r, w)| (r + 1, w));
            return Err(refused(
                input,
                format!(
                    "more than {} rows are bad (--max-errors); the first is row {row}: {reason}. Nothing of it was loaded",
                    self.limit
                ),
            ));
        }
        Ok(filter_record_batch(&batch, &BooleanArray::from(keep))?)
    }

    /// The rows as they stand in the file, and the lines that are no rows.
    pub(super) fn dead_letters(
        &self,
        conn: &Connection,
        relation: &Relation,
        select: &Select,
        input: &Input,
    ) -> Result<Vec<DeadLetter>> {
        let letter = |line: u64, reason: &str, payload: String| DeadLetter {
            seq: None,
            symbol: select.said_of("symbol").map(str::to_owned),
            recv_ns: None,
            target: Some(select.table.name.clone()),
            reason: reason.to_owned(),
            payload,
            source: Some(input.label.clone()),
            line: Some(line),
        };
        let mut dead = Vec::new();
        relation.check_text(conn)?;
        let lines = relation.rejected_lines(conn, self.limit)?;
        if (lines.len() + self.reasons.len()) as u64 > self.limit {
            let (line, reason, _) = lines.first().cloned().unwrap_or_default();
            return Err(refused(
                input,
                format!(
                    "more than {} lines are bad (--max-errors); the first is line {line}: {reason}. Nothing of it was loaded",
                    self.limit
                ),
            ));
        }
        if !self.reasons.is_empty() {
            // Found by number in the order of the SELECT; where that is in the file a second reading tells.
            let mut at = 0;
            let mut reasons: BTreeMap<u64, String> = BTreeMap::new();
            relation.for_each(conn, &select.rows_sql, &mut |batch| {
                let rows = batch
                    .column(0)
                    .as_primitive::<arrow::datatypes::UInt64Type>();
                let end = at + batch.num_rows() as u64;
                for (number, reason) in self.reasons.range(at..end) {
                    let row = (number - at) as usize;
                    reasons.insert(rows.value(row), reason.clone());
                }
                at = end;
                Ok(true)
            })?;
            let rejected = lines.iter().map(|(line, ..)| *line);
            let mut no_rows: Vec<u64> = input.empty_lines()?.into_iter().chain(rejected).collect();
            no_rows.sort_unstable();
            let wanted: Vec<u64> = reasons.keys().copied().collect();
            let rows = relation.rows(conn, &wanted)?;
            // Only now all columns were looked at.
            relation.check_text(conn)?;
            for (row, payload) in rows {
                let reason = reasons.get(&row).map_or("", String::as_str);
                dead.push(letter(relation.line_of(row, &no_rows), reason, payload));
            }
        }
        for (line, reason, text) in lines {
            dead.push(letter(line, &reason, text));
        }
        conn.execute_batch("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
            .doing("clearing rejected lines")?;
        dead.sort_by_key(|letter| letter.line);
        Ok(dead)
    }
}
