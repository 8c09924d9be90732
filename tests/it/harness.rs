//! A temporary database for each test, its rows and checksums as `mdb sql` tells them, and input files.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::process::{Flock, FlockType, fcntl_getlk};
use tempfile::TempDir;

pub(crate) use crate::process::{Live, Run, poll};

/// Every canonical table, raw first.
pub(crate) const TABLES: [&str; 11] = [
    "raw_messages",
    "trades",
    "trade_corrections",
    "quotes",
    "book_deltas",
    "book_tops",
    "bars",
    "instruments",
    "corporate_actions",
    "feed_events",
    "dead_letters",
];

/// The tables whose keys make a second arrival of the same message a no-op.
pub(crate) const KEYED: [&str; 3] = ["trades", "quotes", "book_deltas"];

/// Rows and an order-independent checksum, by table.
pub(crate) type Checksums = BTreeMap<String, (u64, String)>;

/// A temporary directory with a database in it and room for input files beside it.
pub(crate) struct Db {
    home: TempDir,
    dir: PathBuf,
}

/// An empty database: making one takes most of a second, and most tests begin with it.
static EMPTY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let db = Db::none();
    db.value("SELECT 1");
    fs::read(db.dir.join("market.duckdb")).unwrap()
});

impl Db {
    /// An empty database.
    pub(crate) fn new() -> Self {
        let db = Self::none();
        fs::create_dir(&db.dir).unwrap();
        fs::write(db.dir.join("market.duckdb"), &*EMPTY).unwrap();
        db
    }

    /// No database yet: the first command makes one, or must not.
    pub(crate) fn none() -> Self {
        let home = tempfile::Builder::new()
            .prefix("mdb-it-")
            .tempdir()
            .unwrap();
        let dir = home.path().join("db");
        Self { home, dir }
    }

    /// A database in a directory that the caller owns (a mounted file system).
    pub(crate) fn at(dir: PathBuf) -> Self {
        Self {
            dir,
            ..Self::none()
        }
    }

    /// A copy of this database, as `cp -r` makes one.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::none();
        copy_dir(&self.dir, &copy.dir);
        copy
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A path for an input or output file, outside the database.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.beside(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// `mdb --db DIR`, with an environment that holds nothing of the person running the tests.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.bare_command();
        command.arg("--db").arg(&self.dir);
        command
    }

    /// `mdb` alone, started in the directory beside the database.
    pub(crate) fn bare_command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mdb"));
        command
            .current_dir(self.home.path())
            .env("HOME", self.home.path())
            .env("XDG_STATE_HOME", self.home.path().join("state"))
            .env("XDG_CONFIG_HOME", self.home.path().join("config"))
            .env("LC_ALL", "C.UTF-8")
            .env_remove("MDB_DB")
            .env_remove("RUST_LOG");
        command
    }

    pub(crate) fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Run {
        let mut command = self.command();
        command.args(args);
        Live::spawn(command).finish()
    }

    /// The command that loads `files`, not yet run.
    pub(crate) fn load_command<P: AsRef<Path>>(
        &self,
        venue: &str,
        symbol: &str,
        files: impl IntoIterator<Item = P>,
    ) -> Command {
        let mut command = self.command();
        command.args([
            "load", "--as", "capture", "--venue", venue, "--symbol", symbol,
        ]);
        for file in files {
            command.arg(file.as_ref());
        }
        command
    }

    pub(crate) fn load<P: AsRef<Path>>(
        &self,
        venue: &str,
        symbol: &str,
        files: impl IntoIterator<Item = P>,
    ) -> Run {
        Live::spawn(self.load_command(venue, symbol, files)).finish()
    }

    /// The rows of `query`; fails the test if it fails.
    pub(crate) fn sql(&self, query: &str) -> Vec<Vec<String>> {
        let run = self.try_sql(query).ok();
        let mut rows = parse_csv(&run.stdout);
        assert!(!rows.is_empty(), "no CSV header from {query}");
        rows.remove(0);
        rows
    }

    pub(crate) fn try_sql(&self, query: &str) -> Run {
        self.run(["sql", "--format", "csv", query])
    }

    /// The only row of `query`.
    pub(crate) fn row(&self, query: &str) -> Vec<String> {
        let mut rows = self.sql(query);
        assert_eq!(rows.len(), 1, "one row expected of {query}, got {rows:?}");
        rows.remove(0)
    }

    /// The only value of `query`.
    pub(crate) fn value(&self, query: &str) -> String {
        let mut row = self.row(query);
        assert_eq!(row.len(), 1, "one column expected of {query}, got {row:?}");
        row.remove(0)
    }

    pub(crate) fn count(&self, query: &str) -> u64 {
        let value = self.value(query);
        value
            .parse()
            .unwrap_or_else(|_| panic!("a count expected of {query}, got {value:?}"))
    }

    /// Moves about half the hot rows to the tables' other side, where a capture leaves them.
    pub(crate) fn spread(&self) {
        for table in TABLES {
            let moved = "WHERE seq % 2 = 0";
            self.run([
                "sql",
                "--write",
                &format!("INSERT INTO hot_b.{table} FROM hot.{table} {moved}; DELETE FROM hot.{table} {moved}"),
            ])
            .ok();
        }
    }

    /// Checksums of every table, all columns.
    pub(crate) fn checksums(&self) -> Checksums {
        self.checksums_of(&TABLES, "*")
    }

    /// Checksums of `tables` with `seq` left out: equal content, whatever raw row it came from.
    pub(crate) fn checksums_without_seq(&self, tables: &[&str]) -> Checksums {
        self.checksums_of(tables, "* EXCLUDE (seq)")
    }

    fn checksums_of(&self, tables: &[&str], columns: &str) -> Checksums {
        let query = tables
            .iter()
            .map(|table| {
                format!(
                    "SELECT '{table}' AS name, count(*) AS n, coalesce(sum(hash(t)), 0) AS checksum \
                     FROM (SELECT {columns} FROM {table}) t"
                )
            })
            .collect::<Vec<_>>()
            .join(" UNION ALL ");
        self.sql(&query)
            .into_iter()
            .map(|row| (row[0].clone(), (row[1].parse().unwrap(), row[2].clone())))
            .collect()
    }

    /// Asserts that `mdb doctor` finds nothing wrong.
    pub(crate) fn assert_sound(&self) {
        self.run(["doctor"]).ok();
    }

    /// Every file under lake/ (hidden ones too), relative to the database, with its size and content hash.
    pub(crate) fn lake(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        walk(&self.dir.join("lake"), &mut |path| {
            let bytes = fs::read(path).unwrap();
            let name = path.strip_prefix(&self.dir).unwrap();
            files.insert(
                name.to_str().unwrap().to_owned(),
                format!("{} bytes, {:016x}", bytes.len(), fnv1a(&bytes)),
            );
        });
        files
    }

    /// Waits until another process holds the database's lock.
    pub(crate) fn await_lock(&self) {
        poll("the lock on market.duckdb", || {
            let Ok(file) = File::options()
                .read(true)
                .write(true)
                .open(self.dir.join("market.duckdb"))
            else {
                return false;
            };
            fcntl_getlk(&file, &Flock::from(FlockType::WriteLock))
                .unwrap()
                .is_some()
        });
    }
}

/// A recorded file of `../shared/real/binance`, or `None` (said on stderr) where it is absent.
pub(crate) fn real(name: &str) -> Option<PathBuf> {
    recorded(&format!("binance/{name}"))
}

/// The same of any file of `../shared/real`.
pub(crate) fn recorded(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/real")
        .join(path);
    if path.is_file() {
        return Some(path);
    }
    eprintln!("skipped: {} is absent", path.display());
    None
}

/// The lines of a gzip or plain file, without their line ends.
pub(crate) fn read_lines(path: &Path) -> Vec<String> {
    let bytes = fs::read(path).unwrap();
    let mut text = String::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        flate2::read::MultiGzDecoder::new(&bytes[..])
            .read_to_string(&mut text)
            .unwrap();
    } else {
        text = String::from_utf8(bytes).unwrap();
    }
    text.lines().map(str::to_owned).collect()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The lines as one text, each with its line end.
pub(crate) fn join_lines<S: AsRef<str>>(lines: impl IntoIterator<Item = S>) -> Vec<u8> {
    let mut text = String::new();
    for line in lines {
        writeln!(text, "{}", line.as_ref()).unwrap();
    }
    text.into_bytes()
}

/// Calls `visit` for every file below `dir`; nothing if it does not exist.
pub(crate) fn walk(dir: &Path, visit: &mut impl FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    let entries: BTreeSet<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    for path in entries {
        if path.is_dir() {
            walk(&path, visit);
        } else {
            visit(&path);
        }
    }
}

fn copy_dir(from: &Path, to: &Path) {
    walk(from, &mut |file| {
        // The socket of a process is no part of the database.
        if !file.metadata().unwrap().is_file() {
            return;
        }
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(file, target).unwrap();
    });
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// RFC 4180, header included.
pub(crate) fn parse_csv(text: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            _ => field.push(c),
        }
    }
    assert!(
        !quoted && field.is_empty() && row.is_empty(),
        "CSV that ends in the middle of a row"
    );
    rows
}

/// A small seeded generator (`SplitMix64`), so that a failing round can be run again.
#[derive(Clone)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap();
        usize::try_from(self.next() % limit).unwrap()
    }

    /// True in `per_mille` of 1,000 cases.
    pub(crate) fn chance(&mut self, per_mille: usize) -> bool {
        self.below(1000) < per_mille
    }
}
