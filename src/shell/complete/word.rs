//! The word that is being typed, and the statement that it is in.

use crate::query::{Pieces, TokenKind, open_at_end, tokens};

/// The word at the cursor.
pub(super) struct Word<'t> {
    /// Where it begins, with its quote.
    pub(super) start: usize,
    /// What is typed of it before the cursor, without quotes.
    pub(super) text: &'t str,
    /// What of it stands behind the cursor.
    pub(super) rest: &'t str,
    /// The quote it begins with.
    pub(super) quote: Option<char>,
    /// Whether its closing quote is there.
    pub(super) closed: bool,
    /// The text behind it.
    pub(super) tail: &'t str,
}

impl<'t> Word<'t> {
    /// The word that ends at the end of `head`, before `after`; `quote` is the one that is open there.
    pub(super) fn of(head: &'t str, after: &'t str, quote: Option<char>) -> Option<Self> {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let Some(quote) = quote else {
            let start = head.rfind(|c: char| !is_word(c)).map_or(0, |i| {
                i + head[i..].chars().next().map_or(1, char::len_utf8)
            });
            let rest = after.find(|c: char| !is_word(c)).unwrap_or(after.len());
            let text = &head[start..];
            return Some(Self {
                start,
                text,
                // A cursor before a word is not in it.
                rest: if text.is_empty() { "" } else { &after[..rest] },
                quote: None,
                closed: false,
                tail: if text.is_empty() {
                    after
                } else {
                    &after[rest..]
                },
            });
        };
        let token = tokens(head).pop()?;
        if !token.text.starts_with(quote)
            || !matches!(token.kind, TokenKind::Text | TokenKind::Name)
        {
            return None;
        }
        let end = after.find(|c: char| c == quote || c.is_whitespace());
        let closed = end.is_some_and(|end| after[end..].starts_with(quote));
        let rest = if closed {
            &after[..end.unwrap_or(0)]
        } else {
            ""
        };
        Some(Self {
            start: token.at,
            text: &head[token.at + 1..],
            rest,
            quote: Some(quote),
            closed,
            tail: if closed {
                &after[rest.len() + 1..]
            } else {
                after
            },
        })
    }
}

/// The part of a text up to the end of the statement that it begins in.
pub(super) fn statement_end(text: &str) -> &str {
    let piece = Pieces::new(text).next();
    let piece = piece.map_or("", |piece| &text[piece.span]);
    piece.strip_suffix(';').unwrap_or(piece)
}

/// Where the statement begins that the end of `text` is in.
pub(super) fn last_statement(text: &str) -> usize {
    let last = Pieces::new(text).last();
    last.map_or(0, |piece| {
        if text[piece.span.clone()].ends_with(';') && open_at_end(text).is_none() {
            piece.span.end
        } else {
            piece.span.start
        }
    })
}

/// Whether a text ends in a comment that begins with `--`.
pub(super) fn in_line_comment(text: &str) -> bool {
    let end = tokens(text).last().map_or(0, |token| token.range().end);
    let rest = &text[end.min(text.len())..];
    rest.rfind("--")
        .is_some_and(|start| !rest[start..].contains('\n'))
}
