//! `mdb export`: what other programs get is what the database has.

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::thread;

use crate::harness::{Db, poll, walk};
use crate::process::Live;
use crate::synthetic;

fn filled(seed: u64) -> Db {
    let db = Db::new();
    let file = db.write("capture.txt", &synthetic::capture(seed, 3_000).bytes());
    db.load("binance_spot", "TESTUSDT", [file]).ok();
    db
}

fn same(db: &Db, read: &str, table: &str) {
    let differences = format!(
        "SELECT (SELECT count(*) FROM (FROM {read} EXCEPT ALL FROM {table}))
              + (SELECT count(*) FROM (FROM {table} EXCEPT ALL FROM {read}))"
    );
    assert_eq!(db.count(&differences), 0, "{read}");
    assert!(db.count(&format!("SELECT count(*) FROM {table}")) > 100);
}

/// Nothing but the finished export is left beside it.
fn assert_tidy(db: &Db) {
    let beside = fs::read_dir(db.beside("x").parent().unwrap()).unwrap();
    let names = beside.map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = names
        .filter(|name| name.to_string_lossy().contains("mdb-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_table_comes_back_equal_from_every_format() {
    let db = filled(301);
    for (name, reader) in [
        ("t.parquet", "read_parquet"),
        ("t.csv", "read_csv"),
        ("t.ndjson", "read_json"),
        ("t.json", "read_json"),
    ] {
        let path = db.beside(name);
        db.run(["export", "trades", path.to_str().unwrap()])
            .ok()
            .says(&[" rows, ", " in 1 file"]);
        let read = format!("{reader}('{}')", path.display());
        let same_types = if name == "t.parquet" {
            read
        } else {
            // Text has no types: what differs is only how it is guessed.
            format!(
                "(SELECT venue, symbol, trade_id::VARCHAR AS trade_id, price::DOUBLE AS price, size::DOUBLE AS size FROM {read})"
            )
        };
        if name == "t.parquet" {
            same(&db, &same_types, "trades");
        } else {
            same(
                &db,
                &same_types,
                "(SELECT venue, symbol, trade_id, price, size FROM trades)",
            );
        }
    }
    let path = db.beside("t.arrow");
    db.run([
        "export",
        "SELECT * FROM trades -- all",
        path.to_str().unwrap(),
    ])
    .ok();
    let reader = arrow::ipc::reader::FileReader::try_new(fs::File::open(&path).unwrap(), None);
    let rows: usize = reader.unwrap().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows as u64, db.count("SELECT count(*) FROM trades"));
    let run = db.run(["export", "SELECT 1 AS a", "/dev/stdout", "--format", "csv"]);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("a\n1\n", ""));
    assert_tidy(&db);
}

#[test]
fn a_directory_is_partitioned_sorted_and_replaced_only_if_asked() {
    let db = filled(302);
    let path = db.beside("quotes");
    let export = |more: &[&str]| {
        let mut args = vec!["export", "quotes", path.to_str().unwrap()];
        args.extend(["--partition-by", "venue,symbol", "--sort", "ts,seq"]);
        args.extend(more);
        db.run(args)
    };
    let run = export(&["--row-group-size", "2048", "--compression", "snappy"]).ok();
    assert!(
        run.stderr.contains("rows") && run.stderr.contains("1 file"),
        "{run}"
    );
    let files = format!("{}/venue=*/symbol=*/*.parquet", path.display());
    let read = format!("read_parquet('{files}', hive_partitioning = true)");
    same(
        &db,
        &format!("(SELECT seq, ts, bid_price, symbol FROM {read})"),
        "(SELECT seq, ts, bid_price, symbol FROM quotes)",
    );
    let unsorted = format!(
        "SELECT count(*) FROM (SELECT (ts, seq) < lag((ts, seq)) OVER (ORDER BY file_row_number) AS wrong
         FROM read_parquet('{files}', file_row_number = true)) WHERE wrong"
    );
    assert_eq!(db.count(&unsorted), 0);
    let row = db.row(&format!(
        "SELECT any_value(compression), max(row_group_num_rows) FROM parquet_metadata('{files}')"
    ));
    assert_eq!(row[0], "SNAPPY");
    assert!(row[1].parse::<u64>().unwrap() <= 2048, "{row:?}");

    export(&[]).fails_naming(&["is there already", "--replace"]);
    fs::write(path.join("stray"), "of the old one").unwrap();
    export(&["--replace"]).ok();
    assert!(!path.join("stray").exists());
    let mut files = 0;
    walk(&path, &mut |_| files += 1);
    assert!(files >= 1);
    assert_tidy(&db);
}

/// Exports partitions so large that DuckDB, left to itself, writes each in several runs.
fn assert_sorts_large_partitions(db: &Db, format: &str) {
    let path = db.beside(format);
    let to = path.to_str().unwrap();
    let query = "SELECT i % 2 AS part, hash(i) % 1_000_003 AS key, i FROM range(2_600_000) t(i)";
    let mut args = vec!["export", query, to, "--format", format];
    args.extend(["--partition-by", "part", "--sort", "key,i"]);
    db.run(args).ok();
    for part in ["part=0", "part=1"] {
        let mut files = Vec::new();
        walk(&path.join(part), &mut |file| files.push(file.to_owned()));
        let [file] = files.as_slice() else {
            panic!("{files:?}");
        };
        // A window without an order is one over the rows as they stand.
        let wrong = format!(
            "SELECT count(*), count(*) FILTER (wrong)
             FROM (SELECT (key, i) < lag((key, i)) OVER () AS wrong FROM '{}')",
            file.display()
        );
        assert_eq!(db.row(&wrong), ["1300000", "0"], "{format} {part}");
    }
}

#[test]
fn partitions_of_any_size_are_sorted() {
    let db = Db::new();
    assert_sorts_large_partitions(&db, "parquet");
    assert_sorts_large_partitions(&db, "csv");
    assert_tidy(&db);
}

#[test]
fn microseconds_are_cut_off_and_never_rounded_up() {
    let db = Db::new();
    let path = db.beside("us.parquet");
    let query =
        "SELECT make_timestamp_ns(n) AS ts FROM (VALUES (1999), (1000), (999_999_999)) t(n)";
    db.run(["export", query, path.to_str().unwrap(), "--timestamp", "us"])
        .ok();
    let read = format!(
        "SELECT string_agg(epoch_us(ts)::VARCHAR, ' '), any_value(typeof(ts)) FROM read_parquet('{}')",
        path.display()
    );
    assert_eq!(db.row(&read), ["1 1 999999", "TIMESTAMP"]);
}

#[test]
fn what_cannot_be_exported_leaves_what_was_there() {
    let db = filled(303);
    let path = db.beside("t.parquet");
    fs::write(&path, "as it was").unwrap();
    let to = path.to_str().unwrap();
    db.run(["export", "trades", to, "--sort", "tss"])
        .fails_naming(&["no column 'tss'", "price"]);
    db.run(["export", "nosuch", to]).fails_naming(&["nosuch"]);
    let run = db
        .run(["export", "trads", to])
        .fails_naming(&["  FROM trads\n       ^^^^^\n", "did you mean \"trades\"?"]);
    assert!(!run.stderr.contains("DESCRIBE"), "{run}");
    db.run(["export", "SELECT nosuch FROM trades", to])
        .fails_naming(&["  SELECT nosuch FROM trades\n         ^^^^^^\n"]);
    db.run(["export", "SELECT 1; SELECT 2", to])
        .fails_naming(&["one table, view or query"]);
    db.run(["export", "trades", db.beside("t.x").to_str().unwrap()])
        .fails_naming(&["--format"]);
    // It fails in the middle of writing.
    let late =
        "SELECT CASE WHEN i = 900000 THEN error('late') ELSE i END AS i FROM range(1000000) t(i)";
    db.run(["export", late, to]).fails_naming(&["late"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "as it was");
    assert_tidy(&db);
}

#[test]
fn an_export_that_is_interrupted_leaves_nothing() {
    let db = filled(304);
    let path = db.beside("t.parquet");
    let mut command = db.command();
    command.args(["export", "SELECT hash(range) AS h FROM range(100000000000)"]);
    command.arg(&path);
    let live = Live::spawn(command);
    poll("the export to run", || live.cpu_ticks() > 20);
    live.interrupt();
    live.finish().exits(130).says(&["interrupted"]);
    assert!(!path.exists());
    assert_tidy(&db);
}

#[test]
fn a_process_that_has_the_database_open_exports_as_well() {
    let db = filled(305);
    let (live, stdin) = Live::spawn_fed(db.load_command("binance_spot", "TESTUSDT", ["-"]));
    poll("mdb.sock", || db.dir().join("mdb.sock").exists());
    let path = db.beside("t.parquet");
    db.run(["export", "trades", path.to_str().unwrap()]).ok();
    assert_sorts_large_partitions(&db, "parquet");
    drop(stdin);
    live.finish().ok();
    same(
        &db,
        &format!("read_parquet('{}')", path.display()),
        "trades",
    );
    assert_tidy(&db);
}

#[test]
fn what_takes_the_place_of_another_is_read_by_the_same_people() {
    let db = filled(307);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for name in ["t.parquet", "t.csv", "t.ndjson", "t.arrow"] {
        let path = db.write(name, b"old");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        db.run(["export", "trades", path.to_str().unwrap()]).ok();
        assert_eq!(mode(&path), 0o600, "{name}");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let format = name.trim_start_matches("t.");
        let args = ["sql", "--format", format, "-o", path.to_str().unwrap()];
        db.run(args.into_iter().chain(["SELECT 1 AS a"])).ok();
        assert_eq!(mode(&path), 0o640, "{name}");
    }
    let path = db.beside("quotes");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
    let args = ["export", "quotes", path.to_str().unwrap(), "--replace"];
    db.run(args.into_iter().chain(["--partition-by", "venue"]))
        .ok();
    assert_eq!(mode(&path), 0o700);
    assert_tidy(&db);
}

#[test]
fn what_is_no_regular_file_is_written_to_and_stays() {
    let db = filled(306);
    let pipe = db.beside("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    for format in ["parquet", "csv", "ndjson"] {
        let reader = thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).unwrap()
        });
        let args = [
            "export",
            "trades",
            pipe.to_str().unwrap(),
            "--format",
            format,
        ];
        db.run(args).ok();
        let read = reader.join().unwrap();
        assert!(read.len() > 1000, "{format}: {} bytes", read.len());
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    }
    // A link goes on to be one.
    let (file, link) = (db.write("t.parquet", b"old"), db.beside("link.parquet"));
    symlink(&file, &link).unwrap();
    db.run(["export", "trades", link.to_str().unwrap()]).ok();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    same(
        &db,
        &format!("read_parquet('{}')", file.display()),
        "trades",
    );
    assert_tidy(&db);
}
