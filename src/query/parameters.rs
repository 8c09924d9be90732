//! Parameters of a statement: `$name` stands for the session's variable of that name.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};

use super::error::{Error, SqlError};
use super::tokens::{Edited, Token, TokenKind, tokens};
use crate::model::sql::literal;
use crate::model::statements::first_word;

/// The parameters in a statement: the `$` and the name behind it. `$1` is none, and a prepared statement has its own.
fn parameters<'t, 's>(sql: &str, tokens: &'t [Token<'s>]) -> Vec<(&'t Token<'s>, &'t Token<'s>)> {
    if matches!(first_word(sql).as_str(), "prepare" | "execute") {
        return Vec::new();
    }
    let pairs = tokens.iter().zip(tokens.iter().skip(1));
    let mut end = None;
    pairs
        .filter(|(sign, name)| {
            // `a$b` is a name.
            let alone = end != Some(sign.at);
            end = (sign.kind == TokenKind::Word).then(|| sign.range().end);
            alone
                && sign.is_sign("$")
                && name.kind == TokenKind::Word
                && sign.range().end == name.at
                && !name.text.starts_with(|c: char| c.is_ascii_digit())
        })
        .collect()
}

/// The statement with its parameters looked up, of the `variables` that there are; `None` if it has no parameters.
///
/// # Errors
/// If there is no variable of a parameter's name, or `variables` fails.
pub(super) fn looked_up(
    sql: &str,
    variables: impl FnOnce() -> Result<Vec<String>, Error>,
) -> Result<Option<Edited>, Error> {
    if !sql.contains('$') {
        return Ok(None);
    }
    let tokens = tokens(sql);
    let parameters = parameters(sql, &tokens);
    if parameters.is_empty() {
        return Ok(None);
    }
    let variables = variables()?;
    let mut edits = Vec::with_capacity(parameters.len());
    for (sign, name) in parameters {
        let range = sign.at..name.range().end;
        let known = variables
            .iter()
            .find(|known| known.eq_ignore_ascii_case(name.text));
        let Some(known) = known else {
            return Err(Error::Sql(Box::new(SqlError {
                message: format!("the parameter ${} has no value", name.text),
                at: Some(range),
                hint: Some(format!(
                    ".param set {0} VALUE in the shell, or mdb sql --param {0}=VALUE",
                    name.text
                )),
            })));
        };
        edits.push((range, format!("getvariable({})", literal(known))));
    }
    Ok(Some(Edited::new(sql, edits)))
}

/// The schema of a statement whose parameters were looked up, with them as they were written: DuckDB names a column by
/// its expression. `None` if no column's name has one.
pub(super) fn as_written(schema: &Schema) -> Option<SchemaRef> {
    let mut has_any = false;
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| {
            let field = field.as_ref().clone();
            let Some(name) = name_as_written(field.name()) else {
                return field;
            };
            has_any = true;
            field.with_name(name)
        })
        .collect();
    has_any.then(|| Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())))
}

fn name_as_written(name: &str) -> Option<String> {
    let mut written = String::new();
    let mut rest = name;
    while let Some((before, variable)) = rest.split_once("getvariable('") {
        let (variable, after) = variable.split_once("')")?;
        written.push_str(before);
        written.push('$');
        written.push_str(variable);
        rest = after;
    }
    if written.is_empty() {
        return None;
    }
    written.push_str(rest);
    Some(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(sql: &str) -> Result<Option<String>, String> {
        looked_up(sql, || Ok(vec!["sym".to_owned(), "n".to_owned()]))
            .map(|edited| edited.map(|edited| edited.sql))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn names_behind_a_dollar_are_variables() {
        assert_eq!(
            run("select $n, '$n', $$ $n $$, a$n from t where s = $SYM"),
            Ok(Some(
                "select getvariable('n'), '$n', $$ $n $$, a$n from t where s = getvariable('sym')"
                    .to_owned()
            ))
        );
        for same in [
            "select 1",
            "select $1",
            "select '$n'",
            "prepare p as select $n",
            "select $ n",
        ] {
            assert_eq!(run(same), Ok(None), "{same}");
        }
        for (name, written) in [
            ("(getvariable('n') + 1)", Some("($n + 1)")),
            ("getvariable('a') || getvariable('b')", Some("$a || $b")),
            ("n", None),
            ("getvariable('a", None),
        ] {
            assert_eq!(name_as_written(name).as_deref(), written);
        }
        assert_eq!(
            run("select $x"),
            Err("the parameter $x has no value".to_owned())
        );
    }
}
