//! A capture's work done by hand with plain DuckDB: messages numbered, and read by the venue's own SQL into trades, quotes
//! and book levels. No key is looked at, no book kept, no message accounted for.

use std::path::Path;
use std::sync::Arc;

use duckdb::Connection;
use duckdb::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt64Array};
use duckdb::vtab::arrow::{ArrowBatchRegistration, ArrowVTab};
use tempfile::TempDir;

const TABLES: [&str; 4] = ["raw_messages", "trades", "quotes", "book_deltas"];

/// A database of these tables only.
pub(crate) struct Plain {
    conn: Connection,
    statements: [String; TABLES.len()],
    /// Last, for the database lies in it.
    _dir: TempDir,
}

impl Plain {
    /// An empty one.
    pub(crate) fn new(venue: &str, symbol: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let conn = Connection::open(dir.path().join("plain.duckdb")).unwrap();
        conn.register_table_function::<ArrowVTab>("arrow").unwrap();
        conn.execute_batch("CREATE SCHEMA hot").unwrap();
        let statements = TABLES.map(|table| {
            conn.execute_batch(&sql(&format!("tables/{table}.sql")))
                .unwrap();
            let select = match table {
                "raw_messages" => "FROM raw".to_owned(),
                _ => sql(&format!("venues/{venue}/{table}.sql")),
            };
            format!(
                "INSERT INTO hot.{table} BY NAME WITH raw AS (
                     SELECT seq, make_timestamp_ns(recv_ns) AS recv_ts, '{venue}' AS venue, 'file' AS channel,
                            '{symbol}' AS symbol, payload FROM arrow(?))
                 {select}"
            )
        });
        Self {
            conn,
            statements,
            _dir: dir,
        }
    }

    /// Writes messages, the first of which has this seq, in one transaction.
    pub(crate) fn write(&self, first_seq: u64, recv_ns: Vec<i64>, payloads: StringArray) {
        let seqs = first_seq..first_seq + recv_ns.len() as u64;
        let rows = RecordBatch::try_from_iter([
            (
                "seq",
                Arc::new(UInt64Array::from_iter_values(seqs)) as ArrayRef,
            ),
            ("recv_ns", Arc::new(Int64Array::from(recv_ns))),
            ("payload", Arc::new(payloads)),
        ])
        .unwrap();
        self.conn.execute_batch("BEGIN").unwrap();
        for statement in &self.statements {
            let registered = ArrowBatchRegistration::new(rows.clone());
            self.conn
                .prepare_cached(statement)
                .unwrap()
                .execute([&registered])
                .unwrap();
        }
        self.conn.execute_batch("COMMIT").unwrap();
    }
}

/// A file of the SQL tree.
fn sql(path: &str) -> String {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    std::fs::read_to_string(tree.join(path)).unwrap()
}
