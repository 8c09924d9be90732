use std::path::Path;

use super::*;
use crate::config::Settings;
use crate::store::Purpose;

fn open(dir: &Path) -> Store {
    Store::open(&Settings::new(dir), Purpose::Ingest).unwrap()
}

fn write(store: &Store, sql: &str) {
    store.conn.execute_batch(sql).unwrap();
}

fn count(store: &Store, relation: &str) -> u64 {
    let sql = format!("SELECT count(*) FROM {relation}");
    store.conn.query_row(&sql, [], |row| row.get(0)).unwrap()
}

/// What is done to the database after a seal broke off that had given its file a name, and whether the file is still there
/// once the database was opened anew.
fn stays(meanwhile: &str) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write(
        &store,
        "INSERT INTO hot.trades BY NAME
             SELECT i AS seq, 'v' AS venue, 's' AS symbol, t AS ts, t AS recv_ts, i::VARCHAR AS trade_id, i AS price, 1 AS size
             FROM (SELECT i, make_timestamp_ns(1723075200000000000 + i * 1_000_000) AS t FROM range(1, 1001) r(i))",
    );
    let sealer = store.sealer().unwrap();
    let table = Arc::clone(sealer.catalog.named("trades").unwrap());
    let part = parts(&sealer.hot_dates(&table).unwrap()).remove(0);
    sealer.conn.execute_batch("BEGIN").unwrap();
    let file = sealer.seal_rows(&table, &part, &store.conn).unwrap();
    drop(sealer);
    let path = dir.path().join(&file.path);
    assert!(path.exists() && file.rows == 1000);
    assert_eq!(count(&store, "hot.trades"), 1000);

    write(&store, meanwhile);
    store.close().unwrap();
    let store = open(dir.path());
    assert_eq!(count(&store, "ops.incoming"), 0);
    assert_eq!(count(&store, "ops.manifest"), 0);
    path.exists()
}

/// As an older mdb left it, which announced nothing.
const UNANNOUNCED: &str = "DELETE FROM ops.incoming;";

#[test]
fn what_a_seal_leaves_that_broke_off_is_removed_whatever_became_of_the_rows() {
    assert!(!stays(""));
    assert!(!stays("DELETE FROM hot.trades"));
}

#[test]
fn a_file_that_nobody_announced_is_removed_only_if_its_rows_are_hot() {
    assert!(!stays(UNANNOUNCED));
    let later = "INSERT INTO hot_b.trades BY NAME SELECT * REPLACE (2000 AS seq) FROM hot.trades WHERE seq = 500;";
    assert!(!stays(&format!("{UNANNOUNCED} {later}")));
    let gone = "DELETE FROM hot.trades WHERE seq = 500;";
    assert!(stays(&format!("{UNANNOUNCED} {gone}")));
    let other = "UPDATE hot.trades SET price = 0 WHERE seq = 500;";
    assert!(stays(&format!("{UNANNOUNCED} {other}")));
}

#[test]
fn nothing_stays_announced_once_it_is_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write(
        &store,
        "INSERT INTO hot.feed_events BY NAME SELECT 1 AS seq, 'v' AS venue, 'connect' AS kind, ts, ts AS recv_ts
         FROM (SELECT make_timestamp_ns(1723075200000000000) AS ts)",
    );
    let sealer = store.sealer().unwrap();
    sealer.seal(Which::All, |_| true).unwrap();
    assert_eq!(count(&store, "ops.manifest"), 1);
    assert_eq!(count(&store, "ops.incoming"), 0);
}
