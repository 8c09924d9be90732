//! What a statement can go on with at its cursor, told from the words before it.

use super::around::{Around, CLAUSES};
use super::clause::{clause, following, is_operator};
use super::scope::spelled;
use super::words::UNITS;
use crate::query::{Token, TokenKind};

/// What may stand at the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A name that is made up there, or what nobody can know.
    Nothing,
    /// A statement's first word.
    Statement,
    /// A table, view or call of a table function; or a query in brackets, if `query`.
    Relation { query: bool },
    /// A part of what was named before the dot.
    Member(Vec<String>),
    /// A value: columns, functions, parameters of the call around it.
    Operand,
    /// Only columns of the tables in scope.
    Columns,
    /// Columns that two tables share.
    Joined,
    /// What follows a value or a table: the next clause.
    Clause(&'static [&'static str]),
    /// A setting.
    Setting,
    /// A type.
    Type,
    /// A parameter behind `$`.
    Parameter,
    /// A function to be dropped.
    Function,
}

/// What may stand at the cursor.
pub(super) fn place(around: &Around<'_>) -> Place {
    let cursor = around.cursor;
    let Some(last) = around.back(1) else {
        return Place::Statement;
    };
    if last.is_sign(".") {
        return member(around);
    }
    if last.is_sign(":") && around.back(2).is_some_and(|token| token.is_sign(":")) {
        return Place::Type;
    }
    if last.is_sign("$") {
        return Place::Parameter;
    }
    let opener = around.openers().last().copied();
    let called = opener.and_then(|opener| around.get(opener.checked_sub(1)?));
    if last.is("as") {
        return after_as(around, called);
    }
    if let Some(place) = head(around) {
        return place;
    }
    if expects_relation(around, opener) {
        return Place::Relation { query: false };
    }
    if let Some(opener) = opener {
        if let Some(place) = in_brackets(around, opener, cursor) {
            return place;
        }
    } else if last.is_sign(",") && clause(around) == "from" {
        return Place::Relation { query: false };
    }
    if last.is("order") || last.is("group") || last.is("partition") {
        return Place::Clause(&["by"]);
    }
    if ends_operand(around) {
        return Place::Clause(following(around));
    }
    if clause(around) == "into" {
        return Place::Nothing;
    }
    Place::Operand
}

/// The names before a dot: `a.b.`.
fn member(around: &Around<'_>) -> Place {
    let mut at = around.cursor;
    let mut parts = Vec::new();
    while at >= 2 && around.is_sign(at - 1, ".") && around.is_name(at - 2) {
        parts.extend(around.get(at - 2).map(spelled));
        at -= 2;
    }
    parts.reverse();
    if parts.is_empty() {
        return Place::Nothing;
    }
    Place::Member(parts)
}

fn after_as(around: &Around<'_>, called: Option<&Token<'_>>) -> Place {
    if called.is_some_and(|name| name.is_any(&["cast", "try_cast"])) {
        return Place::Type;
    }
    // `CREATE TABLE t AS`, but not the name of a column in it.
    let words = &around.tokens()[..around.cursor];
    let creates = words.first().is_some_and(|token| token.is("create"));
    if creates && !words.iter().any(|token| token.is_any(&["select", "from"])) {
        return Place::Statement;
    }
    Place::Nothing
}

/// What is expected by statements that are no query.
fn head(around: &Around<'_>) -> Option<Place> {
    let cursor = around.cursor;
    let first = around.get(0)?;
    let last = around.back(1)?;
    if first.is("explain") && last.is_any(&["explain", "analyze"]) {
        return Some(Place::Statement);
    }
    if first.is_any(&["set", "reset"]) {
        let scoped = around.is_any(1, &["session", "local", "global"]);
        if cursor == 1 || (cursor == 2 && scoped) {
            return Some(Place::Setting);
        }
        return Some(Place::Nothing).filter(|_| !around.is(1, "variable") || last.is("variable"));
    }
    if first.is("pragma") && cursor == 1 {
        return Some(Place::Setting);
    }
    if first.is_any(&[
        "begin",
        "commit",
        "rollback",
        "use",
        "attach",
        "detach",
        "checkpoint",
    ]) {
        return Some(Place::Nothing);
    }
    if first.is("show") {
        return Some(Place::Clause(&["tables", "all tables", "databases"]));
    }
    if first.is_any(&["call"]) && cursor == 1 {
        return Some(Place::Relation { query: false });
    }
    if first.is_any(&["create", "drop", "alter", "truncate"]) {
        if first.is("drop") && last.is_any(&["macro", "function"]) {
            return Some(Place::Function);
        }
        if cursor == 1 {
            return Some(Place::Clause(if first.is("create") {
                &[
                    "table",
                    "view",
                    "macro",
                    "temp table",
                    "or replace",
                    "schema",
                    "index",
                    "type",
                    "sequence",
                ]
            } else {
                &[
                    "table", "view", "macro", "schema", "index", "type", "sequence",
                ]
            }));
        }
        let named = last.is_any(&[
            "table", "view", "macro", "schema", "type", "sequence", "function", "index",
        ]) || (last.is("exists")
            && around
                .back(2)
                .is_some_and(|token| token.is_any(&["if", "not"])));
        if first.is("create") && named {
            return Some(Place::Nothing);
        }
    }
    if first.is("alter") {
        if last.is("column") {
            return Some(Place::Columns);
        }
        if ends_operand(around) {
            return Some(Place::Clause(&[
                "add column",
                "drop column",
                "rename to",
                "rename column",
                "alter column",
                "set",
            ]));
        }
    }
    None
}

/// Whether a table stands at the cursor.
fn expects_relation(around: &Around<'_>, opener: Option<usize>) -> bool {
    let (Some(last), cursor) = (around.back(1), around.cursor) else {
        return false;
    };
    if around.is_from(cursor - 1) {
        return !opener.is_some_and(|opener| around.is_wordy_call(opener));
    }
    let first = |words: &[&str]| around.is_any(0, words);
    if last.is_any(&["join", "lateral", "into"]) {
        return true;
    }
    if last.is_any(&[
        "update",
        "describe",
        "desc",
        "summarize",
        "pivot",
        "unpivot",
        "copy",
    ]) {
        // Elsewhere they are names, or DESC of an order.
        return cursor == 1 || around.is_opener(cursor - 2) || around.is(0, "explain");
    }
    if last.is_any(&["table", "view", "exists"]) {
        return first(&["drop", "alter", "truncate", "table", "describe", "comment"])
            || (last.is("table") && (cursor == 1 || around.is_opener(cursor - 2)));
    }
    if last.is("using") {
        return first(&["merge"]);
    }
    last.is("on")
        && first(&["create"])
        && around.tokens()[..cursor]
            .iter()
            .any(|token| token.is("index"))
}

/// What is expected right inside of brackets, where that differs from a value.
fn in_brackets(around: &Around<'_>, opener: usize, cursor: usize) -> Option<Place> {
    let before = opener.checked_sub(1);
    let last_is_opener = cursor == opener + 1;
    let at_item = last_is_opener || around.is_sign(cursor - 1, ",");
    let has_clause = around
        .level(opener + 1..cursor)
        .any(|i| around.begins_query(i));
    if !has_clause {
        let Some(before) = before else {
            return last_is_opener.then_some(Place::Statement);
        };
        if at_item && around.is(before, "using") && !around.is(0, "merge") {
            return Some(Place::Joined);
        }
        if last_is_opener && around.is(before, "extract") {
            return Some(Place::Clause(&UNITS));
        }
        if at_item && around.is_any(before, &["exclude", "key"]) {
            return Some(Place::Columns);
        }
        if last_is_opener && (around.is_from(before) || around.is_any(before, &["join", "lateral"]))
        {
            return Some(Place::Relation { query: true });
        }
        if last_is_opener && around.is_any(before, &["as", "materialized"]) {
            return Some(Place::Statement);
        }
        let into = |name: usize| {
            let mut at = name;
            while at >= 2 && around.is_sign(at - 1, ".") {
                at -= 2;
            }
            at > 0
                && around.is_any(at - 1, &["into", "copy", "on"])
                && around.is_any(0, &["insert", "copy", "create"])
        };
        if at_item && around.is_name(before) && into(before) {
            return Some(Place::Columns);
        }
    } else if around.is_sign(cursor - 1, ",") && clause(around) == "from" {
        return Some(Place::Relation { query: false });
    }
    None
}

/// Whether the tokens before the cursor end with a value or a name, so that an operator or the next clause follows.
fn ends_operand(around: &Around<'_>) -> bool {
    let Some(last) = around.back(1) else {
        return false;
    };
    match last.kind {
        TokenKind::Name | TokenKind::Text => true,
        TokenKind::Word => {
            let value = ["end", "at"];
            !is_operator(last)
                && (!last.is_any(&CLAUSES) || last.is_any(&value))
                && !last.is_any(&[
                    "interval",
                    "lambda",
                    "group",
                    "recursive",
                    "explain",
                    "analyze",
                ])
        }
        TokenKind::Sign => match last.text {
            ")" | "]" | "}" | "?" => true,
            // All columns rather than a product.
            "*" => around.back(2).is_none_or(|token| {
                token.is_any(&["select", "distinct"])
                    || [",", "(", "."].iter().any(|sign| token.is_sign(sign))
            }),
            _ => false,
        },
    }
}
