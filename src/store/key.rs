//! A row's key as a hash.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, StringArray, TimestampNanosecondArray,
    UInt64Array,
};
use arrow::datatypes::{DataType, TimeUnit};
use foldhash::fast::FixedState;

/// Stands for NULL in a key: the bits of a NaN that no number column holds.
const NULL_WORD: u64 = 0x7ff8_dead_0000_0001;

/// A 128-bit hash of a key: no two different keys of any real table share one. It is seeded anew in
/// every process, so that nobody can send keys that do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(pub(super) [u64; 2]);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[0]);
    }
}

/// The keys are hashes already.
#[derive(Default)]
pub(super) struct Identity(u64);

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

/// Two hashes of 64 bits, seeded apart.
pub(super) struct Seeds([FixedState; 2]);

impl Default for Seeds {
    fn default() -> Self {
        let random = RandomState::new();
        Self([0, 1].map(|half| FixedState::with_seed(random.hash_one(half))))
    }
}

impl Seeds {
    /// `None` if a part of the key is NULL where NULL is no value.
    pub(super) fn key(&self, columns: &[KeyColumn<'_>], row: usize) -> Option<Key> {
        let mut halves = self.0.each_ref().map(BuildHasher::build_hasher);
        for column in columns {
            column.hash(row, &mut halves)?;
        }
        Some(Key(halves.map(|half| half.finish())))
    }
}

/// A column of a key.
pub(super) struct KeyColumn<'a> {
    values: Values<'a>,
    null_is_value: bool,
}

enum Values<'a> {
    Text(&'a StringArray),
    Id(&'a UInt64Array),
    Number(&'a Float64Array),
    Flag(&'a BooleanArray),
    Time(&'a TimestampNanosecondArray),
    Other(&'a ArrayRef),
}

impl<'a> KeyColumn<'a> {
    pub(super) fn of(array: &'a ArrayRef, null_is_value: bool) -> Self {
        let values = match array.data_type() {
            DataType::Utf8 => Values::Text(array.as_string()),
            DataType::UInt64 => Values::Id(array.as_primitive()),
            DataType::Float64 => Values::Number(array.as_primitive()),
            DataType::Boolean => Values::Flag(array.as_boolean()),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => Values::Time(array.as_primitive()),
            _ => Values::Other(array),
        };
        Self {
            values,
            null_is_value,
        }
    }

    fn hash(&self, row: usize, [one, other]: &mut [impl Hasher; 2]) -> Option<()> {
        let word = match &self.values {
            Values::Text(a) if a.is_valid(row) => {
                let text = a.value(row).as_bytes();
                one.write(text);
                other.write(text);
                text.len() as u64
            }
            Values::Id(a) if a.is_valid(row) => a.value(row),
            Values::Number(a) if a.is_valid(row) => a.value(row).to_bits(),
            Values::Flag(a) if a.is_valid(row) => u64::from(a.value(row)),
            Values::Time(a) if a.is_valid(row) => a.value(row) as u64,
            Values::Other(a) if a.is_valid(row) => {
                let text = arrow::util::display::array_value_to_string(a, row).ok()?;
                one.write(text.as_bytes());
                other.write(text.as_bytes());
                text.len() as u64
            }
            _ if self.null_is_value => NULL_WORD,
            _ => return None,
        };
        one.write_u64(word);
        other.write_u64(word);
        Some(())
    }
}
