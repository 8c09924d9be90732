//! Commands that tell what there is: tables, columns, functions, settings.

use super::{Failure, Shell, literal};
use crate::query::Source;

/// Tables and views under the names by which one reaches them.
const RELATIONS: &str = "\
    SELECT schema_name, if(schema_name = current_schema(), '', schema_name || '.') || table_name AS name, \
           'table' AS kind, column_count AS columns, comment, sql FROM duckdb_tables() WHERE NOT internal \
    UNION ALL \
    SELECT schema_name, if(schema_name = current_schema(), '', schema_name || '.') || view_name, \
           'view', column_count, comment, sql FROM duckdb_views() WHERE NOT internal";

/// Of a function: its parameters in one overload, what it returns, and the first sentence said of it.
const FUNCTIONS: &str = "\
    SELECT function_name AS name, any_value(function_type) AS kind, \
           array_to_string(arg_min(parameters, len(parameters)), ', ') AS parameters, \
           any_value(coalesce(description, split_part(comment, '. ', 1))) AS what, \
           bool_or(NOT internal AND function_type LIKE '%macro') AS own \
    FROM duckdb_functions() WHERE regexp_full_match(function_name, '[a-z_][a-z0-9_]*') GROUP BY function_name";

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
        let wanted = pattern.map_or_else(
            // mdb's own schemas are shown only to those who ask for them.
            || "schema_name = current_schema()".to_owned(),
            |pattern| format!("name ILIKE {}", literal(&format!("%{pattern}%"))),
        );
        self.show(&format!(
            "SELECT name, kind, columns, comment FROM ({RELATIONS}) WHERE {wanted} ORDER BY name"
        ))
    }

    pub(super) fn schema(&mut self, table: Option<&str>) -> Result<(), Failure> {
        let wanted = table.map_or_else(
            || "schema_name = current_schema()".to_owned(),
            |table| format!("lower(name) = lower({})", literal(table)),
        );
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
             WHERE lower(if(schema_name = current_schema(), '', schema_name || '.') || table_name) = lower({}) \
             ORDER BY schema_name, column_index",
            literal(table)
        ))
    }

    pub(super) fn describe(&mut self, what: Option<&str>) -> Result<(), Failure> {
        let what = self.relation(what)?;
        self.show(&format!(
            "SELECT column_name AS \"column\", column_type AS type FROM (DESCRIBE {what})"
        ))
    }

    pub(super) fn summarize(&mut self, what: Option<&str>) -> Result<(), Failure> {
        let what = self.relation(what)?;
        self.show(&format!(
            "SELECT column_name AS \"column\", column_type AS type, min, max, approx_unique AS distinct_about, avg, std, \
                    q25, q50, q75, count, null_percentage AS null_percent FROM (SUMMARIZE {what})"
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
        self.session.strings(sql).map_err(|error| match error {
            crate::query::Error::Interrupted => Failure::Interrupted,
            error => Failure::Report(format!("error: {error}\n")),
        })
    }
}
