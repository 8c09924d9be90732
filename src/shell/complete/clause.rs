//! The clause of a query that the cursor is in, and what may follow in it.

use super::around::Around;
use super::words::{
    AFTER_CONDITION, AFTER_GROUPS, AFTER_LIMIT, AFTER_LIST, AFTER_ORDER, AFTER_SET, AFTER_TABLE,
    AFTER_UPDATE,
};
use crate::query::Token;

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
pub(super) fn following(around: &Around<'_>) -> &'static [&'static str] {
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
