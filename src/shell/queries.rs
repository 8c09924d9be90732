//! Queries that are kept, read from files or edited, and the parameters in them.

use std::io;
use std::path::Path;

use super::command::{self, Param};
use super::{Failure, Next, Shell, saved, say};
use crate::model::sql::{identifier, literal};

/// Scripts that read scripts, at most so deep.
const READ_DEPTH: usize = 16;

impl Shell<'_> {
    pub(super) fn param(&mut self, param: &Param) -> Result<(), Failure> {
        self.changed |= *param != Param::List;
        self.own.more |= matches!(param, Param::Set(..));
        match param {
            Param::List => self
                .show("SELECT name, value::VARCHAR AS value FROM duckdb_variables() ORDER BY name"),
            Param::Set(name, value) => self.show(&set_parameter(name, value)),
            Param::Clear(Some(name)) if command::is_plain_name(name) => {
                self.show(&format!("RESET VARIABLE {}", identifier(name)))
            }
            Param::Clear(Some(name)) => Err(Failure::Report(format!(
                "error: there is no parameter {name}\n"
            ))),
            Param::Clear(None) => {
                let names = self.ask("SELECT name FROM duckdb_variables()")?;
                for name in names.into_iter().flatten().flatten() {
                    self.show(&format!("RESET VARIABLE {}", identifier(&name)))?;
                }
                Ok(())
            }
        }
    }

    pub(super) fn save(&mut self, name: &str, query: Option<String>) -> Result<(), Failure> {
        let Some(query) = query.or_else(|| self.last_sql.clone()) else {
            return Err(Failure::Report(
                "error: no query has been run yet that could be saved\n".to_owned(),
            ));
        };
        let query = format!("{};", query.trim_end().trim_end_matches(';'));
        match saved::save(name, &query) {
            Ok(path) => {
                say(&format!(
                    "saved in {}; .run {name} runs it\n",
                    path.display()
                ));
                Ok(())
            }
            Err(error) => Err(Failure::Report(format!(
                "error: cannot save {name}: {error}\n"
            ))),
        }
    }

    pub(super) fn run_saved(&mut self, name: Option<&str>, depth: usize) -> Result<Next, Failure> {
        let Some(name) = name else {
            for name in saved::names() {
                self.printer.text(&format!("{name}\n"))?;
            }
            return Ok(Next::Go);
        };
        let query = if command::is_plain_name(name) {
            saved::load(name)
        } else {
            Ok(None)
        };
        match query {
            Ok(Some(query)) => self.nested(name, &query, depth),
            Ok(None) => {
                let names = saved::names();
                let meant = crate::query::meant(name, names.iter().map(String::as_str));
                let hint = meant.map_or(".save NAME keeps the last query".to_owned(), |meant| {
                    format!("did you mean {meant}?")
                });
                Err(Failure::Report(format!(
                    "error: no query is saved as {name}\nhint: {hint}\n"
                )))
            }
            Err(error) => Err(Failure::Report(format!(
                "error: cannot read the query {name}: {error}\n"
            ))),
        }
    }

    pub(super) fn read(&mut self, path: &Path, depth: usize) -> Result<Next, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::Report(format!("error: cannot read {}: {error}\n", path.display()))
        })?;
        self.nested(&path.display().to_string(), &text, depth)
    }

    /// Runs a script out of another, or of a line.
    fn nested(&mut self, name: &str, text: &str, depth: usize) -> Result<Next, Failure> {
        if depth >= READ_DEPTH {
            return Err(Failure::Report(format!(
                "error: {name} is read {READ_DEPTH} scripts deep; does one read itself?\n"
            )));
        }
        self.script(Some(name), text, depth + 1)
    }

    /// Runs what the user makes of the last statement in an editor.
    pub(super) fn edit(&mut self, query: Option<String>, depth: usize) -> Result<Next, Failure> {
        self.needs_terminal(".edit")?;
        let cannot = |error: io::Error| Failure::Report(format!("error: cannot edit: {error}\n"));
        let text = query.or_else(|| self.last_sql.clone()).unwrap_or_default();
        let file = tempfile::Builder::new()
            .prefix("mdb-")
            .suffix(".sql")
            .tempfile()
            .map_err(cannot)?
            .into_temp_path();
        let before = format!(
            "{}{}",
            text.trim_end().trim_end_matches(';'),
            if text.is_empty() { "" } else { ";\n" }
        );
        std::fs::write(&file, &before).map_err(cannot)?;
        let set = |name| {
            std::env::var(name)
                .ok()
                .filter(|editor| !editor.trim().is_empty())
        };
        let editor = set("VISUAL")
            .or_else(|| set("EDITOR"))
            .unwrap_or_else(|| "vi".to_owned());
        let ended = std::process::Command::new("sh")
            .arg("-c")
            .arg(format!("{editor} \"$1\""))
            .arg("sh")
            .arg(&file)
            .status()
            .map_err(cannot)?;
        if !ended.success() {
            return Err(Failure::Report(format!(
                "error: {editor} failed; nothing was run\n"
            )));
        }
        let after = std::fs::read_to_string(&file).map_err(cannot)?;
        // What is in it may run for long, and be killed.
        file.close().map_err(cannot)?;
        if after.trim().is_empty() {
            return Ok(Next::Go);
        }
        say(&format!("{}\n", after.trim_end()));
        self.session.forget_interrupt();
        self.printer.layout = self.layout();
        self.script(None, &after, depth)
    }
}

/// The SQL that sets a parameter, which has a plain name: a finite number, true, false, null or a text in quotes is
/// that, any other value a text. So are numbers with leading zeros, and a symbol in any case but NULL.
#[must_use]
pub fn set_parameter(name: &str, value: &str) -> String {
    // Some plain names are words of SQL.
    let numbers = !name.eq_ignore_ascii_case("symbol");
    format!(
        "SET VARIABLE {} = {}",
        identifier(name),
        literal_of(value, numbers)
    )
}

/// Without `numbers` a text, or NULL.
fn literal_of(value: &str, numbers: bool) -> String {
    let code = value.starts_with('0') && value[1..].starts_with(|c: char| c.is_ascii_digit());
    let number = numbers && !code && value.parse().is_ok_and(f64::is_finite);
    let words: &[&str] = if numbers {
        &["true", "false", "null"]
    } else {
        &["null"]
    };
    let word = words.iter().any(|word| value.eq_ignore_ascii_case(word));
    let inside = value
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''));
    let quoted = inside.is_some_and(|inside| !inside.replace("''", "").contains('\''));
    if number || word || quoted {
        return value.to_owned();
    }
    literal(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_a_number_a_word_or_a_text() {
        for (value, sql) in [
            ("1", "1"),
            ("-2.5e3", "-2.5e3"),
            ("TRUE", "TRUE"),
            ("null", "null"),
            ("nan", "'nan'"),
            ("-inf", "'-inf'"),
            ("+Infinity", "'+Infinity'"),
            ("1e999", "'1e999'"),
            ("0.5", "0.5"),
            ("0", "0"),
            ("005930", "'005930'"),
            ("BTCUSDT", "'BTCUSDT'"),
            ("'it''s'", "'it''s'"),
            ("it's", "'it''s'"),
            ("'", "''''"),
            ("''", "''"),
            ("'O'Brien'", "'''O''Brien'''"),
            (
                "'a'; DROP TABLE mine; --'",
                "'''a''; DROP TABLE mine; --'''",
            ),
            ("2024-08-08", "'2024-08-08'"),
        ] {
            assert_eq!(
                set_parameter("from", value),
                format!("SET VARIABLE \"from\" = {sql}"),
                "{value}"
            );
        }
        let symbol = |value| set_parameter("Symbol", value);
        assert_eq!(symbol("600519"), "SET VARIABLE \"Symbol\" = '600519'");
        assert_eq!(symbol("null"), "SET VARIABLE \"Symbol\" = null");
    }
}
