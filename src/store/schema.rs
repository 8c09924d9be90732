//! What the database file holds: mdb's own records, the hot tables, and the views that users query.

use std::collections::BTreeMap;

use duckdb::{Connection, OptionalExt, params};

use super::catalog::{Catalog, SIDES, Table, newest_of_key};
use super::error::{Doing, Error, Result, in_file};
use super::live;
use super::models;
use crate::config::SlaSettings;
use crate::model::sql::{identifier, literal, literals};
use crate::model::{BOOK_DELTAS, BOOK_TOPS};
use crate::sqltree::{self, SqlTree};
use crate::venues;

/// mdb's own records.
const OPS: &str = "
    CREATE SCHEMA IF NOT EXISTS hot;
    -- The other side of each table of hot.
    CREATE SCHEMA IF NOT EXISTS hot_b;
    CREATE SCHEMA IF NOT EXISTS ops;
    -- One row: which SQL tree the objects were made from.
    -- The user's own files of that tree, to go on by when those of the folder are faulty.
    CREATE TABLE IF NOT EXISTS ops.sql_files (path VARCHAR NOT NULL, origin VARCHAR NOT NULL, text VARCHAR NOT NULL);
    -- The lake: one row a file that is part of it.
    CREATE TABLE IF NOT EXISTS ops.manifest (
        table_name VARCHAR NOT NULL, date DATE NOT NULL, path VARCHAR NOT NULL, first_seq UBIGINT, last_seq UBIGINT,
        rows UBIGINT NOT NULL, bytes UBIGINT NOT NULL, min_ts TIMESTAMP_NS NOT NULL, max_ts TIMESTAMP_NS NOT NULL,
        blake3 VARCHAR NOT NULL);
    -- Of rows loaded from a vendor's file: no raw message can make them again.
    ALTER TABLE ops.manifest ADD COLUMN IF NOT EXISTS loaded BOOLEAN DEFAULT false;
    -- The version of the lake that a file is part of from.
    ALTER TABLE ops.manifest ADD COLUMN IF NOT EXISTS added UBIGINT DEFAULT 0;
    -- Lake files about to get their names: what the manifest does not name of them after a crash is swept.
    CREATE TABLE IF NOT EXISTS ops.incoming (path VARCHAR NOT NULL);
    -- Lake files that others have taken the place of, or that were dropped, with their row of the manifest and the version
    -- that is without them: removed once nobody can be reading them, and no version that is kept has them.
    CREATE TABLE IF NOT EXISTS ops.outgoing (path VARCHAR NOT NULL);
    ALTER TABLE ops.outgoing ADD COLUMN IF NOT EXISTS table_name VARCHAR;
    ALTER TABLE ops.outgoing ADD COLUMN IF NOT EXISTS rows UBIGINT;
    ALTER TABLE ops.outgoing ADD COLUMN IF NOT EXISTS bytes UBIGINT;
    ALTER TABLE ops.outgoing ADD COLUMN IF NOT EXISTS added UBIGINT;
    ALTER TABLE ops.outgoing ADD COLUMN IF NOT EXISTS removed UBIGINT;
    ALTER TABLE ops.outgoing ADD COLUMN IF NOT EXISTS removed_at TIMESTAMP_NS;
    -- Versions of the lake: what each changed, and what the table's files are from then on.
    CREATE TABLE IF NOT EXISTS ops.versions (
        version UBIGINT NOT NULL, made_at TIMESTAMP_NS NOT NULL, table_name VARCHAR NOT NULL, what VARCHAR NOT NULL,
        detail VARCHAR, files_added UBIGINT NOT NULL, files_removed UBIGINT NOT NULL, files UBIGINT NOT NULL,
        rows UBIGINT NOT NULL, bytes UBIGINT NOT NULL);
    -- Of no version before this one all files are there still.
    CREATE TABLE IF NOT EXISTS ops.oldest_version (version UBIGINT NOT NULL);
    -- Vendors' files that were loaded, by the hash of their content and what was said of them.
    CREATE TABLE IF NOT EXISTS ops.file_loads (
        mark VARCHAR NOT NULL, source VARCHAR NOT NULL, bytes UBIGINT NOT NULL, into_table VARCHAR NOT NULL,
        rows UBIGINT NOT NULL, last_seq UBIGINT);
    -- The columns that files of each kind had, so that one that differs is noticed.
    CREATE TABLE IF NOT EXISTS ops.file_schemas (kind VARCHAR NOT NULL, name VARCHAR NOT NULL, type VARCHAR NOT NULL);
    -- How far each normalizer has read raw.
    CREATE TABLE IF NOT EXISTS ops.progress (venue VARCHAR NOT NULL, normalizer VARCHAR NOT NULL, seq UBIGINT NOT NULL);
    -- Content that was loaded: a hash of each file up to each commit.
    CREATE TABLE IF NOT EXISTS ops.loads (
        venue VARCHAR NOT NULL, symbol VARCHAR, mark VARCHAR NOT NULL, source VARCHAR NOT NULL, lines UBIGINT NOT NULL,
        last_seq UBIGINT);
    -- Order books, so that a new process takes them up; the deltas after seq are applied on top.
    CREATE TABLE IF NOT EXISTS ops.books (
        venue VARCHAR NOT NULL, symbol VARCHAR NOT NULL, seq UBIGINT NOT NULL, state BLOB NOT NULL);
    -- What the tree's views/ and macros/ folders made, so that one whose file is gone is dropped.
    CREATE TABLE IF NOT EXISTS ops.views (name VARCHAR NOT NULL);
    CREATE TABLE IF NOT EXISTS ops.macros (name VARCHAR NOT NULL);
    -- Marts: how the table was kept when it was made; the file's hash as it is defined now and as it was then, '' once the
    -- file was gone and the table stayed; and what builds run.
    CREATE TABLE IF NOT EXISTS ops.models (
        name VARCHAR NOT NULL, kind VARCHAR, defined VARCHAR, built VARCHAR, ran VARCHAR, error VARCHAR,
        failed_at TIMESTAMP_NS);
    -- The last build of each mart, and the bounds, ns, that `ran` has as $1, $2, …. Rows are put in anew: whoever updates one
    -- waits for a checkpoint under way, and none can begin before he has committed.
    CREATE TABLE IF NOT EXISTS ops.builds (
        model VARCHAR NOT NULL, built_at TIMESTAMP_NS NOT NULL, took_ms DOUBLE NOT NULL, how VARCHAR NOT NULL,
        rows UBIGINT NOT NULL, newest TIMESTAMP_NS, bounds BIGINT[] NOT NULL);
    -- How far each mart has read each canonical table: the last seq, when rows that hang on no message were last
    -- received, and the newest time.
    CREATE TABLE IF NOT EXISTS ops.model_marks (
        model VARCHAR NOT NULL, source VARCHAR NOT NULL, seq UBIGINT NOT NULL, recv_ns BIGINT NOT NULL,
        newest_ns BIGINT NOT NULL);
    -- What a mart has yet to make anew because a mart that it reads has changed there, ns; NULL for all of it.
    CREATE TABLE IF NOT EXISTS ops.model_pending (model VARCHAR NOT NULL, from_ns BIGINT, to_ns BIGINT);
    -- Rows that came later than a mart's lateness, by window.
    CREATE TABLE IF NOT EXISTS ops.late_rows (
        model VARCHAR NOT NULL, source VARCHAR NOT NULL, venue VARCHAR, symbol VARCHAR, window_ts TIMESTAMP_NS NOT NULL,
        rows UBIGINT NOT NULL, first_seq UBIGINT, last_seq UBIGINT, late_by INTERVAL NOT NULL, corrected BOOLEAN NOT NULL);
    -- What each relation is made from, and by which file.
    CREATE TABLE IF NOT EXISTS ops.lineage (name VARCHAR NOT NULL, kind VARCHAR NOT NULL, upstream VARCHAR, made_by VARCHAR);
    -- What came of the data tests, as a capture last ran each; `of` is the relation, or the test's own file.
    CREATE TABLE IF NOT EXISTS ops.tests (
        of VARCHAR NOT NULL, test VARCHAR NOT NULL, declared_in VARCHAR NOT NULL, severity VARCHAR NOT NULL,
        state VARCHAR NOT NULL, failing_rows UBIGINT, example VARCHAR, ran_at TIMESTAMP_NS NOT NULL, took_ms DOUBLE NOT NULL);
    -- The first UTC date of which a table's rows were kept when older ones were dropped, and how far marts had read then.
    CREATE TABLE IF NOT EXISTS ops.retained (table_name VARCHAR NOT NULL, first_kept DATE NOT NULL);
    ALTER TABLE ops.retained ADD COLUMN IF NOT EXISTS marks STRUCT(model VARCHAR, source VARCHAR, seq UBIGINT)[];
    -- How old the newest row of a channel may be; NULL is any venue or channel, and the most specific row counts.
    CREATE TABLE IF NOT EXISTS ops.slas (venue VARCHAR, channel VARCHAR, seconds DOUBLE NOT NULL, said_in VARCHAR NOT NULL);
";

/// Whether mdb's own tables are there; false for a new database.
pub(super) fn is_made(conn: &Connection) -> Result<bool> {
    let made = conn
        .query_row(
            "SELECT 1 FROM duckdb_tables() WHERE schema_name = 'ops' AND table_name = 'manifest'",
            [],
            |_| Ok(()),
        )
        .optional()
        .doing("reading the catalog")?;
    Ok(made.is_some())
}

/// Whether the database holds what was made from this `source`: a view has a column of that name. Asked at every start,
/// so nothing is run, nor read from the file.
pub(super) fn is_made_from(conn: &Connection, source: &str) -> Result<bool> {
    match conn.prepare(&format!("SELECT \"{source}\" FROM ops.made_from")) {
        Ok(_) => Ok(true),
        // It was made from something else; a new database has no such view.
        Err(error)
            if error.to_string().starts_with("Binder Error")
                || error.to_string().starts_with("Catalog Error") =>
        {
            Ok(false)
        }
        Err(error) => Err(error).doing("reading ops.made_from"),
    }
}

/// What a database's objects are made from: the tree, and mdb's own tables.
pub(super) fn source(tree: &SqlTree) -> String {
    let own = blake3::hash(OPS.as_bytes()).to_hex();
    format!("{} {own}", tree.hash())
}

/// The macros of `ops` by which `as_of` reads a table are called that and the relation's name.
pub const AS_OF: &str = "as_of_";

/// Makes the database hold what the tree says. If that cannot be, it goes on by the last tree that it could: returned with
/// what is wrong.
///
/// # Errors
/// If there is no tree to go on by.
pub(super) fn bring_up(
    conn: &mut Connection,
    read: std::result::Result<SqlTree, sqltree::Error>,
) -> Result<(SqlTree, Option<Error>)> {
    let mut make = |tree: &SqlTree| {
        if is_made_from(conn, &source(tree))? {
            return Ok(());
        }
        apply(conn, tree)
    };
    let fault = match read {
        Ok(tree) => match make(&tree) {
            Ok(()) => return Ok((tree, None)),
            Err(error) => error,
        },
        Err(error) => error.into(),
    };
    let Ok(Some(last)) = last_good(conn) else {
        return Err(fault);
    };
    // Another mdb made it.
    if !is_made_from(conn, &source(&last))? && apply(conn, &last).is_err() {
        return Err(fault);
    }
    Ok((last, Some(fault)))
}

/// The tree that the database was last made from; `None` for a new one.
fn last_good(conn: &Connection) -> Result<Option<SqlTree>> {
    if !is_made(conn)? {
        return Ok(None);
    }
    let own: Vec<(String, String, String)> = conn
        .prepare("SELECT path, origin, text FROM ops.sql_files")
        .and_then(|mut s| {
            s.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect()
        })
        .doing("reading ops.sql_files")?;
    let own = own.into_iter();
    let own = own.map(|(path, origin, text)| (path, (origin, text)));
    Ok(Some(SqlTree::with_own(own.collect())?))
}

/// Makes the database hold what the tree says, in one transaction.
pub(super) fn apply(conn: &mut Connection, tree: &SqlTree) -> Result<()> {
    let tx = conn.transaction().doing("applying the SQL tree")?;
    tx.execute_batch(OPS).doing("creating mdb's own tables")?;
    for file in tree.folder("tables") {
        tx.execute_batch(&file.text)
            .map_err(|e| in_file(&file.origin, 0, &e))?;
    }
    let catalog = Catalog::load(&tx, tree)?;
    for table in catalog.iter() {
        make_other_side(&tx, table)?;
        replace_whole(&tx, table)?;
    }
    // They build on two of the others.
    for table in catalog.iter() {
        replace_valid(&tx, &catalog, table)?;
    }
    models::apply(&tx, tree, &catalog)?;
    for table in catalog.iter() {
        define_as_of(&tx, &catalog, table)?;
    }
    write_slas(&tx, tree)?;
    tx.execute_batch("DELETE FROM ops.sql_files")
        .doing("writing ops.sql_files")?;
    for (path, origin, text) in tree.own() {
        tx.execute(
            "INSERT INTO ops.sql_files VALUES (?, ?, ?)",
            [path, origin, text],
        )
        .doing("writing ops.sql_files")?;
    }
    tx.execute_batch(&format!(
        "CREATE OR REPLACE VIEW ops.made_from AS SELECT NULL AS \"{}\"",
        source(tree)
    ))
    .doing("creating ops.made_from")?;
    tx.commit().doing("applying the SQL tree")?;
    // In the file, so that even a damaged log leaves a database. Beside a capture another transaction may be in its way: the
    // log holds it as well.
    live::checkpoint(conn).map(|_| ())
}

/// Gives a table its other side, with the same columns.
fn make_other_side(conn: &Connection, table: &Table) -> Result<()> {
    let [side, other] = SIDES.map(|schema| format!("{schema}.\"{}\"", table.name));
    let doing = || format!("creating {other}");
    let known: Vec<(String, String, bool)> = conn
        .prepare(
            "SELECT column_name, data_type, NOT is_nullable FROM duckdb_columns()
             WHERE schema_name = ? AND table_name = ? ORDER BY column_index",
        )
        .and_then(|mut s| {
            s.query_map([SIDES[1], &table.name], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect()
        })
        .doing(doing())?;
    let wanted = table.columns.iter();
    let wanted = wanted.map(|c| (c.name.clone(), c.sql_type.clone(), c.required));
    if known.iter().cloned().eq(wanted) {
        return Ok(());
    }
    if !known.is_empty() {
        // The table has got other columns: its rows move to where these are.
        conn.execute_batch(&format!(
            "INSERT INTO {side} BY NAME FROM {other}; DROP TABLE {other}"
        ))
        .doing(doing())?;
    }
    let columns = table.columns.iter().map(|c| {
        let required = if c.required { " NOT NULL" } else { "" };
        format!("\"{}\" {}{required}", c.name, c.sql_type)
    });
    let columns = columns.collect::<Vec<_>>().join(", ");
    conn.execute_batch(&format!("CREATE TABLE {other} ({columns})"))
        .doing(doing())
}

/// How old the newest row of each venue's channel may be: what its feed.toml says, by the table that the channel fills. A
/// venue that cannot be read says nothing here; whoever captures from it is told why.
fn write_slas(conn: &Connection, tree: &SqlTree) -> Result<()> {
    let mut slas = BTreeMap::new();
    for name in tree.subfolders("venues") {
        let Ok(venue) = venues::load(tree, &name) else {
            continue;
        };
        for channel in venue.feed.channels.values() {
            let seconds = channel.stale_after.as_secs_f64();
            let made = (channel.table == BOOK_DELTAS).then_some(BOOK_TOPS);
            for table in made.into_iter().chain([channel.table.as_str()]) {
                let longest: &mut f64 = slas
                    .entry((name.clone(), table.to_owned()))
                    .or_insert(seconds);
                *longest = longest.max(seconds);
            }
        }
    }
    let written = conn
        .execute("DELETE FROM ops.slas WHERE said_in = ?", [FEED_TOML])
        .and_then(|_| {
            slas.into_iter().try_for_each(|((venue, table), seconds)| {
                conn.execute(
                    "INSERT INTO ops.slas VALUES (?, ?, ?, ?)",
                    params![venue, table, seconds, FEED_TOML],
                )
                .map(|_| ())
            })
        });
    written.doing("writing ops.slas")
}

const FEED_TOML: &str = "feed.toml";
const MDB_TOML: &str = "mdb.toml";

/// The same of what mdb.toml says; written only where that has changed.
pub(super) fn set_slas(conn: &Connection, slas: &[SlaSettings]) -> Result<()> {
    type Row = (Option<String>, Option<String>, f64);
    let wanted: Vec<Row> = slas
        .iter()
        .map(|sla| {
            (
                sla.venue.clone(),
                sla.table.clone(),
                sla.freshness.as_secs_f64(),
            )
        })
        .collect();
    let known: Vec<Row> = conn
        .prepare("SELECT venue, channel, seconds FROM ops.slas WHERE said_in = ? ORDER BY rowid")
        .and_then(|mut s| {
            s.query_map([MDB_TOML], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect()
        })
        .doing("reading ops.slas")?;
    if known == wanted {
        return Ok(());
    }
    conn.execute("DELETE FROM ops.slas WHERE said_in = ?", [MDB_TOML])
        .and_then(|_| {
            wanted.into_iter().try_for_each(|(venue, table, seconds)| {
                conn.execute(
                    "INSERT INTO ops.slas VALUES (?, ?, ?, ?)",
                    params![venue, table, seconds, MDB_TOML],
                )
                .map(|_| ())
            })
        })
        .doing("writing ops.slas")
}

/// The relations users query of a table, after it has got other rows.
pub(super) fn replace_views(conn: &Connection, catalog: &Catalog, table: &Table) -> Result<()> {
    replace_whole(conn, table)?;
    replace_valid(conn, catalog, table)?;
    leave_out_void(conn, catalog, table)
}

/// What users see of the tables that `voider` voids, after it has got its first row of a venue, or lost its last.
pub(super) fn leave_out_void(conn: &Connection, catalog: &Catalog, voider: &Table) -> Result<()> {
    for voided in catalog.voided_by(&voider.name) {
        replace_valid(conn, catalog, voided)?;
    }
    Ok(())
}

/// What users see of a table, as a relation of its hot rows and those in the given files of the lake, so that what it costs
/// does not grow with the lake. `voided` is whether rows that were taken back are in it.
pub(super) fn within(
    conn: &Connection,
    catalog: &Catalog,
    table: &Table,
    voided: bool,
    paths: &[String],
) -> Result<String> {
    let whole = if table.latest {
        // The latest row of a key may lie anywhere.
        format!("main.{}", table.whole())
    } else {
        let files =
            (!paths.is_empty()).then(|| parquet(&literals(paths.iter().map(String::as_str))));
        format!("({})", all_rows(table, files.as_deref()))
    };
    let valid = if voided {
        None
    } else {
        valid_rows(conn, catalog, table, &whole)?
    };
    Ok(valid.map_or(whole, |valid| format!("({valid})")))
}

/// The lake's files of a table, as a relation; `None` if there are none. `loaded` limits them to those that raw can
/// or cannot make again.
pub(super) fn lake_files(
    conn: &Connection,
    table: &Table,
    loaded: Option<bool>,
) -> Result<Option<String>> {
    let files: Vec<String> = conn
        .prepare_cached(
            "SELECT path FROM ops.manifest WHERE table_name = $1 AND loaded = coalesce($2, loaded) ORDER BY path",
        )
        .and_then(|mut s| {
            s.query_map(params![table.name, loaded], |row| row.get::<_, String>(0))
                .and_then(Iterator::collect)
        })
        .doing("reading the manifest")?;
    if files.is_empty() {
        return Ok(None);
    }
    Ok(Some(parquet(&literals(files.iter().map(String::as_str)))))
}

/// Files of the lake as a relation, given their paths as literals.
pub(super) fn parquet(paths: &str) -> String {
    format!("read_parquet([{paths}], hive_partitioning = false)")
}

/// All rows: hot ones, and the lake's files if there are any. If rows have only moved this is all that changes, and
/// gets in the way of no other transaction.
pub(super) fn replace_whole(conn: &Connection, table: &Table) -> Result<()> {
    let files = lake_files(conn, table, None)?;
    let mut body = all_rows(table, files.as_deref());
    if table.latest {
        body = newest_of_key(&body, &table.key, table.final_by.as_deref());
    }
    define(conn, table, &table.whole(), &body)
}

/// Hot rows, and those of the lake's files given.
fn all_rows(table: &Table, files: Option<&str>) -> String {
    let columns = table.select_list();
    let sides = SIDES.map(|side| format!("{side}.\"{}\"", table.name));
    let relations = sides.iter().map(String::as_str).chain(files);
    let selects = relations.map(|relation| format!("SELECT {columns} FROM {relation}"));
    selects.collect::<Vec<_>>().join(" UNION ALL ")
}

fn replace_valid(conn: &Connection, catalog: &Catalog, table: &Table) -> Result<()> {
    match valid_rows(conn, catalog, table, &format!("main.{}", table.whole()))? {
        Some(body) => define(conn, table, &table.name, &body),
        None => Ok(()),
    }
}

/// Of a table that another one voids, the rows of `whole` that are not; `None` of any other table. Rows of venues that
/// never took one back are not compared: while no venue has, counting millions of sealed rows takes no more than their
/// files' footers.
fn valid_rows(
    conn: &Connection,
    catalog: &Catalog,
    table: &Table,
    whole: &str,
) -> Result<Option<String>> {
    let Some(voider) = table.voided_by.as_deref().and_then(|by| catalog.get(by)) else {
        return Ok(None);
    };
    let body = format!("SELECT {} FROM {whole}", table.select_list());
    let venues = voiding_venues(conn, voider)?;
    if venues.is_empty() {
        return Ok(Some(body));
    }
    let venues = literals(venues.iter().map(String::as_str));
    let rows = format!("(FROM {whole} WHERE venue IN ({venues}))");
    let rows = not_voided(table, &rows, &format!("main.{}", voider.whole()));
    Ok(Some(format!(
        "{body} WHERE venue NOT IN ({venues}) UNION ALL {rows}"
    )))
}

/// The rows of a relation of a table's that no row of `voiding` takes back.
fn not_voided(table: &Table, rows: &str, voiding: &str) -> String {
    let same = table.key.iter().map(|c| format!("w.\"{c}\" = v.\"{c}\""));
    let same = same.collect::<Vec<_>>().join(" AND ");
    let time = table.time();
    format!(
        "SELECT w.* FROM {rows} w ANTI JOIN {voiding} v ON {same}
         AND (v.from_ts IS NULL OR w.{time} >= v.from_ts) AND (v.to_ts IS NULL OR w.{time} <= v.to_ts)"
    )
}

/// Makes `as_of` know a table: what users see of it, of the rows that were sealed in a version.
fn define_as_of(conn: &Connection, catalog: &Catalog, table: &Table) -> Result<()> {
    let sealed = |table: &Table| {
        let columns = table.select_list();
        let rows = format!(
            "SELECT {columns} FROM sealed_rows('{}', version)",
            table.name
        );
        if table.latest {
            newest_of_key(&rows, &table.key, table.final_by.as_deref())
        } else {
            rows
        }
    };
    let whole = sealed(table);
    let voider = table.voided_by.as_deref().and_then(|by| catalog.get(by));
    let valid = voider.map(|voider| {
        let (rows, voiding) = (format!("({whole})"), format!("({})", sealed(voider)));
        (&table.name, not_voided(table, &rows, &voiding))
    });
    for (name, rows) in [(&table.whole(), whole)].into_iter().chain(valid) {
        conn.execute_batch(&format!(
            "CREATE OR REPLACE MACRO ops.\"{AS_OF}{name}\"(version) AS TABLE {rows}"
        ))
        .doing(format!("creating {AS_OF}{name}"))?;
    }
    Ok(())
}

/// Venues that have rows in a table.
pub(super) fn voiding_venues(conn: &Connection, voider: &Table) -> Result<Vec<String>> {
    let whole = voider.whole();
    conn.prepare_cached(&format!(
        "SELECT DISTINCT venue FROM main.{whole} ORDER BY venue"
    ))
    .and_then(|mut s| {
        s.query_map([], |row| row.get(0))
            .and_then(Iterator::collect)
    })
    .doing(format!("reading {whole}"))
}

/// Makes `main.view` of `body`, which has the table's columns.
fn define(conn: &Connection, table: &Table, view: &str, body: &str) -> Result<()> {
    let mut sql = format!("CREATE OR REPLACE VIEW main.{view} AS {body};");
    // The file's own words become comments, for `.schema` and any other tool that shows them.
    sql += &comment(&format!("VIEW main.{view}"), &table.comment);
    for column in &table.columns {
        let of = format!("COLUMN main.{view}.\"{}\"", column.name);
        sql += &comment(&of, &column.comment);
    }
    conn.execute_batch(&sql)
        .doing(format!("replacing the view {view}"))
}

/// Makes a table of `main`, empty, of columns with these names and types. One of that name is replaced.
///
/// Not AS … LIMIT 0: of a table made so, DuckDB 2.0 shows no row of those inserted by several threads in the same
/// transaction until it is checkpointed.
pub(super) fn make_table(
    conn: &Connection,
    name: &str,
    columns: &[(String, String)],
) -> Result<()> {
    let columns = columns
        .iter()
        .map(|(column, sql_type)| format!("{} {sql_type}", identifier(column)));
    let columns = columns.collect::<Vec<_>>().join(", ");
    conn.execute_batch(&format!(
        "CREATE OR REPLACE TABLE main.{} ({columns})",
        identifier(name)
    ))
    .doing(format!("making the table {name}"))
}

/// A statement that gives an object its comment.
pub(super) fn comment(of: &str, text: &str) -> String {
    format!("COMMENT ON {of} IS {};", literal(text))
}
