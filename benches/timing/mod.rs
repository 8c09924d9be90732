//! How long a question takes.

use std::time::Instant;

use duckdb::Connection;

/// Milliseconds until all rows of the answer are there, of which there must be some.
pub(crate) fn ask_ms(conn: &Connection, question: &str) -> f64 {
    let start = Instant::now();
    let mut statement = conn.prepare(question).unwrap();
    let rows = statement.query_arrow([]).unwrap();
    assert!(rows.map(|batch| batch.num_rows()).sum::<usize>() > 0);
    start.elapsed().as_secs_f64() * 1e3
}

pub(crate) fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}
