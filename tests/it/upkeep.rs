//! The lake stays healthy: compacting and retaining change no row that is to stay, whatever happens meanwhile, and
//! `mdb tables` tells the truth (issue 4, "Upkeep").
//!
//! `MDB_CRASH_ROUNDS` and `MDB_CRASH_SEED` set the rounds and the seed of the kills, as in `crash`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::thread;

use crate::crash::{moment, setting};
use crate::harness::{Checksums, Db, Live, Rng, Run, join_lines, parse_csv, poll};
use crate::synthetic::{self, SYMBOL, VENUE, load, time_ns, trade_line};

/// Two symbols over two dates, and messages that nobody can read, all sealed.
fn sealed(seed: u64, messages: usize) -> Db {
    let db = Db::new();
    let mut lines = synthetic::capture(seed, messages).lines;
    for n in 0..40 {
        lines.push(format!("{} {{\"hello\":{n}}}", time_ns(n * 3_000_000_000)));
    }
    let file = db.write("capture.txt", &join_lines(&lines));
    load(&db, &file).ok();
    let other = join_lines(synthetic::capture(seed + 1, messages / 4).lines);
    let other = String::from_utf8(other).unwrap();
    let other = other
        .replace(SYMBOL, "AAAUSDT")
        .replace("testusdt", "aaausdt");
    let file = db.write("other.txt", other.as_bytes());
    db.load(VENUE, "AAAUSDT", [file]).ok();
    db.run(["seal", "--all"]).ok();
    db
}

/// Cuts each file of these tables into `parts`, whose rows interleave, as if it had been sealed so often.
pub(crate) fn shatter(db: &Db, tables: &[&str], parts: u64, loaded: bool) {
    let before = db.checksums();
    let names = format!("'{}'", tables.join("', '"));
    let whole = db.sql(&format!(
        "SELECT table_name, date, path, rows FROM ops.manifest WHERE table_name IN ({names})"
    ));
    let absolute = |path: &str| db.dir().join(path).display().to_string();
    let run = |script: &str| {
        let file = db.write("script.sql", script.as_bytes());
        db.run(["sql", "--write", "-f", file.to_str().unwrap()])
            .ok();
    };
    let mut copies = String::new();
    let mut made = Vec::new();
    for row in &whole {
        let [table, date, path, rows] = &row[..] else {
            panic!("{row:?}");
        };
        let parts = parts.min(rows.parse().unwrap());
        for part in 0..parts {
            let new = path.replace(".parquet", &format!("-part{part}.parquet"));
            writeln!(
                copies,
                "COPY (SELECT * EXCLUDE (file_row_number)
                       FROM read_parquet('{}', hive_partitioning = false, file_row_number = true)
                       WHERE file_row_number % {parts} = {part}) TO '{}' (FORMAT parquet);",
                absolute(path),
                absolute(&new)
            )
            .unwrap();
            made.push((table, date, new));
        }
    }
    run(&copies);
    let mut swap = format!("DELETE FROM ops.manifest WHERE table_name IN ({names});\n");
    for (table, date, path) in &made {
        let bytes = fs::read(absolute(path)).unwrap();
        let time = if *table == "raw_messages" {
            "recv_ts"
        } else {
            "ts"
        };
        writeln!(
            swap,
            "INSERT INTO ops.manifest BY NAME
             SELECT '{table}' AS table_name, '{date}'::DATE AS date, '{path}' AS path, min(seq) AS first_seq,
                    max(seq) AS last_seq, count(*) AS rows, {} AS bytes, min({time}) AS min_ts, max({time}) AS max_ts,
                    '{}' AS blake3, {loaded} AS loaded
             FROM read_parquet('{}', hive_partitioning = false);",
            bytes.len(),
            blake3::hash(&bytes).to_hex(),
            absolute(path)
        )
        .unwrap();
    }
    run(&swap);
    for row in &whole {
        fs::remove_file(absolute(&row[2])).unwrap();
    }
    // A new file of the tree has all views made again.
    let views = db.dir().join("sql/views");
    fs::create_dir_all(&views).unwrap();
    let view = format!("-- So many parts.\nSELECT {} AS n;\n", made.len());
    fs::write(views.join("parts.sql"), view).unwrap();
    assert_eq!(db.checksums(), before, "the test's own doing");
    assert_all_is_well(db);
}

/// Nothing is wrong, and nothing is left over either.
#[track_caller]
pub(crate) fn assert_all_is_well(db: &Db) {
    let run = db.run(["doctor"]).ok();
    assert_eq!(run.stdout.trim(), "all is well", "{run}");
}

/// The most files that a table has of one date.
fn most_files(db: &Db) -> u64 {
    db.count(
        "SELECT coalesce(max(n), 0)
         FROM (SELECT count(*) AS n FROM ops.manifest GROUP BY table_name, date, loaded)",
    )
}

/// The lake is one sorted file for each table and date, and nothing else.
#[track_caller]
fn assert_compact(db: &Db, sums: &Checksums) {
    assert_eq!(&db.checksums(), sums);
    assert_eq!(most_files(db), 1);
    let known = db.sql("SELECT path FROM ops.manifest").into_iter();
    let known: BTreeSet<String> = known.flatten().collect();
    let there: BTreeSet<String> = db.lake().into_keys().collect();
    assert_eq!(there, known);
    for path in &known {
        let sort = if path.contains("raw_messages") {
            "seq"
        } else {
            "symbol, venue, ts, seq"
        };
        let in_order = format!(
            "SELECT list(seq ORDER BY file_row_number) = list(seq ORDER BY {sort})
             FROM read_parquet('{path}', hive_partitioning = false, file_row_number = true)"
        );
        assert_eq!(db.value(&in_order), "true", "{path}");
    }
    assert_all_is_well(db);
}

#[test]
fn files_of_many_seals_become_one_a_date_and_a_second_time_changes_nothing() {
    let db = Db::new();
    for (n, lines) in synthetic::capture(401, 6_000)
        .lines
        .chunks(1_000)
        .enumerate()
    {
        let file = db.write(&format!("{n}.txt"), &join_lines(lines));
        load(&db, &file).ok();
        db.run(["seal", "--all"]).ok();
    }
    let before = db.checksums();
    assert!(most_files(&db) >= 3);
    let run = db.run(["compact"]).ok();
    for table in [
        "raw_messages",
        "trades",
        "quotes",
        "book_deltas",
        "book_tops",
    ] {
        assert!(run.stdout.contains(table), "{run}");
    }
    assert_compact(&db, &before);

    let lake = db.lake();
    for args in [&["compact"][..], &["compact", "--all"]] {
        let run = db.run(args).ok();
        assert_eq!(run.stdout.trim(), "nothing to compact", "{run}");
        assert_eq!(db.lake(), lake);
    }
    // What comes later is sealed beside it, and joins it.
    let after = trade_line(&time_ns(0).to_string(), "77", "1.0", "1.0", "1723161540000");
    let file = db.write("late.txt", &join_lines([after]));
    load(&db, &file).ok();
    db.run(["seal", "--all"]).ok();
    let before = db.checksums();
    assert_eq!(most_files(&db), 2);
    db.run(["compact"]).ok();
    assert_compact(&db, &before);
    db.run(["rebuild"]).ok();
    assert_eq!(db.checksums(), before);
    assert_all_is_well(&db);
}

#[test]
fn hundreds_of_files_become_one_a_date_while_others_ask() {
    let db = sealed(403, 12_000);
    shatter(&db, &["trades"], 150, false);
    shatter(
        &db,
        &["raw_messages", "feed_events", "dead_letters"],
        20,
        false,
    );
    let trades = "SELECT count(*) FROM ops.manifest WHERE table_name = 'trades'";
    assert_eq!(db.count(trades), 300);
    let question = "SELECT symbol, side, count(*), round(sum(price * size), 2), min(ts), max(ts)
                    FROM trades GROUP BY ALL ORDER BY ALL";
    let (before, answer) = (db.checksums(), db.sql(question));
    assert!(before["dead_letters"].0 >= 40, "{before:?}");

    let mut asked = 0;
    thread::scope(|scope| {
        let compact = scope.spawn(|| db.run(["compact"]));
        while !compact.is_finished() {
            assert_eq!(db.sql(question), answer, "while it compacts");
            asked += 1;
        }
        let run = compact.join().unwrap().ok();
        assert!(run.stdout.contains("trades"), "{run}");
    });
    assert!(asked > 0);
    assert_eq!(db.sql(question), answer);
    // A reader that was connected to the end may have kept old files; the next that writes removes them.
    db.run(["compact"]).ok();
    assert_compact(&db, &before);
    assert_eq!(db.count(trades), 2);
}

#[test]
fn an_interrupt_leaves_what_was_merged_and_the_same_command_goes_on() {
    let db = sealed(407, 12_000);
    shatter(&db, &["trades", "quotes"], 150, false);
    let before = db.checksums();
    let mut command = db.command();
    command.arg("compact");
    let live = Live::spawn(command);
    poll("mdb.sock", || db.dir().join("mdb.sock").exists());
    live.interrupt();
    let run = live.finish();
    assert!(matches!(run.code, Some(0 | 130)), "{run}");
    assert_eq!(db.checksums(), before);
    assert_all_is_well(&db);
    db.run(["compact"]).ok();
    assert_compact(&db, &before);
}

#[test]
fn loaded_files_are_written_again_only_if_asked_and_once() {
    let db = sealed(409, 4_000);
    shatter(&db, &["quotes"], 1, true);
    let (before, lake) = (db.checksums(), db.lake());
    let run = db.run(["compact"]).ok();
    assert_eq!(run.stdout.trim(), "nothing to compact", "{run}");
    assert_eq!(db.lake(), lake);
    let run = db.run(["compact", "--all"]).ok();
    assert!(run.stdout.contains("quotes"), "{run}");
    assert_compact(&db, &before);
    assert_ne!(db.lake(), lake);
    let loaded = "SELECT bool_and(loaded) FROM ops.manifest WHERE table_name = 'quotes'";
    assert_eq!(db.value(loaded), "true");
    let lake = db.lake();
    db.run(["compact", "--all"]).ok();
    assert_eq!(db.lake(), lake);
}

#[test]
fn a_damaged_file_does_not_become_part_of_another() {
    let db = sealed(413, 4_000);
    shatter(&db, &["trades"], 3, false);
    let before = db.checksums();
    let name = db.value("SELECT max(path) FROM ops.manifest WHERE table_name = 'trades'");
    let path = db.dir().join(&name);
    let good = fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    fs::write(&path, &bad).unwrap();
    db.run(["compact"])
        .fails_naming(&[&name, "checksum", "doctor"]);
    let known = format!("SELECT count(*) FROM ops.manifest WHERE path = '{name}'");
    assert_eq!(db.count(&known), 1);
    assert_eq!(fs::read(&path).unwrap(), bad, "left as it is");

    fs::write(&path, &good).unwrap();
    assert_eq!(db.checksums(), before);
    db.run(["compact"]).ok();
    assert_compact(&db, &before);
}

#[test]
fn a_kill_during_compact_loses_and_doubles_nothing() {
    let rounds = setting("MDB_CRASH_ROUNDS", 20) / 2;
    let seed = setting("MDB_CRASH_SEED", 20_240_808);
    let many = sealed(411, 12_000);
    shatter(&many, &["raw_messages", "trades", "quotes"], 40, false);
    let before = many.checksums();
    let length = many.copy().run(["compact"]).ok().elapsed;
    let mut rng = Rng(seed);
    let mut hits = 0;
    for round in 0..rounds {
        let what = format!("seed {seed}, round {round}");
        let db = many.copy();
        for _ in 0..=usize::from(rng.chance(300)) {
            let mut command = db.command();
            command.arg("compact");
            hits += u64::from(Live::spawn(command).kill_after(moment(&mut rng, length)));
            assert_eq!(db.checksums(), before, "{what}: after the kill");
            db.assert_sound();
        }
        db.run(["compact"]).ok();
        assert_compact(&db, &before);
    }
    eprintln!("{hits} kills hit a running command in {rounds} rounds of seed {seed}");
    assert!(
        hits >= rounds / 2,
        "only {hits} of {rounds} rounds were interrupted: the test proves little"
    );
}

/// Hourly rows of ten dates, 2024-01-01 to 2024-01-10, in two tables; the first seven are sealed.
fn ten_dates() -> Db {
    let db = Db::new();
    let rows = "FROM (SELECT i, make_timestamp_ns(1704067200000000000 + i * 3600000000000) AS t FROM range(240) r(i))";
    for insert in [
        format!(
            "INSERT INTO hot.trades BY NAME SELECT i + 1 AS seq, 'v' AS venue, 'S' AS symbol, t AS ts, t AS recv_ts,
                    i::VARCHAR AS trade_id, 1.5 AS price, 2.0 AS size {rows}"
        ),
        format!(
            "INSERT INTO hot.quotes BY NAME SELECT i + 1 AS seq, 'v' AS venue, 'S' AS symbol, t AS ts, t AS recv_ts,
                    i AS update_id, 1.5 AS bid_price {rows}"
        ),
    ] {
        db.run(["sql", "--write", insert.as_str()]).ok();
    }
    db.run(["seal", "--before", "2024-01-08"]).ok();
    assert_eq!(days(&db, "trades"), january(1));
    db
}

fn days(db: &Db, table: &str) -> Vec<String> {
    let days = db.sql(&format!(
        "SELECT DISTINCT ts::DATE FROM {table} ORDER BY ALL"
    ));
    days.into_iter().flatten().collect()
}

/// The dates from the given day to the tenth.
fn january(from: u64) -> Vec<String> {
    (from..=10).map(|day| format!("2024-01-{day:02}")).collect()
}

#[test]
fn retain_keeps_exactly_the_newest_dates() {
    let db = ten_dates();
    let retain = |keep: &str, more: &[&str]| {
        let args = ["retain", "--table", "trades", "--keep", keep];
        db.run(args.iter().chain(more)).ok()
    };
    let (lake, sums) = (db.lake(), db.checksums());
    let run = retain("5 days", &["--dry-run"]);
    for part in ["would drop 5 dates", "2024-01-06", "5 files", "120 rows"] {
        assert!(run.stdout.contains(part), "{part}: {run}");
    }
    assert_eq!((db.lake(), db.checksums()), (lake, sums), "a dry run");

    retain("5 days", &[]);
    assert_eq!(days(&db, "trades"), january(6));
    assert_eq!(db.count("SELECT count(*) FROM trades"), 120);
    assert!(!db.dir().join("lake/trades/date=2024-01-05").exists());
    assert!(db.dir().join("lake/trades/date=2024-01-06").exists());
    assert_eq!(days(&db, "quotes"), january(1), "not named");
    assert_all_is_well(&db);
    let again = retain("5 days", &[]);
    assert!(
        again.stdout.contains("nothing before 2024-01-06"),
        "{again}"
    );

    // More than is there; then down into the hot rows.
    retain("10 years", &[]);
    assert_eq!(days(&db, "trades"), january(6));
    retain("2 days", &[]);
    assert_eq!(days(&db, "trades"), january(9));
    assert_eq!(db.count("SELECT count(*) FROM hot.trades"), 48);
    assert!(!db.lake().keys().any(|file| file.contains("trades")));
    assert_all_is_well(&db);
}

#[test]
fn retain_counts_the_last_nanosecond_of_a_date_to_that_date() {
    let db = Db::new();
    db.run([
        "sql",
        "--write",
        "INSERT INTO hot.trades BY NAME
         SELECT row_number() OVER () AS seq, 'v' AS venue, 'S' AS symbol, ts::TIMESTAMP_NS AS ts, ts::TIMESTAMP_NS AS recv_ts,
                seq::VARCHAR AS trade_id, 1.5 AS price, 2.0 AS size, 'buy' AS side
         FROM (VALUES ('2024-07-01 00:00:00'), ('2024-07-01 23:59:59.999999999'), ('2024-07-20 00:00:00')) t(ts)",
    ])
    .ok();
    let args = ["retain", "--table", "trades", "--keep", "5 days"];
    let run = db.run(args.iter().chain(&["--dry-run"])).ok();
    run.shows(&[
        "would drop 1 dates before 2024-07-16",
        "2 rows in the database file",
    ]);
}

#[test]
fn retain_does_what_mdb_toml_says_and_names_the_line_that_is_wrong() {
    let db = ten_dates();
    let settings = |text: &str| fs::write(db.dir().join("mdb.toml"), text).unwrap();
    settings("[retain]\nquotes = \"1 week\"\n");
    db.run(["retain"]).ok();
    assert_eq!(days(&db, "quotes"), january(4));
    assert_eq!(days(&db, "trades"), january(1));

    settings("[retain]\nquotes = \"1 day\"\ntradez = \"1 day\"\n");
    db.run(["retain"])
        .fails_naming(&["mdb.toml:3", "tradez", "trades"]);
    assert_eq!(days(&db, "quotes"), january(4), "all or nothing");
    settings("[retain]\n\ntrades = \"soon\"\n");
    db.run(["retain"])
        .fails_naming(&["mdb.toml:3", "soon", "30 days"]);
    settings("");
    db.run(["retain"]).fails_naming(&["--table", "[retain]"]);
    db.run(["retain", "--table", "tradez", "--keep", "1 day"])
        .fails_naming(&["tradez", "trades"]);
    for keep in ["soon", "12 hours", "0 days"] {
        db.run(["retain", "--table", "trades", "--keep", keep])
            .exits(2)
            .says(&[keep, "30 days"]);
    }
    db.run(["retain", "--table", "trades"]).exits(2);
    assert_eq!(days(&db, "trades"), january(1));
}

/// Adds a row to a table whose time is so many days ahead; `columns` are those that it must have beside.
fn of_the_future(db: &Db, table: &str, columns: &str, days: u64) {
    let insert = format!(
        "INSERT INTO hot.{table} BY NAME
             SELECT 999 AS seq, 'v' AS venue, 'S' AS symbol, ts, ts AS recv_ts, {columns}
             FROM (SELECT (now_utc() + INTERVAL '{days} days')::TIMESTAMP_NS AS ts)"
    );
    db.run(["sql", "--write", insert.as_str()]).ok();
}

#[test]
fn one_row_of_the_far_future_drops_nothing() {
    for days in [3, 300, 60_000] {
        let db = ten_dates();
        of_the_future(&db, "trades", "1.5 AS price, 2.0 AS size", days);
        let newest = db.value("SELECT max(ts)::DATE FROM trades");
        let before = db.checksums();
        db.run(["retain", "--table", "trades", "--keep", "5 days"])
            .fails_naming(&[&newest, "nothing was dropped"]);
        assert_eq!(db.checksums(), before);
    }
}

#[test]
fn times_that_are_announced_may_lie_ahead() {
    let db = Db::new();
    let columns = "'split' AS kind, ts::DATE AS ex_date";
    let retain = ["retain", "--table", "corporate_actions", "--keep", "5 days"];
    of_the_future(&db, "corporate_actions", columns, 300);
    of_the_future(&db, "corporate_actions", columns, 0);
    db.run(retain).ok();
    assert_eq!(db.count("SELECT count(*) FROM corporate_actions"), 1);
    of_the_future(&db, "corporate_actions", columns, 400);
    db.run(retain).fails_naming(&["nothing was dropped"]);
}

#[test]
fn raw_goes_only_if_named_and_its_numbers_are_not_used_again() {
    let db = Db::new();
    let file = db.write("capture.txt", &synthetic::capture(417, 2_000).bytes());
    load(&db, &file).ok();
    // The last number belongs to the oldest message.
    let old = trade_line("1722500000000000000", "5", "1.0", "1.0", "1722500000000");
    let file = db.write("old.txt", &join_lines([old]));
    load(&db, &file).ok();
    db.run(["seal", "--all"]).ok();
    let last = db.count("SELECT max(seq) FROM raw_messages");
    fs::write(db.dir().join("mdb.toml"), "[retain]\ntrades = \"1 day\"\n").unwrap();
    db.run(["retain"]).ok();
    assert_eq!(db.count("SELECT count(*) FROM raw_messages"), 2_001);
    db.run(["retain", "--table", "raw_messages", "--keep", "1 day"])
        .ok();
    assert_eq!(
        db.value("SELECT string_agg(DISTINCT recv_ts::DATE::VARCHAR) FROM raw_messages"),
        "2024-08-09"
    );
    assert!(db.count("SELECT max(seq) FROM raw_messages") < last);
    let new = trade_line(
        &time_ns(90_000_000_000).to_string(),
        "6",
        "1.0",
        "1.0",
        "1723161630000",
    );
    let file = db.write("new.txt", &join_lines([new]));
    load(&db, &file).ok();
    assert!(db.count("SELECT max(seq) FROM raw_messages") > last);
    assert_all_is_well(&db);
}

#[test]
fn a_rebuild_without_old_messages_doubles_nothing_and_keeps_what_books_said() {
    let (db, clean) = (Db::new(), Db::new());
    let mut lines = synthetic::capture(419, 6_000).lines;
    // The first trade once more, on the next date, as a page of history brings it.
    let trade = lines.iter().find(|line| line.contains("\"e\":\"trade\""));
    let (_, message) = trade.unwrap().split_once(' ').unwrap();
    let page = format!("{} {message}", time_ns(90_000_000_000));
    lines.insert(4_500, page);
    let (first, rest) = lines.split_at(5_500);
    let first = join_lines(first);
    for db in [&db, &clean] {
        let file = db.write("first.txt", &first);
        load(db, &file).ok();
    }
    db.run(["seal", "--before", "2024-08-09"]).ok();
    db.run(["retain", "--table", "raw_messages", "--keep", "1 day"])
        .ok();
    let before = db.checksums();
    assert!(before["raw_messages"].0 < clean.checksums()["raw_messages"].0);
    for args in [&["rebuild"][..], &["rebuild", "--table", "book_tops"]] {
        db.run(args).ok();
        assert_eq!(db.checksums(), before, "{args:?}");
        assert_all_is_well(&db);
    }

    // And the book goes on where it was.
    for db in [&db, &clean] {
        let file = db.write("rest.txt", &join_lines(rest));
        load(db, &file).ok();
    }
    let (mut got, mut want) = (db.checksums(), clean.checksums());
    for sums in [&mut got, &mut want] {
        sums.remove("raw_messages");
    }
    assert_eq!(got, want);
}

#[test]
fn a_kill_during_retain_drops_all_or_nothing() {
    let retain = ["retain", "--table", "trades", "--keep", "5 days"];
    assert_all_or_nothing(&ten_dates(), &retain);
}

/// Whenever a command is killed, it has done all or nothing, and is done when it is run again.
#[track_caller]
pub(crate) fn assert_all_or_nothing(old: &Db, args: &[&str]) {
    let before = old.checksums();
    let clean = old.copy();
    let length = clean.run(args).ok().elapsed;
    let after = clean.checksums();
    let mut rng = Rng(setting("MDB_CRASH_SEED", 20_240_808));
    for round in 0..4 {
        let db = old.copy();
        let mut command = db.command();
        command.args(args);
        Live::spawn(command).kill_after(moment(&mut rng, length));
        let between = db.checksums();
        assert!(between == before || between == after, "round {round}");
        db.run(args).ok();
        assert_eq!(db.checksums(), after, "round {round}");
        assert_all_is_well(&db);
    }
}

/// A mart that does not pass its own test.
const FAULTY: &str = "-- Trades of each hour.
-- @materialize incremental
-- @key ts
-- @time ts
-- @window 1 hour
-- @test range n > 1000
SELECT bucket_start(ts, '1 hour') AS ts, count(*) AS n FROM trades GROUP BY 1
";

#[test]
fn old_trades_go_only_into_bars_that_stay() {
    let db = ten_dates();
    let bars = "SELECT count(*), sum(hash(b)) FROM ohlcv_1m b";
    let built = db.copy();
    built.run(["build"]).ok();
    let all = built.row(bars);
    assert_eq!(all[0], "240");
    let retain = |mart: &str, more: &[&str]| {
        let args = [
            "retain",
            "--table",
            "trades",
            "--keep",
            "5 days",
            "--downsample",
            mart,
        ];
        db.run(args.iter().chain(more))
    };

    // Not into what does not hold them, or would not keep them, or does not come about.
    let sums = db.checksums();
    fs::create_dir_all(db.dir().join("sql/marts")).unwrap();
    fs::write(db.dir().join("sql/marts/faulty.sql"), FAULTY).unwrap();
    retain("faulty", &[]).fails_naming(&["n > 1000", "nothing was dropped"]);
    retain("dim_date", &[]).fails_naming(&["dim_date", "as a whole"]);
    retain("no_such_mart", &[]).fails_naming(&["no_such_mart", "ohlcv_1m"]);
    db.run([
        "retain",
        "--table",
        "quotes",
        "--keep",
        "5 days",
        "--downsample",
        "ohlcv_1m",
    ])
    .fails_naming(&["quotes", "ohlcv_1m", "nothing was dropped"]);
    assert_eq!(db.checksums(), sums);

    retain("ohlcv_1m", &["--dry-run"]).ok();
    assert_eq!(db.checksums(), sums, "a dry run");
    retain("ohlcv_1m", &[]).ok();
    assert_eq!(days(&db, "trades"), january(6));
    assert_eq!(db.row(bars), all);
    let again = retain("ohlcv_1m", &[]).ok();
    assert!(
        again.stdout.contains("nothing before 2024-01-06"),
        "{again}"
    );
    fs::remove_file(db.dir().join("sql/marts/faulty.sql")).unwrap();
    db.run(["build", "--full"]).ok();
    assert_eq!(db.row(bars), all, "made anew");
    assert_all_is_well(&db);
}

fn retain_into(db: &Db, mart: &str, keep: &str) -> Run {
    let args = ["retain", "--table", "trades", "--keep", keep];
    db.run(args.iter().chain(&["--downsample", mart])).ok()
}

/// A trade as a capture stores it.
fn add_trade(db: &Db, seq: u64, ts: &str) {
    let insert = format!(
        "INSERT INTO hot.trades BY NAME
         SELECT {seq} AS seq, 'v' AS venue, 'S' AS symbol, ts, ts AS recv_ts, 'n{seq}' AS trade_id, 1.5 AS price, 2.0 AS size
         FROM (SELECT '{ts}'::TIMESTAMP_NS AS ts)"
    );
    db.run(["sql", "--write", insert.as_str()]).ok();
}

#[test]
fn trades_that_come_for_days_that_were_dropped_stay_for_they_are_in_no_bar() {
    let db = ten_dates();
    retain_into(&db, "ohlcv_1m", "5 days");
    db.run(["seal", "--all"]).ok();
    let file = db.write(
        "late.csv",
        b"venue,symbol,ts,trade_id,price,size,side\n\
          v,S,2024-01-03 10:30:00,late,9,1,buy\nv,S,2024-01-10 10:30:00,new,9,1,buy\n",
    );
    db.run(["load", file.to_str().unwrap()]).ok();
    add_trade(&db, 900_000_000, "2024-01-02 10:30:00");
    let late = ["2024-01-02", "2024-01-03"].map(str::to_owned);
    // Hot and loaded, then sealed, then merged with others: as often as it is run.
    for (keep, from, then) in [
        ("4 days", 7, "seal"),
        ("3 days", 8, "compact"),
        ("2 days", 9, "compact"),
    ] {
        let kept = "kept 2 rows before";
        retain_into(&db, "ohlcv_1m", keep).shows(&[
            "dropped 1 dates",
            kept,
            "not in ohlcv_1m",
            "--downsample",
        ]);
        assert_eq!(
            days(&db, "trades"),
            [&late[..], &january(from)[..]].concat()
        );
        db.run([then, "--all"]).ok();
    }
    let before = (db.lake(), db.checksums());
    retain_into(&db, "ohlcv_1m", "2 days")
        .shows(&["nothing before 2024-01-09 that may go", "kept 2"]);
    assert_eq!((db.lake(), db.checksums()), before);
    assert_eq!(db.count("SELECT count(*) FROM ohlcv_1m"), 241);
    assert_all_is_well(&db);

    db.run(["retain", "--table", "trades", "--keep", "2 days"])
        .ok()
        .shows(&["dropped 2 dates"]);
    assert_eq!(days(&db, "trades"), january(9));
    assert_all_is_well(&db);
}

#[test]
fn trades_stay_that_came_when_another_table_of_their_mart_had_lost_that_time() {
    let db = ten_dates();
    let never_built = db.copy();
    db.run(["build"]).ok();
    for db in [&db, &never_built] {
        db.run(["retain", "--table", "quotes", "--keep", "2 days"])
            .ok();
    }
    add_trade(&db, 1_000, "2024-01-07 10:30:00");
    retain_into(&db, "exchange_health_1m", "3 days").shows(&["dropped 7 dates", "kept 1 rows"]);
    assert_eq!(
        db.sql("SELECT seq FROM trades WHERE ts < '2024-01-08'"),
        [["1000"]]
    );
    assert_eq!(days(&db, "trades").len(), 4);
    assert_all_is_well(&db);

    // It was made when that time was gone: it has none of them.
    retain_into(&never_built, "exchange_health_1m", "3 days")
        .shows(&["nothing before 2024-01-08 that may go", "kept 168 rows"]);
    assert_eq!(days(&never_built, "trades"), january(1));
}

#[test]
fn no_week_of_a_mart_is_cut_and_what_comes_for_one_that_is_stays() {
    let db = ten_dates();
    fs::create_dir_all(db.dir().join("sql/marts")).unwrap();
    let weeks = FAULTY
        .replace("-- @test range n > 1000\n", "")
        .replace("1 hour", "1 week");
    fs::write(db.dir().join("sql/marts/weeks.sql"), weeks).unwrap();
    retain_into(&db, "weeks", "5 days").shows(&["nothing before 2024-01-01"]);
    retain_into(&db, "weeks", "2 days").shows(&["dropped 7 dates before 2024-01-08"]);
    assert_eq!(days(&db, "trades"), january(8));
    add_trade(&db, 1_000, "2024-01-09 10:30:00");
    db.run(["build"]).ok();
    let counts = "SELECT n FROM weeks ORDER BY ts";
    assert_eq!(db.sql(counts), [["168"], ["73"]]);

    // Cut by who does not care for marts. What it had read goes later, what it had not stays.
    db.run(["retain", "--table", "trades", "--keep", "1 day"])
        .ok();
    add_trade(&db, 1_001, "2024-01-10 10:30:00");
    add_trade(&db, 1_002, "2024-01-20 10:30:00");
    retain_into(&db, "weeks", "1 day").shows(&["dropped 1 dates before 2024-01-15", "kept 1 rows"]);
    assert_eq!(db.sql(counts), [["168"], ["73"], ["1"]]);
    assert_eq!(
        db.sql("SELECT seq FROM trades ORDER BY ALL"),
        [["1001"], ["1002"]]
    );
    assert_all_is_well(&db);
}

#[test]
fn at_no_moment_are_old_trades_neither_there_nor_in_bars() {
    let old = ten_dates();
    let file = old.dir().join("mdb.toml");
    fs::write(
        file,
        "[retain]\ntrades = { keep = \"5 days\", downsample = \"ohlcv_1m\" }\n",
    )
    .unwrap();
    let clean = old.copy();
    let length = clean.run(["retain"]).ok().elapsed;
    let bars = "SELECT count(*), sum(hash(b)) FROM ohlcv_1m b";
    let all = clean.row(bars);
    assert_eq!(all[0], "240");
    assert_eq!(days(&clean, "trades"), january(6));
    let mut rng = Rng(setting("MDB_CRASH_SEED", 20_240_808));
    for round in 0..setting("MDB_CRASH_ROUNDS", 20) / 4 {
        let db = old.copy();
        let mut command = db.command();
        command.arg("retain");
        Live::spawn(command).kill_after(moment(&mut rng, length));
        let minutes = "SELECT count(*) FROM (SELECT ts FROM trades UNION SELECT ts FROM ohlcv_1m)";
        assert_eq!(db.count(minutes), 240, "round {round}");
        db.run(["retain"]).ok();
        assert_eq!(db.row(bars), all, "round {round}");
        assert_eq!(days(&db, "trades"), january(6), "round {round}");
        assert_all_is_well(&db);
    }
}

#[test]
fn tables_tells_what_is_there() {
    let db = sealed(421, 4_000);
    let file = db.write("more.txt", &synthetic::capture(423, 1_000).bytes());
    load(&db, &file).ok();
    db.run([
        "sql",
        "--write",
        "CREATE TABLE mine AS SELECT 1 AS a FROM range(3); COMMENT ON TABLE mine IS 'It''s mine. Really.'",
    ])
    .ok();
    let csv = || db.run(["tables", "--format", "csv"]).ok().stdout;
    let text = csv();
    let rows = parse_csv(&text);
    let of = |table: &str| {
        let row = rows.iter().find(|row| row[0] == table);
        row.unwrap_or_else(|| panic!("no {table} in {text}"))
            .clone()
    };
    assert_eq!(
        rows[0],
        [
            "table",
            "rows",
            "hot_rows",
            "files",
            "bytes",
            "bytes_per_row",
            "from",
            "to",
            "what"
        ]
    );
    for (table, time) in [
        ("trades", "ts"),
        ("raw_messages", "recv_ts"),
        ("bars", "ts"),
    ] {
        let sealed = db.row(&format!(
            "SELECT count(*), coalesce(sum(bytes), 0), round(sum(bytes) / sum(rows), 1)
             FROM ops.manifest WHERE table_name = '{table}'"
        ));
        let all = db.row(&format!(
            "SELECT count(*), min({time}), max({time}) FROM {table}"
        ));
        let hot = db.value(&format!("SELECT count(*) FROM hot.{table}"));
        let row = of(table);
        assert_eq!((&row[1], &row[2]), (&all[0], &hot), "{table}");
        assert_eq!(row[3..6], sealed, "{table}");
        assert_eq!(row[6..8], all[1..], "{table}");
        assert!(row[8].len() > 10, "{table}");
    }
    let lake = db.lake();
    let files = lake.keys().filter(|file| file.starts_with("lake/trades/"));
    let bytes = files.map(|file| fs::metadata(db.dir().join(file)).unwrap().len());
    assert_eq!(of("trades")[4], bytes.sum::<u64>().to_string());
    assert_eq!(of("mine")[1..6], ["3", "3", "0", "0", ""]);
    assert_eq!(of("mine")[8], "It's mine");
    assert_eq!(of("ticks")[1], "", "a view has no rows of its own");

    // The same through a process that has the database open.
    let (live, stdin) = Live::spawn_fed(db.load_command(VENUE, SYMBOL, ["-"]));
    poll("mdb.sock", || db.dir().join("mdb.sock").exists());
    assert_eq!(csv(), text);
    drop(stdin);
    live.finish().ok();

    let none = Db::none();
    none.run(["tables"]).exits(3).says(&["no database"]);
    assert!(!none.dir().exists());
}
