//! Relative paths in a statement that runs in another process, which has a current directory of its own.

use std::path::{Path, PathBuf};

use super::statements::first_word;
use super::tokens::{Edited, Token, tokens};

/// `sql` with the relative paths in it made absolute, as seen from `directory`: what a statement writes to, and
/// what it reads from if it is there. Otherwise the name may be one beside the database, and stays.
///
/// Only texts that stand where a path stands are paths: behind `FROM` and `TO`, and first in `read_csv(…)` and its
/// like.
pub(super) fn absolute(sql: &str, directory: &Path, exists: impl Fn(&Path) -> bool) -> Edited {
    let tokens = tokens(sql);
    let first = first_word(sql);
    let edits = tokens.iter().enumerate().filter_map(|(i, token)| {
        let path = PathBuf::from(token.value()?);
        let relative = !path.as_os_str().is_empty()
            && path.is_relative()
            && !path.starts_with("~")
            && !token.text.contains("://");
        let absolute = directory.join(&path);
        let is_path = match use_of(&first, &tokens, i)? {
            Use::Write => true,
            Use::Read => exists(&absolute),
        };
        let absolute = absolute.to_str().filter(|_| relative && is_path)?;
        Some((token.range(), format!("'{}'", absolute.replace('\'', "''"))))
    });
    Edited::new(sql, edits.collect())
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
    if last.is_any(&["from", "join"]) || (last.is("database") && first == "import") {
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
    let reads = rest.last()?.name().is_some_and(|name| {
        name.starts_with("read_")
            || name.starts_with("parquet_")
            || matches!(name.as_str(), "glob" | "sniff_csv")
    });
    (opener.is_sign("(") && reads).then_some(Use::Read)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seen from `/u`, where there are `a.csv` and `b.csv`.
    fn seen(sql: &str) -> String {
        absolute(sql, Path::new("/u"), |path| {
            path == Path::new("/u/a.csv") || path == Path::new("/u/b.csv")
        })
        .sql
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
        assert_eq!(seen("copy mine from 'a.csv'"), "copy mine from '/u/a.csv'");
        assert_eq!(seen("from 'lake/x.parquet'"), "from 'lake/x.parquet'");
        assert_eq!(
            seen("from read_csv('a.csv', delim = 'b.csv')"),
            "from read_csv('/u/a.csv', delim = 'b.csv')"
        );
    }
}
