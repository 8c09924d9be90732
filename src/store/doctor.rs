//! `mdb doctor`: does the database hold what it says it holds? It changes nothing unless asked to repair.

use std::fs;
use std::path::Path;

use duckdb::Connection;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::catalog::{Catalog, delete_hot, hot_rows};
use super::error::{At, Doing, Error, Result};
use super::history::Version;
use super::{FILE, Purpose, duck, history, lake, schema};
use crate::config::Settings;
use crate::model::RAW_MESSAGES;
use crate::sqltree::SqlTree;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was found, naming the file or table.
    pub what: String,
    /// What was done about it, or what to do.
    pub remedy: String,
    /// Whether it is mended, or was no damage in the first place.
    pub harmless: bool,
}

/// A file as the manifest has it.
struct Entry {
    table: String,
    path: String,
    rows: u64,
    bytes: u64,
    first_seq: Option<u64>,
    last_seq: Option<u64>,
    hash: String,
}

/// Verifies the database file, and the lake's files against the manifest: presence, size, content, rows, and
/// that no row stands both in the lake and in the database file.
pub fn doctor(
    settings: &Settings,
    repair: bool,
    mut checked: impl FnMut(usize, usize),
) -> Result<Vec<Finding>> {
    let dir = &settings.db;
    let mut findings = Vec::new();
    if !dir.join(FILE).exists() {
        let what = format!("there is no database in {}", dir.display());
        findings.push(Finding {
            what,
            remedy: "any other command creates it".to_owned(),
            harmless: false,
        });
        return Ok(findings);
    }
    let purpose = if repair {
        Purpose::Write
    } else {
        Purpose::Read
    };
    let mut conn = match duck::open(dir, purpose, &settings.store) {
        Err(Error::CorruptWal { message, .. }) if repair => {
            findings.push(set_wal_aside(dir, &message)?);
            duck::open(dir, purpose, &settings.store)?
        }
        other => other?,
    };
    if !schema::is_made(&conn)? {
        if !repair {
            findings.push(Finding {
                what: format!("the database in {} was never finished", dir.display()),
                remedy: "the next command that writes finishes it".to_owned(),
                harmless: true,
            });
            return Ok(findings);
        }
        schema::apply(&mut conn, &SqlTree::load(dir)?)?;
    }
    let entries = manifest(&conn)?;
    for (at, entry) in entries.iter().enumerate() {
        checked(at, entries.len());
        if let Some(fault) = fault(dir, &conn, entry)? {
            findings.push(if repair {
                mend(settings, &conn, entry, fault)?
            } else {
                advise(entry, fault)
            });
        }
    }
    // The tables of an older mdb do not know them.
    let unsettled = lake::unsettled(&conn).unwrap_or_default();
    let kept = history::kept(&conn, settings.history.keep).unwrap_or_default();
    for path in kept.iter().filter(|path| !dir.join(path).exists()) {
        findings.push(Finding {
            what: format!(
                "{} is missing, which past versions have",
                dir.join(path).display()
            ),
            remedy: "those versions cannot be asked for; nothing else is the worse for it"
                .to_owned(),
            harmless: true,
        });
    }
    for (_, path) in lake::unknown(dir, &conn)? {
        let relative = path.strip_prefix(dir).unwrap_or(&path).to_string_lossy();
        if kept.iter().any(|path| *path == relative) {
            continue;
        }
        let (what, remedy) = if lake::is_staging(&path) || unsettled.contains(&*relative) {
            (
                "is no longer part of the lake, or never was",
                "the next command that writes removes it",
            )
        } else {
            (
                "is not in the manifest",
                "nothing reads it; move it away, or load it as a file",
            )
        };
        findings.push(Finding {
            what: format!("{} {what}", path.display()),
            remedy: remedy.to_owned(),
            harmless: true,
        });
    }
    Ok(findings)
}

fn manifest(conn: &Connection) -> Result<Vec<Entry>> {
    conn.prepare("SELECT table_name, path, rows, bytes, first_seq, last_seq, blake3 FROM ops.manifest ORDER BY path")
        .and_then(|mut s| {
            s.query_map([], |row| {
                Ok(Entry {
                    table: row.get(0)?,
                    path: row.get(1)?,
                    rows: row.get(2)?,
                    bytes: row.get(3)?,
                    first_seq: row.get(4)?,
                    last_seq: row.get(5)?,
                    hash: row.get(6)?,
                })
            })
            .and_then(Iterator::collect)
        })
        .doing("reading the manifest")
}

/// What is wrong with a file of the lake.
enum Fault {
    /// It is not, or not wholly, there.
    Damaged(String),
    /// So many of its rows are in the database file too.
    Doubled(String),
}

fn fault(dir: &Path, conn: &Connection, entry: &Entry) -> Result<Option<Fault>> {
    let path = dir.join(&entry.path);
    let name = path.display();
    let damaged = |what: String| Ok(Some(Fault::Damaged(what)));
    let Ok(meta) = fs::metadata(&path) else {
        return damaged(format!("{name} is missing"));
    };
    if meta.len() != entry.bytes {
        return damaged(format!(
            "{name} has {} bytes, the manifest says {}",
            meta.len(),
            entry.bytes
        ));
    }
    if lake::hash_of(&path)? != entry.hash {
        return damaged(format!(
            "{name} is not what was written: its checksum differs"
        ));
    }
    let file = fs::File::open(&path).at("open", &path)?;
    let rows = match SerializedFileReader::new(file) {
        Ok(reader) => reader.metadata().file_metadata().num_rows() as u64,
        Err(error) => return damaged(format!("{name} is no Parquet file: {error}")),
    };
    if rows != entry.rows {
        return damaged(format!(
            "{name} has {rows} rows, the manifest says {}",
            entry.rows
        ));
    }
    let doubled: u64 = conn
        .query_row(
            &format!(
                "SELECT count(*) FROM {} WHERE {}",
                hot_rows(&entry.table),
                is_copy(entry)
            ),
            [],
            |row| row.get(0),
        )
        .doing(format!("comparing {name} with the database file"))?;
    Ok((doubled > 0).then(|| {
        Fault::Doubled(format!(
            "{doubled} rows of {name} are in the database file too"
        ))
    }))
}

/// The condition that a hot row is one of a raw file as well. Other tables may hold several rows of one seq, apart.
fn is_copy(entry: &Entry) -> String {
    let (first, last) = (entry.first_seq.unwrap_or(1), entry.last_seq.unwrap_or(0));
    let path = entry.path.replace('\'', "''");
    format!(
        "'{}' = '{RAW_MESSAGES}' AND seq BETWEEN {first} AND {last}
         AND seq IN (SELECT seq FROM read_parquet('{path}'))",
        entry.table
    )
}

fn advise(entry: &Entry, fault: Fault) -> Finding {
    let (what, remedy) = match fault {
        Fault::Doubled(what) => (what, "`mdb doctor --repair` removes them there".to_owned()),
        Fault::Damaged(what) => {
            let again = format!(
                ", and `mdb rebuild --table {}` makes its rows again from raw",
                entry.table
            );
            let again = if entry.table == RAW_MESSAGES {
                ""
            } else {
                &again
            };
            let remedy = format!(
                "put the file back from a copy, or `mdb doctor --repair` takes it out of the database{again}"
            );
            (what, remedy)
        }
    };
    Finding {
        what,
        remedy,
        harmless: false,
    }
}

fn mend(settings: &Settings, conn: &Connection, entry: &Entry, fault: Fault) -> Result<Finding> {
    match fault {
        Fault::Damaged(what) => set_file_aside(settings, conn, entry, what),
        Fault::Doubled(what) => {
            delete_hot(conn, &entry.table, &is_copy(entry)).doing("removing doubled rows")?;
            Ok(Finding {
                what,
                remedy: "removed there".to_owned(),
                harmless: true,
            })
        }
    }
}

fn set_wal_aside(dir: &Path, message: &str) -> Result<Finding> {
    let wal = dir.join(format!("{FILE}.wal"));
    let aside = (1..1000)
        .map(|n| dir.join(format!("{FILE}.wal.damaged-{n}")))
        .find(|path| !path.exists())
        .unwrap_or_else(|| dir.join(format!("{FILE}.wal.damaged")));
    fs::rename(&wal, &aside).at("rename", &wal)?;
    let first = message.lines().next().unwrap_or_default();
    Ok(Finding {
        what: format!("the write-ahead log was damaged: {first}"),
        remedy: format!(
            "moved to {}; what was committed after the last checkpoint is in it",
            aside.display()
        ),
        harmless: true,
    })
}

/// Takes a damaged file out of the lake, so that everything else can be read again.
fn set_file_aside(
    settings: &Settings,
    conn: &Connection,
    entry: &Entry,
    what: String,
) -> Result<Finding> {
    let from = settings.db.join(&entry.path);
    let to = settings
        .db
        .join(lake::DIR)
        .join(".damaged")
        .join(entry.path.replace('/', "_"));
    if from.exists() {
        let parent = settings.db.join(lake::DIR).join(".damaged");
        fs::create_dir_all(&parent).at("create", &parent)?;
        fs::rename(&from, &to).at("rename", &from)?;
    }
    let catalog = Catalog::load(conn, &SqlTree::load(&settings.db)?)?;
    conn.execute_batch("BEGIN")
        .doing("repairing the manifest")?;
    let repaired = conn
        .execute("DELETE FROM ops.manifest WHERE path = ?", [&entry.path])
        .doing("repairing the manifest")
        .and_then(|_| Version::begin(conn, &entry.table)?.end("repair", Some(&entry.path)))
        .and_then(|()| {
            catalog
                .get(&entry.table)
                .map_or(Ok(()), |table| schema::replace_views(conn, &catalog, table))
        })
        .and_then(|()| conn.execute_batch("COMMIT").doing("repairing the manifest"));
    if repaired.is_err() {
        let _ = conn.execute_batch("ROLLBACK");
    }
    repaired?;
    let remedy = if entry.table == RAW_MESSAGES {
        format!(
            "taken out of the database; its {} messages are lost to it unless loaded again",
            entry.rows
        )
    } else {
        format!(
            "taken out of the database; `mdb rebuild --table {}` makes its rows again",
            entry.table
        )
    };
    Ok(Finding {
        what,
        remedy,
        // What was lost with a raw file cannot be made again.
        harmless: entry.table != RAW_MESSAGES,
    })
}
