//! Relative paths in a statement: it may run in another process, which has a current directory of its own, and DuckDB
//! looks for patterns elsewhere than for names.

use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::tokens::{Edited, Token, TokenKind, tokens};
use crate::model::sql::literal;
use crate::model::statements::first_word;

/// `sql` with the relative paths in it made absolute, as seen from `directory`: what a statement writes to, and
/// what it reads from if it is there; of a pattern the directory that it begins with. Otherwise the name may be one
/// beside the database, and stays.
///
/// Only texts that stand where a path stands are paths: in the lists behind `FROM` and `TO`, behind `DESCRIBE` and other
/// words that take a source, and first in `read_csv(…)` and its like.
pub(super) fn absolute(sql: &str, directory: &Path, exists: impl Fn(&Path) -> bool) -> Edited {
    edited(sql, directory, |path, named| {
        named().is_some_and(|named| {
            matches!(named, Use::Write)
                || exists(&directory.join(path))
                || is_pattern_of(path, directory, &exists)
        })
    })
}

/// The same of patterns only. DuckDB looks for them in `file_search_path`, where the database is, and for any other name in
/// the current directory first.
pub(super) fn absolute_patterns(
    sql: &str,
    directory: &Path,
    exists: impl Fn(&Path) -> bool,
) -> Edited {
    edited(sql, directory, |path, named| {
        is_pattern_of(path, directory, &exists) && matches!(named(), Some(Use::Read))
    })
}

/// `sql` with those of its texts made absolute, as seen from `directory`, that `is_path` says are paths there; it is handed
/// the text, and what tells how that is used.
fn edited(
    sql: &str,
    directory: &Path,
    is_path: impl Fn(&Path, &dyn Fn() -> Option<Use>) -> bool,
) -> Edited {
    let tokens = tokens(sql);
    let first = first_word(sql);
    let edits = tokens.iter().enumerate().filter_map(|(i, token)| {
        let path = PathBuf::from(token.value().or_else(|| file_named(token))?);
        let relative = !path.as_os_str().is_empty()
            && path.is_relative()
            && !path.starts_with("~")
            && !token.text.contains("://");
        let counts = relative && is_path(&path, &|| use_of(&first, &tokens, i));
        let absolute = directory.join(&path);
        let absolute = absolute.to_str().filter(|_| counts)?;
        Some((token.range(), literal(absolute)))
    });
    Edited::new(sql, edits.collect())
}

/// The file that a name in double quotes may be of, `FROM "ticks.csv"`; `None` if it is a table's.
fn file_named(token: &Token<'_>) -> Option<String> {
    const ENDINGS: [&str; 6] = [".csv", ".json", ".jsonl", ".ndjson", ".parquet", ".tsv"];
    let name = token.text.strip_prefix('"')?.strip_suffix('"')?;
    let plain = name.trim_end_matches(".gz").trim_end_matches(".zst");
    let is_file = ENDINGS.iter().any(|ending| plain.ends_with(ending));
    is_file.then(|| name.replace("\"\"", "\""))
}

/// Where in `sql` a path is computed, rather than a text or a list of texts: first in `read_csv(…)` and its like, and behind
/// the `TO` of a COPY, with its brackets.
pub(super) fn computed(sql: &str) -> Vec<Range<usize>> {
    let tokens = tokens(sql);
    let is_copy = first_word(sql) == "copy";
    let is_plain = |token: &Token<'_>| {
        token.kind == TokenKind::Text || ["[", ",", "]"].iter().any(|sign| token.is_sign(sign))
    };
    let place = |i: usize| {
        let opener = tokens.get(i).filter(|token| token.is_sign("("))?;
        let (name, before) = tokens.get(..i)?.split_last()?;
        let end = argument_end(&tokens, i + 1);
        if is_copy && name.is("to") {
            return tokens.get(end).map(|closer| opener.at..closer.range().end);
        }
        let argument = tokens.get(i + 1..end)?;
        let [first, .., last] = argument else {
            return None;
        };
        let is_computed = reads_files(name, before) && !argument.iter().all(is_plain);
        is_computed.then(|| first.at..last.range().end)
    };
    let mut places: Vec<Range<usize>> = Vec::new();
    for found in (0..tokens.len()).filter_map(place) {
        // What is computed within another is that one's.
        if places.last().is_none_or(|last| last.end <= found.start) {
            places.push(found);
        }
    }
    places
}

/// Where the argument ends that begins at `from`: the place of the sign behind it.
fn argument_end(tokens: &[Token<'_>], from: usize) -> usize {
    let mut depth = 0_usize;
    for (i, token) in tokens.iter().enumerate().skip(from) {
        match (token.kind, token.text) {
            (TokenKind::Sign, "(" | "[" | "{") => depth += 1,
            (TokenKind::Sign, ")" | "]" | "}" | ",") if depth == 0 => return i,
            (TokenKind::Sign, ")" | "]" | "}") => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Whether a path is a pattern, and the directory is there in which its wildcards begin.
fn is_pattern_of(path: &Path, directory: &Path, exists: &impl Fn(&Path) -> bool) -> bool {
    let plain = |part: &&OsStr| memchr::memchr3(b'*', b'?', b'[', part.as_bytes()).is_none();
    let fixed: PathBuf = path.iter().take_while(plain).collect();
    fixed != path && exists(&directory.join(fixed))
}

/// Whether the text at `i` of a statement's tokens stands where a path stands.
#[must_use]
pub fn is_path(tokens: &[Token<'_>], i: usize) -> bool {
    let first = tokens.first().map(|token| token.text.to_ascii_lowercase());
    use_of(first.as_deref().unwrap_or_default(), tokens, i).is_some()
}

enum Use {
    Read,
    Write,
}

/// What the text at `i` names.
fn use_of(first: &str, tokens: &[Token<'_>], i: usize) -> Option<Use> {
    let before = &tokens[..i];
    let (last, rest) = before.split_last()?;
    if last.is("to") && first == "copy" {
        return Some(Use::Write);
    }
    if last.is("database") && first == "export" {
        return Some(Use::Write);
    }
    if is_source(before)
        || takes_source(first, last, rest)
        || (last.is("database") && first == "import")
    {
        return Some(Use::Read);
    }
    // `read_csv(['a', 'b'])`: back to what opened the list.
    let (mut opener, mut rest) = (last, rest);
    while opener.is_sign(",") || opener.value().is_some() {
        (opener, rest) = rest.split_last()?;
    }
    if opener.is_sign("[") {
        (opener, rest) = rest.split_last()?;
    } else if opener != last {
        return None;
    }
    let (name, before) = rest.split_last()?;
    (opener.is_sign("(") && reads_files(name, before)).then_some(Use::Read)
}

/// Whether `name` is that of a function that reads the files it is handed; `before` stands before it.
fn reads_files(name: &Token<'_>, before: &[Token<'_>]) -> bool {
    name.name().is_some_and(|name| {
        name.starts_with("read_")
            || name.starts_with("parquet_")
            || name == "sniff_csv"
            // `symbol GLOB ('BTC*')` compares.
            || (name == "glob" && is_source(before))
    })
}

/// Whether a source stands right behind `last`, which no FROM or JOIN is; `rest` stands before it.
fn takes_source(first: &str, last: &Token<'_>, rest: &[Token<'_>]) -> bool {
    const ALWAYS: [&str; 7] = [
        "desc",
        "describe",
        "pivot",
        "pivot_longer",
        "pivot_wider",
        "summarize",
        "unpivot",
    ];
    // Behind any other word TABLE has the name of one.
    const BEFORE_TABLE: [&str; 7] = [
        "all",
        "analyze",
        "as",
        "except",
        "explain",
        "intersect",
        "union",
    ];
    let is_query = |word: &Token<'_>| word.is_sign("(") || word.is_any(&BEFORE_TABLE);
    last.is_any(&ALWAYS)
        || (last.is("table") && rest.last().is_none_or(is_query))
        || (last.is("using") && matches!(first, "delete" | "merge"))
}

/// Whether what follows `before` is one of the sources of a query.
fn is_source(before: &[Token<'_>]) -> bool {
    // They end the sources, or begin what holds no sources.
    const OTHERS: [&str; 11] = [
        "group", "having", "limit", "offset", "order", "qualify", "select", "set", "values",
        "where", "window",
    ];
    let last = before.last();
    if last.is_some_and(|last| last.is("join")) {
        return true;
    }
    if !last.is_some_and(|last| last.is_sign(",")) && !is_from(before) {
        return false;
    }
    let mut from = false;
    let mut depth = 0_usize;
    for (i, token) in before.iter().enumerate().rev() {
        match (token.kind, token.text) {
            (TokenKind::Sign, ")" | "]" | "}") => depth += 1,
            (TokenKind::Sign, "(" | "[" | "{") if depth == 0 => {
                return from && !is_wordy_call(&before[..i]);
            }
            (TokenKind::Sign, "(" | "[" | "{") => depth -= 1,
            (TokenKind::Word, _) if depth == 0 && !from => {
                if token.is_any(&OTHERS) {
                    return false;
                }
                from = is_from(&before[..=i]);
            }
            _ => {}
        }
    }
    from
}

/// Whether tokens end with a FROM before sources, rather than with that of `IS DISTINCT FROM`.
#[must_use]
pub fn is_from(tokens: &[Token<'_>]) -> bool {
    match tokens {
        [.., is, distinct, _] if distinct.is("distinct") && is.is_any(&["is", "not"]) => false,
        [.., last] => last.is("from"),
        [] => false,
    }
}

/// Whether the brackets behind `before` hold the words of a function that is written with FROM: `extract(hour FROM ts)`.
#[must_use]
pub fn is_wordy_call(before: &[Token<'_>]) -> bool {
    let names = ["extract", "substring", "trim", "overlay", "position"];
    before.last().is_some_and(|name| name.is_any(&names))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seen from `/u`, where there are `a.csv`, `b.csv` and the directory `ticks`.
    fn seen(sql: &str) -> String {
        let there = ["/u", "/u/a.csv", "/u/b.csv", "/u/ticks"];
        absolute(sql, Path::new("/u"), |path| {
            there.iter().any(|known| path == Path::new(known))
        })
        .sql
    }

    #[test]
    fn patterns_alone_are_made_absolute_where_the_directory_is_the_same() {
        let seen = |sql: &str| {
            let there = ["/u", "/u/a.csv", "/u/ticks"];
            let exists = |path: &Path| there.iter().any(|known| path == Path::new(known));
            absolute_patterns(sql, Path::new("/u"), exists).sql
        };
        for (sql, whole) in [
            ("from '*.csv'", "from '/u/*.csv'"),
            ("from glob('*')", "from glob('/u/*')"),
            (
                "from read_csv(['ticks/?.csv', 'a.csv'])",
                "from read_csv(['/u/ticks/?.csv', 'a.csv'])",
            ),
        ] {
            assert_eq!(seen(sql), whole);
        }
        for same in [
            "from 'a.csv'",
            "from 'lake/*/x.parquet'",
            "from '/abs/*.csv'",
            "copy t to 'x*.csv'",
            "from t where a = '*.csv'",
            "from t where a glob ('*.csv')",
        ] {
            assert_eq!(seen(same), same);
        }
    }

    #[test]
    fn a_path_that_is_computed_is_found() {
        for (sql, places) in [
            ("from read_csv($f)", vec!["$f"]),
            (
                "from read_csv(f('a', ['b']), header = true)",
                vec!["f('a', ['b'])"],
            ),
            (
                "copy (from read_text('a' || 'b')) to ('c' || 'd') (format csv)",
                vec!["'a' || 'b'", "('c' || 'd')"],
            ),
            (
                "from read_csv((from read_text('a' || 'b')))",
                vec!["(from read_text('a' || 'b'))"],
            ),
            (
                "from glob('a' || '*'), read_csv(['a', 'b'])",
                vec!["'a' || '*'"],
            ),
            ("from t where s glob ('a' || '*')", vec![]),
            ("from read_csv('a.csv') where a in ($b, 'c')", vec![]),
            ("from read_csv(", vec![]),
            ("copy (from t) to 'a.csv' (format csv)", vec![]),
        ] {
            let found: Vec<&str> = computed(sql).into_iter().map(|at| &sql[at]).collect();
            assert_eq!(found, places, "{sql}");
        }
    }

    #[test]
    fn what_is_written_goes_to_the_users_directory() {
        assert_eq!(
            seen("COPY (select 'x.csv' to) TO 'x.csv' (header)"),
            "COPY (select 'x.csv' to) TO '/u/x.csv' (header)"
        );
        assert_eq!(seen("export database 'o''d'"), "export database '/u/o''d'");
        for same in [
            "copy t to '/abs/x.csv'",
            "copy t to 's3://bucket/x'",
            "select 'a.csv', 1",
            "select * from t where a = 'a.csv'",
            "select f('a.csv')",
            "select * from t where a in ('a.csv', 'b.csv')",
            "from t where file is distinct from 'a.csv'",
            "from t join u on t.file is not distinct from 'a.csv'",
            "select trim('x' from 'a.csv'), 'b.csv' from t",
            "from t where f order by 1, 'a.csv'",
            "from t select f, 'a.csv'",
            "create temp table 'a.csv' as select 1",
            "drop table 'a.csv'",
            "alter table t alter c type text using 'a.csv'",
            "from t order by a desc, 'a.csv'",
        ] {
            assert_eq!(seen(same), same);
        }
    }

    #[test]
    fn what_is_read_is_looked_for_in_the_users_directory() {
        assert_eq!(
            seen("from 'a.csv' join 'b.csv'"),
            "from '/u/a.csv' join '/u/b.csv'"
        );
        assert_eq!(
            seen("from read_csv(['a.csv', 'b.csv'], header = true)"),
            "from read_csv(['/u/a.csv', '/u/b.csv'], header = true)"
        );
        assert_eq!(seen("from glob('a.csv')"), "from glob('/u/a.csv')");
        assert_eq!(
            seen("from \"a.csv\" join \"ticks\""),
            "from '/u/a.csv' join \"ticks\""
        );
        assert_eq!(
            seen("from (from 'a.csv') x, 'b.csv' y join t on trim(both from c) = 1, 'a.csv'"),
            "from (from '/u/a.csv') x, '/u/b.csv' y join t on trim(both from c) = 1, '/u/a.csv'"
        );
        assert_eq!(
            seen("from trim((select c from 'a.csv'))"),
            "from trim((select c from '/u/a.csv'))"
        );
        for (before, behind) in [
            ("describe ", ""),
            ("SUMMARIZE ", ""),
            ("from (desc ", ")"),
            ("pivot ", " on c"),
            ("unpivot ", " on c"),
            ("table ", ""),
            ("explain table ", ""),
            ("with x as (table ", ") from x"),
            ("delete from t using ", " b where t.a = b.a"),
            ("merge into t using ", " on true when matched then delete"),
        ] {
            assert_eq!(
                seen(&format!("{before}'a.csv'{behind}")),
                format!("{before}'/u/a.csv'{behind}")
            );
        }
        for (pattern, whole) in [
            ("*.csv", "/u/*.csv"),
            ("ticks/2024-0[89]/*.csv", "/u/ticks/2024-0[89]/*.csv"),
            ("lake/*/x.parquet", "lake/*/x.parquet"),
        ] {
            assert_eq!(
                seen(&format!("from read_csv('{pattern}')")),
                format!("from read_csv('{whole}')")
            );
        }
        assert_eq!(seen("copy mine from 'a.csv'"), "copy mine from '/u/a.csv'");
        assert_eq!(seen("from 'lake/x.parquet'"), "from 'lake/x.parquet'");
        assert_eq!(
            seen("from read_csv('a.csv', delim = 'b.csv')"),
            "from read_csv('/u/a.csv', delim = 'b.csv')"
        );
    }
}
