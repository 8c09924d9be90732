//! What the database file holds: mdb's own records, the hot tables, and the views that users query.

use duckdb::{Connection, OptionalExt, params};

use super::catalog::{Catalog, Table};
use super::error::{Doing, Error, Result, in_file};
use crate::sqltree::{SqlFile, SqlTree};

/// mdb's own records.
const OPS: &str = "
    CREATE SCHEMA IF NOT EXISTS hot;
    CREATE SCHEMA IF NOT EXISTS ops;
    -- One row: which SQL tree the objects were made from.
    CREATE TABLE IF NOT EXISTS ops.meta (key VARCHAR NOT NULL, value VARCHAR NOT NULL);
    -- The lake: one row a file that is part of it.
    CREATE TABLE IF NOT EXISTS ops.manifest (
        table_name VARCHAR NOT NULL, date DATE NOT NULL, path VARCHAR NOT NULL, first_seq UBIGINT, last_seq UBIGINT,
        rows UBIGINT NOT NULL, bytes UBIGINT NOT NULL, min_ts TIMESTAMP_NS NOT NULL, max_ts TIMESTAMP_NS NOT NULL,
        blake3 VARCHAR NOT NULL);
    -- Of rows loaded from a vendor's file: no raw message can make them again.
    ALTER TABLE ops.manifest ADD COLUMN IF NOT EXISTS loaded BOOLEAN DEFAULT false;
    -- Lake files about to get their names: what the manifest does not name of them after a crash is swept.
    CREATE TABLE IF NOT EXISTS ops.incoming (path VARCHAR NOT NULL);
    -- Lake files that others have taken the place of, or that were dropped: removed once nobody can be reading them.
    CREATE TABLE IF NOT EXISTS ops.outgoing (path VARCHAR NOT NULL);
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
";

/// Whether mdb's own tables are there; false for a new database.
pub(super) fn is_made(conn: &Connection) -> Result<bool> {
    let made = conn
        .query_row(
            "SELECT 1 FROM duckdb_tables() WHERE schema_name = 'ops' AND table_name = 'meta'",
            [],
            |_| Ok(()),
        )
        .optional()
        .doing("reading the catalog")?;
    Ok(made.is_some())
}

/// Whether the database holds what the tree says. Asked at every start, so it is one small query.
pub(super) fn is_current(conn: &Connection, tree: &SqlTree) -> Result<bool> {
    let sql = "SELECT value FROM ops.meta WHERE key = 'sql_tree'";
    match conn
        .query_row(sql, [], |row| row.get::<_, String>(0))
        .optional()
    {
        Ok(made_from) => Ok(made_from == Some(source(tree))),
        // A new database has no such table.
        Err(error) if error.to_string().starts_with("Catalog Error") => Ok(false),
        Err(error) => Err(error).doing("reading ops.meta"),
    }
}

/// What a database's objects are made from: the tree, and mdb's own tables.
fn source(tree: &SqlTree) -> String {
    let own = blake3::hash(OPS.as_bytes()).to_hex();
    format!("{} {own}", tree.hash())
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
        replace_whole(&tx, table)?;
    }
    // They build on two of the others.
    for table in catalog.iter() {
        replace_valid(&tx, &catalog, table)?;
    }
    drop_models_of_old(&tx)?;
    create_models(&tx, tree, &catalog)?;
    tx.execute_batch("DELETE FROM ops.meta WHERE key = 'sql_tree'")
        .doing("writing ops.meta")?;
    tx.execute(
        "INSERT INTO ops.meta VALUES ('sql_tree', ?)",
        [source(tree)],
    )
    .doing("writing ops.meta")?;
    tx.commit().doing("applying the SQL tree")?;
    // In the file, so that even a damaged log leaves a database.
    match conn.execute_batch("CHECKPOINT") {
        // Another transaction is in its way, beside a capture: the log holds it as well.
        Err(error) if error.to_string().contains("Cannot CHECKPOINT") => Ok(()),
        done => done.doing("writing the database file"),
    }
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
    Ok(Some(parquet(&quoted(files.iter().map(String::as_str)))))
}

/// Files of the lake as a relation, given their [quoted] paths.
pub(super) fn parquet(paths: &str) -> String {
    format!("read_parquet([{paths}], hive_partitioning = false)")
}

/// Texts as SQL has them, with commas between them.
pub(super) fn quoted<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let texts = texts.map(|text| format!("'{}'", text.replace('\'', "''")));
    texts.collect::<Vec<_>>().join(", ")
}

/// All rows: hot ones, and the lake's files if there are any. If rows have only moved this is all that changes, and
/// gets in the way of no other transaction.
pub(super) fn replace_whole(conn: &Connection, table: &Table) -> Result<()> {
    let columns = table.select_list();
    let mut body = format!("SELECT {columns} FROM hot.{}", table.name);
    if let Some(files) = lake_files(conn, table, None)? {
        body = format!("{body} UNION ALL SELECT {columns} FROM {files}");
    }
    if table.latest {
        body = format!(
            "SELECT * FROM ({body}) QUALIFY row_number() OVER (PARTITION BY {} ORDER BY recv_ts DESC, seq DESC) = 1",
            table.key_list()
        );
    }
    define(conn, table, &table.whole(), &body)
}

/// Of a table that another one voids, the rows that are not. Rows of venues that never took one back are not
/// compared: while no venue has, counting millions of sealed rows takes no more than their files' footers.
fn replace_valid(conn: &Connection, catalog: &Catalog, table: &Table) -> Result<()> {
    let Some(voider) = table.voided_by.as_deref().and_then(|by| catalog.get(by)) else {
        return Ok(());
    };
    let (columns, whole) = (table.select_list(), table.whole());
    let mut body = format!("SELECT {columns} FROM main.{whole}");
    let venues = voiding_venues(conn, voider)?;
    if !venues.is_empty() {
        let venues: Vec<String> = venues
            .iter()
            .map(|venue| format!("'{}'", venue.replace('\'', "''")))
            .collect();
        let venues = venues.join(", ");
        let same = table.key.iter().map(|c| format!("w.\"{c}\" = v.\"{c}\""));
        let same = same.collect::<Vec<_>>().join(" AND ");
        let time = table.time();
        body = format!(
            "{body} WHERE venue NOT IN ({venues})
             UNION ALL
             SELECT w.* FROM (FROM main.{whole} WHERE venue IN ({venues})) w ANTI JOIN main.{} v ON {same}
             AND (v.from_ts IS NULL OR w.{time} >= v.from_ts) AND (v.to_ts IS NULL OR w.{time} <= v.to_ts)",
            voider.whole()
        );
    }
    define(conn, table, &table.name, &body)
}

/// Venues that have rows in a table.
pub(super) fn voiding_venues(conn: &Connection, voider: &Table) -> Result<Vec<String>> {
    let whole = voider.whole();
    conn.prepare(&format!(
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

fn comment(of: &str, text: &str) -> String {
    format!("COMMENT ON {of} IS '{}';", text.replace('\'', "''"))
}

fn drop_models_of_old(conn: &Connection) -> Result<()> {
    let statements: Vec<String> = conn
        .prepare(
            "SELECT format('DROP VIEW IF EXISTS main.\"{}\"', name) FROM ops.views
             UNION ALL SELECT DISTINCT format('DROP MACRO {} main.\"{}\"', IF(function_type = 'table_macro', 'TABLE', ''), name)
             FROM ops.macros JOIN duckdb_functions() ON function_name = name AND schema_name = 'main'
             WHERE function_type IN ('macro', 'table_macro') AND NOT internal",
        )
        .and_then(|mut s| {
            s.query_map([], |row| row.get(0))
                .and_then(Iterator::collect)
        })
        .doing("reading ops.views and ops.macros")?;
    for statement in statements {
        conn.execute_batch(&statement).doing(statement)?;
    }
    conn.execute_batch("DELETE FROM ops.views; DELETE FROM ops.macros")
        .doing("writing ops.views and ops.macros")
}

/// Views and macros may build on one another: those that fail are tried again as long as others succeed.
fn create_models(conn: &Connection, tree: &SqlTree, catalog: &Catalog) -> Result<()> {
    let taken = |name: &str| catalog.iter().any(|t| t.name == name || t.whole() == name);
    if let Some(file) = tree.folder("views").find(|f| taken(&f.name)) {
        return Err(Error::Model {
            file: file.origin.clone(),
            message: format!(
                "'{}' is a canonical table; name the file, and so the view, otherwise",
                file.name
            ),
        });
    }
    let views = tree.folder("views").map(|file| (Kind::View, file));
    let macros = tree.folder("macros").map(|file| (Kind::Macro, file));
    let mut waiting: Vec<(Kind, &SqlFile)> = views.chain(macros).collect();
    while !waiting.is_empty() {
        let mut failed = Vec::new();
        for (kind, file) in &waiting {
            // A failed statement ends the transaction: try each where it may fail.
            match creatable(conn, file) {
                Ok(()) => create_model(conn, *kind, file)?,
                Err(error) => failed.push(((*kind, *file), error)),
            }
        }
        if failed.len() == waiting.len() {
            let ((_, file), error) = &failed[0];
            return Err(in_file(&file.origin, 0, error));
        }
        waiting = failed.into_iter().map(|(model, _)| model).collect();
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Kind {
    View,
    Macro,
}

/// Binds the file's statement without running it.
fn creatable(conn: &Connection, file: &SqlFile) -> Result<(), duckdb::Error> {
    conn.prepare(&file.text).map(|_| ())
}

fn create_model(conn: &Connection, kind: Kind, file: &SqlFile) -> Result<()> {
    conn.execute_batch(&file.text)
        .map_err(|e| in_file(&file.origin, 0, &e))?;
    let (word, made, record) = match kind {
        Kind::View => (
            "view",
            "SELECT 'VIEW' FROM duckdb_views() WHERE schema_name = 'main' AND view_name = ?",
            "INSERT INTO ops.views VALUES (?)",
        ),
        Kind::Macro => (
            "macro",
            "SELECT IF(function_type = 'table_macro', 'MACRO TABLE', 'MACRO') FROM duckdb_functions()
             WHERE schema_name = 'main' AND function_name = ? AND function_type IN ('macro', 'table_macro')",
            "INSERT INTO ops.macros VALUES (?)",
        ),
    };
    let made: Option<String> = conn
        .query_row(made, [&file.name], |row| row.get(0))
        .optional()
        .doing("reading the catalog")?;
    let Some(made) = made else {
        return Err(Error::Model {
            file: file.origin.clone(),
            message: format!(
                "does not create the {word} '{}' that it is named after",
                file.name
            ),
        });
    };
    conn.execute_batch(&comment(
        &format!("{made} main.\"{}\"", file.name),
        &file.header.description,
    ))
    .doing("writing comments")?;
    conn.execute(record, [&file.name])
        .doing("writing ops.views and ops.macros")?;
    Ok(())
}
