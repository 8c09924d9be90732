//! Sorting more rows than fit in memory: piece by piece, each of them a range of the order.
//!
//! DuckDB's own sort spills, but a memory limit as low as that of writing is still too little for it beyond some ten
//! million rows, or one million with long texts. And a piece costs little: files that are sorted themselves, or in long
//! runs, are read only where it lies.

use duckdb::Connection;

use super::catalog::{Table, VENUE};
use super::lake;
use crate::model::RAW_MESSAGES;

/// Bytes of a row in the sort, its payload apart. As measured: with twice as many rows, memory is still enough.
const ROW_BYTES: u64 = 128;
/// A piece is made of cells: a symbol and venue for so long …
const CELL_NS: i64 = 900_000_000_000;
/// … or so many numbers of raw messages.
const CELL_SEQS: u64 = 4096;

/// Queries that together give the files' rows in the order of a file of the table. None sorts more than `piece_bytes`,
/// or one cell; the files' statistics tell it which row groups to read, for each is sorted itself, or in long runs.
pub(super) fn pieces(
    conn: &Connection,
    table: &Table,
    files: &str,
    piece_bytes: u64,
) -> duckdb::Result<Vec<String>> {
    let raw = table.name == RAW_MESSAGES;
    let (column, number) = if raw {
        ("seq", "seq")
    } else {
        ("ts", "epoch_ns(ts)")
    };
    let cells: Vec<String> = if raw {
        vec![format!("seq // {CELL_SEQS}")]
    } else {
        let time = format!("epoch_ns(ts) // {CELL_NS}");
        vec!["symbol".to_owned(), VENUE.to_owned(), time]
    };
    let named = each(&cells, ", ", |i, cell| format!("{cell} AS c{i}"));
    let outer = each(&cells, ", ", |i, _| format!("c{i}"));
    let same = each(&cells, " AND ", |i, cell| {
        let may_be_null = table
            .position(cell)
            .is_some_and(|at| !table.columns[at].required);
        // By the one, row groups are passed over that have no such value; by the other, none is.
        let equals = if may_be_null {
            "IS NOT DISTINCT FROM"
        } else {
            "="
        };
        format!("{cell} {equals} p.c{i}")
    });
    // It is in memory twice.
    let payload = if table.position("payload").is_some() {
        " + 2 * coalesce(sum(strlen(payload)), 0)"
    } else {
        ""
    };
    conn.execute_batch(&format!(
        "CREATE OR REPLACE TEMP TABLE pieces AS
         SELECT {outer}, low, high, (sum(weight) OVER (ORDER BY {outer}) // {piece_bytes})::BIGINT AS piece
         FROM (SELECT {named}, min({number}) AS low, max({number}) AS high, {ROW_BYTES} * count(*){payload} AS weight
               FROM {files} GROUP BY ALL)"
    ))?;
    let ranges: Vec<(i64, String, String)> = conn
        .prepare(
            "SELECT piece, min(low)::VARCHAR, max(high)::VARCHAR FROM temp.pieces GROUP BY piece ORDER BY piece",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<duckdb::Result<_>>()?;
    let (columns, sort) = (table.select_list(), lake::sort_columns(table).join(", "));
    let at = |number: &str| {
        if raw {
            number.to_owned()
        } else {
            format!("make_timestamp_ns({number})")
        }
    };
    let query = |(piece, low, high): &(i64, String, String)| {
        format!(
            "SELECT {columns} FROM {files} SEMI JOIN (SELECT {outer} FROM temp.pieces WHERE piece = {piece}) p ON {same}
             WHERE {column} BETWEEN {} AND {} ORDER BY {sort}",
            at(low),
            at(high)
        )
    };
    Ok(ranges.iter().map(query).collect())
}

fn each(cells: &[String], between: &str, of: impl Fn(usize, &str) -> String) -> String {
    let all = cells.iter().enumerate().map(|(i, cell)| of(i, cell));
    all.collect::<Vec<_>>().join(between)
}
