//! Slots: what a prepared statement reads, exchanged between its executions.
//!
//! DuckDB makes a new plan at every execution of a statement that scans a table or calls a table function, and for the
//! few messages of a live batch planning takes several times as long as running. Over `unnest(messages(7))` it keeps the
//! plan: the number never changes, what it stands for does.

use std::collections::HashMap;
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{Array, AsArray, ListArray, RecordBatch, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, UInt64Type};
use duckdb::Connection;
use duckdb::vscalar::{ArrowFunctionSignature, VArrowScalar};

use super::error::{Doing, Result};
use super::raw;

/// What every slot of this process holds: messages, with the columns of [`raw::schema`].
static HELD: Mutex<Option<HashMap<u64, RecordBatch>>> = Mutex::new(None);
static NEXT: AtomicU64 = AtomicU64::new(1);

fn held() -> MutexGuard<'static, Option<HashMap<u64, RecordBatch>>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A slot, which is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    number: u64,
}

impl Slot {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// The messages as a relation of one struct, `m`.
    pub(super) fn sql(&self) -> String {
        format!("(SELECT unnest(messages({}::UBIGINT)) AS m)", self.number)
    }

    /// Holds `messages` while `work` is done.
    pub(super) fn with<T>(&self, messages: RecordBatch, work: impl FnOnce() -> T) -> T {
        held().get_or_insert_default().insert(self.number, messages);
        let done = work();
        held().get_or_insert_default().remove(&self.number);
        done
    }
}

/// Makes a connection's database know `messages`.
pub(super) fn register(conn: &Connection) -> Result<()> {
    conn.register_scalar_function::<Messages>("messages")
        .doing("preparing the database")
}

/// The function: a slot's number → the list of its messages.
struct Messages;

impl VArrowScalar for Messages {
    type State = ();

    fn invoke((): &(), numbers: RecordBatch) -> Result<Arc<dyn Array>, Box<dyn Error>> {
        let numbers = numbers.column(0).as_primitive::<UInt64Type>();
        let held = held().clone().unwrap_or_default();
        let lists: Vec<RecordBatch> = numbers
            .iter()
            .map(|number| {
                let held = number.and_then(|number| held.get(&number).cloned());
                held.unwrap_or_else(|| RecordBatch::new_empty(raw::schema()))
            })
            .collect();
        let offsets = OffsetBuffer::from_lengths(lists.iter().map(RecordBatch::num_rows));
        let rows = match lists.as_slice() {
            [one] => one.clone(),
            many => arrow::compute::concat_batches(&raw::schema(), many)?,
        };
        let rows: StructArray = rows.into();
        Ok(Arc::new(ListArray::try_new(
            item(),
            offsets,
            Arc::new(rows),
            None,
        )?))
    }

    fn signatures() -> Vec<ArrowFunctionSignature> {
        vec![ArrowFunctionSignature::exact(
            vec![DataType::UInt64],
            DataType::List(item()),
        )]
    }

    /// The same number stands for other messages at each execution.
    fn volatile() -> bool {
        true
    }
}

fn item() -> Arc<Field> {
    let message = DataType::Struct(raw::schema().fields().clone());
    Arc::new(Field::new_list_field(message, false))
}
