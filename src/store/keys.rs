//! Key enforcement: which rows of a batch are new.
//!
//! The keys of the newest stored rows are kept in memory, up to a fixed number; a batch that reaches
//! further back is compared with the stored rows of its own time range instead.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::BuildHasherDefault;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampNanosecondType;
use duckdb::{Connection, params};

use super::catalog::{Table, VENUE};
use super::error::{Doing, Result};
use super::key::{Identity, Key, KeyColumn, Seeds};
use crate::model::BOOK_DELTAS;

/// Keys kept for each venue and table, 24 bytes each and as much again while the map grows.
const MAX_KEYS: usize = 1 << 18;
/// Where the venue gives no time, ts is the receive time, and the same message may have been received this
/// much earlier or later by another way.
const RECEIVED_SLACK_NS: i64 = 10_000_000_000;
/// A venue's own time may come with more or fewer digits by another way.
pub(super) const VENUE_SLACK_NS: i64 = 1_000_000_000;

/// The first and last time of a row that is the same as one of this time.
pub(super) fn around(ts: i64, slack_ns: i64) -> (i64, i64) {
    (ts.saturating_sub(slack_ns), ts.saturating_add(slack_ns))
}

/// The ts of rows by their keys.
#[derive(Default)]
pub(super) struct Times {
    one: HashMap<Key, i64, BuildHasherDefault<Identity>>,
    /// Further times of keys that a venue has used again, as some do every day.
    more: BTreeSet<(Key, i64)>,
}

impl Times {
    /// Whether a row with this key lies in a range of time.
    pub(super) fn near(&self, key: Key, (low, high): (i64, i64)) -> bool {
        self.one
            .get(&key)
            .is_some_and(|ts| (low..=high).contains(ts))
            || !self.more.is_empty() && self.more.range((key, low)..=(key, high)).next().is_some()
    }

    pub(super) fn insert(&mut self, key: Key, ts: i64) {
        match self.one.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(ts);
            }
            Entry::Occupied(_) => {
                self.more.insert((key, ts));
            }
        }
    }

    /// Makes room for so many more keys.
    pub(super) fn reserve(&mut self, keys: usize) {
        self.one.reserve(keys);
    }

    pub(super) fn len(&self) -> usize {
        self.one.len() + self.more.len()
    }

    fn clear(&mut self) {
        self.one.clear();
        self.more.clear();
    }

    /// A time that half of all are not later than; `None` if there are none.
    fn middle(&self) -> Option<i64> {
        let more = self.more.iter().map(|(_, ts)| *ts);
        let mut times: Vec<i64> = self.one.values().copied().chain(more).collect();
        let half = times.len() / 2;
        (!times.is_empty()).then(|| *times.select_nth_unstable(half).1)
    }

    /// The latest time.
    fn latest(&self) -> Option<i64> {
        let more = self.more.iter().map(|(_, ts)| *ts);
        self.one.values().copied().chain(more).max()
    }

    /// Adds all of another, or those from a time on.
    pub(super) fn add(&mut self, other: &Self, from: i64) {
        let more = other.more.iter().copied();
        let one = other.one.iter().map(|(&key, &ts)| (key, ts));
        for (key, ts) in one.chain(more).filter(|&(_, ts)| ts >= from) {
            self.insert(key, ts);
        }
    }
}

impl FromIterator<(Key, i64)> for Times {
    fn from_iter<I: IntoIterator<Item = (Key, i64)>>(rows: I) -> Self {
        let mut times = Self::default();
        for (key, ts) in rows {
            times.insert(key, ts);
        }
        times
    }
}

/// The keys of one venue's rows of one table.
///
/// A row is known if a row with its key was admitted before whose ts lies within the row's slack. That rule
/// is the same for keys in memory and stored ones, so that what a rebuild admits does not depend on where
/// processes and batches ended.
pub(super) struct Keys {
    /// Each admitted row whose ts is `from` or later, and some older ones: those admitted last, and those before them.
    recent: Times,
    before: Times,
    from: i64,
    /// The same of older rows, and of forgotten ones, that a query may not see yet: those of the transaction
    /// being committed, and those of the open one.
    in_flight: [Times; 2],
    seeds: Seeds,
    /// The key's columns, without the venue, and whether NULL is a value in them.
    columns: Vec<(String, bool)>,
    venue: String,
    /// SQL of those columns and ts in a range of ts.
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
        // An update without levels has no side and price, and is one update all the same.
        let null_is_value = |column: &str| table.name == BOOK_DELTAS && column != "last_id";
        let columns: Vec<(String, bool)> = table
            .key
            .iter()
            .filter(|column| *column != VENUE)
            .map(|column| (column.clone(), null_is_value(column)))
            .collect();
        let list: Vec<String> = columns.iter().map(|(c, _)| format!("\"{c}\"")).collect();
        let stored = format!(
            "SELECT {}, ts FROM {relation}
             WHERE venue = ? AND ts >= make_timestamp_ns(?) AND ts <= make_timestamp_ns(?)",
            list.join(", ")
        );
        Ok(Self {
            recent: Times::default(),
            before: Times::default(),
            from: newest.map_or(i64::MIN, |ns| ns.saturating_add(1)),
            in_flight: <[Times; 2]>::default(),
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
        let columns: Vec<KeyColumn<'_>> = self
            .columns
            .iter()
            .filter_map(|(name, null_is_value)| {
                Some(KeyColumn::of(
                    batch.column(table.place(name)?),
                    *null_is_value,
                ))
            })
            .collect();
        let rows: Vec<Row> = ts
            .iter()
            .zip(recv_ts)
            .enumerate()
            .map(|(row, (&ts, &recv_ts))| Row {
                key: self.seeds.key(&columns, row),
                ts,
                slack: if ts == recv_ts {
                    RECEIVED_SLACK_NS
                } else {
                    VENUE_SLACK_NS
                },
            })
            .collect();
        let stored = self.stored(conn, &rows)?;
        self.recent.reserve(rows.len());
        let mut new = Vec::with_capacity(rows.len());
        for row in &rows {
            let Some(key) = row.key else {
                new.push(true);
                continue;
            };
            let around = row.around();
            let known = stored.near(key, around)
                || self.recent.near(key, around)
                || self.before.near(key, around)
                || self.in_flight.iter().any(|times| times.near(key, around));
            new.push(!known);
            if !known {
                let times = if row.ts >= self.from {
                    &mut self.recent
                } else {
                    &mut self.in_flight[1]
                };
                times.insert(key, row.ts);
            }
        }
        self.forget_oldest();
        Ok(new)
    }

    /// The stored rows older than `from` that have the rows' keys and lie near one of them.
    fn stored(&self, conn: &Connection, rows: &[Row]) -> Result<Times> {
        let mut found = Times::default();
        let mut wanted: HashSet<Key, BuildHasherDefault<Identity>> = HashSet::default();
        let mut times = Vec::new();
        for row in rows {
            let around = row.around();
            let Some(key) = row.key.filter(|_| around.0 < self.from) else {
                continue;
            };
            wanted.insert(key);
            times.push(around);
        }
        for (low, high) in ranges(times) {
            let high = high.min(self.from.saturating_sub(1));
            let mut statement = conn
                .prepare_cached(&self.stored)
                .doing("reading stored keys")?;
            let parameters = params![self.venue, low, high];
            for batch in statement
                .stream_arrow(parameters)
                .doing("reading stored keys")?
            {
                let batch = batch.doing("reading stored keys")?;
                let columns = batch.columns().iter().zip(&self.columns);
                let columns: Vec<KeyColumn<'_>> = columns
                    .map(|(array, (_, null_is_value))| KeyColumn::of(array, *null_is_value))
                    .collect();
                let ts = batch
                    .column(self.columns.len())
                    .as_primitive::<TimestampNanosecondType>();
                for (row, &ts) in ts.values().iter().enumerate() {
                    if let Some(key) = self.seeds.key(&columns, row)
                        && wanted.contains(&key)
                    {
                        found.insert(key, ts);
                    }
                }
            }
        }
        Ok(found)
    }

    /// Forgets the older half, all at once: to pick rows one by one would hold up a live commit.
    fn forget_oldest(&mut self) {
        if self.recent.len() <= MAX_KEYS / 2 {
            return;
        }
        let before = std::mem::take(&mut self.recent);
        let forgotten = std::mem::replace(&mut self.before, before);
        let Some((latest, middle)) = forgotten.latest().zip(self.before.middle()) else {
            return;
        };
        // A row of the far future must not make all others be looked up.
        let last = latest.min(middle);
        if latest > last {
            self.before.add(&forgotten, last.saturating_add(1));
        }
        self.from = self.from.max(last.saturating_add(1));
        let open = &mut self.in_flight[1];
        if open.len() == 0 {
            *open = forgotten;
        } else {
            open.add(&forgotten, i64::MIN);
        }
    }

    /// Another one has written rows up to this time, which are in no memory here: what lies before is asked for from now on.
    /// No transaction may be open.
    pub(super) fn came(&mut self, last_ns: i64) {
        self.from = self.from.max(last_ns.saturating_add(1));
    }

    /// A query now sees everything but what was added since the last call, or is added from now on.
    pub(super) fn next_transaction(&mut self) {
        let [committed, open] = &mut self.in_flight;
        std::mem::swap(committed, open);
        open.clear();
    }
}

/// What key enforcement looks at of a row.
struct Row {
    /// `None` if a part of it is NULL: such a row is never known.
    key: Option<Key>,
    ts: i64,
    slack: i64,
}

impl Row {
    fn around(&self) -> (i64, i64) {
        around(self.ts, self.slack)
    }
}

/// Joins ranges of time that lie near one another, so that a row far in the past does not make all between
/// it and the others be read.
fn ranges(mut times: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    const APART_NS: i64 = 600_000_000_000;
    const MAX_RANGES: usize = 64;
    times.sort_unstable();
    let mut joined: Vec<(i64, i64)> = Vec::new();
    for (low, high) in times {
        match joined.last_mut() {
            Some((_, end)) if low.saturating_sub(*end) < APART_NS => *end = high.max(*end),
            _ => joined.push((low, high)),
        }
    }
    if joined.len() > MAX_RANGES {
        let end = joined.iter().map(|r| r.1).max().unwrap_or(i64::MAX);
        joined = vec![(joined[0].0, end)];
    }
    joined
}

fn times<'a>(batch: &'a RecordBatch, table: &Table, column: &str) -> &'a [i64] {
    table
        .place(column)
        .and_then(|i| {
            batch
                .column(i)
                .as_primitive_opt::<TimestampNanosecondType>()
        })
        .map_or(&[], |a| a.values())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_used_again_is_known_at_each_of_its_times() {
        let around = |ts| around(ts, 10);
        let (key, mut times, mut old) = (Key([1, 2]), Times::default(), Times::default());
        for ts in [1000, 2000, 3000] {
            assert!(!times.near(key, around(ts)));
            times.insert(key, ts);
        }
        assert!(
            [990, 1010, 2000, 3010]
                .iter()
                .all(|ts| times.near(key, around(*ts)))
        );
        assert!(!times.near(key, around(1011)) && !times.near(Key([1, 3]), around(2000)));
        assert_eq!(
            (times.len(), times.middle(), times.latest()),
            (3, Some(2000), Some(3000))
        );
        old.add(&times, 2000);
        assert_eq!(old.len(), 2);
        assert!(old.near(key, around(3000)) && !old.near(key, around(1000)));
    }

    #[test]
    fn ranges_far_apart_are_read_apart() {
        let hour = 3_600_000_000_000;
        let near = vec![
            (5 * hour, 5 * hour + 1),
            (0, 1),
            (5 * hour + 3, 5 * hour + 4),
        ];
        assert_eq!(ranges(near), [(0, 1), (5 * hour, 5 * hour + 4)]);
        let many = (0..100).map(|i| (i * hour, i * hour + 1)).collect();
        assert_eq!(ranges(many), [(0, 99 * hour + 1)]);
    }
}
