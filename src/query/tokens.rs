//! The words of one statement, without their grammar; and texts that are put in their place, such that an
//! error's place can still be told.

use std::ops::Range;

use crate::model::statements::{Lexeme, first_word, lexeme};

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A keyword, name or number.
    Word,
    /// `"name"`.
    Name,
    /// `'text'`, `E'text'` or `$$text$$`.
    Text,
    /// One sign.
    Sign,
}

/// A token and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: TokenKind,
    /// As written, quotes and all.
    pub text: &'a str,
    /// Byte at which it begins.
    pub at: usize,
}

impl Token<'_> {
    /// Whether it is this word, in any case.
    #[must_use]
    pub fn is(&self, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Whether it is one of these words.
    #[must_use]
    pub fn is_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(word))
    }

    /// Whether it is this sign.
    #[must_use]
    pub fn is_sign(&self, sign: &str) -> bool {
        self.kind == TokenKind::Sign && self.text == sign
    }

    /// The bytes it takes.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.at..self.at + self.text.len()
    }

    /// What a name stands for, in lower case as DuckDB compares names; `None` if it is none.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        match self.kind {
            TokenKind::Word => Some(self.text.to_ascii_lowercase()),
            TokenKind::Name => Some(inside(self.text, '"').to_lowercase()),
            TokenKind::Text | TokenKind::Sign => None,
        }
    }

    /// The value of a plain `'text'`; `None` for any other token.
    #[must_use]
    pub fn value(&self) -> Option<String> {
        (self.kind == TokenKind::Text && self.text.starts_with('\''))
            .then(|| inside(self.text, '\''))
    }
}

/// What stands between quotes, doubled ones made single.
fn inside(text: &str, quote: char) -> String {
    let inner = text.strip_prefix(quote).unwrap_or(text);
    let inner = inner.strip_suffix(quote).unwrap_or(inner);
    inner.replace(&format!("{quote}{quote}"), &quote.to_string())
}

/// The tokens of a statement, in order. What an open quote holds is one token.
#[must_use]
pub fn tokens(sql: &str) -> Vec<Token<'_>> {
    let bytes = sql.as_bytes();
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (kind, length) = match lexeme(bytes, at) {
            Lexeme::Nothing(length) => (None, length),
            Lexeme::Word(length) => (Some(TokenKind::Word), length),
            Lexeme::Quoted(length, b'"') => (Some(TokenKind::Name), length),
            Lexeme::Quoted(length, _) => (Some(TokenKind::Text), length),
            Lexeme::Sign => (Some(TokenKind::Sign), 1),
        };
        if let Some(kind) = kind {
            let text = &sql[at..at + length];
            match tokens.last_mut() {
                // `'it''s'` is read as two quotes that touch.
                Some(last) if kind == last.kind && touches(last, kind, text, at) => {
                    last.text = &sql[last.at..at + length];
                }
                _ => tokens.push(Token { kind, text, at }),
            }
        }
        at += length;
    }
    tokens
}

/// The word that says what a statement does, in lower case: its first one, behind WITH that of what follows the queries
/// in brackets. Empty if that is no word.
pub(super) fn verb(statement: &str) -> String {
    let first = first_word(statement);
    if first != "with" {
        return first;
    }
    let mut depth = 0_usize;
    let mut closed = false;
    for token in tokens(statement) {
        if closed && !token.is_sign(",") && !token.is_any(&["as", "using"]) {
            return first_word(&statement[token.at..]);
        }
        closed = token.is_sign(")") && depth == 1;
        if token.is_sign("(") {
            depth += 1;
        } else if token.is_sign(")") {
            depth = depth.saturating_sub(1);
        }
    }
    first
}

fn touches(last: &Token<'_>, kind: TokenKind, text: &str, at: usize) -> bool {
    let quote = if kind == TokenKind::Name { '"' } else { '\'' };
    matches!(kind, TokenKind::Name | TokenKind::Text)
        && last.range().end == at
        && last.text.ends_with(quote)
        && text.starts_with(quote)
}

/// A statement with some of its text replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edited {
    pub(super) sql: String,
    /// What was replaced, in the old text, and the length of what stands there now; from left to right.
    edits: Vec<(Range<usize>, usize)>,
    /// How the old text was made of the one that was written.
    before: Option<Box<Edited>>,
}

impl Edited {
    pub(super) fn new(sql: &str, mut edits: Vec<(Range<usize>, String)>) -> Self {
        edits.sort_by_key(|(range, _)| range.start);
        let mut edited = String::with_capacity(sql.len());
        let mut at = 0;
        for (range, text) in &edits {
            edited.push_str(&sql[at..range.start]);
            edited.push_str(text);
            at = range.end;
        }
        edited.push_str(&sql[at..]);
        Self {
            sql: edited,
            edits: edits
                .into_iter()
                .map(|(range, text)| (range, text.len()))
                .collect(),
            before: None,
        }
    }

    /// The same, of a text that had been edited before.
    pub(super) fn after(mut self, before: Option<Self>) -> Self {
        self.before = before.map(Box::new);
        self
    }

    /// Whether the old text had been edited, too.
    pub(super) fn is_second(&self) -> bool {
        self.before.is_some()
    }

    /// The place in the statement as it was written of a place in the edited one.
    pub(super) fn written(&self, range: Range<usize>) -> Range<usize> {
        let start = self.written_at(range.start);
        let range = start..self.written_at(range.end).max(start);
        match &self.before {
            Some(before) => before.written(range),
            None => range,
        }
    }

    fn written_at(&self, at: usize) -> usize {
        let mut shift = 0_isize;
        for (old, length) in &self.edits {
            let new_start = old.start.saturating_add_signed(shift);
            if at < new_start {
                break;
            }
            if at < new_start + length {
                return old.start;
            }
            shift += length.cast_signed() - old.len().cast_signed();
        }
        at.saturating_add_signed(-shift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sql: &str) -> Vec<&str> {
        tokens(sql).iter().map(|token| token.text).collect()
    }

    #[test]
    fn words_names_texts_and_signs_are_told_apart() {
        assert_eq!(
            texts("copy (select 1.5, \"a\"\"b\"from t) /* to */ to 'it''s' -- end"),
            [
                "copy",
                "(",
                "select",
                "1",
                ".",
                "5",
                ",",
                "\"a\"\"b\"",
                "from",
                "t",
                ")",
                "to",
                "'it''s'"
            ]
        );
        let found = tokens("x 'it''s' \"Hot\" $$a'b$$ e'\\'' é");
        assert_eq!(found[1].value().as_deref(), Some("it's"));
        assert_eq!(found[2].name().as_deref(), Some("hot"));
        assert_eq!(found[3].text, "$$a'b$$");
        assert_eq!(found[3].value(), None);
        assert_eq!(found[4].text, "e'\\''");
        assert_eq!(found[5].text, "é");
    }

    #[test]
    fn places_are_told_in_the_text_as_it_was_written() {
        let sql = "copy x to 'a.csv' (nope 1)";
        let edited = Edited::new(sql, vec![(10..17, "'/long/a.csv'".into())]);
        assert_eq!(edited.sql, "copy x to '/long/a.csv' (nope 1)");
        let at = edited.sql.find("nope").unwrap();
        assert_eq!(&sql[edited.written(at..at + 4)], "nope");
        assert_eq!(edited.written(5..6), 5..6);
        assert_eq!(edited.written(12..15).start, 10);
    }
}
