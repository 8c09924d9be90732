//! Completion: commands and their arguments, tables where a table stands, columns of the tables a statement
//! names, functions, keywords.

use std::collections::BTreeMap;

use crate::query::{Open, Pieces, Session, open_at_end};

use super::command::{self, COMMANDS};

/// What the database holds, by name.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Tables and views with their columns.
    tables: BTreeMap<String, Vec<String>>,
    functions: Vec<String>,
    keywords: Vec<String>,
}

impl Names {
    /// Asks the database. What it does not tell is not completed.
    pub(super) fn load(session: &mut Session) -> Self {
        let mut names = Self::default();
        let columns = "SELECT if(schema_name = current_schema(), '', schema_name || '.') || table_name, column_name \
                       FROM duckdb_columns() WHERE NOT internal ORDER BY ALL";
        for row in session.strings(columns).unwrap_or_default() {
            if let [Some(table), Some(column)] = row.as_slice() {
                names
                    .tables
                    .entry(table.clone())
                    .or_default()
                    .push(column.clone());
            }
        }
        let mut list = |sql| -> Vec<String> {
            session
                .strings(sql)
                .unwrap_or_default()
                .into_iter()
                .filter_map(|mut row| row.pop()?)
                .collect()
        };
        names.functions = list(
            "SELECT DISTINCT function_name FROM duckdb_functions() \
             WHERE regexp_full_match(function_name, '[a-z][a-z0-9_]*') ORDER BY 1",
        );
        names.keywords = list("SELECT keyword_name FROM duckdb_keywords() ORDER BY 1");
        names
    }

    /// Where the word before the cursor begins, and what may stand in its place, best first. `before` and
    /// `after` are the text on both sides of the cursor, of all lines typed so far.
    pub(super) fn complete(&self, before: &str, after: &str) -> (usize, Vec<String>) {
        if before.trim_start().starts_with('.') {
            return complete_command(before, self);
        }
        if matches!(
            open_at_end(before),
            Some(Open::Quote | Open::Dollar | Open::Comment)
        ) {
            return (before.len(), Vec::new());
        }
        let statement_start = last_statement(before);
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let word_start = before.rfind(|c: char| !is_word(c)).map_or(0, |i| {
            i + before[i..].chars().next().map_or(1, char::len_utf8)
        });
        let word = &before[word_start..];
        let statement = format!(
            "{}{}",
            &before[statement_start..],
            after.split(';').next().unwrap_or_default()
        );
        let scope = self.scope(&statement);

        let head = &before[statement_start.min(word_start)..word_start];
        let candidates: Vec<String> = if let Some(head) = head.strip_suffix('.') {
            let qualifier = &head[head.rfind(|c: char| !is_word(c)).map_or(0, |i| i + 1)..];
            let columns = scope
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(qualifier))
                .map(|(_, columns)| columns.to_vec());
            columns.unwrap_or_else(|| {
                let prefix = format!("{qualifier}.");
                self.tables
                    .keys()
                    .filter_map(|table| table.strip_prefix(&prefix))
                    .map(str::to_owned)
                    .collect()
            })
        } else if expects_table(head) {
            self.tables.keys().cloned().collect()
        } else {
            let columns = scope
                .iter()
                .flat_map(|(_, columns)| columns.iter().cloned());
            let aliases = scope.iter().map(|(name, _)| name.clone());
            let mut all: Vec<String> = columns.chain(aliases).collect();
            if scope.is_empty() {
                all.extend(self.tables.keys().cloned());
            }
            if !word.is_empty() {
                all.extend(self.functions.iter().map(|name| format!("{name}(")));
                let upper = word.chars().all(|c| !c.is_lowercase());
                let keywords = self.keywords.iter();
                all.extend(keywords.map(|word| {
                    if upper {
                        word.to_uppercase()
                    } else {
                        word.clone()
                    }
                }));
            }
            all
        };
        (word_start, matching(candidates, word))
    }

    /// The tables a statement names, under the names it gives them.
    fn scope(&self, statement: &str) -> Vec<(String, &[String])> {
        let words: Vec<&str> = statement
            .split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | ',' | '(' | ')')))
            .filter(|word| !word.is_empty())
            .collect();
        let mut scope: Vec<(String, &[String])> = Vec::new();
        for (i, word) in words.iter().enumerate() {
            let name = word.trim_matches([',', '(', ')']);
            let Some((table, columns)) = self
                .tables
                .iter()
                .find(|(table, _)| table.eq_ignore_ascii_case(name))
            else {
                continue;
            };
            let alias = match words.get(i + 1..).unwrap_or_default() {
                _ if word.ends_with([',', ')']) => None,
                [r#as, alias, ..] if r#as.eq_ignore_ascii_case("as") => Some(*alias),
                [alias, ..]
                    if !self
                        .keywords
                        .iter()
                        .any(|keyword| keyword.eq_ignore_ascii_case(alias)) =>
                {
                    Some(*alias)
                }
                _ => None,
            };
            let name = alias.map_or(table.as_str(), |alias| alias.trim_matches([',', '(', ')']));
            if !name.is_empty() && !scope.iter().any(|(known, _)| known == name) {
                scope.push((name.to_owned(), columns));
            }
        }
        scope
    }
}

fn complete_command(before: &str, names: &Names) -> (usize, Vec<String>) {
    let start = before.rfind(char::is_whitespace).map_or(0, |i| i + 1);
    let word = &before[start..];
    let candidates: Vec<String> = match before[..start].trim() {
        "" => COMMANDS
            .iter()
            .map(|command| command.name.to_owned())
            .collect(),
        ".mode" => command::formats().collect(),
        ".timer" => vec!["on".into(), "off".into()],
        ".schema" | ".tables" => names.tables.keys().cloned().collect(),
        _ => Vec::new(),
    };
    (start, matching(candidates, word))
}

/// Candidates that go on from `word`, each once. The word as it stands is no candidate.
fn matching(candidates: Vec<String>, word: &str) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    let fits = |name: &String| {
        name.get(..word.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(word))
    };
    candidates
        .into_iter()
        .filter(|name| fits(name) && name != word && seen.insert(name.clone()))
        .collect()
}

fn expects_table(head: &str) -> bool {
    let last = head
        .trim_end()
        .rsplit(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
        .unwrap_or_default();
    let openers = [
        "from",
        "join",
        "into",
        "update",
        "table",
        "describe",
        "summarize",
        "using",
    ];
    head.ends_with(char::is_whitespace)
        && openers
            .iter()
            .any(|opener| last.eq_ignore_ascii_case(opener))
}

/// Where the statement begins that the end of `text` is in.
fn last_statement(text: &str) -> usize {
    let last = Pieces::new(text).last();
    last.map_or(0, |piece| {
        if text[piece.span.clone()].ends_with(';') {
            piece.span.end
        } else {
            piece.span.start
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let list = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        Names {
            tables: BTreeMap::from([
                ("quotes".into(), list(&["symbol", "bid_price", "ask_price"])),
                ("trades".into(), list(&["symbol", "price", "size"])),
                ("ops.manifest".into(), list(&["file"])),
            ]),
            functions: list(&["sum", "sqrt", "strftime"]),
            keywords: list(&["from", "join", "on", "order", "select", "where"]),
        }
    }

    /// The candidates at the `|` in `text`.
    fn at(text: &str) -> Vec<String> {
        let (before, after) = text.split_once('|').unwrap();
        names().complete(before, after).1
    }

    #[test]
    fn tables_stand_where_a_table_is_expected() {
        assert_eq!(at("select * from tr|"), ["trades"]);
        assert_eq!(at("select * from |"), ["ops.manifest", "quotes", "trades"]);
        assert_eq!(at("select 1; from q|"), ["quotes"]);
        assert_eq!(at("from trades join qu|"), ["quotes"]);
        assert_eq!(at("select * from ops.|"), ["manifest"]);
    }

    #[test]
    fn columns_are_those_of_the_tables_in_the_statement() {
        assert_eq!(at("from trades where pr|"), ["price"]);
        assert_eq!(at("select pr| from trades"), ["price"]);
        assert_eq!(at("select bi|, 1 from quotes q"), ["bid_price"]);
        assert_eq!(
            at("select * from trades t where t.|"),
            ["symbol", "price", "size"]
        );
        assert_eq!(
            at("select q.a| from trades as t, quotes as q"),
            ["ask_price"]
        );
        assert_eq!(
            at("from quotes; from trades where s|")[..2],
            ["symbol", "size"]
        );
        assert_eq!(at("select\n  trades.p|\nfrom trades"), ["price"]);
    }

    #[test]
    fn functions_and_keywords_come_last() {
        assert_eq!(at("select sq|"), ["sqrt("]);
        assert_eq!(at("from trades wh|"), ["where"]);
        assert_eq!(at("FROM trades WH|"), ["WHERE"]);
        assert_eq!(
            at("from trades order by s|"),
            ["symbol", "size", "sum(", "sqrt(", "strftime(", "select"]
        );
    }

    #[test]
    fn nothing_is_completed_inside_text() {
        assert!(at("select 'fro|").is_empty());
        assert!(at("select 1 /* fro|").is_empty());
        assert!(at("select x from| ").is_empty());
    }

    #[test]
    fn commands_and_their_arguments() {
        assert_eq!(at(".ti|"), [".timer"]);
        assert_eq!(at(".mode c|"), ["csv"]);
        assert_eq!(at(".timer |"), ["on", "off"]);
        assert_eq!(at(".schema tr|"), ["trades"]);
        assert!(at(".quit |").is_empty());
    }

    #[test]
    fn a_real_database_names_its_parts() {
        let connection = duckdb::Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "create table t (alpha int); create view v as select alpha as beta from t",
            )
            .unwrap();
        let names = Names::load(&mut Session::new(connection, true));
        assert_eq!(names.tables["t"], ["alpha"]);
        assert_eq!(names.tables["v"], ["beta"]);
        assert!(
            names.keywords.contains(&"select".into())
                && names.functions.contains(&"arg_max".into())
        );
    }
}
