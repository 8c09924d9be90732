//! `mdb doctor`: does the database hold what it says it holds? It changes nothing unless asked to repair.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use duckdb::Connection;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::catalog::{Catalog, Table, delete_hot, hot_rows};
use super::error::{At, Doing, Error, Result};
use super::history::Version;
use super::lake::Entry;
use super::lost::Loss;
use super::retain::keep_last_seq;
use super::{FILE, Purpose, duck, history, lake, must_exist, schema};
use crate::config::Settings;
use crate::model::RAW_MESSAGES;
use crate::model::sql::literal;
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

/// Verifies the database file, and the lake's files against the manifest: presence, size, content, rows, and
/// that no row stands both in the lake and in the database file.
pub fn doctor(
    settings: &Settings,
    repair: bool,
    mut checked: impl FnMut(usize, usize),
) -> Result<Vec<Finding>> {
    let dir = &settings.db;
    must_exist(dir)?;
    let mut findings = Vec::new();
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
    let gone = missing_views(&conn)?;
    if repair && !gone.is_empty() {
        schema::apply(&mut conn, &SqlTree::load(dir)?)?;
    }
    findings.extend(gone.into_iter().map(|name| {
        let remedy = if repair {
            "made again"
        } else {
            "`mdb doctor --repair` makes it again"
        };
        Finding {
            what: format!("the view {name} is missing"),
            remedy: remedy.to_owned(),
            harmless: repair,
        }
    }));
    let entries = lake::entries_where(&conn, "true")?;
    let mut damaged = Vec::new();
    for (at, (table, file)) in entries.iter().enumerate() {
        checked(at, entries.len());
        match fault(dir, &conn, table, file)? {
            Some(Fault::Damaged(what)) if repair => damaged.push(Damaged { table, file, what }),
            Some(Fault::Doubled(what)) if repair => {
                delete_hot(&conn, table, &is_copy(table, file)).doing("removing doubled rows")?;
                findings.push(Finding {
                    what,
                    remedy: "removed there".to_owned(),
                    harmless: true,
                });
            }
            Some(fault) => findings.push(advise(table, file, fault)),
            None => {}
        }
    }
    if !damaged.is_empty() {
        findings.extend(set_aside(settings, &conn, damaged)?);
    }
    findings.extend(strays(settings, &conn)?);
    Ok(findings)
}

/// Files of past versions that are missing, and files in the lake's folders that are no part of it.
fn strays(settings: &Settings, conn: &Connection) -> Result<Vec<Finding>> {
    let dir = &settings.db;
    let mut findings = Vec::new();
    // The tables of an older mdb do not know them.
    let unsettled = lake::unsettled(conn).unwrap_or_default();
    let kept = history::kept(conn, settings.history.keep).unwrap_or_default();
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
    for (_, path) in lake::unknown(dir, conn)? {
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

/// Views of the canonical tables that somebody has dropped.
fn missing_views(conn: &Connection) -> Result<Vec<String>> {
    conn.prepare(
        "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'hot'
         AND table_name NOT IN (SELECT view_name FROM duckdb_views() WHERE schema_name = 'main') ORDER BY 1",
    )
    .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
    .doing("reading the catalog")
}

/// What is wrong with a file of the lake.
enum Fault {
    /// It is not, or not wholly, there.
    Damaged(String),
    /// So many of its rows are in the database file too.
    Doubled(String),
}

fn fault(dir: &Path, conn: &Connection, table: &str, entry: &Entry) -> Result<Option<Fault>> {
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
    if rows != entry.facts.rows {
        return damaged(format!(
            "{name} has {rows} rows, the manifest says {}",
            entry.facts.rows
        ));
    }
    let doubled: u64 = conn
        .query_row(
            &format!(
                "SELECT count(*) FROM {} WHERE {}",
                hot_rows(table),
                is_copy(table, entry)
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
fn is_copy(table: &str, entry: &Entry) -> String {
    let facts = &entry.facts;
    let (first, last) = (facts.first_seq.unwrap_or(1), facts.last_seq.unwrap_or(0));
    let path = literal(&entry.path);
    format!(
        "'{table}' = '{RAW_MESSAGES}' AND seq BETWEEN {first} AND {last}
         AND seq IN (SELECT seq FROM read_parquet({path}))"
    )
}

fn advise(table: &str, entry: &Entry, fault: Fault) -> Finding {
    let (what, remedy) = match fault {
        Fault::Doubled(what) => (what, "`mdb doctor --repair` removes them there".to_owned()),
        Fault::Damaged(what) => {
            let again = if table == RAW_MESSAGES || entry.loaded {
                " and says what to load again".to_owned()
            } else {
                format!(", and `mdb rebuild --table {table}` makes its rows again from raw")
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

/// A file of the lake that cannot be read.
struct Damaged<'a> {
    table: &'a str,
    file: &'a Entry,
    what: String,
}

/// Takes damaged files out of the lake, so that everything else can be read again.
fn set_aside(
    settings: &Settings,
    conn: &Connection,
    damaged: Vec<Damaged<'_>>,
) -> Result<Vec<Finding>> {
    let parent = settings.db.join(lake::DIR).join(".damaged");
    for Damaged { file, .. } in &damaged {
        let from = settings.db.join(&file.path);
        if from.exists() {
            fs::create_dir_all(&parent).at("create", &parent)?;
            let to = parent.join(file.path.replace('/', "_"));
            fs::rename(&from, &to).at("rename", &from)?;
        }
    }
    let catalog = Catalog::load(conn, &SqlTree::load(&settings.db)?)?;
    conn.execute_batch("BEGIN")
        .doing("repairing the manifest")?;
    let repaired = take_out(conn, &catalog, damaged).and_then(|findings| {
        let committed = conn.execute_batch("COMMIT");
        committed.doing("repairing the manifest").map(|()| findings)
    });
    if repaired.is_err() {
        let _ = conn.execute_batch("ROLLBACK");
    }
    let findings = repaired?;
    // Versions that had them and are not kept can be read no more.
    lake::remove_outgoing(&settings.db, conn, settings.history.keep)?;
    Ok(findings)
}

/// All but the commit.
fn take_out(
    conn: &Connection,
    catalog: &Catalog,
    damaged: Vec<Damaged<'_>>,
) -> Result<Vec<Finding>> {
    keep_last_seq(conn)?;
    for Damaged { table, file, .. } in &damaged {
        let version = Version::begin(conn, table)?;
        // Versions before had it: without it they would be other rows.
        lake::retire(conn, &format!("path = {}", literal(&file.path)), &version)?;
        version.end("repair", Some(&file.path))?;
    }
    let tables: BTreeSet<&str> = damaged.iter().map(|d| d.table).collect();
    for table in tables.iter().filter_map(|name| catalog.get(name)) {
        schema::replace_views(conn, catalog, table)?;
    }
    // All are found before one is forgotten: a source may have had rows in several files.
    let losses = damaged
        .iter()
        .map(|d| match catalog.get(d.table) {
            Some(table) if is_loaded(table, d.file) => Loss::of(conn, table, d.file).map(Some),
            _ => Ok(None),
        })
        .collect::<Result<Vec<_>>>()?;
    for loss in losses.iter().flatten() {
        loss.forget(conn)?;
    }
    let told = damaged.into_iter().zip(&losses);
    Ok(told.map(|(d, loss)| tell(d, loss.as_ref())).collect())
}

/// Whether rows of a file came with a source that counts as loaded, and may be with it alone. Those that replace others
/// come from vendors' files into the database file, and are sealed with all others.
fn is_loaded(table: &Table, file: &Entry) -> bool {
    file.loaded || table.latest || table.name == RAW_MESSAGES
}

fn tell(damaged: Damaged<'_>, loss: Option<&Loss>) -> Finding {
    let Damaged { table, file, what } = damaged;
    let is_raw = table == RAW_MESSAGES;
    let is_made = !is_raw && !file.loaded;
    let again = loss.map_or(&[][..], |loss| loss.again.as_slice());
    let stuck = loss.map_or(&[][..], |loss| loss.stuck.as_slice());
    let mut said = vec![format!(
        "taken out of the database with its {} rows",
        file.facts.rows
    )];
    if is_made {
        said.push(format!(
            "`mdb rebuild --table {table}` makes again what comes from raw"
        ));
    }
    if !again.is_empty() {
        said.push(format!(
            "to have back what came from there, load again: {}",
            again.join(", ")
        ));
    }
    if !stuck.is_empty() {
        said.push(format!(
            "lost is what came from files of which other rows are still there, without a key to be known by: {}",
            stuck.join(", ")
        ));
    }
    let found = !again.is_empty() || !stuck.is_empty();
    if is_raw {
        said.push("all other messages of it are lost".to_owned());
    } else if !is_made && !found {
        said.push("they are lost, as it is not known which files they came from".to_owned());
    }
    Finding {
        what,
        remedy: said.join("; "),
        harmless: is_made && !found,
    }
}
