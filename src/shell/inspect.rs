//! Commands that tell what there is: tables, columns, functions, settings.

use super::{Failure, Shell};
use crate::model::sql::{identifier, literal};
use crate::query::{Error, Session, Source};

/// Tables and views under the names by which one reaches them.
const RELATIONS: &str = "\
    SELECT database_name, schema_name, table_name, \
           if(schema_name = current_schema(), '', schema_name || '.') || table_name AS name, \
           kind, columns, comment, sql \
    FROM (SELECT database_name, schema_name, table_name, 'table' AS kind, column_count AS columns, comment, sql \
          FROM duckdb_tables() WHERE NOT internal \
          UNION ALL \
          SELECT database_name, schema_name, view_name, 'view', column_count, comment, sql \
          FROM duckdb_views() WHERE NOT internal)";

/// Of a function: its parameters in one overload, what it returns, and the first sentence said of it.
const FUNCTIONS: &str = "\
    SELECT function_name AS name, any_value(function_type) AS kind, \
           array_to_string(arg_min(parameters, len(parameters)), ', ') AS parameters, \
           any_value(coalesce(description, split_part(comment, '. ', 1))) AS what, \
           bool_or(NOT internal AND function_type LIKE '%macro') AS own \
    FROM duckdb_functions() WHERE schema_name <> 'ops' AND regexp_full_match(function_name, '[a-z_][a-z0-9_]*') \
    GROUP BY function_name";

impl Shell<'_> {
    /// Shows the answer to a question of the shell's own.
    pub(super) fn show(&mut self, sql: &str) -> Result<(), Failure> {
        let source = Source {
            name: None,
            text: sql,
        };
        self.printer.script(&mut self.session, source)
    }

    pub(super) fn tables(&mut self, pattern: Option<&str>) -> Result<(), Failure> {
        let query = tables_query(&mut self.session, pattern).map_err(failed)?;
        // A cast would round to the nearest second. Bytes are known of files alone.
        let second = |column: &str| {
            format!("strftime({column}, '%Y-%m-%d %H:%M:%S')::TIMESTAMP_S AS {column}")
        };
        self.show(&format!(
            "SELECT name, kind, rows, nullif(bytes, 0) AS bytes, {}, {}, columns, comment FROM ({query}) ORDER BY name",
            second("\"from\""),
            second("\"to\"")
        ))
    }

    pub(super) fn schema(&mut self, table: Option<&str>) -> Result<(), Failure> {
        let wanted = table.map_or_else(|| "schema_name = current_schema()".to_owned(), is_called);
        let sql = format!("SELECT sql FROM ({RELATIONS}) WHERE {wanted} ORDER BY name");
        let rows = self.ask(&sql)?;
        if let (Some(table), true) = (table, rows.is_empty()) {
            let names = self.ask(&format!("SELECT name FROM ({RELATIONS})"))?;
            let names: Vec<String> = names.into_iter().flatten().flatten().collect();
            let meant = crate::query::meant(table, names.iter().map(String::as_str));
            let hint = meant.map_or(".tables lists them".to_owned(), |meant| {
                format!("did you mean {meant}?")
            });
            return Err(Failure::Report(format!(
                "error: there is no table or view {table}\nhint: {hint}\n"
            )));
        }
        if let Some(table) = table {
            return self.columns(table);
        }
        for definition in rows.into_iter().flatten().flatten() {
            self.printer.text(&format!("{}\n", definition.trim_end()))?;
        }
        Ok(())
    }

    /// A relation's columns: what a person wants to know of it, view or table.
    fn columns(&mut self, table: &str) -> Result<(), Failure> {
        self.show(&format!(
            "SELECT column_name AS \"column\", data_type AS type, comment FROM duckdb_columns() \
             WHERE {} ORDER BY schema_name, column_index",
            is_called(table)
        ))
    }

    pub(super) fn describe(&mut self, what: Option<&str>) -> Result<(), Failure> {
        let what = self.relation(what)?;
        self.show(&format!(
            "SELECT column_name AS \"column\", column_type AS type FROM (DESCRIBE {what}\n)"
        ))
    }

    pub(super) fn summarize(&mut self, what: Option<&str>) -> Result<(), Failure> {
        let what = self.relation(what)?;
        self.show(&format!(
            "SELECT column_name AS \"column\", column_type AS type, min, max, approx_unique AS distinct_about, avg, std, \
                    q25, q50, q75, count, null_percentage AS null_percent FROM (SUMMARIZE {what}\n)"
        ))
    }

    /// What a command is about: what was named, or the last result.
    pub(super) fn relation(&mut self, named: Option<&str>) -> Result<String, Failure> {
        if let Some(named) = named {
            self.offer_last(named)?;
            return Ok(named.trim_end_matches(';').to_owned());
        }
        if self.printer.last().is_none() {
            return Err(super::no_result());
        }
        self.offer_last("_")?;
        Ok("_".to_owned())
    }

    pub(super) fn functions(&mut self, pattern: Option<&str>) -> Result<(), Failure> {
        let wanted = pattern.map_or_else(
            || "own".to_owned(),
            |pattern| format!("name ILIKE {}", literal(&format!("%{pattern}%"))),
        );
        self.show(&format!(
            "SELECT name, kind, parameters, what FROM ({FUNCTIONS}) WHERE {wanted} ORDER BY NOT own, name"
        ))
    }

    pub(super) fn settings(&mut self, pattern: Option<&str>) -> Result<(), Failure> {
        let pattern = literal(&format!("%{}%", pattern.unwrap_or_default()));
        self.show(&format!(
            "SELECT name, value, description FROM duckdb_settings() WHERE name ILIKE {pattern} ORDER BY name"
        ))
    }

    /// The rows of a question of the shell's own.
    pub(super) fn ask(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Failure> {
        self.session.strings(sql).map_err(failed)
    }
}

/// The condition that a row of DuckDB's catalogue is of the table or view that a person calls `name`: with its schema, or its
/// database too, or alone if its schema is the one in use.
pub(super) fn is_called(name: &str) -> String {
    format!(
        "lower({}) IN (lower(if(schema_name = current_schema(), '', schema_name || '.') || table_name), \
                       lower(schema_name || '.' || table_name), \
                       lower(database_name || '.' || schema_name || '.' || table_name))",
        literal(name)
    )
}

/// Why a question of the shell's own has no answer.
pub(super) fn failed(error: Error) -> Failure {
    match error {
        Error::Interrupted => Failure::Interrupted,
        error => Failure::Report(format!("error: {error}\n")),
    }
}

/// The query of the tables and views like `pattern`, without one of the schema that is in use: what is in each of
/// them. Tables know of their rows themselves, and the manifest of the lake's, so that no file of it is opened.
///
/// # Errors
/// If the database does not answer.
pub fn tables_query(session: &mut Session, pattern: Option<&str>) -> Result<String, Error> {
    let (wanted, counted) = match pattern {
        // mdb's own schemas are shown only to those who ask for them.
        None => (
            "schema_name = current_schema()".to_owned(),
            "schema_name IN (current_schema(), 'hot', 'hot_b')".to_owned(),
        ),
        Some(pattern) => {
            let like = format!("name ILIKE {}", literal(&format!("%{pattern}%")));
            (like.clone(), like)
        }
    };
    let tables = session.strings(&format!(
        "SELECT database_name, schema_name, table_name, time \
         FROM ({RELATIONS}) LEFT JOIN ( \
             SELECT database_name, schema_name, table_name, max(column_name) AS time FROM duckdb_columns() \
             WHERE column_name IN ('ts', 'recv_ts') AND data_type IN ('TIMESTAMP', 'TIMESTAMP_NS') GROUP BY ALL \
         ) USING (database_name, schema_name, table_name) \
         WHERE kind = 'table' AND database_name IN (current_database(), 'temp') AND {counted}"
    ))?;
    let manifest = session.strings(
        "SELECT table_name FROM duckdb_tables() \
         WHERE database_name = current_database() AND schema_name = 'ops' AND table_name = 'manifest'",
    )?;
    let none = "SELECT '', '', '', 0, 0, 0, NULL::TIMESTAMP_NS, NULL::TIMESTAMP_NS WHERE false";
    let sealed = "SELECT current_database(), 'main', table_name, sum(rows), count(*), sum(bytes), min(min_ts), max(max_ts) \
                  FROM ops.manifest GROUP BY table_name";
    let held = tables.iter().filter_map(|table| count(table));
    let parts: Vec<String> = std::iter::once(none.to_owned())
        .chain(manifest.iter().map(|_| sealed.to_owned()))
        .chain(held)
        .collect();
    Ok(format!(
        "WITH counted(database_name, schema_name, table_name, rows, files, bytes, low, high) AS ({}) \
         SELECT name, kind, sum(counted.rows)::BIGINT AS rows, \
                (sum(counted.rows) FILTER (WHERE counted.files = 0))::BIGINT AS hot_rows, \
                sum(counted.files)::BIGINT AS files, sum(counted.bytes)::BIGINT AS bytes, \
                round(sum(counted.bytes) / sum(counted.rows) FILTER (WHERE counted.files > 0), 1) AS bytes_per_row, \
                min(low) AS \"from\", max(high) AS \"to\", columns, comment \
         FROM (SELECT * FROM ({RELATIONS}) WHERE {wanted}) AS relation LEFT JOIN counted \
           ON counted.database_name = relation.database_name AND counted.table_name = relation.table_name \
          AND (counted.schema_name = relation.schema_name \
               OR relation.schema_name = 'main' AND counted.schema_name IN ('hot', 'hot_b')) \
         GROUP BY relation.database_name, name, kind, columns, comment",
        parts.join(" UNION ALL ")
    ))
}

/// The query that counts the rows of a table, which is told by its database, its schema, its name and its column of
/// times, if it has one.
fn count(table: &[Option<String>]) -> Option<String> {
    let [Some(database), Some(schema), Some(table), time] = table else {
        return None;
    };
    let path = [database, schema, table].map(|name| identifier(name));
    let end = |of: &str| match time {
        Some(time) => format!("try_cast({of}({time}) AS TIMESTAMP_NS)"),
        None => "NULL".to_owned(),
    };
    Some(format!(
        "SELECT {}, {}, {}, count(*), 0, 0, {}, {} FROM {}",
        literal(database),
        literal(schema),
        literal(table),
        end("min"),
        end("max"),
        path.join(".")
    ))
}
