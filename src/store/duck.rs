//! Opening DuckDB: the one place that sets its settings.

use std::path::Path;
use std::thread;

use duckdb::{AccessMode, Config, Connection};

use super::error::{Doing, Error, Result};
use super::functions;
use crate::config::StoreSettings;
use crate::model::sql::literal;

/// The database file in a database's directory.
pub const FILE: &str = "market.duckdb";

/// Where DuckDB puts what does not fit in memory, in a database's directory. It removes it itself; what a killed
/// process leaves goes when the next one needs the place.
pub(super) const SPILL: &str = ".spill";

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Writing ticks and files: a small, fixed memory, whatever the input.
    Ingest,
    /// Questions, with the right to change.
    Write,
    /// Questions.
    Read,
}

/// A write-ahead log of this size is written into the file; so long a replay takes about a second.
const CHECKPOINT_BYTES: &str = "256MB";
/// Buffer memory while writing, so that a load of any size stays under 400 MB in all.
const INGEST_MEMORY: &str = "128MB";

/// Opens `<db>/market.duckdb`, creating it unless the purpose is reading.
pub(super) fn open(db: &Path, purpose: Purpose, settings: &StoreSettings) -> Result<Connection> {
    let mode = match purpose {
        Purpose::Read => AccessMode::ReadOnly,
        Purpose::Ingest | Purpose::Write => AccessMode::ReadWrite,
    };
    let memory = memory_limit(purpose, settings);
    let mut config = Config::default();
    let mut set = vec![
        ("memory_limit", memory),
        ("checkpoint_threshold", CHECKPOINT_BYTES.to_owned()),
        ("temp_directory", db.join(SPILL).display().to_string()),
        // Nothing is fetched from a network.
        ("autoinstall_known_extensions", "false".to_owned()),
        ("autoload_known_extensions", "false".to_owned()),
        // With such threads a COPY to Parquet that fails or is interrupted may wait for itself for ever.
        ("async_threads", "0".to_owned()),
        // It moves a cast into the reader of a CSV file, where the text of a time is read without its offset from UTC.
        ("disabled_optimizers", "type_pushdown".to_owned()),
        // Below this estimate DuckDB joins ASOF by a nested loop, and its estimates are wrong on Parquet.
        ("asof_loop_join_threshold", "0".to_owned()),
    ];
    if let Some(threads) = settings.threads {
        set.push(("threads", threads.to_string()));
    }
    for (key, value) in set {
        config = config.with(key, value).doing(format!("setting {key}"))?;
    }
    let config = config.access_mode(mode).doing("setting the access mode")?;
    let directory = std::path::absolute(db).unwrap_or_else(|_| db.to_owned());
    check_name(&directory)?;
    let file = db.join(FILE);
    let conn = thread::scope(|scope| {
        scope.spawn(make_grammar);
        Connection::open_with_flags(&file, config)
    })
    .map_err(|source| refused(db, source))?;
    check_place(&conn, &directory)?;
    // Views name lake files relative to the directory, so that it can be moved.
    let directory = literal(&directory.display().to_string());
    conn.execute_batch(&format!(
        "SET GLOBAL file_search_path = {directory}; SET GLOBAL parquet_metadata_cache = true;"
    ))
    .doing("setting file_search_path")?;
    functions::register(&conn)?;
    Ok(conn)
}

/// Makes DuckDB's grammar, which a process needs once, while the rest of a database is opened: a tenth of the time that
/// would take. A setting that is a type is parsed, and needs no database.
fn make_grammar() {
    // Whatever comes of it, whoever parses next makes the grammar if it is not there.
    let _ = Config::default().with("force_variant_shredding", "INTEGER");
}

/// DuckDB's buffer memory.
pub(super) fn memory_limit(purpose: Purpose, settings: &StoreSettings) -> String {
    settings
        .memory_limit
        .clone()
        .unwrap_or_else(|| match purpose {
            Purpose::Ingest => INGEST_MEMORY.to_owned(),
            Purpose::Write | Purpose::Read => format!("{}KB", machine_memory_bytes() / 2 / 1000),
        })
}

/// Behind a comma no file of the lake is found, and a question mark leads the write-ahead log elsewhere.
fn check_name(directory: &Path) -> Result<()> {
    let name = directory.to_string_lossy();
    let Some(mark) = name.chars().find(|c| matches!(c, ',' | '?')) else {
        return Ok(());
    };
    Err(Error::Place {
        db: directory.to_owned(),
        message: format!(
            "DuckDB takes a '{mark}' in its path for the end of the path; name it otherwise"
        ),
    })
}

/// Relative names are looked for in the current directory first: a lake there must not be taken for this one's.
fn check_place(conn: &Connection, directory: &Path) -> Result<()> {
    let Ok(here) = std::env::current_dir() else {
        return Ok(());
    };
    let same = here.canonicalize().ok() == directory.canonicalize().ok();
    if same || !here.join("lake").is_dir() || !super::schema::is_made(conn)? {
        return Ok(());
    }
    let files: Vec<String> = conn
        .prepare("SELECT path FROM ops.manifest")
        .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
        .doing("reading the manifest")?;
    if files.iter().any(|file| here.join(file).exists()) {
        let message =
            "the current directory holds a lake with files of the same names; run mdb elsewhere";
        return Err(Error::Place {
            db: directory.to_owned(),
            message: message.to_owned(),
        });
    }
    Ok(())
}

/// Why a database did not open, in a user's words.
fn refused(db: &Path, source: duckdb::Error) -> Error {
    let text = source.to_string();
    if text.contains("Could not set lock") || text.contains("Conflicting lock") {
        let holder = text
            .split_once("Conflicting lock is held in ")
            .and_then(|(_, rest)| rest.split_once(')'))
            .map_or(String::new(), |(who, _)| format!(" by {who})"));
        return Error::InUse {
            db: db.to_owned(),
            holder,
        };
    }
    let lower = text.to_lowercase();
    let damaged = lower.contains("checksum") || lower.contains("corrupt");
    if lower.contains("wal") && damaged {
        return Error::CorruptWal {
            db: db.to_owned(),
            message: text,
        };
    }
    Error::Open {
        file: db.join(FILE),
        error: source,
    }
}

/// The memory this process may use: the machine's, or the control group's if that is less.
pub(super) fn machine_memory_bytes() -> u64 {
    let machine = rustix::system::sysinfo();
    let total = machine.totalram as u64 * u64::from(machine.mem_unit.max(1));
    let group = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    total.min(group_memory_bytes(&group, |path| {
        std::fs::read_to_string(path).ok()
    }))
}

/// The least limit of the control groups that a process is in: those named in `/proc/self/cgroup`, and all above them.
fn group_memory_bytes(groups: &str, read: impl Fn(&Path) -> Option<String>) -> u64 {
    let mut least = u64::MAX;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else {
            continue;
        };
        // Version 2 names no controllers; of version 1 each has a tree of its own.
        let (root, file) = if controllers.is_empty() {
            ("/sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            continue;
        };
        // In a container the group's path may be that of the machine outside: what is at its own root counts, too.
        for group in Path::new(group.trim_start_matches('/')).ancestors() {
            let limit = read(&Path::new(root).join(group).join(file));
            let limit = limit.and_then(|text| text.trim().parse().ok());
            least = least.min(limit.unwrap_or(u64::MAX));
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_of_all_groups_counts() {
        let limits = [
            ("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9000\n"),
            ("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "7000\n"),
            (
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
            ("/sys/fs/cgroup/c/memory.max", "max\n"),
            ("/sys/fs/cgroup/memory.max", "8000\n"),
        ];
        let read = |path: &Path| {
            let found = limits.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| (*text).to_owned())
        };
        assert_eq!(group_memory_bytes("4:cpu,memory:/a/b\n0::/c\n", read), 7000);
        assert_eq!(group_memory_bytes("4:cpu:/a/b\n0::/c\n", read), 8000);
        assert_eq!(group_memory_bytes("0::/gone/d\n", read), 8000);
        assert_eq!(group_memory_bytes("", read), u64::MAX);
    }
}
