//! A statement around a cursor: its words, which brackets belong together, and where its queries begin and end.

use std::ops::Range;

use crate::query::{Token, TokenKind, is_from, is_wordy_call, tokens};

/// Words that go on with a query after a table, and so are no name that it is given.
pub(super) const CLAUSES: [&str; 44] = [
    "and",
    "anti",
    "as",
    "asof",
    "at",
    "cross",
    "do",
    "else",
    "end",
    "except",
    "fetch",
    "from",
    "full",
    "group",
    "having",
    "in",
    "inner",
    "intersect",
    "is",
    "join",
    "left",
    "limit",
    "natural",
    "not",
    "offset",
    "on",
    "or",
    "order",
    "pivot",
    "positional",
    "qualify",
    "returning",
    "right",
    "select",
    "semi",
    "set",
    "tablesample",
    "then",
    "union",
    "unpivot",
    "using",
    "values",
    "when",
    "where",
];

/// The tokens of a statement, less the word that is being typed.
pub(super) struct Around<'t> {
    text: &'t str,
    tokens: Vec<Token<'t>>,
    /// Of a bracket: where its partner stands, the end of the tokens if it has none. Of others: themselves.
    partners: Vec<usize>,
    /// The first token behind the cursor.
    pub(super) cursor: usize,
}

impl<'t> Around<'t> {
    /// Reads a statement whose cursor stands at byte `at`, between two tokens.
    pub(super) fn new(text: &'t str, at: usize) -> Self {
        let tokens = tokens(text);
        let cursor = tokens.partition_point(|token| token.at < at);
        let mut partners: Vec<usize> = (0..tokens.len()).collect();
        let mut open = Vec::new();
        for (i, token) in tokens.iter().enumerate() {
            if token.kind != TokenKind::Sign {
                continue;
            }
            match token.text {
                "(" | "[" | "{" => {
                    open.push(i);
                    partners[i] = tokens.len();
                }
                ")" | "]" | "}" => {
                    if let Some(opener) = open.pop() {
                        partners[opener] = i;
                        partners[i] = opener;
                    }
                }
                _ => {}
            }
        }
        Self {
            text,
            tokens,
            partners,
            cursor,
        }
    }

    pub(super) fn tokens(&self) -> &[Token<'t>] {
        &self.tokens
    }

    pub(super) fn get(&self, i: usize) -> Option<&Token<'t>> {
        self.tokens.get(i)
    }

    /// The token before the cursor, or one further back: 1 is the last one.
    pub(super) fn back(&self, count: usize) -> Option<&Token<'t>> {
        self.tokens.get(self.cursor.checked_sub(count)?)
    }

    pub(super) fn is(&self, i: usize, word: &str) -> bool {
        self.get(i).is_some_and(|token| token.is(word))
    }

    pub(super) fn is_any(&self, i: usize, words: &[&str]) -> bool {
        self.get(i).is_some_and(|token| token.is_any(words))
    }

    pub(super) fn is_sign(&self, i: usize, sign: &str) -> bool {
        self.get(i).is_some_and(|token| token.is_sign(sign))
    }

    /// A plain or quoted name.
    pub(super) fn is_name(&self, i: usize) -> bool {
        self.get(i).is_some_and(|token| match token.kind {
            TokenKind::Word => !token.text.starts_with(|c: char| c.is_ascii_digit()),
            TokenKind::Name => true,
            TokenKind::Text | TokenKind::Sign => false,
        })
    }

    pub(super) fn is_opener(&self, i: usize) -> bool {
        ["(", "[", "{"].iter().any(|sign| self.is_sign(i, sign))
    }

    /// The bracket that belongs to the one at `i`; the end of the tokens if it is not closed.
    pub(super) fn partner(&self, i: usize) -> usize {
        self.partners.get(i).copied().unwrap_or(self.tokens.len())
    }

    /// The next token on the same level: what brackets hold is passed over.
    pub(super) fn next(&self, i: usize) -> usize {
        if self.is_opener(i) {
            (self.partner(i) + 1).min(self.tokens.len())
        } else {
            i + 1
        }
    }

    /// The token before `i` on the same level.
    pub(super) fn previous(&self, i: usize) -> Option<usize> {
        let i = i.checked_sub(1)?;
        let closer = [")", "]", "}"].iter().any(|sign| self.is_sign(i, sign));
        Some(if closer { self.partner(i).min(i) } else { i })
    }

    /// Positions on the level of `range`, in order.
    pub(super) fn level(&self, range: Range<usize>) -> impl Iterator<Item = usize> + '_ {
        let first = Some(range.start).filter(|&i| i < range.end);
        std::iter::successors(first, move |&i| {
            Some(self.next(i)).filter(|&next| next < range.end)
        })
    }

    /// What brackets hold, without them.
    pub(super) fn inside(&self, opener: usize) -> Range<usize> {
        opener + 1..self.partner(opener).max(opener + 1)
    }

    /// The brackets that are open at the cursor, the outermost first.
    pub(super) fn openers(&self) -> Vec<usize> {
        let enclosing = |&i: &usize| self.is_opener(i) && self.partner(i) >= self.cursor;
        (0..self.cursor).filter(enclosing).collect()
    }

    /// The tokens from `from` up to `to` as they were written.
    pub(super) fn source(&self, from: usize, to: usize) -> &'t str {
        let start = self.get(from).map_or(0, |token| token.at);
        let end = to.checked_sub(1).and_then(|last| self.get(last));
        let end = end.map_or(start, |token| token.range().end);
        self.text.get(start..end).unwrap_or_default()
    }

    /// The part of `range` around position `at` that no UNION or the like divides.
    pub(super) fn block(&self, range: Range<usize>, at: usize) -> Range<usize> {
        let (mut start, mut end) = (range.start, range.end);
        for i in self.level(range) {
            if self.is_any(i, &["union", "except", "intersect"]) && !self.is_sign(i + 1, "(") {
                if i < at {
                    start = i + 1;
                    while self.is_any(start, &["all", "distinct", "by", "name"]) {
                        start += 1;
                    }
                } else {
                    end = i;
                    break;
                }
            }
        }
        start.min(end)..end
    }

    /// Whether FROM at `i` begins a list of tables, and is no part of an expression.
    pub(super) fn is_from(&self, i: usize) -> bool {
        self.tokens.get(..=i).is_some_and(is_from)
    }

    /// Whether brackets at `opener` hold the words of a function that is written with FROM: `extract(hour FROM ts)`.
    pub(super) fn is_wordy_call(&self, opener: usize) -> bool {
        self.tokens.get(..opener).is_some_and(is_wordy_call)
    }

    /// Whether what stands at `i` is a query of its own.
    pub(super) fn begins_query(&self, i: usize) -> bool {
        self.is_any(
            i,
            &[
                "select",
                "from",
                "with",
                "values",
                "table",
                "describe",
                "summarize",
                "show",
                "pivot",
                "unpivot",
            ],
        )
    }
}
