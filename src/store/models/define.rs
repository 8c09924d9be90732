//! Makes a database hold the models that the SQL tree defines: views and macros as they are, marts as tables that a
//! build fills. A mart that has rows keeps them until then, whatever its file says now.

use std::collections::{BTreeMap, BTreeSet};

use duckdb::{Connection, params};

use super::super::catalog::Catalog;
use super::super::error::{Doing, Error, Result, in_file};
use super::super::schema::{comment, make_table};
use super::{Kind, Model, Models, Step, canonical, refused};
use crate::model::sql::{identifier, literal};
use crate::model::{BOOK_DELTAS, BOOK_TOPS, RAW_MESSAGES};
use crate::sqltree::{SqlFile, SqlTree};

/// Lines that stand before a file's text where it is run.
const LINES_BEFORE: usize = 1;

/// Drops what is no longer in the tree, and defines what is.
pub(in super::super) fn apply(conn: &Connection, tree: &SqlTree, catalog: &Catalog) -> Result<()> {
    let models = Models::load(conn, tree, catalog)?;
    drop_gone(conn, tree, &models)?;
    define(conn, &models, catalog)?;
    record(conn, &models, tree, catalog)
}

/// What is there already, looked up once: DuckDB lists its whole catalog at every question.
struct There {
    /// Tables of `main`, in lower case.
    tables: BTreeSet<String>,
    /// Those of them that are marts.
    marts: BTreeSet<String>,
    /// Columns of the relations that were asked for.
    columns: BTreeMap<String, Vec<(String, String)>>,
}

impl There {
    fn look(conn: &Connection) -> Result<Self> {
        let names = |sql: &str| -> Result<BTreeSet<String>> {
            conn.prepare(sql)
                .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
                .doing("reading the catalog")
        };
        Ok(Self {
            tables: names(
                "SELECT lower(table_name) FROM duckdb_tables()
                 WHERE database_name = current_database() AND schema_name = 'main'",
            )?,
            marts: names("SELECT lower(name) FROM ops.models")?,
            columns: BTreeMap::new(),
        })
    }

    fn has_column(&mut self, conn: &Connection, relation: &str, column: &str) -> Result<bool> {
        if !self.columns.contains_key(relation) {
            let describe = format!("DESCRIBE SELECT * FROM main.{}", identifier(relation));
            let found = columns(conn, &describe).doing(format!("reading {relation}"))?;
            self.columns.insert(relation.to_owned(), found);
        }
        let mut columns = self.columns.get(relation).into_iter().flatten();
        Ok(columns.any(|(name, _)| name == column))
    }
}

/// Notes the macros that were created, with their comments. Each must be named as its file is.
fn note_macros(conn: &Connection, files: &[&SqlFile]) -> Result<()> {
    let made: BTreeMap<String, String> = conn
        .prepare(
            "SELECT function_name, IF(function_type = 'table_macro', 'MACRO TABLE', 'MACRO') FROM duckdb_functions()
             WHERE schema_name = 'main' AND NOT internal AND function_type IN ('macro', 'table_macro')",
        )
        .and_then(|mut s| s.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
        .doing("reading the catalog")?;
    let mut comments = String::new();
    for file in files {
        let Some(kind) = made.get(&file.name) else {
            return Err(refused(
                file,
                format!(
                    "does not create the macro '{}' that it is named after",
                    file.name
                ),
            ));
        };
        let of = format!("{kind} main.{}", identifier(&file.name));
        comments += &comment(&of, &file.header.description);
    }
    let names: Vec<String> = files
        .iter()
        .map(|file| format!("({})", literal(&file.name)))
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    conn.execute_batch(&format!(
        "{comments} INSERT INTO ops.macros SELECT name FROM (VALUES {}) v(name) WHERE name NOT IN (FROM ops.macros)",
        names.join(", ")
    ))
    .doing("writing comments and ops.macros")
}

/// Drops macros, views and marts whose files are gone, and views and marts that have become the other of the two.
fn drop_gone(conn: &Connection, tree: &SqlTree, models: &Models) -> Result<()> {
    let made = |sql: &str| -> Result<Vec<String>> {
        conn.prepare(sql)
            .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
            .doing("reading ops.macros, ops.views and ops.models")
    };
    let macros = "SELECT DISTINCT name || '|' || IF(function_type = 'table_macro', 'TABLE', '')
                  FROM ops.macros JOIN duckdb_functions() ON function_name = name AND schema_name = 'main'
                  WHERE function_type IN ('macro', 'table_macro') AND NOT internal";
    for (name, table) in made(macros)?.iter().filter_map(|made| made.split_once('|')) {
        if !tree.folder("macros").any(|file| file.name == name) {
            conn.execute_batch(&format!("DROP MACRO {table} main.{}", identifier(name)))
                .and_then(|()| conn.execute("DELETE FROM ops.macros WHERE name = ?", [name]))
                .doing(format!("dropping the macro {name}"))?;
        }
    }
    for name in made("SELECT name FROM ops.views")? {
        if models.get(&name).is_none_or(Model::is_mart) {
            conn.execute_batch(&format!("DROP VIEW IF EXISTS main.{}", identifier(&name)))
                .doing(format!("dropping the view {name}"))?;
        }
    }
    for name in made("SELECT name FROM ops.models")? {
        match models.get(&name) {
            Some(mart) if mart.is_mart() => rename(conn, &name, &mart.name)?,
            other => drop_mart(conn, &name, other)?,
        }
    }
    Ok(())
}

/// What mdb notes of marts, and the column that names them.
const RECORDS: [(&str, &str); 5] = [
    ("models", "name"),
    ("builds", "model"),
    ("model_marks", "model"),
    ("model_pending", "model"),
    ("late_rows", "model"),
];

/// Gives a mart the name that its file has now, which is written with other capitals.
fn rename(conn: &Connection, name: &str, now: &str) -> Result<()> {
    if name == now {
        return Ok(());
    }
    conn.execute_batch(&format!(
        "ALTER TABLE IF EXISTS main.{} RENAME TO {}",
        identifier(name),
        identifier(now)
    ))
    .doing(format!("renaming the mart {name}"))?;
    for (records, column) in RECORDS {
        let sql = format!("UPDATE ops.{records} SET {column} = ? WHERE {column} = ?");
        conn.execute(&sql, [now, name])
            .doing("writing ops.models")?;
    }
    Ok(())
}

/// Drops a mart whose file is gone, or is that of a `view` now. One that holds what nothing can make again stays, and goes on
/// from there when its file is back.
fn drop_mart(conn: &Connection, name: &str, view: Option<&Model>) -> Result<()> {
    let table = format!("main.{}", identifier(name));
    if keeps_history(conn, name)? {
        let holds = "holds rows of times of which what they were made from was dropped, and that nothing can make again";
        if let Some(view) = view {
            return Err(refused(
                &view.file,
                format!(
                    "the mart '{name}' {holds}; name the view otherwise, and put the mart's file back or `DROP TABLE {table}`"
                ),
            ));
        }
        tracing::warn!(
            "the mart {name} has no file any more and {holds}: its table stays. Put its file back to go on with it \
             (sql/marts/{name}.sql), or drop it: mdb sql --write 'DROP TABLE {table}'"
        );
        // What has come meanwhile it was not told of: it will be made anew, but for these rows.
        return conn
            .execute("UPDATE ops.models SET built = '' WHERE name = ?", [name])
            .doing("writing ops.models")
            .map(|_| ());
    }
    conn.execute_batch(&format!("DROP TABLE IF EXISTS {table}"))
        .doing(format!("dropping the mart {name}"))?;
    for (records, column) in RECORDS {
        let sql = format!("DELETE FROM ops.{records} WHERE {column} = ?");
        conn.execute(&sql, [name]).doing("writing ops.models")?;
    }
    Ok(())
}

/// Rows have come into a table of the user's own: marts that read it, themselves or through views, are to be made anew.
pub(in super::super) fn own_table_changed(conn: &Connection, table: &str) -> Result<()> {
    conn.execute(
        "INSERT INTO ops.model_pending
         WITH RECURSIVE readers AS (
             SELECT name, kind FROM ops.lineage WHERE lower(upstream) = lower($1)
             UNION
             SELECT l.name, l.kind FROM ops.lineage l JOIN readers r ON lower(l.upstream) = lower(r.name) WHERE r.kind = 'view')
         SELECT DISTINCT m.name, NULL::BIGINT, NULL::BIGINT FROM readers JOIN ops.models m USING (name)",
        [table],
    )
    .doing("writing ops.model_pending")
    .map(|_| ())
}

/// Whether a mart was kept by windows when it was last built, and holds rows from before what was kept of the tables that it
/// is made from, itself or through views. Its file may be gone: this is told by what was noted of it, or decided before.
pub(in super::super) fn keeps_history(conn: &Connection, mart: &str) -> Result<bool> {
    let doing = || format!("reading how far back the mart {mart} goes");
    let (stays, kept_from_ns): (bool, Option<i64>) = conn
        .query_row(
            "WITH RECURSIVE reads AS (
                 SELECT lower(l.upstream) AS name FROM ops.lineage l JOIN ops.models m USING (name)
                 WHERE name = $1 AND l.kind NOT IN ('table', 'test') AND m.kind = 'incremental'
                 UNION
                 SELECT lower(l.upstream) FROM ops.lineage l JOIN reads r ON lower(l.name) = r.name WHERE l.kind = 'view')
             SELECT EXISTS (FROM ops.models WHERE name = $1 AND built = ''),
                    (SELECT max(epoch_ns(first_kept::TIMESTAMP_NS)) FROM ops.retained WHERE table_name IN (FROM reads))",
            [mart],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .doing(doing())?;
    let is_old = match kept_from_ns {
        _ if stays => "IS NOT NULL".to_owned(),
        Some(ns) => format!("< make_timestamp_ns({ns})"),
        None => return Ok(false),
    };
    // One of them is its `@time`.
    let times: Vec<String> = conn
        .prepare(
            "SELECT column_name FROM duckdb_columns()
             WHERE database_name = current_database() AND schema_name = 'main' AND table_name = ?
               AND data_type = 'TIMESTAMP_NS'",
        )
        .and_then(|mut s| s.query_map([mart], |row| row.get(0))?.collect())
        .doing(doing())?;
    if times.is_empty() {
        return Ok(false);
    }
    let old = times
        .iter()
        .map(|time| format!("{} {is_old}", identifier(time)));
    let sql = format!(
        "SELECT EXISTS (FROM main.{} WHERE {})",
        identifier(mart),
        old.collect::<Vec<_>>().join(" OR ")
    );
    conn.query_row(&sql, [], |row| row.get(0)).doing(doing())
}

/// Defines everything after what it reads. What is made from a mart whose columns are others now waits with its
/// definition before until that mart has been built: nothing may fail here, for that would end the transaction.
pub(in super::super) fn define(
    conn: &Connection,
    models: &Models,
    catalog: &Catalog,
) -> Result<()> {
    let mut there = There::look(conn)?;
    let (mut stale, mut macros) = (BTreeSet::new(), Vec::new());
    for step in &models.steps {
        let upstream = match step {
            Step::Model(at) => &models.all[*at].upstream,
            Step::Macro(of) => &of.upstream,
        };
        let waits = upstream.iter().any(|name| stale.contains(name));
        match step {
            Step::Macro(_) if waits => {}
            Step::Macro(of) => {
                let file = &of.file;
                conn.execute_batch(&file.text)
                    .map_err(|e| in_file(&file.origin, 0, &e))?;
                macros.push(file);
            }
            Step::Model(at) => {
                let model = &models.all[*at];
                if waits || !define_model(conn, model, models, catalog, &mut there)? {
                    stale.insert(model.name.to_lowercase());
                }
            }
        }
    }
    note_macros(conn, &macros)
}

/// Returns whether the columns are what the file says now.
fn define_model(
    conn: &Connection,
    model: &Model,
    models: &Models,
    catalog: &Catalog,
    there: &mut There,
) -> Result<bool> {
    if model.is_mart() {
        let current = define_mart(conn, model, there)?;
        check_windows(conn, model, models, catalog, there)?;
        return Ok(current);
    }
    let name = identifier(&model.name);
    let view = format!("CREATE OR REPLACE VIEW main.{name} AS\n{}", model.select());
    conn.execute_batch(&view)
        .map_err(|e| in_file(&model.file.origin, LINES_BEFORE, &e))?;
    let of = format!("VIEW main.{name}");
    conn.execute_batch(&comment(&of, &model.file.header.description))
        .doing("writing comments")?;
    Ok(true)
}

/// Makes a mart's table, empty, if there is none. Returns whether its columns are what the file says now.
fn define_mart(conn: &Connection, model: &Model, there: &There) -> Result<bool> {
    let probe = format!("SELECT * FROM (\n{}\n)", model.select());
    let columns = columns(conn, &format!("DESCRIBE {probe}"))
        .map_err(|e| in_file(&model.file.origin, LINES_BEFORE, &e))?;
    check_contract(model, &columns)?;
    check_named(model, &columns)?;
    let name = &model.name;
    let is_there = there.tables.contains(&name.to_lowercase());
    if is_there && !there.marts.contains(&name.to_lowercase()) {
        return Err(refused(
            &model.file,
            format!(
                "there is a table '{name}' of your own; name the file, and so the mart, otherwise"
            ),
        ));
    }
    if is_there {
        let stored = format!("DESCRIBE SELECT * FROM main.{}", identifier(name));
        let stored = self::columns(conn, &stored).doing(format!("reading the mart {name}"))?;
        return Ok(stored == columns);
    }
    create_with(conn, model, &columns)?;
    conn.execute(
        "INSERT INTO ops.models (name) SELECT $1 WHERE NOT EXISTS (FROM ops.models WHERE name = $1)",
        [name],
    )
    .doing("writing ops.models")?;
    Ok(true)
}

/// Makes a mart's table anew, empty, with its comments.
pub(in super::super) fn create_table(conn: &Connection, model: &Model) -> Result<()> {
    let describe = format!("DESCRIBE SELECT * FROM (\n{}\n)", model.select());
    let columns =
        columns(conn, &describe).map_err(|e| in_file(&model.file.origin, LINES_BEFORE, &e))?;
    create_with(conn, model, &columns)
}

fn create_with(conn: &Connection, model: &Model, columns: &[(String, String)]) -> Result<()> {
    let (name, header) = (&model.name, &model.file.header);
    make_table(conn, name, columns)?;
    let table = format!("main.{}", identifier(name));
    let mut comments = comment(&format!("TABLE {table}"), &header.description);
    for column in header
        .contract
        .iter()
        .filter(|column| !column.comment.is_empty())
    {
        let of = format!("COLUMN {table}.{}", identifier(&column.name));
        comments += &comment(&of, &column.comment);
    }
    conn.execute_batch(&comments).doing("writing comments")
}

/// Names and types of a DESCRIBE.
pub(in super::super) fn columns(
    conn: &Connection,
    describe: &str,
) -> duckdb::Result<Vec<(String, String)>> {
    conn.prepare(describe)?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

fn check_contract(model: &Model, columns: &[(String, String)]) -> Result<()> {
    let promised = &model.file.header.contract;
    if promised.is_empty() {
        return Ok(());
    }
    let broken = |line: usize, message: String| {
        Err(Error::Sql {
            file: model.file.origin.clone(),
            line,
            message,
        })
    };
    for (i, promise) in promised.iter().enumerate() {
        let (name, sql_type) = (&promise.name, &promise.sql_type);
        match columns.get(i) {
            Some((made, made_type)) if made == name && made_type == sql_type => {}
            Some((made, made_type)) => {
                return broken(
                    promise.line,
                    format!(
                        "@column {name} {sql_type} is promised as column {}, and the SELECT gives {made} {made_type}",
                        i + 1
                    ),
                );
            }
            None => {
                return broken(
                    promise.line,
                    format!("@column {name} is promised, and the SELECT has no such column"),
                );
            }
        }
    }
    match columns.get(promised.len()) {
        Some((made, _)) => broken(
            promised[promised.len() - 1].line,
            format!("the SELECT has a column {made} that no @column promises"),
        ),
        None => Ok(()),
    }
}

/// The columns that the tags name must be there.
fn check_named(model: &Model, columns: &[(String, String)]) -> Result<()> {
    let has = |name: &str| columns.iter().find(|(column, _)| column == name);
    if let Some(lacking) = model
        .file
        .header
        .key
        .iter()
        .find(|name| has(name).is_none())
    {
        return Err(refused(
            &model.file,
            format!("@key names '{lacking}', which is no column of its SELECT"),
        ));
    }
    let Kind::Incremental { time, .. } = &model.kind else {
        return Ok(());
    };
    match has(time) {
        Some((_, sql_type)) if sql_type == "TIMESTAMP_NS" => Ok(()),
        Some((_, sql_type)) => Err(refused(
            &model.file,
            format!("@time names '{time}', which is a {sql_type} and must be a TIMESTAMP_NS"),
        )),
        None => Err(refused(
            &model.file,
            format!("@time names '{time}', which is no column of its SELECT"),
        )),
    }
}

/// What an incremental mart reads by window must have a time.
fn check_windows(
    conn: &Connection,
    model: &Model,
    models: &Models,
    catalog: &Catalog,
    there: &mut There,
) -> Result<()> {
    if !matches!(model.kind, Kind::Incremental { .. }) {
        return Ok(());
    }
    for name in &model.upstream {
        if model.file.header.whole.contains(name) {
            continue;
        }
        let time = models.time_of(catalog, name);
        if !there.has_column(conn, name, &time)? {
            return Err(refused(
                &model.file,
                format!(
                    "reads {name} by window, which has no column '{time}'; where it is to be read as a whole, say `-- @whole {name}`"
                ),
            ));
        }
    }
    Ok(())
}

impl Models {
    /// The column by which a relation is cut into windows.
    pub(in super::super) fn time_of(&self, catalog: &Catalog, relation: &str) -> String {
        if let Some(table) = canonical(catalog, relation) {
            return table.time().to_owned();
        }
        match self.get(relation).map(|model| &model.kind) {
            Some(Kind::Incremental { time, .. }) => time.clone(),
            _ => "ts".to_owned(),
        }
    }

    /// The name that people know a relation by, as its file is named, given in lower case.
    fn called<'a>(&'a self, catalog: &'a Catalog, relation: &'a str) -> &'a str {
        match canonical(catalog, relation) {
            Some(table) => &table.name,
            None => self
                .get(relation)
                .map_or(relation, |model| model.name.as_str()),
        }
    }
}

/// Notes what there is, and what it is made from.
fn record(conn: &Connection, models: &Models, tree: &SqlTree, catalog: &Catalog) -> Result<()> {
    let doing = "writing ops.views, ops.models and ops.lineage";
    conn.execute_batch("DELETE FROM ops.views; DELETE FROM ops.lineage")
        .doing(doing)?;
    let mut edges = Vec::new();
    let mut edge = |name: &str, kind: &str, upstream: Option<&str>, by: &str| {
        let upstream = upstream.map_or("NULL".to_owned(), literal);
        edges.push(format!(
            "({}, '{kind}', {upstream}, {})",
            literal(name),
            literal(by)
        ));
    };
    for model in models.iter() {
        let (name, kind) = (&model.name, model.kind.name());
        if model.is_mart() {
            conn.execute(
                "UPDATE ops.models SET defined = ? WHERE name = ?",
                params![model.definition, name],
            )
        } else {
            conn.execute("INSERT INTO ops.views VALUES (?)", [name])
        }
        .doing(doing)?;
        if model.upstream.is_empty() && model.own_tables.is_empty() {
            edge(name, kind, None, &model.file.origin);
        }
        for own in &model.own_tables {
            edge(name, kind, Some(own), &model.file.origin);
        }
        for upstream in &model.upstream {
            let upstream = models.called(catalog, upstream);
            edge(name, kind, Some(upstream), &model.file.origin);
        }
    }
    for table in catalog.iter() {
        let upstream = (table.name == BOOK_TOPS).then_some(BOOK_DELTAS);
        let by = upstream.map_or("", |_| "the book engine");
        edge(&table.name, "table", upstream, by);
        if let Some(voider) = &table.voided_by {
            edge(&table.name, "table", Some(voider), "@voided_by");
        }
    }
    for test in &models.tests {
        for upstream in &test.upstream {
            let upstream = models.called(catalog, upstream);
            edge(&test.file.name, "test", Some(upstream), &test.file.origin);
        }
    }
    for venue in tree.subfolders("venues") {
        for file in tree.folder(&format!("venues/{venue}")) {
            if catalog.get(&file.name).is_some() {
                edge(&file.name, "table", Some(RAW_MESSAGES), &file.origin);
            }
        }
    }
    conn.execute_batch(&format!(
        "INSERT INTO ops.lineage VALUES {}",
        edges.join(", ")
    ))
    .doing(doing)
}
