//! What to try instead of a statement that failed, where DuckDB does not know it: names close to the one there is
//! not, texts without their quotes, macros that stand in the wrong place.

use super::complete::Catalog;
use crate::model::sql::literal;
use crate::query::{Error, Session, meant};

/// The error with a hint, or a better one than DuckDB's, if there is one to give.
pub fn improved(error: Error, sql: &str, session: &mut Session) -> Error {
    let Error::Sql(mut error) = error else {
        return error;
    };
    if let Some(missing) = missing(&error.message) {
        let known = error.hint.as_deref();
        // DuckDB knows the columns of the statement; of tables it proposes its own, however far off.
        let sure = known.is_some_and(|hint| hint.starts_with("did you mean"));
        let keeps = sure && matches!(missing, Missing::Column(_) | Missing::Setting(_));
        if !keeps
            // Asked only now: an error is rare, and the catalog is not.
            && let Ok(catalog) = Catalog::load(session)
            && let Some(hint) = proposal(missing, sql, &catalog, known)
        {
            error.hint = Some(hint);
        }
    }
    Error::Sql(error)
}

/// What a statement names that there is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing<'m> {
    Table(&'m str),
    Column(&'m str),
    Function(&'m str),
    /// A function that gives a table stands where a value does.
    Misplaced(&'m str),
    Setting(&'m str),
}

fn missing(message: &str) -> Option<Missing<'_>> {
    let between = |before: &str, after: &str| {
        let rest = &message[message.find(before)? + before.len()..];
        let end = rest.find(after)?;
        Some(&rest[..end])
    };
    if let Some(name) = between("Table with name ", " does not exist") {
        return Some(Missing::Table(name));
    }
    if let Some(name) = between("unction with name ", " does not exist") {
        return Some(Missing::Function(name.trim_matches('"')));
    }
    if message.contains("is a table function but") {
        return between("Function \"", "\"").map(Missing::Misplaced);
    }
    if let Some(name) = between("Referenced column \"", "\"") {
        return Some(Missing::Column(name));
    }
    between("unrecognized configuration parameter \"", "\"").map(Missing::Setting)
}

fn proposal(
    missing: Missing<'_>,
    sql: &str,
    catalog: &Catalog,
    known: Option<&str>,
) -> Option<String> {
    match missing {
        Missing::Table("_") => Some("_ is the last result; there is none yet".to_owned()),
        Missing::Table(name) => {
            let lower = name.to_ascii_lowercase();
            if let Some(function) = catalog.functions.get(&lower)
                && function.table
            {
                return Some(format!(
                    "{lower} takes arguments: FROM {}",
                    function.signature(&lower)
                ));
            }
            let tables = catalog.names();
            let macros = catalog.functions.iter().filter(|(_, f)| f.table && f.own);
            let names = tables.chain(macros.map(|(name, _)| name.as_str()));
            meant(name, names)
                .map(|meant| format!("did you mean \"{meant}\"?"))
                .or_else(|| {
                    // One of another schema, by its last part.
                    let other = known?.split('"').nth(1)?;
                    meant(name, other.rsplit('.').next()).and(known.map(str::to_owned))
                })
                .or_else(|| Some("mdb tables lists the tables, in the shell .tables".to_owned()))
        }
        Missing::Function(name) => {
            let lower = name.to_ascii_lowercase();
            meant(&lower, catalog.functions.keys().map(String::as_str))
                .map(|meant| {
                    format!(
                        "did you mean {}?",
                        catalog.functions[meant].signature(meant)
                    )
                })
                .or_else(|| Some("in the shell .functions PATTERN looks for functions".to_owned()))
        }
        Missing::Misplaced(name) => {
            let function = catalog.functions.get(&name.to_ascii_lowercase())?;
            Some(format!(
                "it gives a table: SELECT … FROM {}",
                function.signature(name)
            ))
        }
        Missing::Column(name) => {
            // In double quotes it is a name: people of other languages mean a text.
            let quoted = sql.contains(&format!("\"{name}\""));
            (quoted || is_symbol(name))
                .then(|| format!("text stands in single quotes: {}", literal(name)))
        }
        Missing::Setting(name) => meant(name, catalog.settings.iter().map(String::as_str))
            .map(|meant| format!("did you mean {meant}?")),
    }
}

/// Whether a name is spelled as venues spell symbols: in capitals, with digits and signs.
fn is_symbol(name: &str) -> bool {
    name.len() >= 3
        && name.chars().any(|c| c.is_ascii_uppercase())
        && name
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || "-_/.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Rows, Source, Statement, Types};

    /// The hint about a statement that fails.
    fn hint(sql: &str) -> String {
        let connection = duckdb::Connection::open_in_memory().unwrap();
        let made = "CREATE TABLE trades (symbol VARCHAR, price DOUBLE); \
                    CREATE MACRO ohlcv(sym, bucket) AS TABLE SELECT sym, bucket; \
                    CREATE MACRO mid(bid, ask) AS (bid + ask) / 2";
        connection.execute_batch(made).unwrap();
        let mut session = Session::new(connection, true);
        let error = session
            .run(sql, Types::Exact)
            .and_then(Rows::finish)
            .unwrap_err();
        let error = improved(error, sql, &mut session);
        let statement = Statement {
            text: sql,
            offset: 0,
            line: 1,
        };
        let report = error.report(
            Source {
                name: None,
                text: sql,
            },
            statement,
            None,
        );
        let hint = report.lines().find_map(|line| line.strip_prefix("hint: "));
        hint.unwrap_or_else(|| panic!("no hint: {report}"))
            .to_owned()
    }

    #[test]
    fn what_was_meant_is_proposed() {
        for (sql, part) in [
            ("FROM trade", "trades"),
            ("FROM ohlcv", "FROM ohlcv(sym, bucket)"),
            ("SELECT ohlcv('a', 'b')", "FROM ohlcv(sym, bucket)"),
            ("SELECT midd(1, 2)", "mid"),
            ("SELECT prise FROM trades", "did you mean \"price\"?"),
            ("FROM trades WHERE symbol = BTCUSDT", "'BTCUSDT'"),
            ("FROM trades WHERE symbol = \"btc\"", "'btc'"),
            ("SET thread = 4", "threads"),
            ("FROM _", "last result"),
        ] {
            let hint = hint(sql);
            assert!(hint.contains(part), "{sql}: {hint}");
        }
    }
}
