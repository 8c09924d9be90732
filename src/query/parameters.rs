//! Parameters of a statement: `$name` stands for the session's variable of that name.

use super::error::{Error, SqlError};
use super::statements::first_word;
use super::tokens::{Edited, Token, TokenKind, tokens};
use crate::model::sql::literal;

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
        assert_eq!(
            run("select $x"),
            Err("the parameter $x has no value".to_owned())
        );
    }
}
