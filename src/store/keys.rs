//! Key enforcement: which rows of a batch are new.
//!
//! The keys of the newest stored rows are kept in memory, up to a fixed number; a batch that reaches
//! further back is compared with the stored rows of its own time range instead.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, StringArray,
    TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, TimeUnit};
use duckdb::{Connection, params};
use foldhash::fast::FixedState;

use super::catalog::{Table, VENUE};
use super::error::{Doing, Result};

/// Keys kept for each table: some 35 MB at most.
const MAX_KEYS: usize = 1 << 19;
/// Where the venue gives no time, ts is the receive time, and the same message may have been
/// received this much earlier or later by another way.
const SLACK_NS: i64 = 10_000_000_000;

/// A 128-bit hash of a key: no two different keys of any real table share one. It is seeded anew in
/// every process, so that nobody can send keys that do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key([u64; 2]);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[0]);
    }
}

/// The keys are hashes already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        debug_assert!(bytes.is_empty(), "a key writes one half of itself");
    }
    fn write_u64(&mut self, half: u64) {
        self.0 = half;
    }
}

type Map<V> = HashMap<Key, V, BuildHasherDefault<Identity>>;
type Set = HashSet<Key, BuildHasherDefault<Identity>>;

/// The keys of one venue's rows of one table.
pub(super) struct Keys {
    /// ts of each stored row whose ts is `from` or later.
    recent: Map<i64>,
    from: i64,
    seeds: Seeds,
    /// The key's columns, without the venue.
    columns: Vec<String>,
    venue: String,
    /// SQL of those columns in a range of ts.
    stored: String,
}

impl Keys {
    /// Starts with what is stored in `relation`, which has the table's columns.
    pub(super) fn new(
        conn: &Connection,
        table: &Table,
        relation: &str,
        venue: &str,
    ) -> Result<Self> {
        let newest: Option<i64> = conn
            .query_row(
                &format!("SELECT epoch_ns(max(ts)) FROM {relation} WHERE venue = ?"),
                [venue],
                |row| row.get(0),
            )
            .doing(format!("reading {relation}"))?;
        let columns: Vec<String> = table.key.iter().filter(|c| *c != VENUE).cloned().collect();
        let list = columns
            .iter()
            .map(|c| format!("\"{c}\""))
            .collect::<Vec<_>>()
            .join(", ");
        let stored = format!(
            "SELECT {list} FROM {relation}
             WHERE venue = ? AND ts >= make_timestamp_ns(?) AND ts <= make_timestamp_ns(?)"
        );
        Ok(Self {
            recent: Map::default(),
            from: newest.map_or(i64::MIN, |ns| ns.saturating_add(1)),
            seeds: Seeds::default(),
            columns,
            venue: venue.to_owned(),
            stored,
        })
    }

    /// For each row whether it is new; takes the new ones as stored.
    pub(super) fn admit(
        &mut self,
        conn: &Connection,
        table: &Table,
        batch: &RecordBatch,
    ) -> Result<Vec<bool>> {
        let (ts, recv_ts) = (times(batch, table, "ts"), times(batch, table, "recv_ts"));
        let (mut low, mut high) = (i64::MAX, i64::MIN);
        for (&ts, &recv) in ts.iter().zip(recv_ts) {
            let slack = if ts == recv { SLACK_NS } else { 0 };
            low = low.min(ts.saturating_sub(slack));
            high = high.max(ts.saturating_add(slack));
        }
        let older = if low < self.from {
            self.stored_keys(conn, low, high.min(self.from.saturating_sub(1)))?
        } else {
            Set::default()
        };
        let columns: Vec<ArrayRef> = self
            .columns
            .iter()
            .filter_map(|c| table.place(c))
            .map(|i| batch.column(i).clone())
            .collect();
        let row_keys = RowKeys::new(&columns, &self.seeds);
        let mut fresh = Set::default();
        self.recent.reserve(batch.num_rows());
        let new = ts.iter().enumerate().map(|(row, &ts)| {
            let Some(key) = row_keys.key(row) else {
                return true;
            };
            if older.contains(&key) {
                false
            } else if ts >= self.from {
                self.recent.insert(key, ts).is_none() && !fresh.contains(&key)
            } else {
                fresh.insert(key) && !self.recent.contains_key(&key)
            }
        });
        let new = new.collect();
        self.forget_oldest();
        Ok(new)
    }

    /// Keys of stored rows with `low <= ts <= high`.
    fn stored_keys(&self, conn: &Connection, low: i64, high: i64) -> Result<Set> {
        let mut keys = Set::default();
        if low > high {
            return Ok(keys);
        }
        let mut statement = conn
            .prepare_cached(&self.stored)
            .doing("reading stored keys")?;
        for batch in statement
            .stream_arrow(params![self.venue, low, high])
            .doing("reading stored keys")?
        {
            let batch = batch.doing("reading stored keys")?;
            let row_keys = RowKeys::new(batch.columns(), &self.seeds);
            keys.extend((0..batch.num_rows()).filter_map(|row| row_keys.key(row)));
        }
        Ok(keys)
    }

    fn forget_oldest(&mut self) {
        if self.recent.len() <= MAX_KEYS {
            return;
        }
        let mut times: Vec<i64> = self.recent.values().copied().collect();
        let (_, &mut middle, _) = times.select_nth_unstable(self.recent.len() / 2);
        self.from = middle.saturating_add(1);
        self.recent.retain(|_, ts| *ts > middle);
    }
}

fn times<'a>(batch: &'a RecordBatch, table: &Table, column: &str) -> &'a [i64] {
    table
        .place(column)
        .and_then(|i| {
            batch
                .column(i)
                .as_any()
                .downcast_ref::<TimestampNanosecondArray>()
        })
        .map_or(&[], |a| a.values())
}

/// Two hashes of 64 bits, seeded apart.
struct Seeds([FixedState; 2]);

impl Default for Seeds {
    fn default() -> Self {
        let random = RandomState::new();
        Self([0, 1].map(|half| FixedState::with_seed(random.hash_one(half))))
    }
}

/// Hashes the key columns of rows.
struct RowKeys<'a> {
    columns: Vec<KeyColumn<'a>>,
    seeds: &'a Seeds,
}

enum KeyColumn<'a> {
    Text(&'a StringArray),
    Id(&'a UInt64Array),
    Number(&'a Float64Array),
    Flag(&'a BooleanArray),
    Time(&'a TimestampNanosecondArray),
    Other(&'a ArrayRef),
}

impl<'a> RowKeys<'a> {
    fn new(columns: &'a [ArrayRef], seeds: &'a Seeds) -> Self {
        let columns = columns.iter().map(KeyColumn::of).collect();
        Self { columns, seeds }
    }

    /// `None` if a part of the key is null: such a row is never a duplicate.
    fn key(&self, row: usize) -> Option<Key> {
        let mut halves = self.seeds.0.each_ref().map(BuildHasher::build_hasher);
        for column in &self.columns {
            column.hash(row, &mut halves)?;
        }
        Some(Key(halves.map(|half| half.finish())))
    }
}

impl<'a> KeyColumn<'a> {
    fn of(array: &'a ArrayRef) -> Self {
        match array.data_type() {
            DataType::Utf8 => Self::Text(array.as_string()),
            DataType::UInt64 => Self::Id(array.as_primitive()),
            DataType::Float64 => Self::Number(array.as_primitive()),
            DataType::Boolean => Self::Flag(array.as_boolean()),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => Self::Time(array.as_primitive()),
            _ => Self::Other(array),
        }
    }

    fn hash(&self, row: usize, [one, other]: &mut [impl Hasher; 2]) -> Option<()> {
        let word = match self {
            Self::Text(a) if a.is_valid(row) => {
                let text = a.value(row).as_bytes();
                one.write(text);
                other.write(text);
                text.len() as u64
            }
            Self::Id(a) if a.is_valid(row) => a.value(row),
            Self::Number(a) if a.is_valid(row) => a.value(row).to_bits(),
            Self::Flag(a) if a.is_valid(row) => u64::from(a.value(row)),
            Self::Time(a) if a.is_valid(row) => a.value(row) as u64,
            Self::Other(a) if a.is_valid(row) => {
                let text = arrow::util::display::array_value_to_string(a, row).ok()?;
                one.write(text.as_bytes());
                other.write(text.as_bytes());
                text.len() as u64
            }
            _ => return None,
        };
        one.write_u64(word);
        other.write_u64(word);
        Some(())
    }
}
