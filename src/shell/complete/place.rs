//! What a statement can go on with at its cursor, told from the words before it.

use super::around::{Around, CLAUSES};
use super::catalog::{Catalog, SHARED, ValuesOf};
use super::scope::{Scope, spelled};
use super::words::{
    AFTER_CONDITION, AFTER_GROUPS, AFTER_LIMIT, AFTER_LIST, AFTER_ORDER, AFTER_SET, AFTER_TABLE,
    AFTER_UPDATE, INTERVALS, UNITS,
};
use crate::query::{Token, TokenKind, is_path};

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

/// Words behind which a value is expected.
const OPERATORS: [&str; 40] = [
    "all",
    "and",
    "any",
    "between",
    "by",
    "case",
    "distinct",
    "else",
    "escape",
    "exists",
    "filter",
    "from",
    "glob",
    "having",
    "ilike",
    "in",
    "into",
    "is",
    "join",
    "like",
    "limit",
    "not",
    "offset",
    "on",
    "or",
    "over",
    "qualify",
    "returning",
    "select",
    "set",
    "similar",
    "some",
    "then",
    "to",
    "using",
    "values",
    "when",
    "where",
    "with",
    "order",
];

/// Whether a word is one behind which a value is expected.
pub(super) fn is_operator(token: &Token<'_>) -> bool {
    token.is_any(&OPERATORS)
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

/// The clause that the cursor is in: of the innermost query that has begun one.
pub(super) fn clause(around: &Around<'_>) -> &'static str {
    const OPENERS: [&str; 17] = [
        "select",
        "from",
        "join",
        "on",
        "where",
        "group",
        "order",
        "having",
        "qualify",
        "limit",
        "set",
        "values",
        "returning",
        "using",
        "into",
        "update",
        "offset",
    ];
    let openers = around.openers();
    let levels = openers.iter().rev().map(|opener| opener + 1).chain([0]);
    for start in levels {
        let last = around
            .level(start..around.cursor)
            .filter_map(|i| {
                let word = OPENERS.iter().find(|word| around.is(i, word))?;
                (*word != "from" || around.is_from(i)).then_some(*word)
            })
            .last();
        if let Some(word) = last {
            return if word == "join" { "from" } else { word };
        }
    }
    ""
}

/// What may follow a value or table in the clause of the cursor.
fn following(around: &Around<'_>) -> &'static [&'static str] {
    match clause(around) {
        "select" | "returning" => &AFTER_LIST,
        "from" | "using" => &AFTER_TABLE,
        "group" => &AFTER_GROUPS,
        "order" => &AFTER_ORDER,
        "limit" | "offset" => &AFTER_LIMIT,
        "update" => &AFTER_UPDATE,
        "set" => &AFTER_SET,
        "values" => &["on conflict", "returning"],
        "into" => &["values", "select", "by name", "from", "default values"],
        _ => &AFTER_CONDITION,
    }
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
