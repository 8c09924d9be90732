use duckdb::Connection;
use tempfile::TempDir;

use super::*;
use crate::config::Settings;
use crate::store::{Purpose, Which};

/// So little that a few hundred rows are several pieces.
const LITTLE: u64 = 20_000;

/// A store with three files of one date in each of four tables, whose rows interleave.
fn filled() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&Settings::new(dir.path()), Purpose::Ingest).unwrap();
    for part in 0..3 {
        let rows = format!(
            "FROM (SELECT i, make_timestamp_ns(1723075200000000000 + i * 20_000_000_000) AS t
                   FROM range({part}, 3000, 3) r(i))"
        );
        store
            .conn
            .execute_batch(&format!(
                "INSERT INTO hot.raw_messages BY NAME
                     SELECT i * 100 AS seq, t AS recv_ts, 'v' AS venue, repeat('x', i % 90) AS payload {rows};
                 INSERT INTO hot.trades BY NAME
                     SELECT i AS seq, 'v' || i % 2 AS venue, 's' || i % 5 AS symbol, t AS ts, t AS recv_ts,
                            i::VARCHAR AS trade_id, i AS price, 1 AS size {rows};
                 INSERT INTO hot.feed_events BY NAME
                     SELECT i AS seq, 'v' AS venue, IF(i % 2 = 0, NULL, 's') AS symbol, t AS ts, t AS recv_ts,
                            'gap' AS kind {rows};
                 INSERT INTO hot.dead_letters BY NAME
                     SELECT NULL AS seq, t AS ts, t AS recv_ts, i::VARCHAR AS reason {rows};"
            ))
            .unwrap();
        store.sealer().unwrap().seal(Which::All, |_| true).unwrap();
    }
    (dir, store)
}

fn checksum(conn: &Connection, table: &str) -> String {
    let sql = format!("SELECT count(*) || ' ' || sum(hash(t)) FROM {table} t");
    conn.query_row(&sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn small_files_are_merged_and_large_ones_left() {
    const MB: u64 = 1 << 20;
    let cases: [(&[u64], bool, usize); 8] = [
        (&[], true, 0),
        (&[1, 2, 3], false, 3),
        (&[100 * MB, 200 * MB], false, 0),
        (&[100 * MB, 200 * MB], true, 2),
        (&[100 * MB, 401 * MB], false, 2),
        (&[100 * MB, 110 * MB, 300 * MB], false, 0),
        (&[1, 100 * MB, 200 * MB], false, 2),
        (&[1, 2, 100 * MB, 200 * MB], false, 2),
    ];
    for (sizes, all, merged) in cases {
        assert_eq!(several(sizes, all), merged, "{sizes:?} {all}");
    }
}

#[test]
fn ten_thousand_files_become_one_and_few_rows_are_written_twice() {
    let mut sizes: Vec<u64> = (0..10_000).map(|n| 900 + n % 200).collect();
    let all: u64 = sizes.iter().sum();
    let (mut rounds, mut written) = (0, 0);
    sizes.sort_unstable();
    while sizes.len() > 1 {
        let round = several(&sizes, false);
        assert!((2..=MAX_INPUTS).contains(&round), "{round}");
        let merged: u64 = sizes.drain(..round).sum();
        written += merged;
        sizes.push(merged);
        sizes.sort_unstable();
        rounds += 1;
    }
    assert!(rounds <= 22 && written <= 2 * all, "{rounds} rounds");
}

#[test]
fn pieces_are_the_rows_in_order() {
    let (dir, store) = filled();
    let stop = AtomicBool::new(false);
    let groups = store.sealer().unwrap().groups().unwrap();
    assert_eq!(groups.len(), 4);
    for group in &groups {
        let (name, files) = (&group.table.name, schema::parquet(&paths(&group.files)));
        assert_eq!(group.files.len(), 3, "{name}");
        let count = pieces(&store.conn, &group.table, &files, LITTLE)
            .unwrap()
            .len();
        assert!(count > 3, "{name}: {count} pieces");
        let before = checksum(&store.conn, &files);
        let merged = store
            .sealer()
            .unwrap()
            .merge(group, &group.files, LITTLE, &stop, &mut |_| {});
        let path = dir.path().join(merged.unwrap().unwrap().path);
        let file = format!(
            "read_parquet('{}', hive_partitioning = false)",
            path.display()
        );
        assert_eq!(checksum(&store.conn, &file), before, "{name}");
        assert_eq!(checksum(&store.conn, name), before, "{name}");
        let in_order: bool = store
            .conn
            .query_row(
                &format!(
                    "SELECT list(recv_ts ORDER BY file_row_number) = list(recv_ts ORDER BY {})
                     FROM read_parquet('{}', hive_partitioning = false, file_row_number = true)",
                    lake::sort_columns(&group.table).join(", "),
                    path.display()
                ),
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert!(in_order, "{name}");
    }
    store.close().unwrap();
}

#[test]
fn a_transaction_that_reads_old_files_keeps_them() {
    let (dir, mut store) = filled();
    let groups = store.sealer().unwrap().groups().unwrap();
    let files: Vec<_> = groups.iter().flat_map(|group| &group.files).collect();
    let old = || {
        let there = files
            .iter()
            .filter(|file| dir.path().join(&file.path).exists());
        there.count()
    };
    let readers = store.readers().unwrap();
    let reader = readers.open().unwrap();
    reader
        .connection
        .execute_batch("BEGIN TRANSACTION READ ONLY")
        .unwrap();
    let before = checksum(&reader.connection, "trades");

    let stop = AtomicBool::new(false);
    let done = store.compact(false, &stop, |_| {}).unwrap();
    assert_eq!(
        (
            done.tables["trades"].files_before,
            done.tables["trades"].files
        ),
        (3, 1)
    );
    assert_eq!(checksum(&store.conn, "trades"), before);
    assert_eq!(old(), 12);
    assert_eq!(checksum(&reader.connection, "trades"), before);

    drop((reader, readers));
    store.remove_outgoing().unwrap();
    assert_eq!(old(), 0);
    assert_eq!(checksum(&store.conn, "trades"), before);
    let again = store.compact(false, &stop, |_| {}).unwrap();
    assert!(again.tables.is_empty() && again.rows == 0, "{again:?}");
    store.close().unwrap();
}

#[test]
fn what_is_stopped_changes_nothing() {
    let (dir, mut store) = filled();
    let before = checksum(&store.conn, "ops.manifest");
    let stop = AtomicBool::new(true);
    let done = store.compact(false, &stop, |_| {}).unwrap();
    assert!(done.stopped && done.tables.is_empty(), "{done:?}");
    assert_eq!(checksum(&store.conn, "ops.manifest"), before);
    assert!(lake::unknown(dir.path(), &store.conn).unwrap().is_empty());
    store.close().unwrap();
}
