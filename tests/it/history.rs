//! What was sealed can be asked for as it was, as long as mdb.toml says, and no longer; whatever happens meanwhile
//! (issue 4, "Upkeep").

use std::collections::BTreeSet;
use std::fs;

use crate::crash::{moment, setting};
use crate::harness::{Db, Live, Rng, join_lines, parse_csv, poll};
use crate::synthetic::{self, SYMBOL, VENUE, load};

fn keep(db: &Db, how_long: &str) {
    fs::create_dir_all(db.dir()).unwrap();
    let text = format!("[history]\nkeep = \"{how_long}\"\n");
    fs::write(db.dir().join("mdb.toml"), text).unwrap();
}

/// A capture that is sealed in three parts, and compacted: four versions of each table that has rows.
fn versions(seed: u64) -> Db {
    let db = Db::new();
    keep(&db, "1 day");
    let lines = synthetic::capture(seed, 3_000).lines;
    for (n, part) in lines.chunks(lines.len().div_ceil(3)).enumerate() {
        let file = db.write(&format!("{n}.txt"), &join_lines(part));
        load(&db, &file).ok();
        db.run(["seal", "--all"]).ok();
    }
    db.run(["compact"]).ok();
    db
}

/// Version, what, rows and whether it can be read, of a table.
fn listed(db: &Db, table: &str) -> Vec<(String, String, u64, bool)> {
    let run = db.run(["history", table, "--format", "csv"]).ok();
    let rows = parse_csv(&run.stdout);
    let place = |name: &str| rows[0].iter().position(|c| c == name).unwrap();
    let (version, what) = (place("version"), place("what"));
    let (count, readable) = (place("rows"), place("readable"));
    rows[1..]
        .iter()
        .map(|row| {
            assert_eq!(row[place("table")], table);
            (
                row[version].clone(),
                row[what].clone(),
                row[count].parse().unwrap(),
                row[readable] == "true",
            )
        })
        .collect()
}

fn as_of(db: &Db, version: &str, query: &str) -> String {
    let run = db
        .run(["sql", "--as-of", version, "--format", "csv", query])
        .ok();
    parse_csv(&run.stdout)[1].join("|")
}

const SUM: &str = "SELECT count(*), sum(hash(t)) FROM trades t";

#[test]
fn each_version_has_the_rows_that_it_had() {
    let db = versions(501);
    let versions = listed(&db, "trades");
    let what: Vec<&str> = versions.iter().map(|v| v.1.as_str()).collect();
    assert_eq!(
        what.iter().filter(|w| **w == "compact").count(),
        2,
        "{what:?}"
    );
    assert!(
        what.iter().filter(|w| **w == "seal").count() >= 3,
        "{what:?}"
    );
    let mut sums = BTreeSet::new();
    for (version, _, rows, readable) in &versions {
        assert!(readable);
        let seen = as_of(&db, version, SUM);
        assert!(
            seen.starts_with(&format!("{rows}|")),
            "version {version}: {seen}, {rows} listed"
        );
        let by_macro = db.row(&format!(
            "SELECT count(*), sum(hash(t)) FROM as_of('trades', {version}) t"
        ));
        assert_eq!(by_macro.join("|"), seen);
        sums.insert(seen);
    }
    // Compacting changes no row.
    assert_eq!(sums.len(), what.len() - 2);
    let last = &versions.last().unwrap().0;
    assert_eq!(as_of(&db, last, SUM), db.row(SUM).join("|"));

    // What is built on the tables goes back as well; an empty version is empty.
    let first = &versions[0];
    let ticks = as_of(
        &db,
        &first.0,
        "SELECT count(*) FROM ticks WHERE last IS NOT NULL",
    );
    assert_eq!(ticks, first.2.to_string());
    let bars = as_of(
        &db,
        &first.0,
        &format!("SELECT sum(trades) FROM ohlcv('{SYMBOL}', '1 day')"),
    );
    assert_eq!(bars, first.2.to_string());
    assert_eq!(as_of(&db, "0", "SELECT count(*) FROM trades"), "0");
    // By time: that of a version is the moment from which it is there.
    let at = db.value(&format!(
        "SELECT made_at FROM ops.versions WHERE version = {}",
        first.0
    ));
    assert_eq!(as_of(&db, &at, SUM), as_of(&db, &first.0, SUM));
    db.run(["sql", "--as-of", "99999", "SELECT 1"])
        .fails_naming(&["no version 99999", "mdb history"]);
    db.run(["sql", "--as-of", "soon", "SELECT 1"])
        .fails_naming(&["soon", "mdb history"]);
    for wrong in ["1.5", ""] {
        db.run(["sql", "--as-of", wrong, "SELECT 1"])
            .fails_naming(&["no version", "mdb history"]);
    }
    // Also where nothing was sealed yet.
    Db::new()
        .run(["sql", "--as-of", "soon", "SELECT 1"])
        .fails_naming(&["soon", "mdb history"]);
    db.run(["history", "tradez"])
        .fails_naming(&["tradez", "trades"]);
    let run = db.run(["doctor"]).ok();
    assert_eq!(run.stdout.trim(), "all is well", "{run}");
}

#[test]
fn a_process_that_has_the_database_open_goes_back_as_well() {
    let db = versions(503);
    let first = listed(&db, "trades")[0].clone();
    let (live, stdin) = Live::spawn_fed(db.load_command(VENUE, SYMBOL, ["-"]));
    poll("mdb.sock", || db.dir().join("mdb.sock").exists());
    assert_eq!(
        as_of(&db, &first.0, "SELECT count(*) FROM trades"),
        first.2.to_string()
    );
    assert_eq!(listed(&db, "trades")[0], first);
    drop(stdin);
    live.finish().ok();
}

#[test]
fn what_is_not_kept_any_more_is_removed_and_says_so() {
    let db = versions(505);
    let versions = listed(&db, "trades");
    let known: BTreeSet<String> = db
        .sql("SELECT path FROM ops.manifest")
        .into_iter()
        .flatten()
        .collect();
    assert!(db.lake().len() > known.len());
    keep(&db, "0 s");
    db.run(["compact"]).ok();
    assert_eq!(db.lake().into_keys().collect::<BTreeSet<_>>(), known);
    let (old, last) = (&versions[0].0, &versions.last().unwrap().0);
    db.run(["sql", "--as-of", old, "SELECT 1"])
        .fails_naming(&["not kept any more", "[history]"]);
    db.try_sql(&format!("FROM as_of('trades', {old})"))
        .fails_naming(&["not kept any more"]);
    assert_eq!(as_of(&db, last, SUM), db.row(SUM).join("|"));
    let readable: Vec<bool> = listed(&db, "trades").iter().map(|v| v.3).collect();
    assert!(!readable[0] && *readable.last().unwrap(), "{readable:?}");
    let run = db.run(["doctor"]).ok();
    assert_eq!(run.stdout.trim(), "all is well", "{run}");
}

#[test]
fn retain_load_and_rebuild_make_versions_too() {
    let db = versions(507);
    let before = db.row(SUM).join("|");
    let version = listed(&db, "trades").last().unwrap().0.clone();
    db.run(["retain", "--table", "trades", "--keep", "1 day"])
        .ok();
    assert_ne!(db.row(SUM).join("|"), before);
    assert_eq!(as_of(&db, &version, SUM), before);
    let file = db.write(
        "more.csv",
        b"symbol,ts,price,size,trade_id\nX,2024-08-09 01:00:00,1.5,2,1\n",
    );
    db.run(["load", file.to_str().unwrap(), "--venue", "v"])
        .ok();
    db.run(["rebuild", "--table", "trades"]).ok();
    let what: Vec<String> = listed(&db, "trades").into_iter().map(|v| v.1).collect();
    for made in ["retain", "load", "rebuild"] {
        assert!(what.iter().any(|w| w == made), "{made}: {what:?}");
    }
    let run = db.run(["history", "trades"]).ok();
    assert!(run.stdout.contains("more.csv"), "{run}");
    assert_eq!(as_of(&db, &version, SUM), before);
    let run = db.run(["doctor"]).ok();
    assert_eq!(run.stdout.trim(), "all is well", "{run}");
}

#[test]
fn a_missing_file_of_a_past_version_is_told_and_hurts_nothing_else() {
    let db = versions(509);
    let path =
        db.value("SELECT path FROM ops.outgoing WHERE table_name = 'trades' ORDER BY path LIMIT 1");
    fs::remove_file(db.dir().join(&path)).unwrap();
    let run = db.run(["doctor"]).ok();
    for part in [&path, "past versions", "all is well"] {
        assert!(run.stdout.contains(part), "{part}: {run}");
    }
    assert_eq!(
        db.count("SELECT count(*) FROM trades"),
        db.count("SELECT sum(rows) FROM ops.manifest WHERE table_name = 'trades'")
    );
}

#[test]
fn a_file_that_a_repair_took_out_is_missed_by_the_versions_that_had_it() {
    let db = versions(513);
    let before = listed(&db, "trades").last().unwrap().0.clone();
    let path =
        db.value("SELECT path FROM ops.manifest WHERE table_name = 'trades' ORDER BY path LIMIT 1");
    let bytes = fs::read(db.dir().join(&path)).unwrap();
    let rows = as_of(&db, &before, SUM);
    fs::remove_file(db.dir().join(&path)).unwrap();
    db.run(["doctor", "--repair"]).ok().shows(&[&path]);
    let query = format!("FROM as_of('trades', {before})");
    db.try_sql(&query).fails_naming(&[&path]);
    // Its name stays its own: the rows that are made again may be others.
    db.run(["rebuild", "--table", "trades"]).ok();
    db.run(["seal", "--all"]).ok();
    db.try_sql(&query).fails_naming(&[&path]);
    fs::write(db.dir().join(&path), bytes).unwrap();
    assert_eq!(as_of(&db, &before, SUM), rows);

    // Where none is kept the versions before are told to be gone.
    let db = versions(515);
    keep(&db, "0 s");
    let before = listed(&db, "trades").last().unwrap().0.clone();
    let path = db.value("SELECT min(path) FROM ops.manifest WHERE table_name = 'trades'");
    fs::remove_file(db.dir().join(&path)).unwrap();
    db.run(["doctor", "--repair"]).ok();
    db.try_sql(&format!("FROM as_of('trades', {before})"))
        .fails_naming(&["not kept any more"]);
    let last = listed(&db, "trades").last().unwrap().clone();
    assert_eq!((last.1.as_str(), last.3), ("repair", true));
}

/// Rows and checksums of these versions, of three tables.
fn sums(db: &Db, versions: &[String]) -> Vec<Vec<String>> {
    let of = |version: &String| {
        ["raw_messages", "trades", "quotes"].map(|table| {
            format!("SELECT {version}, '{table}', count(*), sum(hash(t)) FROM as_of('{table}', {version}) t")
        })
    };
    let query: Vec<String> = versions.iter().flat_map(of).collect();
    db.sql(&query.join(" UNION ALL "))
}

/// Every version that is listed has the rows that it says, and those known before what they had.
fn assert_versions(db: &Db, known: &[Vec<String>], what: &str) {
    let versions: BTreeSet<String> = known.iter().map(|row| row[0].clone()).collect();
    let versions: Vec<String> = versions.into_iter().collect();
    let mut now = sums(db, &versions);
    let mut known = known.to_vec();
    now.sort();
    known.sort();
    assert_eq!(now, known, "{what}");
    for (version, _, rows, readable) in listed(db, "trades") {
        assert!(readable, "{what}: version {version}");
        let seen = as_of(db, &version, "SELECT count(*) FROM trades");
        assert_eq!(seen, rows.to_string(), "{what}: version {version}");
    }
}

/// The lake holds the files of the manifest and of past versions, and nothing else.
fn assert_no_orphan(db: &Db, what: &str) {
    let known = db.sql("SELECT path FROM ops.manifest UNION SELECT path FROM ops.outgoing");
    let known: BTreeSet<String> = known.into_iter().flatten().collect();
    let there: BTreeSet<String> = db.lake().into_keys().collect();
    assert_eq!(there, known, "{what}");
    let run = db.run(["doctor"]).ok();
    assert_eq!(run.stdout.trim(), "all is well", "{what}: {run}");
}

#[test]
fn a_kill_leaves_every_version_exact() {
    let rounds = setting("MDB_CRASH_ROUNDS", 20).div_ceil(6);
    let seed = setting("MDB_CRASH_SEED", 20_240_808);
    let mut rng = Rng(seed);
    let db = Db::new();
    keep(&db, "1 day");
    let lines = synthetic::capture(511, 4_000).lines;
    for (n, part) in lines.chunks(lines.len().div_ceil(4)).enumerate() {
        let file = db.write(&format!("{n}.txt"), &join_lines(part));
        load(&db, &file).ok();
        if n < 3 {
            db.run(["seal", "--all"]).ok();
        }
    }
    let versions: Vec<String> = listed(&db, "trades").into_iter().map(|v| v.0).collect();
    let known = sums(&db, &versions);
    let before = db.checksums();
    let row = |n: u64| {
        format!(
            "X,{},1.5,2,{n}",
            1_723_161_540_000_000_000_u64 + n * 2_000_000
        )
    };
    let header = "symbol,ts,price,size,trade_id".to_owned();
    let rows = join_lines(std::iter::once(header).chain((0..60_000).map(row)));
    let csv = db.write("more.csv", &rows);
    let out = db.beside("out.parquet");
    let (mut hits, mut all) = (0, 0);
    for args in [
        &["compact"][..],
        &["seal", "--all"],
        &["rebuild"],
        &["retain", "--table", "trades", "--keep", "1 day"],
        &["load", csv.to_str().unwrap(), "--venue", "v"],
        &["export", "trades", out.to_str().unwrap()],
    ] {
        let clean = db.copy();
        let length = clean.run(args).ok().elapsed;
        let after = clean.checksums();
        for round in 0..rounds {
            let what = format!("{args:?}, seed {seed}, round {round}");
            let db = db.copy();
            let mut command = db.command();
            command.args(args);
            // A file of before may be there, or none.
            if rng.chance(500) {
                let _ = fs::remove_file(&out);
            }
            all += 1;
            hits += u64::from(Live::spawn(command).kill_after(moment(&mut rng, length)));
            let now = db.checksums();
            assert!(now == before || now == after, "{what}");
            assert_versions(&db, &known, &what);
            if out.exists() {
                let exported = format!("SELECT count(*) FROM read_parquet('{}')", out.display());
                assert_eq!(db.count(&exported), before["trades"].0, "{what}");
            }
            db.run(args).ok();
            assert_eq!(db.checksums(), after, "{what}");
            assert_versions(&db, &known, &what);
            assert_no_orphan(&db, &what);
        }
    }
    eprintln!("{hits} of {all} kills hit a running command, seed {seed}");
    assert!(
        hits >= all / 2,
        "only {hits} of {all}: the test proves little"
    );
}
