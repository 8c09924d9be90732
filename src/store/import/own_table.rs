//! Files into a table of the user's own: its columns are the file's, and DuckDB reads and writes by itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use duckdb::{Connection, OptionalExt, params};

use super::guard::Drift;
use super::{IfExists, Import, Imported, Shape, folders, grown, refused, relation, values};
use crate::model::sql::{identifier, literal};
use crate::sources::files::{Format, Input, Packing};
use crate::store::error::{Doing, Result};
use crate::store::{models, schema};

/// How often it is looked whether a load is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Loads a file into `main.<table>`, which is made if it is not there.
pub(super) fn load(
    conn: &Connection,
    input: &Input,
    import: &Import,
    stop: &AtomicBool,
) -> Result<Imported> {
    let table = import.into.clone().unwrap_or_default();
    if !table.chars().all(|c| c.is_alphanumeric() || c == '_') || table.is_empty() {
        return Err(refused(
            input,
            format!("'{table}' is no name for a table: letters, digits and _"),
        ));
    }
    check_own(conn, input, &table)?;
    conn.execute_batch("BEGIN").doing("beginning a load")?;
    let loaded = interruptible(conn, stop, || in_transaction(conn, input, import, &table));
    let stopped = stop.load(Ordering::Relaxed);
    if stopped || loaded.is_err() {
        let _ = conn.execute_batch("ROLLBACK");
    }
    if stopped {
        return Ok(Imported {
            table,
            stopped,
            ..Imported::default()
        });
    }
    let imported = loaded?;
    conn.execute_batch("COMMIT").doing("committing a load")?;
    Ok(imported)
}

/// Does something with DuckDB that is interrupted when it is to stop.
fn interruptible<T>(conn: &Connection, stop: &AtomicBool, work: impl FnOnce() -> T) -> T {
    let handle = conn.interrupt_handle();
    let (ended, end) = channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while end.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                // Again and again: between two statements it is not heard.
                if stop.load(Ordering::Relaxed) {
                    handle.interrupt();
                }
            }
        });
        let done = work();
        drop(ended);
        done
    })
}

fn in_transaction(
    conn: &Connection,
    input: &Input,
    import: &Import,
    table: &str,
) -> Result<Imported> {
    let doing = || format!("loading {}", input.label);
    let mut imported = Imported {
        table: table.to_owned(),
        ..Imported::default()
    };
    let said = format!("{:?}{}", import.shape, input.folder_path());
    let shape = blake3::hash(said.as_bytes()).to_hex();
    let shape = &shape[..16];
    let mark = format!("{}-{shape}", super::content_hash(input)?);
    let known: bool = conn
        .query_row(
            "SELECT 1 FROM ops.file_loads WHERE mark = ? AND lower(into_table) = lower(?) LIMIT 1",
            params![mark, table],
            |_| Ok(()),
        )
        .optional()
        .doing("reading ops.file_loads")?
        .is_some();
    let there = exists(conn, table)?;
    match import.if_exists {
        IfExists::Skip if known && there => {
            imported.already = true;
            return Ok(imported);
        }
        IfExists::Fail if there => {
            return Err(refused(
                input,
                format!("the table {table} is there, and --if-exists says fail"),
            ));
        }
        IfExists::Replace if there => {
            conn.execute_batch(&format!("DROP TABLE main.{}", identifier(table)))
                .doing(doing())?;
        }
        _ => {}
    }
    if import.if_exists == IfExists::Skip && there {
        imported.known = grown::rows_before(conn, input, table, shape)?;
    }
    let mut select = select(conn, input, import)?;
    let now = relation::described(conn, &format!("({select})"), input)?;
    if exists(conn, table)? {
        let before = relation::described(conn, &format!("main.{}", identifier(table)), input)?;
        let now = narrow(conn, &before, now);
        if let Some(drift) = Drift::between(&before, &now) {
            if !import.evolve {
                return Err(refused(
                    input,
                    format!(
                        "its columns are not those of {table}:\n{drift}\n  hint: --evolve adds columns and widens types. Nothing of it was loaded"
                    ),
                ));
            }
            evolve(conn, table, &drift, input)?;
            imported.drift = Some(drift);
        }
    } else {
        // What was loaded into one that is gone is not in this one.
        conn.execute(
            "DELETE FROM ops.file_loads WHERE lower(into_table) = lower(?)",
            [table],
        )
        .doing(doing())?;
        schema::make_table(conn, table, &now)?;
    }
    if imported.known > 0 {
        // DuckDB keeps to the order of the file.
        select = format!("{select} OFFSET {}", imported.known);
    }
    let new = conn
        .execute(
            &format!("INSERT INTO main.{} BY NAME {select}", identifier(table)),
            [],
        )
        .map_err(|error| relation::unread(input, &error))?;
    let rows = imported.known + new as u64;
    if rows == 0 {
        return Err(refused(input, "it has no rows"));
    }
    imported.new = new as u64;
    conn.execute(
        "INSERT INTO ops.file_loads VALUES (?, ?, ?, ?, ?, NULL)",
        params![mark, input.label, input.bytes, table, rows],
    )
    .doing("writing ops.file_loads")?;
    models::own_table_changed(conn, table)?;
    Ok(imported)
}

/// The file's rows as the user shapes them.
fn select(conn: &Connection, input: &Input, import: &Import) -> Result<String> {
    let csv = relation::csv(input, &import.shape)?;
    let Some(reader) = own_reader(input, import, csv.as_ref()) else {
        return Err(refused(
            input,
            "Arrow and DBN files go into the canonical tables; for a table of your own export them to Parquet first",
        ));
    };
    let (reader, columns) = if input.format == Format::Json {
        relation::whole_json(conn, reader, input)?
    } else {
        let columns = relation::described(conn, &reader, input)?;
        (reader, columns)
    };
    let said = match input.format {
        // As the user says it is, and not as DuckDB guesses.
        Format::Csv(_) | Format::Json => said(&columns, import),
        _ => Vec::new(),
    };
    let mut in_file = columns;
    in_file.retain(|(column, _)| !folders::is_folder(input, column));
    let reader = values::exact(conn, input, &reader, &in_file, &said)?;
    let columns = relation::described(conn, &reader, input)?;
    relation::check_shape(&columns, &import.shape, input)?;
    let list: Vec<String> = relation::shaped(&columns, &import.shape)
        .iter()
        .map(|(column, sql)| format!("{sql} AS {}", identifier(column)))
        .collect();
    Ok(format!("SELECT {} FROM {reader}", list.join(", ")))
}

/// Columns, as the file calls them, whose texts the user says the type of: times that are written as is said, and what
/// would lose digits, or zeros, on its way through another type.
fn said(columns: &[(String, String)], import: &Import) -> Vec<String> {
    let shape = &import.shape;
    let without_set = Shape {
        set: Vec::new(),
        ..shape.clone()
    };
    let shaped = relation::shaped(columns, &without_set);
    let is_said = |name: &str, told: &str| {
        shape.cast.iter().any(|(column, to)| {
            let to = to.to_uppercase();
            let is_time = to.starts_with("TIMESTAMP") || to == "DATE";
            let is_text = ["VARCHAR", "TEXT", "STRING"].contains(&to.as_str());
            let is_exact = to.starts_with("DECIMAL")
                || to.starts_with("NUMERIC")
                || to.ends_with("INT")
                || to == "INTEGER";
            let is_number = ["BIGINT", "HUGEINT", "BIGNUM", "DOUBLE"].contains(&told);
            column.eq_ignore_ascii_case(name)
                && !told.contains(['(', '['])
                && (is_text || (is_exact && is_number) || (is_time && shape.date_format.is_some()))
        })
    };
    let both = columns.iter().zip(shaped);
    both.filter(|((_, told), (name, _))| is_said(name, told))
        .map(|((column, _), _)| column.clone())
        .collect()
}

/// As for a canonical table, but the types of a text file's columns are told from what stands in them.
fn own_reader(
    input: &Input,
    import: &Import,
    csv: Option<&crate::sources::files::Csv>,
) -> Option<String> {
    let Some(csv) = csv else {
        return relation::reader(input, import, None, false);
    };
    let packing = match input.packing {
        Packing::None => "none",
        Packing::Gzip => "gzip",
        Packing::Zstd => "zstd",
    };
    debug_assert!(matches!(input.format, Format::Csv(_)));
    let names: Vec<String> = import.shape.columns.iter().map(|c| literal(c)).collect();
    let names = if names.is_empty() || csv.header {
        String::new()
    } else {
        format!(", names = [{}]", names.join(", "))
    };
    // DuckDB would pass over lines that have fewer fields than those below them. A title may be one of these.
    let skip = if csv.first.len() > 1 {
        ", skip = 0"
    } else {
        ""
    };
    // … and, if a line begins with #, over all that follows one in any line.
    Some(format!(
        "read_csv({}, delim = {}, quote = '\"', escape = '\"', comment = '', header = {}, compression = '{packing}'{names}{skip}{})",
        relation::path(&input.data),
        literal(&csv.delimiter.to_string()),
        csv.header,
        folders::option(input),
    ))
}

/// The columns of a file, where a type of the table's holds theirs as the table's.
fn narrow(
    conn: &Connection,
    before: &[(String, String)],
    now: Vec<(String, String)>,
) -> Vec<(String, String)> {
    let holds = |wide: &str, other: &str| widest(conn, wide, other).is_some_and(|t| t == wide);
    now.into_iter()
        .map(|(column, sql_type)| {
            let own = before.iter().find(|(c, _)| c.eq_ignore_ascii_case(&column));
            match own {
                Some((_, wide)) if holds(wide, &sql_type) => (column, wide.clone()),
                _ => (column, sql_type),
            }
        })
        .collect()
}

/// The type that holds what either does, if there is one.
fn widest(conn: &Connection, one: &str, other: &str) -> Option<String> {
    // DuckDB does not widen these by itself. All are UTC.
    const FINER: [(&str, &str); 3] = [
        ("TIMESTAMP WITH TIME ZONE", "TIMESTAMP_NS"),
        ("TIMESTAMPTZ_NS", "TIMESTAMP_NS"),
        ("TIME", "TIME_NS"),
    ];
    let finer = FINER
        .iter()
        .find(|pair| **pair == (one, other) || **pair == (other, one));
    if let Some((_, finer)) = finer {
        return Some((*finer).to_owned());
    }
    let sql = format!("SELECT typeof(coalesce(NULL::{one}, NULL::{other}))");
    conn.query_row(&sql, [], |row| row.get(0)).ok()
}

/// What mdb makes itself is nobody's table: a mart would lose the history it keeps.
fn check_own(conn: &Connection, input: &Input, table: &str) -> Result<()> {
    let made: Option<String> = conn
        .query_row(
            "SELECT IF(table_type = 'VIEW', 'view', 'mart') FROM information_schema.tables
             WHERE table_schema = 'main' AND lower(table_name) = lower($1)
             AND (table_type = 'VIEW' OR lower(table_name) IN (SELECT lower(name) FROM ops.models))",
            [table],
            |row| row.get(0),
        )
        .optional()
        .doing("reading the catalog")?;
    made.map_or(Ok(()), |made| {
        Err(refused(
            input,
            format!("{table} is a {made}, and no table of your own; say another name with --into"),
        ))
    })
}

fn exists(conn: &Connection, table: &str) -> Result<bool> {
    conn.query_row(
        "SELECT 1 FROM information_schema.tables WHERE table_schema = 'main' AND lower(table_name) = lower(?)",
        [table],
        |_| Ok(()),
    )
    .optional()
    .doing("reading the catalog")
    .map(|found| found.is_some())
}

/// Adds the columns that are new, and widens those whose type has changed.
fn evolve(conn: &Connection, table: &str, drift: &Drift, input: &Input) -> Result<()> {
    for change in &drift.changes {
        let sql = match change {
            (None, Some((column, sql_type))) => {
                format!(
                    "ALTER TABLE main.{} ADD COLUMN {} {sql_type}",
                    identifier(table),
                    identifier(column)
                )
            }
            (Some((column, before)), Some((_, now))) => {
                let wide = widest(conn, before, now).ok_or_else(|| {
                    refused(
                        input,
                        format!("'{column}' was {before} and is {now}: no type holds both"),
                    )
                })?;
                format!(
                    "ALTER TABLE main.{} ALTER {} TYPE {wide}",
                    identifier(table),
                    identifier(column)
                )
            }
            // A column that the file lacks is NULL in its rows.
            (_, None) => continue,
        };
        conn.execute_batch(&sql)
            .doing(format!("changing {table}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::super::MAX_ERRORS;
    use super::*;
    use crate::config::Settings;
    use crate::sources::files::sources;
    use crate::store::{Purpose, Store};

    #[test]
    fn rows_that_several_threads_load_are_seen_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&Settings::new(dir.path()), Purpose::Ingest).unwrap();
        let mut text = "a,b\n".to_owned();
        for n in 0..200_000 {
            writeln!(text, "{n},1").unwrap();
        }
        let file = dir.path().join("large.csv");
        std::fs::write(&file, text).unwrap();
        let input = sources(&file).unwrap()[0].open(dir.path()).unwrap();
        let import = Import {
            dialect: "auto".to_owned(),
            into: Some("mine".to_owned()),
            venue: None,
            symbol: None,
            date: None,
            defaults: Vec::new(),
            shape: Shape::default(),
            if_exists: IfExists::default(),
            max_errors: MAX_ERRORS,
            evolve: false,
            memory_bytes: None,
            threads: Some(2),
        };
        let stopped = store.import(&input, &import, &AtomicBool::new(true), &mut |_| {});
        assert!(stopped.unwrap().stopped);
        assert!(!exists(&store.conn, "mine").unwrap());
        let imported = store.import(&input, &import, &AtomicBool::new(false), &mut |_| {});
        assert_eq!(imported.unwrap().new, 200_000);
        let seen: (i64, i64) = store
            .conn
            .query_row("SELECT count(*), sum(b)::BIGINT FROM mine", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!(seen, (200_000, 200_000));
    }
}
