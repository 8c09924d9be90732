//! The names of the columns that a query gives.

use std::ops::Range;

use super::clause::is_operator;
use super::scope::{Resolver, Source, all};
use crate::query::TokenKind;

impl Resolver<'_, '_> {
    /// The SELECT of a query.
    pub(super) fn select(&self, block: &Range<usize>) -> Option<usize> {
        let mut level = self.around.level(block.clone());
        level.find(|&i| self.around.is(i, "select"))
    }

    /// The columns that a query in brackets gives.
    pub(super) fn outputs(
        &mut self,
        range: Range<usize>,
        ctes: &[Source],
        depth: usize,
    ) -> Vec<String> {
        if depth == 0 {
            return Vec::new();
        }
        let around = self.around;
        let mut ctes = ctes.to_vec();
        if around.is(range.start, "with") {
            self.ctes(range.clone(), usize::MAX, &mut ctes, depth - 1);
        }
        let block = around.block(range.clone(), range.start);
        let values = around
            .level(block.clone())
            .find(|&i| around.is(i, "values"));
        let sources = self.sources(block.clone(), &ctes, depth - 1);
        if let Some(select) = self.select(&block) {
            return self.list(select, &block, &sources);
        }
        if let Some(values) = values.filter(|&values| around.is_sign(values + 1, "(")) {
            let row = around.inside(values + 1);
            let commas = around.level(row).filter(|&i| around.is_sign(i, ","));
            return (0..=commas.count()).map(|i| format!("col{i}")).collect();
        }
        all(&sources)
    }

    /// The names of a select list's columns.
    pub(super) fn list(
        &self,
        select: usize,
        block: &Range<usize>,
        sources: &[Source],
    ) -> Vec<String> {
        const ENDS: [&str; 10] = [
            "where", "group", "order", "limit", "offset", "having", "qualify", "window", "using",
            "into",
        ];
        let around = self.around;
        let mut start = select + 1;
        if around.is(start, "all") {
            start += 1;
        } else if around.is(start, "distinct") {
            start += 1;
            if around.is(start, "on") && around.is_sign(start + 1, "(") {
                start = around.next(start + 1);
            }
        }
        let mut columns = Vec::new();
        let mut first = start;
        let mut at = start;
        loop {
            let over = at >= block.end || around.is_from(at) || around.is_any(at, &ENDS);
            if over || around.is_sign(at, ",") {
                let end = at.min(block.end);
                if first < end {
                    self.expression(first..end, sources, &mut columns);
                }
                first = at + 1;
            }
            if over {
                return columns;
            }
            at = around.next(at);
        }
    }

    /// Adds the names of the columns that one part of a select list gives.
    fn expression(&self, part: Range<usize>, sources: &[Source], columns: &mut Vec<String>) {
        let around = self.around;
        let (first, last) = (part.start, part.end - 1);
        let length = part.len();
        if around.is_sign(first, "*") || around.is(first, "columns") {
            return columns.extend(self.star(all(sources), first + 1..part.end));
        }
        if length >= 3 && around.is_sign(first + 1, ".") && around.is_sign(first + 2, "*") {
            let name = self.spelled(first);
            let source = sources
                .iter()
                .find(|source| source.name.eq_ignore_ascii_case(&name));
            let all = source
                .map(|source| source.columns.clone())
                .unwrap_or_default();
            return columns.extend(self.star(all, first + 3..part.end));
        }
        if length > 2
            && around.is_name(first)
            && around.is_sign(first + 1, ":")
            && !around.is_sign(first + 2, ":")
        {
            return columns.push(self.spelled(first));
        }
        if !around.is_name(last)
            || around.is_any(last, &["end", "null", "true", "false", "desc", "asc"])
        {
            return;
        }
        let before = around.previous(last).filter(|&before| before >= first);
        let is_alias = match before {
            None => true,
            Some(before) if around.is(before, "as") || around.is_sign(before, ".") => true,
            Some(before) => {
                let operand = around.get(before).is_some_and(|token| match token.kind {
                    TokenKind::Word => !is_operator(token),
                    TokenKind::Name | TokenKind::Text => true,
                    TokenKind::Sign => matches!(token.text, "(" | "["),
                });
                // A bracket as the token before means that its partner closes right here.
                operand
            }
        };
        if is_alias {
            columns.push(self.spelled(last));
        }
    }

    /// The columns of `*` less those that an EXCLUDE behind it names.
    fn star(&self, mut columns: Vec<String>, rest: Range<usize>) -> Vec<String> {
        let around = self.around;
        if around.is(rest.start, "exclude") {
            let names = if around.is_sign(rest.start + 1, "(") {
                self.names(around.inside(rest.start + 1))
            } else {
                vec![self.spelled(rest.start + 1)]
            };
            columns.retain(|column| !names.iter().any(|name| name.eq_ignore_ascii_case(column)));
        }
        columns
    }
}
