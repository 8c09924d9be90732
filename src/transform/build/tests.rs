use std::thread;

use duckdb::Connection;
use tempfile::TempDir;

use super::*;
use crate::config::Settings;
use crate::model::TRADES;
use crate::store::{Purpose, Store};

/// A mart of a day, whose rows are many if `range` is.
fn mart(range: u64) -> String {
    format!(
        "-- A mart.\n-- @materialize incremental\n-- @key symbol, ts\n-- @time ts\n-- @window 1 day\n\
         SELECT symbol, (bucket_start(ts, '1 day') + to_microseconds(i))::TIMESTAMP_NS AS ts, count(*) AS n\n\
         FROM trades, range({range}) r(i) GROUP BY ALL\n"
    )
}

/// A store with these marts besides the built-in ones.
fn store(marts: &[(&str, u64)]) -> (TempDir, Store) {
    let files = marts.iter().map(|(name, range)| (*name, mart(*range)));
    store_of(files)
}

/// The same of marts with their texts.
fn store_of<'a>(marts: impl IntoIterator<Item = (&'a str, String)>) -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let files = dir.path().join("sql/marts");
    std::fs::create_dir_all(&files).unwrap();
    for (name, text) in marts {
        std::fs::write(files.join(format!("{name}.sql")), text).unwrap();
    }
    let store = Store::open(&Settings::new(dir.path()), Purpose::Ingest).unwrap();
    (dir, store)
}

fn trade(conn: &Connection, seq: u64) {
    let sql = format!(
        "INSERT INTO hot.trades BY NAME SELECT {seq} AS seq, 'v' AS venue, 's' AS symbol, '{seq}' AS trade_id,
             TIMESTAMP_NS '2024-08-08 12:00:00' AS ts, ts AS recv_ts, 1 AS price, 1 AS size"
    );
    conn.execute_batch(&sql).unwrap();
}

fn of_trades(in_turn: bool) -> Request {
    Request {
        tables: Some(BTreeSet::from([TRADES.to_owned()])),
        in_turn,
        ..Request::default()
    }
}

/// What became of each mart.
fn build(builder: &mut Builder, request: &Request) -> BTreeMap<String, How> {
    let mut all = BTreeMap::new();
    let stop = AtomicBool::new(false);
    let mut told = |built: Built| {
        assert!(built.error.is_none(), "{:?}", built.error);
        all.insert(built.model, built.how);
    };
    builder.build(request, &stop, &mut told).unwrap();
    all
}

#[test]
fn of_marts_that_take_long_one_is_built_and_the_one_that_has_waited_longest() {
    let (_dir, store) = store(&[("a", 1), ("b", 1)]);
    let mut builder = Builder::new(store.modeler().unwrap());
    build(&mut builder, &Request::default());
    let conn = store.modeler().unwrap().conn;
    for (seq, first, second) in [(1, "b", "a"), (2, "a", "b")] {
        trade(&conn, seq);
        let long = Duration::from_secs(100);
        let at = Instant::now();
        let later = at + Duration::from_nanos(1);
        builder.took = BTreeMap::from([
            (second.to_owned(), (later, long)),
            (first.to_owned(), (at, long)),
        ]);
        let built = build(&mut builder, &of_trades(true));
        assert_eq!((built[first], built[second]), (How::Windows, How::Waits));
        assert_eq!(built["ohlcv_1d"], How::Windows);
        let built = build(&mut builder, &of_trades(true));
        assert_eq!(built[second], How::Windows);
        assert!(!built.values().any(|how| *how == How::Waits));
    }
}

#[test]
fn what_reads_a_mart_that_takes_long_is_built_after_it() {
    let reader = |of: &str| mart(1).replace("FROM trades", &format!("FROM {of}"));
    let (_dir, store) = store_of([
        ("first", mart(1)),
        ("next", reader("first")),
        ("last", reader("next")),
    ]);
    let mut builder = Builder::new(store.modeler().unwrap());
    build(&mut builder, &Request::default());
    trade(&store.modeler().unwrap().conn, 1);
    let long = (Instant::now(), Duration::from_secs(100));
    builder.took = BTreeMap::from([("first".to_owned(), long)]);
    let built = build(&mut builder, &of_trades(true));
    for name in ["first", "next", "last"] {
        assert_eq!(built.get(name), Some(&How::Windows), "{name}");
    }
}

#[test]
fn a_build_is_in_no_checkpoints_way() {
    let (_dir, store) = store(&[]);
    let mut builder = Builder::new(store.modeler().unwrap());
    build(&mut builder, &Request::default());
    let conn = store.modeler().unwrap().conn;
    for seq in 1..3 {
        trade(&conn, seq);
        build(&mut builder, &of_trades(false));
    }
    trade(&conn, 3);
    let (request, stop) = (of_trades(false), AtomicBool::new(false));
    builder.run("BEGIN", String::new).unwrap();
    let names = builder.wanted(&[]).unwrap();
    let mut pass = builder.pass(&request, names).unwrap();
    let mut changed = 0;
    while let Some(model) = pass.next(&builder) {
        let mut built = Built::of(&model);
        builder.within(&model, &pass, &stop, &mut built).unwrap();
        changed += usize::from(built.changed());
        pass.done(&built);
    }
    assert!(changed >= 5, "{changed}");
    conn.execute_batch("CHECKPOINT").unwrap();
    builder.run("COMMIT", String::new).unwrap();
}

#[test]
fn rows_that_were_deleted_leave_the_file_once_nobody_reads_the_state_before() {
    let (_dir, store) = store(&[("many", DEAD / 2)]);
    let mut builder = Builder::new(store.modeler().unwrap());
    let conn = store.modeler().unwrap().conn;
    trade(&conn, 1);
    build(&mut builder, &Request::default());
    let (orders, mut ordered) = mpsc::channel(1);
    let writer = thread::spawn(move || {
        let mut stood = 0;
        while let Some(Order::Stand { standing, until }) = ordered.blocking_recv() {
            standing.send(0).unwrap();
            until.blocking_recv().unwrap_err();
            stood += 1;
        }
        stood
    });
    let begin = |reader: &Connection| {
        let begin = "BEGIN READ ONLY; SELECT count(*) FROM many";
        reader.execute_batch(begin).unwrap();
    };
    let rows = || -> u64 {
        conn.query_row("SELECT count(*) FROM many", [], |row| row.get(0))
            .unwrap()
    };
    let reader = store.modeler().unwrap().conn;
    begin(&reader);
    for seq in 2..4 {
        builder.sweep(&orders).unwrap();
        trade(&conn, seq);
        build(&mut builder, &of_trades(false));
    }
    assert!(builder.dead >= DEAD && builder.swept.is_none());
    builder.sweep(&orders).unwrap();
    assert!(builder.dead >= DEAD, "somebody reads");
    reader.execute_batch("COMMIT").unwrap();
    builder.sweep(&orders).unwrap();
    assert!(builder.dead >= DEAD, "it was tried just now");
    builder.swept = None;
    trade(&conn, 4);
    builder.sweep(&orders).unwrap();
    // A last group of rows may keep some.
    assert!(builder.dead < DEAD / 2, "{}", builder.dead);
    assert_eq!(rows(), DEAD / 2);
    // What others have deleted.
    conn.execute_batch(&format!(
        "INSERT INTO hot.trades BY NAME SELECT t.* REPLACE (i::VARCHAR AS trade_id)
             FROM (FROM hot.trades LIMIT 1) t, range({DEAD}) r(i); DELETE FROM hot.trades WHERE length(trade_id) < 9;"
    ))
    .unwrap();
    builder.deleted(DEAD);
    builder.swept = None;
    builder.sweep(&orders).unwrap();
    assert!(builder.dead < DEAD / 2, "{}", builder.dead);
    drop(orders);
    assert_eq!(writer.join().unwrap(), 3);
}
