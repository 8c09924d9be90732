//! Where one SQL statement ends and the next begins: a pure scanner over text, which never asks a parser.
//!
//! It knows the lexical shape of DuckDB's SQL (quotes, `E''`, dollar quotes, nested comments, brackets,
//! `;`) and nothing of its grammar. A `;` ends a statement wherever it is no part of a quote or a
//! comment, also inside brackets: no valid statement holds one there, and a forgotten `)` should give an
//! error, not a prompt that never returns.

use std::ops::Range;

/// One statement of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The statement from its first token on, without the closing `;` and the space around it.
    pub text: &'a str,
    /// Byte offset of `text` in the script.
    pub offset: usize,
    /// Line of `text`'s first byte in the script, from 1.
    pub line: usize,
}

/// What keeps a text from being complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// A statement that no `;` has ended.
    Statement,
    /// A string: `'…`.
    Quote,
    /// A quoted name: `"…`.
    Name,
    /// A dollar-quoted string: `$$…` or `$tag$…`.
    Dollar,
    /// A comment: `/* …`.
    Comment,
    /// A bracket, as it was written: `(`, `[` or `{`.
    Bracket(char),
}

/// Cuts `text` into pieces that end with a `;` (or with the text), and says what the last one leaves open.
///
/// Put together again, the pieces are the text. A piece may hold no statement at all.
#[derive(Debug, Clone)]
pub struct Pieces<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    open: Option<Open>,
}

/// A stretch of a script with at most one statement in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Where the piece stands in the script.
    pub span: Range<usize>,
    /// The statement in it, if there is more than space, comments and a `;`. A comment that nothing closes is one.
    pub statement: Option<Statement<'a>>,
}

impl<'a> Pieces<'a> {
    /// Starts at the beginning of `text`.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            line: 1,
            open: None,
        }
    }

    /// What is open at the end of the text. Only known once the iterator is exhausted.
    #[must_use]
    pub fn open(&self) -> Option<Open> {
        self.open
    }

    /// What comes next if it is no SQL but a command: a line that begins with a `.`, where a statement would. One whose
    /// query leaves a bracket or quote open goes on up to the `;` that ends that query.
    pub fn command(&mut self) -> Option<Statement<'a>> {
        let rest = &self.text[self.at..];
        let start = nothing_length(rest.as_bytes());
        let line = rest[start..].split_inclusive('\n').next();
        let line = line.filter(|line| line.starts_with('.'))?;
        let (length, open) = command_length(&rest[start..], line);
        let whole = &rest[start..start + length];
        let command = Statement {
            text: whole.trim_end(),
            offset: self.at + start,
            line: self.line + count_lines(&rest[..start]),
        };
        self.line = command.line + count_lines(whole);
        self.at = command.offset + length;
        self.open = open;
        Some(command)
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if self.at >= self.text.len() {
            return None;
        }
        let start = self.at;
        let scan = Scan::run(&self.text.as_bytes()[start..]);
        let piece = &self.text[start..start + scan.end];
        let space = |c: char| c.is_whitespace() || SPACES.contains(&c);
        let body = piece[..piece.len() - usize::from(scan.ended)].trim_end_matches(space);
        let statement = scan
            .first_token
            .filter(|&i| i < body.len())
            .map(|i| Statement {
                text: &body[i..],
                offset: start + i,
                line: self.line + count_lines(&body[..i]),
            });
        self.line += count_lines(piece);
        self.at += scan.end;
        self.open = match scan.open {
            Some(open) => Some(open),
            None if scan.ended || statement.is_none() => None,
            None => Some(Open::Statement),
        };
        Some(Piece {
            span: start..self.at,
            statement,
        })
    }
}

/// The statements of a script, in order.
pub fn statements(text: &str) -> impl Iterator<Item = Statement<'_>> {
    Pieces::new(text).filter_map(|piece| piece.statement)
}

/// A text up to the end of its last statement: without the `;` there, and the space and comments around that.
#[must_use]
pub fn without_end(text: &str) -> &str {
    let last = statements(text).last();
    last.and_then(|last| text.get(..last.offset + last.text.len()))
        .unwrap_or(text)
}

/// What is open at the end of `text`, which may have commands among its statements; `None` if it can be run as it
/// stands.
#[must_use]
pub fn open_at_end(text: &str) -> Option<Open> {
    let mut pieces = Pieces::new(text);
    while pieces.command().is_some() || pieces.next().is_some() {}
    pieces.open()
}

/// The first word of a statement in lower case: `select`, `insert`, … Empty if it begins with no word.
#[must_use]
pub fn first_word(statement: &str) -> String {
    let end = statement
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(statement.len());
    statement[..end].to_ascii_lowercase()
}

/// The length of the command that `rest` begins with, whose first line is `line`; and what it leaves open.
fn command_length(rest: &str, line: &str) -> (usize, Option<Open>) {
    let alone = (line.len(), None);
    let Some(query) = query_in(line.as_bytes()) else {
        return alone;
    };
    if Scan::run(&line.as_bytes()[query..]).open.is_none() {
        return alone;
    }
    let scan = Scan::run(&rest.as_bytes()[query..]);
    let unended = (!scan.ended).then_some(Open::Statement);
    (query + scan.end, scan.open.or(unended))
}

/// Where in the line of a command the query begins that it is given: at the first SELECT, FROM or WITH that stands alone.
fn query_in(line: &[u8]) -> Option<usize> {
    const FIRST_WORDS: [&str; 3] = ["select", "from", "with"];
    let space = |at: usize| line.get(at).is_none_or(u8::is_ascii_whitespace);
    let mut at = 0;
    while at < line.len() {
        if line[at..].starts_with(b"--") {
            // Of a command that is an option, `--to`, and no comment.
            at += 2;
            continue;
        }
        at += match lexeme(line, at) {
            Lexeme::Word(length) => {
                let word = &line[at..at + length];
                let is_first = FIRST_WORDS
                    .iter()
                    .any(|first| word.eq_ignore_ascii_case(first.as_bytes()));
                let ends = space(at + length) || line[at + length] == b'(';
                if is_first && at > 0 && space(at - 1) && ends {
                    return Some(at);
                }
                length
            }
            Lexeme::Nothing(length) | Lexeme::Quoted(length, _) => length,
            Lexeme::Sign => 1,
        };
    }
    None
}

/// The length of the space and the comments that `bytes` begin with.
fn nothing_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    while at < bytes.len() {
        let Lexeme::Nothing(length) = lexeme(bytes, at) else {
            break;
        };
        at += length;
    }
    at
}

fn count_lines(text: &str) -> usize {
    memchr::memchr_iter(b'\n', text.as_bytes()).count()
}

/// One pass over the bytes up to the `;` that ends a statement.
struct Scan {
    /// Length of the piece.
    end: usize,
    /// Whether it ends with a `;`.
    ended: bool,
    /// First byte that is neither space nor a comment that ends.
    first_token: Option<usize>,
    open: Option<Open>,
}

impl Scan {
    fn run(bytes: &[u8]) -> Self {
        let mut first_token = None;
        let mut brackets: Vec<char> = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let (length, unclosed) = match rest {
                [b'-', b'-', ..] => (line_length(rest), None),
                [b'/', b'*', ..] => closed(comment_length(rest), rest, Open::Comment),
                _ if space_length(rest) > 0 => (space_length(rest), None),
                [b';', ..] => {
                    let end = at + 1;
                    return Self {
                        end,
                        ended: true,
                        first_token,
                        open: None,
                    };
                }
                [byte, ..] => {
                    first_token = first_token.or(Some(at));
                    match byte {
                        b'\'' | b'"' | b'$' => quoted(bytes, at).unwrap_or((1, None)),
                        b'(' | b'[' | b'{' => {
                            brackets.push(char::from(*byte));
                            (1, None)
                        }
                        b')' | b']' | b'}' => {
                            brackets.pop();
                            (1, None)
                        }
                        _ => (1, None),
                    }
                }
                [] => break,
            };
            if unclosed.is_some() {
                return Self {
                    end: at + length,
                    ended: false,
                    // An open comment is for DuckDB to refuse: what it took along would else be left out in silence.
                    first_token: first_token.or(Some(at)),
                    open: unclosed,
                };
            }
            at += length;
        }
        Self {
            end: at,
            ended: false,
            first_token,
            open: brackets.last().map(|&c| Open::Bracket(c)),
        }
    }
}

/// The length of the quote that begins at `at`, and what it leaves open; `None` if none begins there.
fn quoted(bytes: &[u8], at: usize) -> Option<(usize, Option<Open>)> {
    let (before, rest) = bytes.split_at(at);
    match rest.first()? {
        b'\'' if is_escape_string(before) => Some(closed(escape_length(rest), rest, Open::Quote)),
        b'\'' => Some(closed(quote_length(rest), rest, Open::Quote)),
        b'"' => Some(closed(quote_length(rest), rest, Open::Name)),
        b'$' if !ends_with_name(before) => Some(dollar(rest)).filter(|(length, _)| *length > 1),
        _ => None,
    }
}

/// A stretch of a statement.
pub(crate) enum Lexeme {
    /// Space or a comment.
    Nothing(usize),
    /// Letters, digits and `_`.
    Word(usize),
    /// A quote, which the byte opens.
    Quoted(usize, u8),
    /// Any other byte.
    Sign,
}

/// What begins at `at`.
pub(crate) fn lexeme(bytes: &[u8], at: usize) -> Lexeme {
    let rest = &bytes[at..];
    match rest {
        [b'-', b'-', ..] => Lexeme::Nothing(line_length(rest)),
        [b'/', b'*', ..] => Lexeme::Nothing(comment_length(rest).unwrap_or(rest.len())),
        _ if space_length(rest) > 0 => Lexeme::Nothing(space_length(rest)),
        // The letter belongs to the string.
        [b'e' | b'E', b'\'', ..] if !ends_with_name(&bytes[..at]) => {
            let quote = &rest[1..];
            Lexeme::Quoted(1 + escape_length(quote).unwrap_or(quote.len()), b'\'')
        }
        [byte, ..] if is_name_byte(*byte) => {
            let ends = |&at: &usize| !is_name_byte(rest[at]) || space_length(&rest[at..]) > 0;
            Lexeme::Word((1..rest.len()).find(ends).unwrap_or(rest.len()))
        }
        _ => quoted(bytes, at).map_or(Lexeme::Sign, |(length, _)| {
            Lexeme::Quoted(length, rest.first().copied().unwrap_or_default())
        }),
    }
}

/// Characters that DuckDB takes for space, beside those of ASCII that Rust does.
const SPACES: [char; 19] = [
    '\u{a0}', '\u{2000}', '\u{2001}', '\u{2002}', '\u{2003}', '\u{2004}', '\u{2005}', '\u{2006}',
    '\u{2007}', '\u{2008}', '\u{2009}', '\u{200a}', '\u{200b}', '\u{202f}', '\u{205f}', '\u{2060}',
    '\u{3000}', '\u{feff}', '\u{b}',
];

/// Length of the space that `rest` begins with; 0 if it is none.
fn space_length(rest: &[u8]) -> usize {
    let Some(&first) = rest.first() else {
        return 0;
    };
    if first.is_ascii_whitespace() {
        return 1;
    }
    // What all of them begin with.
    if !matches!(first, 0x0b | 0xc2 | 0xe2 | 0xe3 | 0xef) {
        return 0;
    }
    SPACES
        .iter()
        .find(|space| rest.starts_with(space.encode_utf8(&mut [0; 4]).as_bytes()))
        .map_or(0, |space| space.len_utf8())
}

/// Length of a comment up to the end of its line, as DuckDB sees one.
fn line_length(rest: &[u8]) -> usize {
    memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len())
}

fn closed(length: Option<usize>, rest: &[u8], open: Open) -> (usize, Option<Open>) {
    length.map_or((rest.len(), Some(open)), |n| (n, None))
}

/// Length of `'…'` or `"…"`. A doubled quote needs no care: it closes one quote and opens the next.
fn quote_length(rest: &[u8]) -> Option<usize> {
    memchr::memchr(rest[0], &rest[1..]).map(|i| i + 2)
}

/// Length of `'…'` in which a backslash takes the next byte along.
fn escape_length(rest: &[u8]) -> Option<usize> {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'\'' => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

/// Length of a comment; comments nest.
fn comment_length(rest: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (2, 1);
    while depth > 0 {
        at += memchr::memchr2(b'*', b'/', rest.get(at..)?)?;
        match rest[at..] {
            [b'*', b'/', ..] => (at, depth) = (at + 2, depth - 1),
            [b'/', b'*', ..] => (at, depth) = (at + 2, depth + 1),
            _ => at += 1,
        }
    }
    Some(at)
}

/// A dollar quote, or a lone `$` (a parameter such as `$1`).
fn dollar(rest: &[u8]) -> (usize, Option<Open>) {
    let tag = rest[1..].iter().take_while(|b| is_name_byte(**b)).count();
    if rest.get(tag + 1) != Some(&b'$') || rest[1].is_ascii_digit() {
        return (1, None);
    }
    let mark = &rest[..tag + 2];
    let end = memchr::memmem::find(&rest[mark.len()..], mark).map(|i| i + 2 * mark.len());
    closed(end, rest, Open::Dollar)
}

/// Whether a quote behind `before` belongs to an `E'…'` string.
fn is_escape_string(before: &[u8]) -> bool {
    matches!(before, [rest @ .., b'e' | b'E'] if !ends_with_name(rest))
}

fn ends_with_name(before: &[u8]) -> bool {
    let Some(&last) = before.last() else {
        return false;
    };
    // A space of several bytes ends with one that a name could have.
    let start = before.iter().rposition(|byte| byte & 0xc0 != 0x80);
    let space = space_length(&before[start.unwrap_or_default()..]) > 0;
    (is_name_byte(last) || last == b'$') && !space
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(script: &str) -> Vec<&str> {
        statements(script).map(|s| s.text).collect()
    }

    #[test]
    fn a_semicolon_ends_a_statement_only_outside_quotes_and_comments() {
        assert_eq!(texts("select 1; select 2"), ["select 1", "select 2"]);
        assert_eq!(texts("select ';', \";\" ; x"), ["select ';', \";\"", "x"]);
        assert_eq!(texts("select 'it''s;'; x"), ["select 'it''s;'", "x"]);
        assert_eq!(texts(r"select E'it\'s;'; x"), [r"select E'it\'s;'", "x"]);
        assert_eq!(texts(r"select 'back\'; x"), [r"select 'back\'", "x"]);
        assert_eq!(
            texts("select 1 -- ; no\n, 2; x"),
            ["select 1 -- ; no\n, 2", "x"]
        );
        assert_eq!(
            texts("select /* ; /* ; */ ; */ 1; x"),
            ["select /* ; /* ; */ ; */ 1", "x"]
        );
        assert_eq!(texts("select $$a;b$$; x"), ["select $$a;b$$", "x"]);
        assert_eq!(texts("select $t$a;$$;$t$; x"), ["select $t$a;$$;$t$", "x"]);
        assert_eq!(
            texts("select $1; select a$b$; x"),
            ["select $1", "select a$b$", "x"]
        );
        assert_eq!(texts("select (1; x"), ["select (1", "x"]);
    }

    #[test]
    fn the_end_is_what_stands_behind_the_last_statement() {
        for (text, want) in [
            ("-- A.\nSELECT 1", "-- A.\nSELECT 1"),
            ("-- A.\nSELECT 1\n;;\n", "-- A.\nSELECT 1"),
            ("SELECT 1; -- one; two\n", "SELECT 1"),
            ("SELECT 1 ; /* ; */ ;\n-- x", "SELECT 1"),
            ("SELECT '; --' -- x\n;", "SELECT '; --' -- x"),
            ("SELECT 1; SELECT 2; -- x", "SELECT 1; SELECT 2"),
            ("SELECT 1; /* open", "SELECT 1; /* open"),
            ("-- A.\n", "-- A.\n"),
        ] {
            assert_eq!(without_end(text), want, "{text}");
        }
    }

    #[test]
    fn what_duckdb_takes_for_space_is_space() {
        for space in SPACES {
            let script = format!("{space}select{space}1{space};{space}x");
            let found = statements(&script).map(|s| (s.text, first_word(s.text)));
            let select = format!("select{space}1");
            let expected = [(&*select, "select"), ("x", "x")].map(|(s, word)| (s, word.to_owned()));
            assert_eq!(found.collect::<Vec<_>>(), expected, "{space:?}");
        }
        assert_eq!(texts("select 1 --\r; x"), ["select 1 --", "x"]);
        let escaped = "select\u{a0}e'a\\''";
        assert_eq!(texts(&format!("{escaped}; x; '")), [escaped, "x", "'"]);
    }

    #[test]
    fn a_name_that_ends_in_e_does_not_make_an_escape_string() {
        assert_eq!(texts(r"select date'\'; x"), [r"select date'\'", "x"]);
    }

    #[test]
    fn statements_know_their_place() {
        let script = "-- head\n\nselect 1;\n  /* c */ select\n 2;\n;;\n-- tail\n";
        let found: Vec<_> = statements(script)
            .map(|s| (s.text, s.offset, s.line))
            .collect();
        assert_eq!(found, [("select 1", 9, 3), ("select\n 2", 29, 4)]);
        for s in statements(script) {
            assert!(script[s.offset..].starts_with(s.text));
        }
    }

    #[test]
    fn a_comment_that_nothing_closes_is_no_silence() {
        let found: Vec<_> = statements("select 1;\n\n /* from here\nselect 2;")
            .map(|s| (s.text, s.offset, s.line))
            .collect();
        assert_eq!(
            found,
            [("select 1", 0, 1), ("/* from here\nselect 2;", 12, 3)]
        );
        assert_eq!(
            texts("-- c\n/* a /* b */ select 1"),
            ["/* a /* b */ select 1"]
        );
        assert_eq!(texts("/* a */ -- /* b"), [""; 0]);
    }

    #[test]
    fn an_open_end_is_named() {
        let check = |text: &str, open| assert_eq!(open_at_end(text), open, "{text:?}");
        check("", None);
        check("  -- nothing\n", None);
        check("select 1;", None);
        check("select 1; -- done", None);
        check("select 1", Some(Open::Statement));
        check("select 1; select", Some(Open::Statement));
        check("select 'a", Some(Open::Quote));
        check("select e'a\\'", Some(Open::Quote));
        check("select \"a", Some(Open::Name));
        check("select $q$ $$ ", Some(Open::Dollar));
        check("select /* /* */ ", Some(Open::Comment));
        check("/* only", Some(Open::Comment));
        check("/*", Some(Open::Comment));
        check("select (1, [2", Some(Open::Bracket('[')));
        check("select (1, [2]", Some(Open::Bracket('(')));
        check("select (1, [2]);", None);
        check(".mode csv", None);
        check("select 1; -- done\n.read it's.sql", None);
        check(".mode csv\nselect 1", Some(Open::Statement));
        check("select 1\n.mode csv", Some(Open::Statement));
        check("/* .mode csv", Some(Open::Comment));
        check(".plot select (", Some(Open::Bracket('(')));
        check(
            ".plot --to a.svg from (select 1,\n2",
            Some(Open::Bracket('(')),
        );
        check(".plot select (\n1)", Some(Open::Statement));
        check(".plot select (\n1);", None);
        check(".plot select 'a", Some(Open::Quote));
        check(".plot select 1", None);
        check(".plot (", None);
        check(".read /from/it's (1.sql", None);
        check(".read from_it's.sql", None);
    }

    /// The commands and statements of a script, each with its line, and what is open at its end.
    fn commands_and_statements(script: &str) -> (Vec<(&str, usize)>, Option<Open>) {
        let mut pieces = Pieces::new(script);
        let mut found = Vec::new();
        while let Some(part) = pieces
            .command()
            .or_else(|| pieces.next().and_then(|piece| piece.statement))
        {
            assert!(script[part.offset..].starts_with(part.text));
            found.push((part.text, part.line));
        }
        (found, pieces.open())
    }

    #[test]
    fn a_command_goes_on_where_its_query_leaves_a_bracket_open() {
        let script = ".explain SELECT max(\n  price -- ;\n) FROM t; select 2;\n.watch 1s WITH x AS (\n\n select 1) FROM x\n;\n.mode csv";
        let (found, open) = commands_and_statements(script);
        let expected = [
            (".explain SELECT max(\n  price -- ;\n) FROM t;", 1),
            ("select 2", 3),
            (".watch 1s WITH x AS (\n\n select 1) FROM x\n;", 4),
            (".mode csv", 8),
        ];
        assert_eq!(found, expected);
        assert_eq!(open, None);
    }

    #[test]
    fn a_command_is_a_line_that_begins_where_a_statement_would() {
        let script = "-- mine\n.mode csv \nselect 1\n.5; /* and\n*/ .timer on\n\n.quit";
        let (found, _) = commands_and_statements(script);
        let expected = [
            (".mode csv", 2),
            ("select 1\n.5", 3),
            (".timer on", 5),
            (".quit", 7),
        ];
        assert_eq!(found, expected);
    }

    proptest! {
        #[test]
        fn pieces_put_together_are_the_text(
            parts in prop::collection::vec(prop::sample::select(vec![
                "select", " ", "\n", ";", "'", "''", "\"", "e'", "\\", "--", "/*", "*/", "$$", "$a$", "$1", "(", ")",
                "[", "]", "é", "x", "日",
            ]), 0..40),
        ) {
            let text = parts.concat();
            let mut pieces = Pieces::new(&text);
            let spans: Vec<_> = pieces.by_ref().collect();
            prop_assert_eq!(spans.iter().map(|p| &text[p.span.clone()]).collect::<String>(), text.as_str());
            for piece in &spans[..spans.len().saturating_sub(1)] {
                prop_assert!(text[piece.span.clone()].ends_with(';'));
            }
            for statement in spans.iter().filter_map(|p| p.statement) {
                prop_assert_eq!(&text[statement.offset..statement.offset + statement.text.len()], statement.text);
                prop_assert_eq!(statement.line, 1 + count_lines(&text[..statement.offset]));
                prop_assert!(!statement.text.is_empty());
            }
        }

        #[test]
        fn a_text_that_is_closed_with_a_semicolon_is_complete(text in "[a-z (),.=]{0,40}") {
            prop_assert_eq!(open_at_end(&format!("{text};")), None);
        }
    }
}
