//! Colours for what is being typed: keywords, texts, numbers, comments, calls, and what has no partner.

use std::ops::Range;

use super::color::Theme;
use super::command;
use super::commands::{Argument, commands, entry};
use super::complete::Catalog;
use crate::query::{Open, Token, TokenKind, open_at_end, tokens};

/// Longer texts are shown as they are: they are pasted rather than typed.
const LONGEST: usize = 64 << 10;

/// What a stretch of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Keyword,
    Call,
    Text,
    Number,
    Comment,
    /// A bracket or quote that is not closed yet.
    Open,
    /// A bracket that closes nothing, a command that there is not.
    Wrong,
}

impl Style {
    /// The parameters of the escape code.
    fn code(self, theme: Theme) -> &'static str {
        match (self, theme) {
            (Self::Keyword, Theme::Dark) => "94",
            (Self::Keyword, Theme::Light) => "34",
            (Self::Call, Theme::Dark) => "93",
            (Self::Call, Theme::Light) => "35",
            (Self::Text, _) => "32",
            (Self::Number, Theme::Dark) => "96",
            (Self::Number, Theme::Light) => "36",
            (Self::Comment, _) => "90",
            (Self::Open, _) => "1;4",
            (Self::Wrong, _) => "1;4;31",
        }
    }
}

/// A stretch and what it is.
type Span = (Range<usize>, Style);

/// The line being typed, behind the lines `before`, with colours. What is seen of it stays as it is.
pub(super) fn painted(before: &str, line: &str, catalog: &Catalog, theme: Theme) -> String {
    if before.len() + line.len() > LONGEST {
        return line.to_owned();
    }
    let text = format!("{before}{line}");
    let mut painted = String::with_capacity(line.len() * 2);
    let mut at = before.len();
    for (range, style) in spans(before, &text, catalog) {
        let start = range.start.max(at);
        if start >= range.end {
            continue;
        }
        painted.push_str(&text[at..start]);
        painted.push_str("\x1b[");
        painted.push_str(style.code(theme));
        painted.push('m');
        painted.push_str(&text[start..range.end]);
        painted.push_str("\x1b[0m");
        at = range.end;
    }
    painted.push_str(&text[at..]);
    painted
}

/// What the stretches of a text are, from left to right.
fn spans(before: &str, text: &str, catalog: &Catalog) -> Vec<Span> {
    if !before.trim().is_empty() || !command::is_command(text) {
        return of_sql(text, 0, catalog);
    }
    let start = text.len() - text.trim_start().len();
    let end = text[start..]
        .find(char::is_whitespace)
        .map_or(text.len(), |i| start + i);
    let name = text[start..end].trim_end_matches(';');
    let begun = || commands().any(|entry| entry.name.starts_with(name));
    let known = !name.starts_with('.') || command::is_known(name);
    let style = if known || begun() {
        Style::Keyword
    } else {
        Style::Wrong
    };
    let mut spans = vec![(start..start + name.len(), style)];
    let takes = entry(name).map_or(&[][..], |entry| entry.takes);
    if takes.iter().any(|argument| {
        matches!(
            argument,
            Argument::Query | Argument::Relations | Argument::Picture
        )
    }) {
        spans.extend(of_sql(&text[end..], end, catalog));
    }
    spans
}

fn of_sql(text: &str, shift: usize, catalog: &Catalog) -> Vec<Span> {
    let tokens = tokens(text);
    let mut spans: Vec<Span> = Vec::new();
    let mut brackets: Vec<(&str, usize)> = Vec::new();
    let mut gap = 0;
    for (i, token) in tokens.iter().enumerate() {
        comment(text, gap..token.at, &mut spans);
        gap = token.range().end;
        match token.kind {
            TokenKind::Text => spans.push((token.range(), Style::Text)),
            TokenKind::Word => spans.extend(of_word(&tokens, i, catalog)),
            TokenKind::Sign => match token.text {
                "(" | "[" | "{" => {
                    brackets.push((token.text, spans.len()));
                    spans.push((token.range(), Style::Open));
                }
                ")" | "]" | "}" => match brackets.pop() {
                    Some((open, span)) if partners(open, token.text) => {
                        // Emptied rather than removed: places behind it are kept by others.
                        spans[span].0 = 0..0;
                    }
                    open => {
                        brackets.extend(open);
                        spans.push((token.range(), Style::Wrong));
                    }
                },
                _ => {}
            },
            TokenKind::Name => {}
        }
    }
    comment(text, gap..text.len(), &mut spans);
    if let (Some(Open::Quote | Open::Name | Open::Dollar), Some(last)) =
        (open_at_end(text), tokens.last())
    {
        // The quote's own sign is marked, what it holds stays a text.
        let sign = last.at + last.text.find(['\'', '"', '$']).unwrap_or(0);
        spans.retain(|(range, _)| *range != last.range());
        spans.push((sign..sign + 1, Style::Open));
        if last.kind == TokenKind::Text {
            spans.push((sign + 1..last.range().end, Style::Text));
        }
    }
    spans.retain(|(range, _)| !range.is_empty());
    for (range, _) in &mut spans {
        *range = range.start + shift..range.end + shift;
    }
    spans
}

fn partners(open: &str, close: &str) -> bool {
    matches!((open, close), ("(", ")") | ("[", "]") | ("{", "}"))
}

/// What stands between tokens and is no space.
fn comment(text: &str, gap: Range<usize>, spans: &mut Vec<Span>) {
    let between = &text[gap.clone()];
    let inner = between.trim();
    if !inner.is_empty() {
        let start = gap.start + (between.len() - between.trim_start().len());
        spans.push((start..start + inner.len(), Style::Comment));
    }
}

fn of_word(tokens: &[Token<'_>], i: usize, catalog: &Catalog) -> Option<Span> {
    let token = &tokens[i];
    let before = i.checked_sub(1).map(|i| &tokens[i]);
    let next = tokens.get(i + 1);
    let touches = |other: Option<&Token<'_>>, sign: &str| other.is_some_and(|o| o.is_sign(sign));
    let range = token.range();
    if token.text.starts_with(|c: char| c.is_ascii_digit()) {
        // The point of `1.5` is a sign of its own.
        let point = before.filter(|sign| sign.is_sign(".") && sign.range().end == range.start);
        return Some((
            point.map_or(range.start, |sign| sign.at)..range.end,
            Style::Number,
        ));
    }
    if let Some(dollar) = before.filter(|sign| sign.is_sign("$") && sign.range().end == range.start)
    {
        return Some((dollar.at..range.end, Style::Number));
    }
    if touches(before, ".") {
        return None;
    }
    let name = token.text.to_ascii_lowercase();
    if touches(next, "(") && catalog.functions.contains_key(&name) {
        return Some((range, Style::Call));
    }
    if touches(next, ".") {
        return None;
    }
    let (_, reserved) = catalog.keyword(&name)?;
    // A word that may also be a name is one where a column is called so.
    (*reserved || !catalog.is_column(&name)).then_some((range, Style::Keyword))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::fmt::Write as _;

    fn catalog() -> Catalog {
        let function = super::super::complete::Function {
            table: false,
            own: false,
            parameters: Vec::new(),
        };
        Catalog {
            keywords: ["and", "date", "from", "insert", "select", "symbol", "where"]
                .map(|word| {
                    (
                        word.to_owned(),
                        matches!(word, "and" | "from" | "select" | "where"),
                    )
                })
                .to_vec(),
            relations: BTreeMap::from([("trades".to_owned(), vec!["symbol".to_owned()])]),
            functions: BTreeMap::from([("max".to_owned(), function)]),
            ..Catalog::default()
        }
    }

    /// The line with the first letter of each stretch's style around it.
    fn marked(before: &str, line: &str) -> String {
        let text = format!("{before}{line}");
        let mut marked = String::new();
        let mut at = before.len();
        for (range, style) in spans(before, &text, &catalog()) {
            if range.end <= at {
                continue;
            }
            let letter = format!("{style:?}").to_lowercase();
            marked.push_str(&text[at..range.start.max(at)]);
            let shown = &text[range.start.max(at)..range.end];
            let _ = write!(marked, "<{} {shown}>", &letter[..1]);
            at = range.end;
        }
        marked.push_str(&text[at..]);
        marked
    }

    #[test]
    fn words_texts_numbers_and_comments_have_their_colours() {
        for (line, expected) in [
            (
                "SELECT max(price) from t",
                "<k SELECT> <c max>(price) <k from> t",
            ),
            ("select 1.5, .5, 2", "<k select> <n 1><n .5>, <n .5>, <n 2>"),
            (
                "where x = 'it''s' and $sym",
                "<k where> x = <t 'it''s'> <k and> <n $sym>",
            ),
            (
                "select symbol, date, t.from -- why",
                "<k select> symbol, <k date>, t.from <c -- why>",
            ),
            (
                "select /* a */ 1 /* b",
                "<k select> <c /* a */> <n 1> <c /* b>",
            ),
            ("insert into \"select\"", "<k insert> into \"select\""),
        ] {
            assert_eq!(marked("", line), expected, "{line}");
        }
    }

    #[test]
    fn what_has_no_partner_is_marked() {
        for (line, expected) in [
            ("max((1)", "<c max><o (>(<n 1>)"),
            ("(1))", "(<n 1>)<w )>"),
            ("[1)", "<o [><n 1><w )>"),
            ("where 'abc", "<k where> <o '><t abc>"),
            ("where \"abc", "<k where> <o \">abc"),
        ] {
            assert_eq!(marked("", line), expected, "{line}");
        }
        assert_eq!(marked("select (\n", "1)"), "<n 1>)");
        assert_eq!(marked("select 'a\n", "from'"), "<t from'>");
    }

    #[test]
    fn commands_are_told_from_words_that_are_none() {
        for (line, expected) in [
            (".plot line select 1", "<k .plot> line <k select> <n 1>"),
            (".pl", "<k .pl>"),
            (".plod x", "<w .plod> x"),
            (".book from", "<k .book> from"),
            ("exit", "<k exit>"),
        ] {
            assert_eq!(marked("", line), expected, "{line}");
        }
    }

    #[test]
    fn nothing_but_codes_is_added() {
        let line = "select max('x', (1) -- é";
        let shown = painted("", line, &catalog(), Theme::Dark);
        let mut plain = shown;
        while let Some(at) = plain.find('\x1b') {
            let end = at + plain[at..].find('m').unwrap();
            plain.replace_range(at..=end, "");
        }
        assert_eq!(plain, line);
    }
}
