//! Slots: what a prepared statement reads, exchanged between its executions.
//!
//! DuckDB makes a new plan at every execution of a statement that scans a table or calls a table function, and for the
//! few rows of a live batch planning takes several times as long as running. Over `unnest(rows_of_x($1))` it keeps the
//! plan: the parameter is the number of a slot, and never changes; what the slot holds does.

use std::cell::RefCell;
use std::collections::HashMap;
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{Array, AsArray, ListArray, RecordBatch, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, SchemaRef, UInt64Type};
use duckdb::Connection;
use duckdb::vscalar::{ArrowFunctionSignature, VArrowScalar};

use super::error::{Doing, Result};

/// What the slots of this process hold.
static HELD: Mutex<Option<HashMap<u64, RecordBatch>>> = Mutex::new(None);
static NEXT: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// The rows of the function that is being registered: its signature cannot be told in another way.
    static REGISTERED: RefCell<Option<SchemaRef>> = const { RefCell::new(None) };
}

fn held() -> MutexGuard<'static, Option<HashMap<u64, RecordBatch>>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place for rows.
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

    /// What stands for it in a statement.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Holds `rows` while `work` is done.
    pub(super) fn with<T>(&self, rows: RecordBatch, work: impl FnOnce() -> T) -> T {
        held().get_or_insert_default().insert(self.number, rows);
        let done = work();
        held().get_or_insert_default().remove(&self.number);
        done
    }
}

/// Makes a connection's database know `rows_of_<name>`: a slot's number → the list of its rows, which have this schema.
pub(super) fn register(conn: &Connection, name: &str, rows: SchemaRef) -> Result<()> {
    REGISTERED.set(Some(rows.clone()));
    conn.register_scalar_function_with_state::<RowsOf>(
        &format!("rows_of_{name}"),
        &State(Some(rows)),
    )
    .doing("preparing the database")
}

/// The rows of the slot `$1` as a relation of one struct, `m`. The number must be a parameter: DuckDB would evaluate a
/// constant once, when it makes the plan.
pub(super) fn relation(name: &str) -> String {
    format!("(SELECT unnest(rows_of_{name}($1::UBIGINT)) AS m)")
}

struct RowsOf;

#[derive(Clone, Default)]
struct State(Option<SchemaRef>);

impl VArrowScalar for RowsOf {
    type State = State;

    fn invoke(state: &State, numbers: RecordBatch) -> Result<Arc<dyn Array>, Box<dyn Error>> {
        let schema = state.0.as_ref().ok_or("registered without a schema")?;
        let numbers = numbers.column(0).as_primitive::<UInt64Type>();
        let lists: Vec<RecordBatch> = numbers
            .values()
            .iter()
            .map(|number| {
                let rows = held().as_ref().and_then(|held| held.get(number).cloned());
                rows.unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(schema)))
            })
            .collect();
        let lengths = OffsetBuffer::from_lengths(lists.iter().map(RecordBatch::num_rows));
        let rows = match lists.as_slice() {
            [one] => one.clone(),
            many => concat_batches(schema, many)?,
        };
        let rows = StructArray::try_new(schema.fields().clone(), rows.columns().to_vec(), None)?;
        let list = ListArray::try_new(item(schema), lengths, Arc::new(rows), None)?;
        Ok(Arc::new(list))
    }

    /// Or a plan that is made again would hold all rows as a constant.
    fn volatile() -> bool {
        true
    }

    fn signatures() -> Vec<ArrowFunctionSignature> {
        let schema = REGISTERED.with_borrow(Clone::clone);
        let of = |schema| {
            ArrowFunctionSignature::exact(vec![DataType::UInt64], DataType::List(item(&schema)))
        };
        schema.map(of).into_iter().collect()
    }
}

/// A row as one value. Any of its fields may be NULL: only the table knows what it requires.
fn item(schema: &SchemaRef) -> Arc<Field> {
    let row = DataType::Struct(schema.fields().clone());
    Arc::new(Field::new_list_field(row, false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::frame::Frame;
    use crate::store::raw::{self, RawBatch};

    fn messages(payloads: &[&str]) -> RecordBatch {
        let frames: Vec<Frame> = payloads
            .iter()
            .map(|payload| Frame {
                venue: "v".into(),
                channel: "ws/1".into(),
                symbol: None,
                recv_ns: 1,
                payload: (*payload).to_owned(),
            })
            .collect();
        RawBatch::of_frames(1, "v", &frames).unwrap().rows
    }

    #[test]
    fn a_statement_prepared_once_reads_what_the_slot_holds_now() {
        let conn = Connection::open_in_memory().unwrap();
        register(&conn, "raw", raw::schema()).unwrap();
        let slot = Slot::new();
        let sql = format!(
            "SELECT m.payload FROM {} WHERE m.payload <> ''",
            relation("raw")
        );
        let mut statement = conn.prepare(&sql).unwrap();
        for payloads in [vec!["a", "b"], vec![], vec!["c", "", "d"], vec!["e"]] {
            let read: Vec<String> = slot.with(messages(&payloads), || {
                let rows = statement
                    .query_map([slot.number()], |row| row.get(0))
                    .unwrap();
                rows.map(Result::unwrap).collect()
            });
            let expected: Vec<&str> = payloads.into_iter().filter(|p| !p.is_empty()).collect();
            assert_eq!(read, expected);
        }
    }
}
