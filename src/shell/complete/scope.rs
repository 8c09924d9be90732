//! Which relations a statement has in scope at its cursor, under which names, and with which columns.

use std::ops::Range;

use super::around::{Around, CLAUSES};
use super::catalog::Catalog;
use crate::query::{Token, TokenKind};

/// Queries inside of queries that are looked into.
const DEPTH: usize = 16;

/// Sources that the database is asked to describe for one completion.
const WANTED: usize = 4;

/// Longest source that is described: a call with its arguments.
const SOURCE_BYTES: usize = 2000;

/// A relation under the name that the statement gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) name: String,
    /// What the catalog calls it, if it is there.
    pub(super) relation: Option<String>,
    pub(super) columns: Vec<String>,
}

/// What a statement can name at its cursor.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// The query around the cursor first, then those around it.
    pub(super) sources: Vec<Source>,
    /// Queries named by WITH.
    pub(super) ctes: Vec<Source>,
    /// Names that the select list around the cursor gives its columns.
    pub(super) outputs: Vec<String>,
    /// Sources whose columns are not known yet: what DESCRIBE FROM has to be asked of.
    pub(super) wants: Vec<String>,
}

impl Scope {
    /// A source by its name.
    pub(super) fn source(&self, name: &str) -> Option<&Source> {
        let mut sources = self.sources.iter();
        sources.find(|source| source.name.eq_ignore_ascii_case(name))
    }
}

/// The scope at the cursor.
pub(super) fn scope(around: &Around<'_>, catalog: &Catalog) -> Scope {
    let mut resolver = Resolver {
        around,
        catalog,
        wants: Vec::new(),
    };
    let mut scope = Scope::default();
    let openers = around.openers();
    let levels = openers
        .iter()
        .map(|&opener| (Some(opener), around.inside(opener)));
    for (opener, range) in std::iter::once((None, 0..around.tokens().len())).chain(levels) {
        if opener.is_some_and(|opener| around.is_wordy_call(opener)) {
            continue;
        }
        resolver.ctes(range.clone(), around.cursor, &mut scope.ctes, DEPTH);
        let block = around.block(range, around.cursor);
        let mut found = resolver.sources(block.clone(), &scope.ctes, DEPTH);
        if let Some(select) = resolver.select(&block) {
            scope.outputs = resolver.list(select, &block, &found);
        }
        found.append(&mut scope.sources);
        scope.sources = found;
    }
    scope.wants = resolver.wants;
    scope
}

/// A name as it was written, without its quotes.
pub(super) fn spelled(token: &Token<'_>) -> String {
    if token.kind == TokenKind::Name {
        let inner = token.text.strip_prefix('"').unwrap_or(token.text);
        let inner = inner.strip_suffix('"').unwrap_or(inner);
        return inner.replace("\"\"", "\"");
    }
    token.text.to_owned()
}

/// Finds out what a statement's parts name.
pub(super) struct Resolver<'a, 't> {
    pub(super) around: &'a Around<'t>,
    catalog: &'a Catalog,
    wants: Vec<String>,
}

impl Resolver<'_, '_> {
    pub(super) fn spelled(&self, i: usize) -> String {
        self.around.get(i).map(spelled).unwrap_or_default()
    }

    /// Adds the queries that WITH names in `range` and that are closed before token `before`.
    pub(super) fn ctes(
        &mut self,
        range: Range<usize>,
        before: usize,
        ctes: &mut Vec<Source>,
        depth: usize,
    ) {
        let around = self.around;
        let Some(with) = around.level(range).find(|&i| around.is(i, "with")) else {
            return;
        };
        let recursive = around.is(with + 1, "recursive");
        let mut at = with + 1 + usize::from(recursive);
        while around.is_name(at) {
            let name = self.spelled(at);
            at += 1;
            let mut named = Vec::new();
            if around.is_sign(at, "(") {
                named = self.names(around.inside(at));
                at = around.next(at);
            }
            if around.is(at, "using") && around.is(at + 1, "key") {
                at = around.next(at + 2);
            }
            if !around.is(at, "as") {
                return;
            }
            at += 1;
            while around.is_any(at, &["not", "materialized"]) {
                at += 1;
            }
            if !around.is_sign(at, "(") {
                return;
            }
            if around.partner(at) < before || recursive {
                let mut columns = self.outputs(around.inside(at), ctes, depth);
                rename(&mut columns, named);
                ctes.push(Source {
                    name,
                    relation: None,
                    columns,
                });
            }
            at = around.next(at);
            if !around.is_sign(at, ",") {
                return;
            }
            at += 1;
        }
    }

    /// The relations that a query reads, or a statement is about.
    pub(super) fn sources(
        &mut self,
        block: Range<usize>,
        ctes: &[Source],
        depth: usize,
    ) -> Vec<Source> {
        let mut found = Vec::new();
        let mut at = block.start;
        while at < block.end {
            at = if self.opens_list(at, &block) {
                self.items(at + 1, block.end, ctes, depth, &mut found)
            } else {
                self.around.next(at)
            };
        }
        found
    }

    /// Whether tables follow.
    fn opens_list(&self, at: usize, block: &Range<usize>) -> bool {
        let around = self.around;
        if around.is_from(at) || around.is(at, "join") {
            return true;
        }
        let first = block.start;
        if at == first {
            let words = [
                "update",
                "describe",
                "desc",
                "summarize",
                "pivot",
                "unpivot",
                "copy",
            ];
            return around.is_any(at, &words);
        }
        if around.is(first, "merge") {
            return around.is_any(at, &["into", "using"]);
        }
        if around.is(first, "insert") && around.is(at, "into") {
            // What stands behind VALUES or SELECT is no business of the table that gets the rows, but RETURNING is.
            let returning = around
                .level(at..around.cursor)
                .any(|i| around.is(i, "returning"));
            let query = around
                .level(at..around.cursor)
                .any(|i| around.is_any(i, &["select", "values", "from", "with"]));
            return returning || !query;
        }
        if around.is_any(first, &["alter", "truncate", "table"]) {
            return around.is(at, "table");
        }
        around.is(first, "create")
            && around.is(at, "on")
            && around.level(first..at).any(|i| around.is(i, "index"))
    }

    /// Reads tables with commas between them; the token behind them.
    fn items(
        &mut self,
        mut at: usize,
        end: usize,
        ctes: &[Source],
        depth: usize,
        found: &mut Vec<Source>,
    ) -> usize {
        loop {
            at = self.item(at, end, ctes, depth, found);
            if at >= end || !self.around.is_sign(at, ",") {
                return at;
            }
            at += 1;
        }
    }

    /// Reads one table and its alias; the token behind it.
    fn item(
        &mut self,
        mut at: usize,
        end: usize,
        ctes: &[Source],
        depth: usize,
        found: &mut Vec<Source>,
    ) -> usize {
        let around = self.around;
        while around.is_any(at, &["lateral", "only", "if", "exists", "table"]) {
            at += 1;
        }
        let mut alias = None;
        if around.is_name(at) && around.is_sign(at + 1, ":") && !around.is_sign(at + 2, ":") {
            alias = Some(self.spelled(at));
            at += 2;
        }
        if at >= end {
            return at;
        }
        let mut source = if around.is_sign(at, "(") {
            let range = around.inside(at);
            let holds_cursor = at < around.cursor && around.partner(at) >= around.cursor;
            at = around.next(at);
            if depth == 0 {
                return at;
            }
            if !around.begins_query(range.start) {
                // Tables that are joined in brackets.
                let mut rest = self.items(range.start, range.end, ctes, depth - 1, found);
                while rest < range.end {
                    rest = if around.is(rest, "join") {
                        self.items(rest + 1, range.end, ctes, depth - 1, found)
                    } else {
                        around.next(rest)
                    };
                }
                return at;
            }
            let columns = if holds_cursor {
                Vec::new()
            } else {
                self.outputs(range, ctes, depth - 1)
            };
            Source {
                name: String::new(),
                relation: None,
                columns,
            }
        } else if let Some(file) = around.get(at).filter(|token| token.kind == TokenKind::Text) {
            let columns = self.describe(file.text);
            let path = file.value().unwrap_or_default();
            at += 1;
            Source {
                name: std::path::Path::new(&path)
                    .file_stem()
                    .map(|stem| stem.to_string_lossy().into_owned())
                    .unwrap_or_default(),
                relation: None,
                columns,
            }
        } else if around.is_name(at) && !around.is_any(at, &CLAUSES) {
            let (named, next) = self.named(at, ctes);
            at = next;
            named
        } else {
            return at;
        };
        if around.is(at, "as") && around.is_name(at + 1) {
            alias = Some(self.spelled(at + 1));
            at += 2;
        } else if at < end && around.is_name(at) && !around.is_any(at, &CLAUSES) {
            alias = Some(self.spelled(at));
            at += 1;
        }
        if alias.is_some() && at < end && around.is_sign(at, "(") {
            rename(&mut source.columns, self.names(around.inside(at)));
            at = around.next(at);
        }
        source.name = alias.unwrap_or(source.name);
        found.push(source);
        at
    }

    /// A table, view, query of WITH or call by its name, and the token behind it.
    fn named(&mut self, first: usize, ctes: &[Source]) -> (Source, usize) {
        let around = self.around;
        let mut parts = vec![self.spelled(first)];
        let mut at = first + 1;
        while around.is_sign(at, ".") && around.is_name(at + 1) {
            parts.push(self.spelled(at + 1));
            at += 2;
        }
        let name = parts.last().cloned().unwrap_or_default();
        let whole = parts.join(".");
        // `INSERT INTO trades (` is no call.
        if around.is_sign(at, "(") && self.catalog.columns(&whole).is_none() {
            let close = around.partner(at);
            let holds_cursor = at < around.cursor && close >= around.cursor;
            let known = self.catalog.functions.get(&name.to_ascii_lowercase());
            let columns = if !holds_cursor
                && close < around.tokens().len()
                && known.is_some_and(|function| function.table)
            {
                self.describe(around.source(first, close + 1))
            } else {
                Vec::new()
            };
            let source = Source {
                name,
                relation: None,
                columns,
            };
            return (source, around.next(at));
        }
        let cte = ctes
            .iter()
            .rev()
            .find(|cte| parts.len() == 1 && cte.name.eq_ignore_ascii_case(&name));
        let source = if let Some(cte) = cte {
            Source {
                name,
                ..cte.clone()
            }
        } else {
            let columns = self.catalog.columns(&whole);
            Source {
                name,
                relation: columns.is_some().then(|| whole.clone()),
                columns: columns.unwrap_or_default().to_vec(),
            }
        };
        (source, at)
    }

    /// The columns of a source that only the database knows; if they are not known yet, they are wanted.
    fn describe(&mut self, source: &str) -> Vec<String> {
        if let Some(columns) = self.catalog.described(source) {
            return columns.to_vec();
        }
        let wanted = source.len() <= SOURCE_BYTES
            && self.wants.len() < WANTED
            && !self.wants.iter().any(|known| known == source);
        if wanted {
            self.wants.push(source.to_owned());
        }
        Vec::new()
    }

    /// The names in a list.
    pub(super) fn names(&self, range: Range<usize>) -> Vec<String> {
        let around = self.around;
        let level = around.level(range.start..range.end.min(around.tokens().len()));
        level
            .filter(|&i| around.is_name(i))
            .map(|i| self.spelled(i))
            .collect()
    }
}

pub(super) fn all(sources: &[Source]) -> Vec<String> {
    sources
        .iter()
        .flat_map(|source| source.columns.iter().cloned())
        .collect()
}

/// Gives the first columns other names. Of a source whose columns are unknown these are all that is known.
fn rename(columns: &mut Vec<String>, names: Vec<String>) {
    for (i, name) in names.into_iter().enumerate() {
        match columns.get_mut(i) {
            Some(column) => *column = name,
            None => columns.push(name),
        }
    }
}
