//! Which rows of a file are new: a row whose key a stored row has within a second of its time is known.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimestampNanosecondType};
use duckdb::{Connection, params};

use super::chunk::Sorted;
use crate::model::BOOK_DELTAS;
use crate::store::catalog::Table;
use crate::store::error::{Doing, Result};
use crate::store::key::{Identity, Key, KeyColumn, Seeds};

/// A venue's time may come with more or fewer digits by another way.
const SLACK_NS: i64 = 1_000_000_000;

type Times = HashMap<Key, i64, BuildHasherDefault<Identity>>;

/// What is known of a table while a file is loaded into it.
pub(super) struct Known {
    conn: Connection,
    table: Arc<Table>,
    checks: bool,
    seeds: Seeds,
    /// Keys of the last rows of the chunks before, whose time is near the next chunk's.
    tail: Times,
    /// The latest time of the chunks before.
    latest: Option<i64>,
}

impl Known {
    /// `checks` is false if every row is to be taken for new.
    pub(super) fn new(conn: Connection, table: &Arc<Table>, checks: bool) -> Self {
        Self {
            conn,
            table: Arc::clone(table),
            checks: checks && !table.key.is_empty(),
            seeds: Seeds::default(),
            tail: Times::default(),
            latest: None,
        }
    }

    /// Whether a chunk has rows much older than the latest before it.
    pub(super) fn reaches_back(&self, sorted: &Sorted) -> bool {
        let first = sorted.ts.iter().min();
        self.checks
            && self
                .latest
                .zip(first)
                .is_some_and(|(latest, &first)| first < latest.saturating_sub(SLACK_NS))
    }

    /// For each row as it came whether it is new; `None` if all are. `hidden` are the files that this load has ended.
    pub(super) fn new_rows<'a>(
        &mut self,
        sorted: &Sorted,
        hidden: impl Iterator<Item = &'a Path>,
    ) -> Result<Option<Vec<bool>>> {
        let Some(keys) = self.keys(sorted)? else {
            return Ok(None);
        };
        let reaches_back = self.reaches_back(sorted);
        let (Some(&low), Some(&high)) = (sorted.ts.iter().min(), sorted.ts.iter().max()) else {
            return Ok(None);
        };
        let stored = self.stored(low, high, reaches_back.then(|| hidden.collect()))?;
        let near = |times: &Times, key: &Key, ts: i64| {
            times
                .get(key)
                .is_some_and(|at| at.abs_diff(ts) <= SLACK_NS as u64)
        };
        let mut own = Times::default();
        own.reserve(keys.len());
        let mut keep = vec![true; keys.len()];
        let mut all = true;
        for (row, (key, &ts)) in keys.iter().zip(sorted.ts.iter()).enumerate() {
            let Some(key) = key else { continue };
            if near(&own, key, ts) || near(&self.tail, key, ts) || near(&stored, key, ts) {
                keep[row] = false;
                all = false;
            } else {
                own.insert(*key, ts);
            }
        }
        let latest = self.latest.map_or(high, |latest| latest.max(high));
        self.latest = Some(latest);
        let near_end = latest.saturating_sub(2 * SLACK_NS);
        self.tail.extend(own);
        self.tail.retain(|_, ts| *ts >= near_end);
        Ok((!all).then_some(keep))
    }

    /// Of each row its key; `None` if no row can have one.
    fn keys(&self, sorted: &Sorted) -> Result<Option<Vec<Option<Key>>>> {
        if !self.checks {
            return Ok(None);
        }
        let mut columns: Vec<ArrayRef> = Vec::new();
        for name in &self.table.key {
            let Some(place) = self.table.position(name) else {
                return Ok(None);
            };
            let column = sorted.rows.column(place);
            if column.null_count() == column.len() && !self.null_is_value(name) {
                return Ok(None);
            }
            columns.push(Arc::clone(column));
        }
        // Not before it is known that rows have keys.
        for column in &mut columns {
            if matches!(column.data_type(), DataType::Dictionary(..)) {
                *column = cast(column, &DataType::Utf8)?;
            }
        }
        let columns = self.key_columns(&columns);
        let rows = sorted.rows.num_rows();
        Ok(Some(
            (0..rows).map(|row| self.seeds.key(&columns, row)).collect(),
        ))
    }

    fn key_columns<'a>(&self, columns: &'a [ArrayRef]) -> Vec<KeyColumn<'a>> {
        let named = self.table.key.iter().zip(columns);
        named
            .map(|(name, array)| KeyColumn::of(array, self.null_is_value(name)))
            .collect()
    }

    /// An update of a book without levels has no side and price, and is one update all the same.
    fn null_is_value(&self, column: &str) -> bool {
        self.table.name == BOOK_DELTAS && ["side", "price"].contains(&column)
    }

    /// Keys of stored rows from `low` to `high`, of instruments that have any there.
    fn stored(&self, low: i64, high: i64, hidden: Option<Vec<&Path>>) -> Result<Times> {
        let columns = self.table.key_list();
        let mut rows = format!("SELECT {columns}, ts FROM main.{}", self.table.whole());
        if let Some(files) = hidden.filter(|files| !files.is_empty()) {
            let files: Vec<String> = files
                .iter()
                .map(|f| format!("'{}'", f.display().to_string().replace('\'', "''")))
                .collect();
            rows = format!(
                "{rows} UNION ALL SELECT {columns}, ts FROM read_parquet([{}], hive_partitioning = false)",
                files.join(", ")
            );
        }
        let doing = || format!("reading the keys of {}", self.table.name);
        let mut statement = self
            .conn
            .prepare(&format!(
                "FROM ({rows}) WHERE ts >= make_timestamp_ns(?) AND ts <= make_timestamp_ns(?)"
            ))
            .doing(doing())?;
        let range = params![low.saturating_sub(SLACK_NS), high.saturating_add(SLACK_NS)];
        let mut found = Times::default();
        for batch in statement.stream_arrow(range).doing(doing())? {
            let batch = batch.doing(doing())?;
            let Some((ts, columns)) = batch.columns().split_last() else {
                continue;
            };
            let columns = self.key_columns(columns);
            let ts = ts.as_primitive::<TimestampNanosecondType>().values();
            for (row, &ts) in ts.iter().enumerate() {
                if let Some(key) = self.seeds.key(&columns, row) {
                    found.insert(key, ts);
                }
            }
        }
        Ok(found)
    }
}
