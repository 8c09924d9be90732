//! Hostile surroundings: a second process, a full or read-only disk, a damaged lake. Each is told clearly
//! and costs no row (issue 2, item 7). `Run` itself fails a test at any panic.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::harness::{Db, Live, gzip, join_lines};
use crate::synthetic::{self, SYMBOL, VENUE, keyed_rows, load};

#[test]
fn a_second_process_is_told_who_has_the_database() {
    let db = Db::new();
    let capture = synthetic::capture(59, 3_000);
    let half = join_lines(&capture.lines[..1_500]);
    let rest = join_lines(&capture.lines[1_500..]);
    let (holder, mut stdin) = Live::spawn_fed(db.load_command(VENUE, SYMBOL, ["-"]));
    stdin.write_all(&half).unwrap();
    stdin.flush().unwrap();
    db.await_lock();

    let file = db.write("other.txt", &synthetic::capture(60, 500).bytes());
    let name = db.dir().to_str().unwrap().to_owned();
    let in_use = ["in use", "another process", "lock", "already open"];
    load(&db, &file)
        .exits(3)
        .says(&[&name])
        .says_one_of(&in_use);
    for args in [
        &["seal", "--all"][..],
        &["rebuild"],
        &["doctor"],
        &["doctor", "--repair"],
    ] {
        db.run(args).exits(3).says_one_of(&in_use);
    }

    stdin.write_all(&rest).unwrap();
    drop(stdin);
    holder.finish().ok();
    assert_eq!(keyed_rows(&db), capture.rows());
    assert_eq!(db.count("SELECT count(*) FROM dead_letters"), 0);
    db.assert_sound();
}

/// A small file system in memory; `None` (said on stderr) where this process may not mount one.
struct Tmpfs {
    dir: TempDir,
}

impl Tmpfs {
    fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::Builder::new()
            .prefix("mdb-tmpfs-")
            .tempdir()
            .unwrap();
        let options = format!("size={size}");
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "mdb-test"])
            .arg(dir.path())
            .output();
        match output {
            Ok(output) if output.status.success() => Some(Self { dir }),
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr);
                eprintln!("skipped: cannot mount a small file system: {}", why.trim());
                None
            }
            Err(error) => {
                eprintln!("skipped: cannot run mount: {error}");
                None
            }
        }
    }

    fn remount(&self, option: &str) {
        let options = format!("remount,{option}");
        let status = Command::new("mount")
            .args(["-o", &options])
            .arg(self.dir.path())
            .status();
        assert!(status.unwrap().success(), "mount -o {options}");
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("db")
    }

    /// Writes until nothing fits any more; removing the file gives the room back.
    fn fill(&self) -> PathBuf {
        let path = self.dir.path().join("filler");
        let mut file = fs::File::create(&path).unwrap();
        let chunk = vec![0; 64 << 10];
        while file.write_all(&chunk).is_ok() {}
        while file.write_all(&chunk[..1]).is_ok() {}
        path
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let status = Command::new("umount")
            .arg("-l")
            .arg(self.dir.path())
            .status();
        if !status.is_ok_and(|status| status.success()) {
            eprintln!("left mounted: {}", self.dir.path().display());
        }
    }
}

const FULL: [&str; 4] = ["space", "disk", "full", "quota"];

#[test]
fn a_disk_that_fills_up_during_a_load_costs_nothing_but_time() {
    let capture = synthetic::capture(61, 150_000);
    let clean = Db::new();
    let file = clean.write("large.gz", &gzip(&capture.bytes()));
    load(&clean, &file).ok();
    // Half of what the database comes to: it opens, and fills up on the way.
    let needed = fs::metadata(clean.dir().join("market.duckdb"))
        .unwrap()
        .len();
    assert!(
        needed > 4 << 20,
        "{needed} bytes are too few to run out of room on the way"
    );
    let Some(disk) = Tmpfs::mount(&(needed / 2).to_string()) else {
        return;
    };

    let db = Db::at(disk.path());
    load(&db, &file).exits(1).says_one_of(&FULL);
    disk.remount("size=2g");
    assert!(db.count("SELECT count(*) FROM trades") < capture.trades);
    db.assert_sound();
    load(&db, &file).ok();
    assert_eq!(db.checksums(), clean.checksums());
    db.assert_sound();
}

#[test]
fn a_disk_that_is_full_at_a_seal_loses_no_row() {
    let Some(disk) = Tmpfs::mount("512m") else {
        return;
    };
    let db = Db::at(disk.path());
    let capture = synthetic::capture(62, 20_000);
    let file = db.write("capture.gz", &gzip(&capture.bytes()));
    load(&db, &file).ok();
    let before = db.checksums();

    let filler = disk.fill();
    db.run(["seal", "--all"]).exits(1).says_one_of(&FULL);
    fs::remove_file(filler).unwrap();
    assert_eq!(db.checksums(), before);
    db.assert_sound();
    db.run(["seal", "--all"]).ok();
    assert_eq!(db.checksums(), before);
    assert_eq!(db.count("SELECT count(*) FROM hot.trades"), 0);
    db.assert_sound();
}

#[test]
fn a_query_whose_output_does_not_fit_says_so() {
    let Some(disk) = Tmpfs::mount("4m") else {
        return;
    };
    let db = Db::new();
    let out = disk.dir.path().join("out.csv");
    let run = db.run([
        "sql",
        "--format",
        "csv",
        "-o",
        out.to_str().unwrap(),
        "SELECT * FROM range(3000000)",
    ]);
    run.exits(1).says_one_of(&FULL);
    assert_eq!(
        fs::read_dir(disk.dir.path()).unwrap().count(),
        0,
        "half a file is left"
    );
}

#[test]
fn a_read_only_directory_is_named_and_left_alone() {
    let capture = synthetic::capture(63, 2_000);
    let source = Db::new();
    let first = source.write("first.txt", &join_lines(&capture.lines[..1_000]));
    let second = source.write("second.txt", &join_lines(&capture.lines[1_000..]));
    let (db, disk) = if rustix::process::geteuid().is_root() {
        // Modes mean nothing to root; a read-only mount does.
        let Some(disk) = Tmpfs::mount("256m") else {
            return;
        };
        (Db::at(disk.path()), Some(disk))
    } else {
        (Db::new(), None)
    };
    load(&db, &first).ok();
    let before = db.checksums();
    let set_read_only = |read_only: bool| {
        if let Some(disk) = &disk {
            disk.remount(if read_only { "ro" } else { "rw" });
            return;
        }
        let (dir, file) = if read_only {
            (0o555, 0o444)
        } else {
            (0o755, 0o644)
        };
        let main_file = db.dir().join("market.duckdb");
        fs::set_permissions(main_file, fs::Permissions::from_mode(file)).unwrap();
        fs::set_permissions(db.dir(), fs::Permissions::from_mode(dir)).unwrap();
    };

    set_read_only(true);
    let name = db.dir().to_str().unwrap().to_owned();
    load(&db, &second).exits(3).says(&[&name]);
    db.run(["seal", "--all"]).exits(3).says(&[&name]);
    let below = Db::at(db.dir().join("new"));
    load(&below, &second)
        .exits(3)
        .says(&[below.dir().to_str().unwrap()]);
    // Reading may work or not; it may not be wrong.
    let read = db.try_sql("SELECT count(*) AS n FROM trades");
    match read.code {
        Some(0) => assert_eq!(read.stdout, format!("n\n{}\n", before["trades"].0)),
        _ => drop(read.exits(3).says(&[&name])),
    }

    set_read_only(false);
    assert_eq!(db.checksums(), before);
    load(&db, &second).ok();
    assert_eq!(keyed_rows(&db), capture.rows());
    db.assert_sound();
}

/// A sealed database and one of its files of trades, by its path in the database.
fn sealed() -> (Db, String) {
    let db = Db::new();
    let file = db.write("capture.txt", &synthetic::capture(64, 10_000).bytes());
    load(&db, &file).ok();
    db.run(["seal", "--all"]).ok();
    let trades = db
        .lake()
        .into_keys()
        .find(|name| name.starts_with("lake/trades/"))
        .unwrap();
    (db, trades)
}

#[test]
fn a_damaged_lake_file_is_named_by_doctor_and_by_queries() {
    let (db, name) = sealed();
    let before = db.checksums();
    let path = db.dir().join(&name);
    let good = fs::read(&path).unwrap();
    let file_name = path.file_name().unwrap().to_str().unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 3] ^= 0x04;
    let damages: [(&str, Option<&[u8]>); 4] = [
        ("deleted", None),
        ("cut short", Some(&good[..good.len() / 2])),
        ("emptied", Some(b"")),
        ("one bit flipped", Some(&flipped)),
    ];
    for (damage, content) in damages {
        match content {
            None => fs::remove_file(&path).unwrap(),
            Some(bytes) => fs::write(&path, bytes).unwrap(),
        }
        let lake = db.lake();
        let report = db.run(["doctor"]).exits(1);
        assert!(
            format!("{}{}", report.stdout, report.stderr).contains(file_name),
            "{damage}: doctor does not name the file\n{report}"
        );
        let read = db.try_sql(
            "SELECT sum(price), sum(size), max(trade_id), max(recv_ts), max(seq) FROM trades",
        );
        if damage == "one bit flipped" {
            // Parquet pages need not carry a checksum, so a query may read past it; doctor may not.
            assert!(matches!(read.code, Some(0 | 1)), "{read}");
        } else {
            read.fails_naming(&[file_name]);
        }
        assert_eq!(db.lake(), lake, "{damage}: looking changed the lake");

        fs::write(&path, &good).unwrap();
        assert_eq!(db.checksums(), before, "{damage}: and put back");
        db.assert_sound();
    }
}

#[test]
fn a_file_the_manifest_does_not_know_is_never_read() {
    let (db, name) = sealed();
    let before = db.checksums();
    let known = db.dir().join(&name);
    let folder = known.parent().unwrap();
    fs::copy(&known, folder.join("0-1.parquet")).unwrap();
    fs::copy(&known, folder.join(".0-1.parquet.tmp")).unwrap();
    fs::write(folder.join("2-3.parquet"), b"PAR1 and no more").unwrap();
    assert_eq!(db.checksums(), before);
    // Whatever writes next sweeps them.
    db.run(["seal", "--all"]).ok();
    assert_eq!(db.checksums(), before);
    db.assert_sound();
    assert!(known.is_file());
}

#[test]
fn a_file_that_is_no_database_is_left_as_it_is() {
    let db = Db::new();
    fs::create_dir_all(db.dir()).unwrap();
    let path = db.dir().join("market.duckdb");
    fs::write(&path, "these are my notes").unwrap();
    let file = db.write("few.txt", &synthetic::capture(65, 100).bytes());
    load(&db, &file).exits(3).says(&["market.duckdb"]);
    db.try_sql("SELECT 1").exits(3).says(&["market.duckdb"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "these are my notes");

    // And a file where the directory should be.
    let taken = Db::at(db.write("taken", b"a file"));
    load(&taken, &file).exits(3).says(&["taken"]);
}

#[test]
fn the_lake_of_another_database_is_never_read() {
    let (db, _) = sealed();
    let (other, _) = sealed();
    let ask = |directory: &std::path::Path| {
        let mut command = db.command();
        command.current_dir(directory);
        command.args(["sql", "SELECT count(*) FROM trades"]);
        Live::spawn(command).finish()
    };
    ask(db.dir()).ok();
    ask(other.dir())
        .exits(3)
        .says(&["current directory", "lake"]);
}

#[test]
fn a_path_that_duckdb_reads_otherwise_is_refused_and_others_are_paths() {
    let home = Db::none();
    for name in ["what?", "a,b"] {
        let db = Db::at(home.beside(name));
        let run = db.try_sql("SELECT 1").exits(3);
        run.says(&[name, "name it otherwise"]);
        assert!(!db.dir().join("market.duckdb").exists(), "{name}");
    }
    let file = home.write("capture.txt", &synthetic::capture(8, 500).bytes());
    let db = Db::at(home.beside("it's #1 of 50%20 *[a]"));
    synthetic::load(&db, &file).ok();
    db.run(["seal", "--all"]).ok();
    assert!(db.count("SELECT count(*) FROM trades") > 0);
    db.assert_sound();
}

#[test]
fn a_query_that_misses_a_file_of_the_lake_says_what_to_do() {
    let db = Db::new();
    let file = db.write("capture.txt", &synthetic::capture(7, 500).bytes());
    synthetic::load(&db, &file).ok();
    db.run(["seal", "--all"]).ok();
    let path = db.value("SELECT min(path) FROM ops.manifest WHERE table_name = 'trades'");
    let damage: [&dyn Fn(); 2] = [
        &|| fs::write(db.dir().join(&path), "no Parquet").unwrap(),
        &|| fs::remove_file(db.dir().join(&path)).unwrap(),
    ];
    for damage in damage {
        damage();
        for command in [&["sql", "FROM trades"][..], &["export", "trades", "t.csv"]] {
            db.run(command).fails_naming(&[&path, "mdb doctor"]);
        }
    }
}

#[test]
fn a_view_that_somebody_dropped_is_missed_and_made_again() {
    let db = Db::new();
    let file = db.write("capture.txt", &synthetic::capture(5, 500).bytes());
    synthetic::load(&db, &file).ok();
    let before = db.checksums();
    db.run(["sql", "--write", "DROP VIEW trades"]).ok();
    db.run(["doctor"])
        .exits(1)
        .shows(&["the view trades is missing", "--repair"]);
    db.run(["doctor", "--repair"]).ok().shows(&["made again"]);
    assert_eq!(db.checksums(), before);
    db.assert_sound();
}
