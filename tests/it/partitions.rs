//! Tables with few rows a date: their files are months and years, and whatever counts dates still counts dates
//! (issue 4, "Upkeep").

use crate::harness::Db;
use crate::upkeep::{assert_all_is_well, assert_all_or_nothing};

/// Quotes of `symbols` instruments at noon of each of so many days from a date on, in the database file.
fn daily(db: &Db, table: &str, from: &str, days: u32, symbols: u32) {
    let columns = match table {
        "trades" => "NULL AS trade_id, 1.5 AS price, 2.0 AS size",
        "bars" => {
            "'1d' AS interval, 1.5 AS open, 2.5 AS high, 0.5 AS low, 1.5 AS close, 3.0 AS volume"
        }
        _ => "d * 1000 + s AS update_id, 1.5 AS bid_price",
    };
    let insert = format!(
        "INSERT INTO hot.{table} BY NAME
         SELECT 1 + d * {symbols} + s AS seq, 'v' AS venue, 'S' || s AS symbol, ts, ts AS recv_ts, {columns}
         FROM (SELECT d, s, (DATE '{from}' + d::INTEGER)::TIMESTAMP_NS + INTERVAL 12 HOUR AS ts
               FROM range({days}) a(d), range({symbols}) b(s))"
    );
    db.run(["sql", "--write", insert.as_str()]).ok();
}

/// The folders of a table's files, each once.
fn folders(db: &Db, table: &str) -> Vec<String> {
    let mut folders: Vec<String> = db
        .lake()
        .keys()
        .filter(|file| file.starts_with(&format!("lake/{table}/")))
        .map(|file| file.split('/').nth(2).unwrap().replace("date=", ""))
        .collect();
    folders.dedup();
    folders
}

fn days(db: &Db, table: &str) -> (u64, String, String) {
    let row = db.row(&format!(
        "SELECT count(DISTINCT ts::DATE), min(ts::DATE), max(ts::DATE) FROM {table}"
    ));
    (row[0].parse().unwrap(), row[1].clone(), row[2].clone())
}

#[test]
fn ten_years_of_daily_bars_are_sealed_as_ten_files() {
    let db = Db::new();
    daily(&db, "bars", "2014-01-01", 3652, 20);
    let before = db.checksums();
    let run = db.run(["seal", "--all"]).ok();
    assert!(run.elapsed.as_secs() < 20, "{:?}", run.elapsed);
    let years: Vec<String> = (2014..2024).map(|year| format!("{year}-01-01")).collect();
    assert_eq!(folders(&db, "bars"), years);
    assert_eq!(db.lake().len(), 10);
    assert_eq!(db.checksums(), before);
    assert_all_is_well(&db);

    // One more day is a file, and the next compaction's.
    daily(&db, "bars", "2024-01-01", 1, 20);
    daily(&db, "bars", "2023-12-31", 1, 20);
    let before = db.checksums();
    db.run(["seal", "--all"]).ok();
    assert_eq!(db.checksums(), before);
    assert_eq!(db.lake().len(), 12);
    db.run(["compact"]).ok();
    assert_eq!(db.checksums(), before);
    assert_eq!(db.lake().len(), 11);
    let run = db.run(["compact"]).ok();
    assert_eq!(run.stdout.trim(), "nothing to compact");
    assert_all_is_well(&db);
}

#[test]
fn rows_a_date_decide_and_an_unfinished_month_stays_hot() {
    let db = Db::new();
    daily(&db, "quotes", "2024-02-01", 60, 1_500);
    daily(&db, "trades", "2024-02-01", 12, 9_000);
    let before = db.checksums();
    db.run(["seal", "--before", "2024-03-20"]).ok();
    assert_eq!(folders(&db, "quotes"), ["2024-02-01", "2024-03-01"]);
    assert_eq!(folders(&db, "trades").len(), 12);
    let hot = db.row("SELECT count(DISTINCT ts::DATE), min(ts::DATE) FROM hot.quotes");
    assert_eq!(hot, ["12", "2024-03-20"]);
    assert_eq!(db.checksums(), before);
    db.run(["seal", "--all"]).ok();
    assert_eq!(db.checksums(), before);
    let run = db.run(["tables", "--format", "csv"]).ok();
    assert!(run.stdout.contains("2024-03-31"), "{run}");
    assert_all_is_well(&db);
}

#[test]
fn files_of_single_dates_become_one_of_the_year_as_soon_as_there_are_enough() {
    let db = Db::new();
    for day in 1..=9 {
        daily(&db, "quotes", &format!("2024-05-{day:02}"), 1, 10);
        db.run(["seal", "--all"]).ok();
        if day == 7 {
            let run = db.run(["compact"]).ok();
            assert_eq!(run.stdout.trim(), "nothing to compact", "{run}");
        }
    }
    let before = db.checksums();
    assert_eq!(folders(&db, "quotes").len(), 9);
    db.run(["compact"]).ok();
    assert_eq!(folders(&db, "quotes"), ["2024-01-01"]);
    assert_eq!((db.lake().len(), db.checksums()), (1, before));
    assert_all_is_well(&db);
}

#[test]
fn rows_that_no_mart_has_stay_in_a_years_file_out_of_which_others_go() {
    let db = Db::new();
    daily(&db, "quotes", "2022-06-01", 600, 3);
    let seal = || db.run(["seal", "--before", "2024-01-15"]).ok();
    let retain = |keep: &str| {
        let args = ["retain", "--table", "quotes", "--keep", keep];
        db.run(args.iter().chain(&["--downsample", "mart_liquidity"]))
            .ok()
    };
    seal();
    retain("400 days").shows(&["dropped 200 dates before 2022-12-18", "parts of 1"]);
    // One of a day that is gone, and one of a day that is there.
    db.run([
        "sql",
        "--write",
        "INSERT INTO hot.quotes BY NAME
         SELECT seq, 'v' AS venue, 'S0' AS symbol, ts::TIMESTAMP_NS AS ts, ts::TIMESTAMP_NS AS recv_ts, seq AS update_id,
                1.5 AS bid_price
         FROM (VALUES (1000001, '2022-12-01 18:00:00'), (1000002, '2022-12-20 18:00:00')) r(seq, ts)",
    ])
    .ok();
    seal();
    db.run(["compact"]).ok();
    let of_2022 =
        "SELECT rows FROM ops.manifest WHERE table_name = 'quotes' AND min_ts < '2023-01-01'";
    assert_eq!(db.sql(of_2022), [["44"]], "one file");

    retain("300 days").shows(&["dropped 100 dates", "0 files", "parts of 2", "kept 1 rows"]);
    assert_eq!(db.sql(of_2022), [["1"]]);
    let old = "SELECT seq FROM quotes WHERE ts < '2023-03-28'";
    assert_eq!(db.sql(old), [["1000001"]]);
    assert_eq!(db.count("SELECT count(*) FROM quotes"), 901);
    assert_all_is_well(&db);
    let before = (db.lake(), db.checksums());
    retain("300 days").shows(&["nothing before 2023-03-28 that may go", "kept 1 rows"]);
    assert_eq!((db.lake(), db.checksums()), before);
}

#[test]
fn retain_cuts_a_years_file_at_the_date() {
    let db = Db::new();
    daily(&db, "quotes", "2022-06-01", 600, 3);
    daily(&db, "trades", "2022-06-01", 600, 3);
    db.run(["seal", "--before", "2024-01-15"]).ok();
    let args = ["retain", "--table", "quotes", "--keep", "100 days"];
    let newest = days(&db, "quotes").2;
    let dry = db.run(args.iter().chain(&["--dry-run"])).ok();
    for part in [
        "would drop 500 dates",
        "1 files",
        "parts of 1",
        "1,500 rows",
    ] {
        assert!(dry.stdout.contains(part), "{part}: {dry}");
    }
    let clean = db.copy();
    clean.run(args).ok();
    let (count, first, last) = days(&clean, "quotes");
    assert_eq!((count, last), (100, newest));
    assert_eq!(clean.count("SELECT count(*) FROM quotes"), 300);
    assert_eq!(folders(&clean, "quotes"), ["2023-01-01", "2024-01-01"]);
    assert_eq!(days(&clean, "trades").0, 600, "not named");
    assert_all_is_well(&clean);
    let again = clean.run(args).ok();
    assert!(
        again.stdout.contains(&format!("nothing before {first}")),
        "{again}"
    );

    assert_all_or_nothing(&db, &args);
}

#[test]
fn a_file_with_few_rows_a_date_is_loaded_as_years_in_any_order() {
    let db = Db::new();
    let path = db.beside("trades.parquet");
    let copy = format!(
        "COPY (SELECT 'S' || s AS symbol, TIMESTAMP '2015-01-01 15:00' + INTERVAL (d) DAY AS ts, 1.5 AS price, 1.0 AS size,
                      d * 10 + s AS trade_id
               FROM range(3000) a(d), range(10) b(s) ORDER BY s, d) TO '{}'",
        path.display()
    );
    db.run(["sql", copy.as_str()]).ok();
    db.run(["load", path.to_str().unwrap(), "--venue", "v"])
        .ok();
    let years: Vec<String> = (2015..=2023).map(|year| format!("{year}-01-01")).collect();
    assert_eq!(folders(&db, "trades"), years);
    assert_eq!(db.lake().len(), 9);
    assert_eq!(
        db.row("SELECT count(*), count(DISTINCT trade_id), count(DISTINCT ts::DATE) FROM trades"),
        ["30000", "30000", "3000"]
    );
    assert_all_is_well(&db);
    // A file of a year is clustered as one of a date is.
    let unsorted = db.count(
        "SELECT count(*) FROM (SELECT (symbol, ts) < lag((symbol, ts)) OVER (ORDER BY file_row_number) AS wrong
         FROM read_parquet('lake/trades/date=2017-01-01/*.parquet', file_row_number = true)) WHERE wrong",
    );
    assert_eq!(unsorted, 0);
    db.run(["build", "ohlcv_1d"]).ok();
    assert_eq!(db.count("SELECT count(*) FROM ohlcv_1d"), 30_000);
}

#[test]
fn rebuild_leaves_a_months_file_as_it_was() {
    let db = Db::new();
    let lines: Vec<String> = (0..20)
        .map(|day: u64| {
            let ms = 1_723_075_200_000 + day * 86_400_000 + 3_600_000;
            let time = (ms * 1_000_000).to_string();
            crate::synthetic::trade_line(&time, &day.to_string(), "1.0", "1.0", &ms.to_string())
        })
        .collect();
    let file = db.write("capture.txt", &crate::harness::join_lines(&lines));
    crate::synthetic::load(&db, &file).ok();
    db.run(["seal", "--all"]).ok();
    let before = db.checksums();
    assert_eq!(folders(&db, "trades"), ["2024-01-01"]);
    assert_eq!(folders(&db, "raw_messages"), ["2024-01-01"]);
    db.run(["rebuild"]).ok();
    assert_eq!(db.checksums(), before);
    assert_eq!(db.count("SELECT count(*) FROM hot.trades"), 0);
    assert_eq!(folders(&db, "trades"), ["2024-01-01"]);
    assert_all_is_well(&db);
}
