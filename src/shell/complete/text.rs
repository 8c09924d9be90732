//! What a text in quotes, or an argument of a call, is: judged by what stands before it.

use super::around::Around;
use super::catalog::{Catalog, SHARED, ValuesOf};
use super::scope::{Scope, spelled};
use super::words::{INTERVALS, UNITS};
use crate::query::{Token, TokenKind, is_path};

/// What a text in quotes is, judged by what stands before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Text {
    /// Nobody knows.
    Anything,
    /// The path of a file.
    Path,
    /// A value of a column.
    Value(ValuesOf),
    /// One of these words.
    OneOf(&'static [&'static str]),
}

/// What a text at the cursor means. The text itself may be the token at the cursor.
pub(super) fn text(around: &Around<'_>, scope: &Scope, catalog: &Catalog) -> Text {
    let cursor = around.cursor;
    let quoted = around
        .get(cursor)
        .is_some_and(|token| token.kind == TokenKind::Text);
    if quoted && is_path(around.tokens(), cursor) {
        return Text::Path;
    }
    let Some(last) = around.back(1) else {
        return Text::Anything;
    };
    if last.is("interval") {
        return Text::OneOf(&INTERVALS);
    }
    if let Some(column) = compared(around)
        && around.is_name(column)
    {
        let qualifier = (column >= 2 && around.is_sign(column - 1, "."))
            .then(|| around.get(column - 2).map(spelled))
            .flatten();
        let column = around.get(column).map(spelled).unwrap_or_default();
        return Text::Value(values_of(scope, catalog, qualifier.as_deref(), &column));
    }
    argument(around, catalog)
}

/// The column that the value at the cursor is compared with.
fn compared(around: &Around<'_>) -> Option<usize> {
    let mut at = around.cursor.checked_sub(1)?;
    let comparing = |i: usize| {
        around.get(i).is_some_and(|token| {
            token.kind == TokenKind::Sign && matches!(token.text, "=" | "<" | ">" | "!" | "~")
        })
    };
    if comparing(at) {
        while at > 0 && comparing(at) {
            at -= 1;
        }
        // `name := value` is an argument.
        return Some(at).filter(|&at| !around.is_sign(at, ":"));
    }
    if around.is_any(at, &["like", "ilike", "glob"]) {
        at = at.checked_sub(1)?;
        return if around.is(at, "not") {
            at.checked_sub(1)
        } else {
            Some(at)
        };
    }
    let opener = around.openers().last().copied()?;
    let before = opener
        .checked_sub(1)
        .filter(|&before| around.is(before, "in"))?;
    let in_list = at == opener || around.is_sign(at, ",");
    let at = before.checked_sub(1).filter(|_| in_list)?;
    if around.is(at, "not") {
        at.checked_sub(1)
    } else {
        Some(at)
    }
}

/// Whose values a column has.
fn values_of(scope: &Scope, catalog: &Catalog, qualifier: Option<&str>, column: &str) -> ValuesOf {
    let has = |columns: &[String]| columns.iter().any(|name| name.eq_ignore_ascii_case(column));
    let source = match qualifier {
        Some(name) => scope.source(name),
        None => scope.sources.iter().find(|source| has(&source.columns)),
    };
    let relation = source.and_then(|source| source.relation.clone());
    let column = column.to_ascii_lowercase();
    let shared = SHARED.contains(&column.as_str())
        && relation.as_ref().is_none_or(|name| {
            catalog.columns(&format!("hot.{name}")).is_some()
                || !catalog.names().any(|known| known == name)
        });
    ValuesOf {
        relation: relation.filter(|_| !shared),
        column,
    }
}

/// What the argument of a call at the cursor is, judged by its parameter's name.
fn argument(around: &Around<'_>, catalog: &Catalog) -> Text {
    let Some((name, parameter)) = parameter(around, catalog) else {
        return Text::Anything;
    };
    let shared = |column: &str| {
        Text::Value(ValuesOf {
            relation: None,
            column: column.to_owned(),
        })
    };
    let of_unit = [
        "date_trunc",
        "datetrunc",
        "date_part",
        "datepart",
        "date_diff",
        "datediff",
        "date_sub",
        "date_add",
    ];
    match parameter.as_str() {
        "sym" | "symbol" => shared("symbol"),
        "venue" => shared("venue"),
        "bucket" | "bucket_width" => Text::OneOf(&INTERVALS),
        "part" | "partcode" | "partspec" | "ts" if of_unit.contains(&name.as_str()) => {
            Text::OneOf(&UNITS)
        }
        _ if of_unit.contains(&name.as_str())
            && around.back(1).is_some_and(|token| token.is_sign("(")) =>
        {
            Text::OneOf(&UNITS)
        }
        _ => Text::Anything,
    }
}

/// The function whose argument stands at the cursor, and the parameter it is for.
fn parameter(around: &Around<'_>, catalog: &Catalog) -> Option<(String, String)> {
    let opener = around.openers().last().copied()?;
    let name = around.get(opener.checked_sub(1)?)?.name()?;
    let function = catalog.functions.get(&name)?;
    let cursor = around.cursor;
    // `bucket := 'x'`.
    let named = cursor >= 3 && around.is_sign(cursor - 1, "=") && around.is_sign(cursor - 2, ":");
    if named {
        return Some((
            name,
            around.get(cursor - 3).map(spelled)?.to_ascii_lowercase(),
        ));
    }
    if !(around.is_sign(cursor - 1, "(") || around.is_sign(cursor - 1, ",")) {
        return None;
    }
    let commas = around
        .level(opener + 1..cursor)
        .filter(|&i| around.is_sign(i, ","));
    let parameter = function.parameters.get(commas.count())?;
    Some((name, parameter.to_ascii_lowercase()))
}

/// Parameters that the call around the cursor can still be given by name.
pub(super) fn parameters<'c>(around: &Around<'_>, catalog: &'c Catalog) -> Vec<&'c str> {
    let Some(opener) = around.openers().last().copied() else {
        return Vec::new();
    };
    let Some(function) = around
        .get(opener.wrapping_sub(1))
        .and_then(Token::name)
        .and_then(|name| catalog.functions.get(&name))
    else {
        return Vec::new();
    };
    let cursor = around.cursor;
    let begins = cursor == opener + 1 || around.is_sign(cursor - 1, ",");
    // DuckDB takes names for macros' parameters and for the options of table functions.
    if !begins || !(function.own || function.table) {
        return Vec::new();
    }
    let given = around
        .level(opener + 1..cursor)
        .filter(|&i| around.is_sign(i, ","));
    let places = given.count();
    let used = |name: &str| {
        around.level(opener + 1..around.partner(opener)).any(|i| {
            around.is_sign(i + 1, ":")
                && around
                    .get(i)
                    .is_some_and(|token| spelled(token).eq_ignore_ascii_case(name))
        })
    };
    function
        .parameters
        .iter()
        .enumerate()
        .filter(|(i, name)| *i >= places && !used(name))
        .map(|(_, name)| name.as_str())
        .collect()
}
