//! Which rows of a file are new: a row whose key a stored row has within a second of its time is known.

use std::cell::LazyCell;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimestampNanosecondType};
use duckdb::vtab::arrow::ArrowBatchRegistration;
use duckdb::{Connection, ToSql, params_from_iter};

use super::chunk::Sorted;
use super::relation;
use crate::model::BOOK_DELTAS;
use crate::store::catalog::Table;
use crate::store::error::{Doing, Result};
use crate::store::insert::SCAN;
use crate::store::key::{Key, KeyColumn, Seeds};
use crate::store::keys::{Times, VENUE_SLACK_NS, around};
use crate::store::schema;

/// The column by which the lake is sorted first.
const SYMBOL: &str = "symbol";

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
    /// Whether rows without a key came.
    unkeyed: bool,
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
            unkeyed: false,
        }
    }

    /// Whether rows came that can never be known.
    pub(super) fn has_unkeyed(&self) -> bool {
        self.unkeyed
    }

    /// Whether a chunk has rows much older than the latest before it.
    pub(super) fn reaches_back(&self, sorted: &Sorted) -> bool {
        let first = sorted.ts.iter().min();
        self.checks
            && self
                .latest
                .zip(first)
                .is_some_and(|(latest, &first)| first < latest.saturating_sub(VENUE_SLACK_NS))
    }

    /// For each row as it came whether it is new; `None` if all are. `hidden` are the files that this load has ended.
    pub(super) fn new_rows<'a>(
        &mut self,
        sorted: &Sorted,
        hidden: impl Iterator<Item = &'a Path>,
    ) -> Result<Option<Vec<bool>>> {
        let Some(keys) = self.keys(sorted)? else {
            self.unkeyed = true;
            return Ok(None);
        };
        self.unkeyed |= keys.contains(&None);
        let reaches_back = self.reaches_back(sorted);
        let (Some(&low), Some(&high)) = (sorted.ts.iter().min(), sorted.ts.iter().max()) else {
            return Ok(None);
        };
        let hidden = reaches_back.then(|| hidden.collect());
        let stored = self.stored(sorted, &keys, (low, high), hidden)?;
        let mut own = Times::default();
        own.reserve(keys.len().saturating_sub(stored.len()));
        let mut keep = vec![true; keys.len()];
        let mut all = true;
        for (row, (key, &ts)) in keys.iter().zip(sorted.ts.iter()).enumerate() {
            let Some(key) = *key else { continue };
            let around = around(ts, VENUE_SLACK_NS);
            if [&own, &self.tail, &stored]
                .iter()
                .any(|times| times.near(key, around))
            {
                keep[row] = false;
                all = false;
            } else {
                own.insert(key, ts);
            }
        }
        let latest = self.latest.map_or(high, |latest| latest.max(high));
        self.latest = Some(latest);
        let near_end = latest.saturating_sub(2 * VENUE_SLACK_NS);
        let before = std::mem::take(&mut self.tail);
        self.tail.add(&before, near_end);
        self.tail.add(&own, near_end);
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

    /// The chunk's instruments; `None` if rows of one key may be of several.
    fn symbols(&self, sorted: &Sorted) -> Result<Option<RecordBatch>> {
        let is_of_key = self.table.key.iter().any(|column| column == SYMBOL);
        let Some(column) = sorted.rows.column_by_name(SYMBOL).filter(|_| is_of_key) else {
            return Ok(None);
        };
        let symbols = match column.as_any_dictionary_opt() {
            Some(words) => words.values(),
            None => column,
        };
        let symbols = RecordBatch::try_from_iter([(SYMBOL, Arc::clone(symbols))])?;
        Ok(Some(symbols))
    }

    /// The stored rows that have a key of the chunk's near the time of its row. Of the others, which may be many more,
    /// none is held.
    fn stored(
        &self,
        sorted: &Sorted,
        keys: &[Option<Key>],
        (low, high): (i64, i64),
        hidden: Option<Vec<&Path>>,
    ) -> Result<Times> {
        let columns = self.table.key_list();
        let mut rows = format!("SELECT {columns}, ts FROM main.{}", self.table.whole());
        if let Some(files) = hidden.filter(|files| !files.is_empty()) {
            let files: Vec<String> = files.iter().map(|file| relation::path(file)).collect();
            let files = schema::parquet(&files.join(", "));
            rows = format!("{rows} UNION ALL SELECT {columns}, ts FROM {files}");
        }
        let mut sql = format!(
            "FROM ({rows}) WHERE ts >= make_timestamp_ns(?) AND ts <= make_timestamp_ns(?)"
        );
        let (low, high) = (
            low.saturating_sub(VENUE_SLACK_NS),
            high.saturating_add(VENUE_SLACK_NS),
        );
        let mut parameters: Vec<&dyn ToSql> = vec![&low, &high];
        let symbols = self.symbols(sorted)?.map(ArrowBatchRegistration::new);
        let symbols = symbols.as_ref();
        if let Some(symbols) = &symbols {
            // What the lake has of others is not read: they are its first order.
            sql = format!("{sql} AND {SYMBOL} IN (FROM {SCAN}(?))");
            parameters.push(symbols);
        }
        // Mostly there is no stored row to look at.
        let wanted = LazyCell::new(|| {
            let rows = keys.iter().zip(sorted.ts.iter());
            rows.filter_map(|(key, &ts)| Some(((*key)?, ts)))
                .collect::<Times>()
        });
        let doing = || format!("reading the keys of {}", self.table.name);
        let mut statement = self.conn.prepare(&sql).doing(doing())?;
        let parameters = params_from_iter(parameters);
        let mut found = Times::default();
        for batch in statement.stream_arrow(parameters).doing(doing())? {
            let batch = batch.doing(doing())?;
            let Some((ts, columns)) = batch.columns().split_last() else {
                continue;
            };
            let columns = self.key_columns(columns);
            let ts = ts.as_primitive::<TimestampNanosecondType>().values();
            for (row, &ts) in ts.iter().enumerate() {
                if let Some(key) = self.seeds.key(&columns, row)
                    && wanted.near(key, around(ts, VENUE_SLACK_NS))
                {
                    found.insert(key, ts);
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, StringArray, TimestampNanosecondArray, new_null_array};
    use arrow::datatypes::Int32Type;
    use tempfile::TempDir;

    use super::*;
    use crate::config::Settings;
    use crate::model::time::DAY_NS;
    use crate::store::{Purpose, Store};

    /// 2024-01-01 00:00:00 UTC.
    const START_NS: i64 = 1_704_067_200_000_000_000;

    /// A store in which each of so many instruments has trades 0 to 9, a second apart, and the same ids on the next day.
    fn filled(symbols: u32) -> (TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Settings::new(dir.path()), Purpose::Ingest).unwrap();
        let rows = format!(
            "INSERT INTO hot.trades BY NAME
             SELECT 0 AS seq, 'v' AS venue, 's' || s AS symbol, t AS ts, t AS recv_ts, i::VARCHAR AS trade_id, 1 AS price,
                    1 AS size
             FROM (SELECT s, i, make_timestamp_ns({START_NS} + i * 1_000_000_000 + day * {DAY_NS}) AS t
                   FROM range({symbols}) a(s), range(10) b(i), range(2) c(day))"
        );
        store.conn.execute_batch(&rows).unwrap();
        (dir, store)
    }

    fn known(store: &Store) -> Known {
        let table = store.catalog.get("trades").unwrap();
        Known::new(store.clone_connection().unwrap(), table, true)
    }

    /// Trades in a chunk: symbol, id, and time from the start on.
    fn chunk(known: &Known, trades: &[(String, u32, i64)]) -> Sorted {
        let ts: Vec<i64> = trades.iter().map(|trade| START_NS + trade.2).collect();
        let columns = known.table.schema.fields().iter().map(|field| {
            let column: ArrayRef = match field.name().as_str() {
                "venue" => Arc::new(StringArray::from(vec!["v"; trades.len()])),
                "symbol" => {
                    let symbols = trades.iter().map(|trade| trade.0.as_str());
                    Arc::new(symbols.collect::<DictionaryArray<Int32Type>>())
                }
                "trade_id" => {
                    let ids = trades.iter().map(|trade| trade.1.to_string());
                    Arc::new(StringArray::from_iter_values(ids))
                }
                "ts" => Arc::new(TimestampNanosecondArray::from(ts.clone())),
                _ => new_null_array(field.data_type(), trades.len()),
            };
            (field.name(), column)
        });
        Sorted {
            rows: RecordBatch::try_from_iter(columns).unwrap(),
            order: Vec::new(),
            runs: Vec::new(),
            ts: ts.into(),
        }
    }

    #[test]
    fn of_the_stored_rows_only_those_are_held_that_the_chunk_may_have() {
        let (_dir, store) = filled(50);
        let known = known(&store);
        let held = |trades: &[(String, u32, i64)]| {
            let chunk = chunk(&known, trades);
            let keys = known.keys(&chunk).unwrap().unwrap();
            let range = (START_NS, START_NS + 2 * DAY_NS);
            known.stored(&chunk, &keys, range, None).unwrap().len()
        };
        let of = |symbol: &str, id, ts| (symbol.to_owned(), id, ts);
        // The id of the next day, those of other instruments, and other ids are not.
        assert_eq!(held(&[of("s7", 3, 3_000_000_000)]), 1);
        assert_eq!(held(&[of("s7", 3, 3_000_000_000 + DAY_NS)]), 1);
        assert_eq!(held(&[of("s7", 3, DAY_NS / 2)]), 0);
        assert_eq!(held(&[of("s7", 10, 3_000_000_000), of("other", 3, 0)]), 0);
    }

    #[test]
    fn rows_of_thousands_of_instruments_are_known() {
        let (_dir, store) = filled(5_000);
        let mut known = known(&store);
        let mut trades: Vec<_> = (0..5_000).map(|s| (format!("s{s}"), 0, 0)).collect();
        trades.push(("s0".to_owned(), 10, 0));
        let keep = known.new_rows(&chunk(&known, &trades), std::iter::empty());
        let keep = keep.unwrap().unwrap();
        assert_eq!(keep.iter().position(|keep| *keep), Some(5_000));
    }

    #[test]
    fn an_id_used_again_is_known_at_each_of_its_times_in_a_chunk_and_beside_it() {
        let (_dir, store) = filled(0);
        let mut known = known(&store);
        let trade = |ts| ("s".to_owned(), 1, ts);
        let mut keep = |times: &[i64]| {
            let trades: Vec<_> = times.iter().copied().map(trade).collect();
            known
                .new_rows(&chunk(&known, &trades), std::iter::empty())
                .unwrap()
        };
        assert_eq!(keep(&[0, DAY_NS, 0]), Some(vec![true, true, false]));
        let (first, second) = (DAY_NS + 1_500_000_000, DAY_NS + 3_000_000_000);
        assert_eq!(keep(&[first, second]), None);
        assert_eq!(keep(&[first, second]), Some(vec![false, false]));
    }
}
