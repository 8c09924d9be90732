//! Runs the SQL of venues' folders on messages that a test writes down, by `mdb sql`: what the files make of them, and
//! nothing else of mdb.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::Db;
use crate::venues::{BARS, Compared, LEVELS, QUOTES, TRADES, in_words};

/// Receive time of all messages here.
const RECEIVED_NS: i64 = 1_700_000_000_000_000_000;

fn folder(venue: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("sql/venues")
        .join(venue)
}

/// An empty database to ask questions of.
pub(crate) fn empty() -> Db {
    let db = Db::new();
    db.load("binance_spot", "X", [db.write("empty", b"")]).ok();
    db
}

/// What the venue's files make of messages (channel, symbol, payload): number of the message, table, row. Like mdb, a
/// file sees only messages that hold one of its `@match` texts.
pub(crate) fn made(
    db: &Db,
    venue: &str,
    messages: &[(&str, &str, &str)],
) -> BTreeSet<(usize, String, String)> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder(venue))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "sql"));
    let queries: Vec<String> = files
        .iter()
        .map(|file| query(file, venue, messages, compared(name_of(file))))
        .collect();
    answers(db, &queries.join("\nUNION ALL\n"))
}

fn answers(db: &Db, query: &str) -> BTreeSet<(usize, String, String)> {
    let rows = db.sql(query).into_iter().map(|row| {
        let [n, table, cells] = row.try_into().unwrap();
        let said = match compared(&table) {
            Some(of) => in_words(cells.split('|').map(str::to_owned).collect(), of),
            None => cells,
        };
        (n.parse().unwrap(), table, said)
    });
    rows.collect()
}

fn name_of(file: &Path) -> &str {
    file.file_stem().unwrap().to_str().unwrap()
}

fn compared(table: &str) -> Option<&'static Compared> {
    [&TRADES, &QUOTES, &LEVELS, &BARS]
        .into_iter()
        .find(|of| of.table == table)
}

/// A file over the messages that concern it: number of the message, table, cells.
fn query(
    file: &Path,
    venue: &str,
    messages: &[(&str, &str, &str)],
    of: Option<&Compared>,
) -> String {
    let sql = fs::read_to_string(file).unwrap();
    let table = name_of(file);
    let texts: Vec<&str> = sql
        .lines()
        .filter_map(|line| line.strip_prefix("-- @match "))
        .collect();
    let mut values = String::from("(NULL, NULL, NULL, NULL)");
    for (n, (channel, symbol, payload)) in messages.iter().enumerate() {
        if texts.is_empty() || texts.iter().any(|text| payload.contains(text)) {
            let payload = payload.replace('\'', "''");
            write!(
                values,
                ", ({n}, '{channel}', nullif('{symbol}', ''), '{payload}')"
            )
            .unwrap();
        }
    }
    // Columns that the file leaves out are the table's, empty.
    let (rows, cells) = match of {
        Some(of) => {
            let cells: Vec<String> = of
                .columns
                .iter()
                .map(|column| format!("coalesce(({column})::VARCHAR, '')"))
                .collect();
            (
                format!(
                    "SELECT * FROM (\n{sql}\n) UNION ALL BY NAME SELECT * FROM main.{table} WHERE false"
                ),
                format!("array_to_string([{}], '|')", cells.join(", ")),
            )
        }
        None => (sql, "''".to_owned()),
    };
    format!(
        "(WITH raw AS (
            SELECT seq::UBIGINT AS seq, make_timestamp_ns({RECEIVED_NS}) AS recv_ts, '{venue}'::VARCHAR AS venue,
                   channel::VARCHAR AS channel, symbol::VARCHAR AS symbol, payload::VARCHAR AS payload
            FROM (VALUES {values}) v(seq, channel, symbol, payload) WHERE seq IS NOT NULL)
         SELECT seq, '{table}', {cells} FROM (\n{rows}\n))"
    )
}

/// What a venue's file makes of a column or two.
pub(crate) fn columns(venue: &str, of: &Compared, payloads: &[&str]) -> Vec<String> {
    let messages: Vec<_> = payloads
        .iter()
        .map(|payload| ("ws/1", "", *payload))
        .collect();
    let file = folder(venue).join(format!("{}.sql", of.table));
    let rows = empty().sql(&query(&file, venue, &messages, Some(of)));
    rows.into_iter().map(|mut row| row.remove(2)).collect()
}
