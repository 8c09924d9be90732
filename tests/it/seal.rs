//! Sealing moves rows and changes none; rebuilding gives the same tables (issue 2, items 4 and 6).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Db, KEYED, TABLES, gzip, join_lines, read_lines, real};
use crate::synthetic::{self, time_ns, trade_line};

type Input = (PathBuf, &'static str, &'static str);

/// All recorded files, or one made-up capture over the same two dates where they are absent.
fn inputs(db: &Db) -> Vec<Input> {
    let recorded = [
        ("spot_btcusdt_20240808.gz", "binance_spot", "BTCUSDT"),
        ("spot_btcusdt_20240809.gz", "binance_spot", "BTCUSDT"),
        ("usdm_ethusdt_20240808.gz", "binance_usdm", "ETHUSDT"),
    ];
    let found: Vec<Input> = recorded
        .into_iter()
        .filter_map(|(name, venue, symbol)| Some((real(name)?, venue, symbol)))
        .collect();
    if found.len() == recorded.len() {
        return found;
    }
    let file = db.write("made_up.gz", &gzip(&synthetic::capture(7, 20_000).bytes()));
    vec![(file, synthetic::VENUE, synthetic::SYMBOL)]
}

fn loaded() -> (Db, Vec<Input>) {
    let db = Db::new();
    let inputs = inputs(&db);
    for (file, venue, symbol) in &inputs {
        db.load(venue, symbol, [file]).ok();
    }
    db.spread();
    (db, inputs)
}

/// The figures a person would compare by hand.
const SUMS: &str = "SELECT venue, symbol, count(*), round(sum(size), 6), round(sum(price * size), 6) \
                    FROM trades GROUP BY ALL ORDER BY ALL";

#[test]
fn seal_all_moves_every_row_to_the_lake_and_a_second_time_changes_nothing() {
    let (db, _) = loaded();
    let (before, sums) = (db.checksums(), db.sql(SUMS));
    db.run(["seal", "--all"]).ok();
    assert_eq!(db.checksums(), before);
    assert_eq!(db.sql(SUMS), sums);

    let lake = db.lake();
    let mut dates = BTreeSet::new();
    let mut tables = BTreeSet::new();
    for file in lake.keys() {
        let parts: Vec<&str> = file.split('/').collect();
        let [_, table, date, name] = parts[..] else {
            panic!("{file} is not lake/<table>/date=…/<file>");
        };
        let range = name
            .strip_suffix(".parquet")
            .and_then(|name| name.split_once('-'));
        let (first, last) =
            range.unwrap_or_else(|| panic!("{file} is not named <first_seq>-<last_seq>.parquet"));
        assert!(
            first.parse::<u64>().unwrap() <= last.parse::<u64>().unwrap(),
            "{file}"
        );
        dates.insert(date);
        tables.insert(table);
    }
    assert_eq!(
        dates,
        BTreeSet::from(["date=2024-08-08", "date=2024-08-09"])
    );
    for table in TABLES {
        let rows = before[table].0;
        assert_eq!(tables.contains(table), rows > 0, "{table} has {rows} rows");
        for side in ["hot", "hot_b"] {
            assert_eq!(
                db.count(&format!("SELECT count(*) FROM {side}.{table}")),
                0,
                "{table}: rows left in {side}"
            );
        }
    }
    db.assert_sound();

    db.run(["seal", "--all"]).ok();
    assert_eq!(db.lake(), lake);
    assert_eq!(db.checksums(), before);
    db.assert_sound();
}

#[test]
fn rows_of_both_sides_are_known_and_counted_once() {
    let (db, inputs) = loaded();
    let before = db.checksums_without_seq(&KEYED);
    let tables = db.run(["tables", "--format", "csv"]).ok().stdout;
    for (file, venue, symbol) in &inputs {
        // The same messages in a file that is not the same.
        let again = db.write(
            "again.gz",
            &gzip(&join_lines(read_lines(file).iter().skip(1))),
        );
        db.load(venue, symbol, [&again]).ok();
    }
    assert_eq!(db.checksums_without_seq(&KEYED), before);
    let trades = tables.lines().find(|line| line.starts_with("trades,"));
    let rows: Vec<&str> = trades.unwrap().split(',').collect();
    assert_eq!(rows[1].parse::<u64>().unwrap(), before["trades"].0);
    assert_eq!(rows[1], rows[2], "all of them are hot");
}

#[test]
fn seal_before_a_date_leaves_that_date_hot() {
    let (db, _) = loaded();
    let before = db.checksums();
    db.run(["seal", "--before", "2024-08-09"]).ok();
    let dates: BTreeSet<String> = db
        .lake()
        .keys()
        .map(|file| file.split('/').nth(2).unwrap().to_owned())
        .collect();
    assert_eq!(dates, BTreeSet::from(["date=2024-08-08".to_owned()]));
    assert!(db.count("SELECT count(*) FROM hot.trades") > 0);
    assert_eq!(
        db.count("SELECT count(*) FROM hot.trades WHERE ts < '2024-08-09'::TIMESTAMP_NS"),
        0
    );
    assert_eq!(db.checksums(), before);
    // The rest follows.
    db.run(["seal", "--all"]).ok();
    assert_eq!(db.count("SELECT count(*) FROM hot.trades"), 0);
    assert_eq!(db.checksums(), before);
    db.assert_sound();
}

#[test]
fn seal_alone_takes_finished_dates() {
    let (db, _) = loaded();
    let before = db.checksums();
    db.run(["seal"]).ok();
    assert_eq!(
        db.count("SELECT count(*) FROM hot.trades"),
        0,
        "2024 is over"
    );
    assert_eq!(db.checksums(), before);
}

#[test]
fn a_table_stays_hot_for_as_long_as_its_settings_say() {
    let (db, _) = loaded();
    let before = db.checksums();
    let settings = db.dir().join("mdb.toml");
    for (text, place) in [
        ("[seal]\nhot = { tades = \"1 year\" }\n", "[seal] hot"),
        (
            "[[sla]]\ntable = \"tades\"\nfreshness = \"1 minute\"\n",
            "[[sla]] table",
        ),
    ] {
        fs::write(&settings, text).unwrap();
        db.run(["seal"])
            .fails_naming(&["mdb.toml", place, "'tades'", "trades"]);
    }
    assert!(db.lake().is_empty());

    fs::write(&settings, "[seal]\nhot = { trades = \"100 years\" }\n").unwrap();
    db.run(["seal"]).ok();
    let tables: BTreeSet<String> = db
        .lake()
        .keys()
        .map(|file| file.split('/').nth(1).unwrap().to_owned())
        .collect();
    assert!(
        tables.contains("quotes") && !tables.contains("trades"),
        "{tables:?}"
    );
    assert_eq!(db.checksums(), before);
}

#[test]
fn a_table_that_cannot_be_sealed_keeps_no_other_from_it() {
    let (db, _) = loaded();
    let before = db.checksums();
    let in_the_way = db.dir().join("lake/book_deltas");
    fs::create_dir_all(db.dir().join("lake")).unwrap();
    fs::write(&in_the_way, "").unwrap();
    db.run(["seal", "--all"])
        .fails_naming(&["lake/book_deltas"]);
    assert_eq!(db.checksums(), before);
    let hot = |table: &str| db.count(&format!("SELECT count(*) FROM hot.{table}"));
    assert!(hot("book_deltas") > 0);
    for table in ["trades", "raw_messages"] {
        assert_eq!(hot(table), 0, "{table}");
    }

    fs::remove_file(&in_the_way).unwrap();
    db.run(["seal", "--all"]).ok();
    assert_eq!(hot("book_deltas"), 0);
    assert_eq!(db.checksums(), before);
    db.assert_sound();
}

#[test]
fn a_date_that_is_not_one_is_refused() {
    let db = Db::new();
    for date in ["yesterday", "2024-13-01", "2024-08"] {
        let run = db.run(["seal", "--before", date]);
        assert!(matches!(run.code, Some(1 | 2)), "{run}");
        run.says(&[date]);
    }
}

#[test]
fn loading_sealed_data_again_adds_only_what_is_new() {
    let (db, inputs) = loaded();
    db.run(["seal", "--all"]).ok();
    let tables = [KEYED[0], KEYED[1], KEYED[2], "book_tops"];
    let before = db.checksums_without_seq(&tables);
    let (file, venue, symbol) = &inputs[0];
    // The same messages with one more trade behind them: not the file that is known.
    let mut lines = read_lines(file);
    let recv_ns = time_ns(90_000_000_000).to_string();
    lines.push(trade_line(
        &recv_ns,
        "777777777777",
        "60000.01000000",
        "0.50000000",
        "1723161630000",
    ));
    let longer = db.write("longer.gz", &gzip(&join_lines(&lines)));
    let run = db.load(venue, symbol, [&longer]).ok();
    assert!(!run.stdout.contains("already loaded"), "{run}");
    let after = db.checksums_without_seq(&tables);
    assert_eq!(after["trades"].0, before["trades"].0 + 1);
    for table in &tables[1..] {
        assert_eq!(after[*table], before[*table], "{table}");
    }
    assert_eq!(
        db.count("SELECT count(*) FROM feed_events WHERE kind = 'gap'"),
        0
    );

    // The late row of a sealed date is sealed beside its elders.
    let all = db.checksums();
    db.run(["seal", "--all"]).ok();
    assert_eq!(db.checksums(), all);
    assert_eq!(
        db.count("SELECT count(*) FROM trades WHERE trade_id = '777777777777'"),
        1
    );
    db.assert_sound();
}

/// Lines of every fate: good, repeated, with a gap, rejected by their form, rejected by their content.
fn troubled_capture() -> Vec<u8> {
    let mut lines = synthetic::capture(9, 6_000).lines;
    let lost = (3_000..lines.len())
        .find(|n| crate::wire::is_diff(&lines[*n]))
        .unwrap();
    lines.remove(lost);
    lines.insert(4_000, lines[3_990].clone());
    let recv_ns = time_ns(60_000_000_000);
    lines.push("a line without a time".to_owned());
    lines.push(format!("{recv_ns} {{\"hello\":\"world\"}}"));
    lines.push(trade_line(
        &recv_ns.to_string(),
        "888",
        "not a price",
        "1.0",
        "1723161600000",
    ));
    join_lines(&lines)
}

#[test]
fn rebuild_gives_equal_tables_before_and_after_a_seal() {
    let (db, inputs) = loaded();
    let troubled = db.write("troubled.txt", &troubled_capture());
    db.load(synthetic::VENUE, synthetic::SYMBOL, [&troubled])
        .ok();
    let before = db.checksums();
    assert!(
        before["dead_letters"].0 >= 3 && before["feed_events"].0 >= 1,
        "{before:?}"
    );

    db.run(["rebuild"]).ok();
    assert_eq!(db.checksums(), before, "hot");
    db.assert_sound();

    db.run(["seal", "--all"]).ok();
    db.run(["rebuild"]).ok();
    assert_eq!(db.checksums(), before, "sealed");
    db.assert_sound();

    db.run(["seal", "--all"]).ok();
    for args in [
        ["--venue", inputs[0].1],
        ["--table", "trades"],
        ["--table", "book_tops"],
    ] {
        db.run(["rebuild", args[0], args[1]]).ok();
        assert_eq!(db.checksums(), before, "sealed, {args:?}");
    }
    db.run(["rebuild", "--venue", inputs[0].1, "--table", "quotes"])
        .ok();
    assert_eq!(db.checksums(), before, "sealed, one table of one venue");
    db.run(["seal", "--all"]).ok();
    assert_eq!(db.checksums(), before, "sealed again");
    db.assert_sound();

    // And the sequence goes on as if nothing had been.
    let again = db.load(inputs[0].1, inputs[0].2, [&inputs[0].0]).ok();
    assert!(again.stdout.contains("already loaded"), "{again}");
    assert_eq!(db.checksums(), before);
}

#[test]
fn rebuild_restores_what_was_damaged() {
    let (db, _) = loaded();
    let before = db.checksums();
    db.run([
        "sql",
        "--write",
        "DELETE FROM hot.trades WHERE hash(trade_id) % 3 = 0",
    ])
    .ok();
    db.run([
        "sql",
        "--write",
        "UPDATE hot.quotes SET bid_price = 1 WHERE update_id % 7 = 0",
    ])
    .ok();
    assert_ne!(db.checksums(), before);
    db.run(["rebuild", "--table", "trades"]).ok();
    let partly = db.checksums();
    assert_eq!(partly["trades"], before["trades"]);
    assert_ne!(partly["quotes"], before["quotes"], "only the named table");
    db.run(["rebuild"]).ok();
    assert_eq!(db.checksums(), before);
}

#[test]
fn rebuild_of_what_does_not_exist_names_it() {
    let db = Db::new();
    let file = db.write("few.txt", &synthetic::capture(2, 200).bytes());
    db.load(synthetic::VENUE, synthetic::SYMBOL, [&file]).ok();
    let before = db.checksums();
    for args in [["--venue", "no_such_venue"], ["--table", "no_such_table"]] {
        db.run(["rebuild", args[0], args[1]])
            .fails_naming(&[args[1]]);
    }
    // Raw is what everything else comes from.
    db.run(["rebuild", "--table", "raw_messages"])
        .fails_naming(&["raw_messages"]);
    assert_eq!(db.checksums(), before);
}

#[test]
fn other_tools_read_the_lake_and_the_moved_database() {
    let (db, _) = loaded();
    // One half sealed, so that the moved database has to join hot rows and lake.
    db.run(["seal", "--before", "2024-08-09"]).ok();
    run_lake_readers(&db, false);
    db.run(["seal", "--all"]).ok();
    run_lake_readers(&db, true);
}

/// Runs `tests/lake_readers.py` on a moved copy of `db`. It says itself which tools it lacks.
fn run_lake_readers(db: &Db, all_sealed: bool) {
    let moved = db.copy();
    let home = moved.beside("elsewhere");
    fs::rename(moved.dir(), &home).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lake_readers.py");
    let mut command = Command::new("python3");
    command.arg(&script).arg(&home);
    if all_sealed {
        command.arg("--all-sealed");
    }
    for (table, (rows, _)) in db.checksums() {
        command.arg(format!("{table}={rows}"));
    }
    let sums = db.row("SELECT sum(size), sum(price * size) FROM trades");
    command.args(["--trade-sums", &sums[0], &sums[1]]);
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("skipped: python3 does not start ({error})");
            return;
        }
    };
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    eprint!("{text}");
    assert!(
        output.status.success(),
        "lake_readers.py: {}\n{text}",
        output.status
    );
}
