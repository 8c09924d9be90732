//! What a SELECT reads, by DuckDB's own parser: the syntax tree that `json_serialize_sql` gives.

use std::collections::{BTreeMap, BTreeSet};

use duckdb::Connection;
use serde_json::Value;

use super::super::error::{Doing, Error, Result};
use super::QUERY_TABLE;
use crate::model::statements::without_end;

/// What stands in a SELECT.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// Relations by name, each with the line of its first mention, from 1. Those of other schemas than `main` are
    /// left out, as are a statement's own CTEs.
    pub(super) relations: BTreeMap<String, usize>,
    /// Those of them that are called by their schema too, in the same way: no CTE takes their place.
    pub(super) qualified: BTreeMap<String, usize>,
    /// Functions called, by name, with the texts among their arguments.
    pub(super) functions: BTreeMap<String, BTreeSet<String>>,
    /// What looks from row to row.
    pub(super) looks: Vec<Look>,
    /// The first place that reads what is computed, and so cannot be told: its line, and the function.
    pub(super) untold: Option<(usize, String)>,
    /// Queries that are read as texts, each with the line.
    queries: Vec<(usize, String)>,
}

/// What makes something of other rows than a row's own group.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// Where it stands, from 1.
    pub(super) line: usize,
    /// The function, or ASOF JOIN.
    pub(super) what: String,
    /// The columns that it partitions by, if they are no more than columns, in lower case; `None` if something is
    /// computed.
    pub(super) within: Option<BTreeSet<String>>,
}

/// A join that takes the newest row before another.
pub(super) const ASOF_JOIN: &str = "ASOF JOIN";

/// DuckDB's function that takes a text for a query.
const QUERY: &str = "query";

impl Reads {
    /// Of the text of a file, which must be one SELECT.
    pub(super) fn of(conn: &Connection, origin: &str, text: &str) -> Result<Self> {
        let tree = tree(conn, text)?;
        let refused = |line: usize, message: &str| Error::Sql {
            file: origin.to_owned(),
            line,
            message: message.to_owned(),
        };
        if tree["error"] == Value::Bool(true) {
            let message = tree["error_message"]
                .as_str()
                .unwrap_or("it cannot be read");
            let position = tree["position"].as_str().and_then(|at| at.parse().ok());
            let line = position.map_or(1, |at: usize| line_of(text, at));
            return Err(match tree["error_type"].as_str() {
                Some("not implemented") => refused(
                    1,
                    "the file must be one SELECT: mdb names what it makes after the file, so no CREATE stands in it",
                ),
                _ => refused(line, message),
            });
        }
        let statements = tree["statements"].as_array().map_or(&[][..], Vec::as_slice);
        let [statement] = statements else {
            return Err(refused(
                1,
                &format!(
                    "the file must be one SELECT, and has {} statements",
                    statements.len()
                ),
            ));
        };
        let mut reads = Self::default();
        reads.walk(&statement["node"], text, &BTreeSet::new());
        reads.read_queries(conn)?;
        Ok(reads)
    }

    /// Of the text of a file that creates a macro; nothing of what DuckDB's parser cannot tell: it says what is wrong
    /// when the macro is created.
    pub(super) fn of_macro(conn: &Connection, text: &str) -> Result<Self> {
        let mut reads = Self::default();
        if let Some((parameters, body)) = macro_parts(text) {
            let mut defaults = Self::default();
            let call = format!("SELECT called({parameters})");
            let called = tree(conn, &call)?;
            defaults.walk(&called["statements"], &call, &BTreeSet::new());
            let tree = tree(conn, &body)?;
            reads.walk(&tree["statements"], &body, &BTreeSet::new());
            reads.read_queries(conn)?;
            // Its body is the end of the text.
            let lines = line_of(without_end(text), usize::MAX) + 1;
            let before = lines.saturating_sub(line_of(&body, usize::MAX));
            let relations = reads.relations.values_mut();
            let looks = reads.looks.iter_mut().map(|look| &mut look.line);
            let untold = reads.untold.iter_mut().map(|(line, _)| line);
            let qualified = reads.qualified.values_mut();
            for line in relations.chain(qualified).chain(looks).chain(untold) {
                *line += before;
            }
            // What an argument is where none is given may be a name as well.
            let defaults = defaults.functions.into_values().flatten();
            let defaults: Vec<String> = defaults.collect();
            for texts in reads.functions.values_mut() {
                texts.extend(defaults.iter().cloned());
            }
        }
        Ok(reads)
    }

    /// What stands in the texts that `query` is given counts as if it stood where that is called.
    fn read_queries(&mut self, conn: &Connection) -> Result<()> {
        while let Some((line, text)) = self.queries.pop() {
            let mut inner = Self::default();
            inner.walk(&tree(conn, &text)?["statements"], &text, &BTreeSet::new());
            for name in inner.relations.into_keys() {
                self.relations.entry(name).or_insert(line);
            }
            for name in inner.qualified.into_keys() {
                self.qualified.entry(name).or_insert(line);
            }
            for (function, texts) in inner.functions {
                self.functions.entry(function).or_default().extend(texts);
            }
            let looks = inner.looks.into_iter();
            self.looks.extend(looks.map(|look| Look { line, ..look }));
            let untold = inner.untold.map(|(_, function)| (line, function));
            self.untold = self.untold.take().or(untold);
            let queries = inner.queries.into_iter();
            self.queries.extend(queries.map(|(_, text)| (line, text)));
        }
        Ok(())
    }

    fn walk(&mut self, node: &Value, text: &str, ctes: &BTreeSet<String>) {
        match node {
            Value::Array(nodes) => nodes.iter().for_each(|node| self.walk(node, text, ctes)),
            Value::Object(fields) => {
                let mut inner = ctes.clone();
                if let Some(map) = fields
                    .get("cte_map")
                    .and_then(|ctes| ctes["map"].as_array())
                {
                    for cte in map {
                        let name = cte["key"].as_str().unwrap_or_default().to_lowercase();
                        let body = &cte["value"]["query_node"];
                        // Only a recursive one sees itself.
                        if body["type"] == "RECURSIVE_CTE_NODE" {
                            inner.insert(name.clone());
                        }
                        self.walk(body, text, &inner);
                        inner.insert(name);
                    }
                }
                self.note(fields, text, &inner);
                for (name, field) in fields.iter().filter(|(name, _)| *name != "cte_map") {
                    debug_assert!(!name.is_empty());
                    self.walk(field, text, &inner);
                }
            }
            _ => {}
        }
    }

    fn note(
        &mut self,
        fields: &serde_json::Map<String, Value>,
        text: &str,
        ctes: &BTreeSet<String>,
    ) {
        let field = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
        let line = || {
            let at = fields.get("query_location").and_then(Value::as_u64);
            line_of(text, at.unwrap_or(0) as usize)
        };
        if field("type") == "BASE_TABLE" {
            let (schema, name) = (field("schema_name"), field("table_name").to_lowercase());
            if schema == "main" || (schema.is_empty() && !ctes.contains(&name)) {
                let line = line();
                let note = |mentions: &mut BTreeMap<String, usize>| {
                    let first = mentions.entry(name.clone()).or_insert(line);
                    *first = line.min(*first);
                };
                note(&mut self.relations);
                if !schema.is_empty() {
                    note(&mut self.qualified);
                }
            }
        }
        if field("class") == "WINDOW" {
            let partitions = fields.get("partitions").and_then(Value::as_array);
            let column = |partition: &Value| {
                let path = partition["column_names"].as_array()?;
                path.last()?.as_str().map(str::to_lowercase)
            };
            self.looks.push(Look {
                line: line(),
                what: field("function_name").to_owned(),
                within: partitions.into_iter().flatten().map(column).collect(),
            });
        }
        if field("ref_type") == "ASOF" {
            self.looks.push(Look {
                line: line(),
                what: ASOF_JOIN.to_owned(),
                within: Some(BTreeSet::new()),
            });
        }
        if let ("TABLE_FUNCTION", Some(function)) = (field("type"), fields.get("function")) {
            self.note_read(function, line());
        }
        if field("class") == "FUNCTION" {
            let mut texts = Vec::new();
            let arguments = fields.get("arguments").and_then(Value::as_array);
            for argument in arguments.into_iter().flatten() {
                gather(&argument["expression"], &mut texts);
            }
            let texts = texts.into_iter().map(|text| text.to_lowercase());
            let function = field("function_name").to_lowercase();
            self.functions.entry(function).or_default().extend(texts);
        }
    }

    /// What a function reads that is given the name of a relation, or a query, as a text.
    fn note_read(&mut self, function: &Value, line: usize) {
        let name = function["function_name"].as_str().unwrap_or_default();
        let name = name.to_lowercase();
        let given = &function["arguments"][0]["expression"];
        let mut texts = Vec::new();
        let told = gather(given, &mut texts);
        let column = given["column_names"][0].as_str();
        if name == QUERY && told {
            let texts = texts.into_iter();
            self.queries.extend(texts.map(|text| (line, text)));
        } else if let Some(column) = column.filter(|_| name == QUERY_TABLE) {
            // A relation's name without quotes, or a macro's parameter: who calls it says the name.
            let column = column.to_lowercase();
            self.functions.entry(name).or_default().insert(column);
        } else if !told && matches!(name.as_str(), QUERY | QUERY_TABLE) {
            self.untold.get_or_insert((line, name));
        }
    }
}

/// Adds the texts that an argument is, by itself or as a list. Whether it is nothing else.
fn gather(argument: &Value, texts: &mut Vec<String>) -> bool {
    let literal = &argument["literal"];
    if let (Some("STRING"), Some(text)) = (literal["kind"].as_str(), literal["text"].as_str()) {
        texts.push(text.to_owned());
        return true;
    }
    if argument["function_name"] != "list_value" {
        return false;
    }
    let items = argument["arguments"].as_array();
    let mut told = true;
    for item in items.into_iter().flatten() {
        told &= gather(&item["expression"], texts);
    }
    told
}

fn tree(conn: &Connection, text: &str) -> Result<Value> {
    let json: String = conn
        .prepare_cached("SELECT json_serialize_sql(?)")
        .and_then(|mut s| s.query_row([text], |row| row.get(0)))
        .doing("parsing SQL")?;
    serde_json::from_str(&json).map_err(|error| Error::Syntax {
        message: error.to_string(),
    })
}

/// A macro's parameters, and what it does, as a SELECT with one line more: what follows them and AS, or AS TABLE. It may
/// end with a comment.
fn macro_parts(text: &str) -> Option<(String, String)> {
    let lines = text.lines().skip_while(|line| line.starts_with("--"));
    let text = lines.collect::<Vec<_>>().join("\n");
    let (mut depth, mut start, mut end) = (0, 0, None);
    for (at, c) in text.char_indices() {
        match c {
            '(' => {
                if depth == 0 {
                    start = at + 1;
                }
                depth += 1;
            }
            ')' if depth == 1 => {
                end = Some(at);
                break;
            }
            ')' => depth -= 1,
            _ => {}
        }
    }
    let keyword = |text: &'_ str, word: &str| -> Option<String> {
        let text = text.trim_start();
        let (first, rest) = text.split_at_checked(word.len())?;
        let ends = rest.starts_with(|c: char| !c.is_alphanumeric() && c != '_');
        (first.eq_ignore_ascii_case(word) && ends).then(|| rest.to_owned())
    };
    let end = end?;
    let body = keyword(text.get(end + 1..)?, "AS")?;
    let body = without_end(&body);
    let select = match keyword(body, "TABLE") {
        Some(select) => format!("{select}\n"),
        None => format!("SELECT ({body}\n)"),
    };
    Some((text.get(start..end)?.to_owned(), select))
}

fn line_of(text: &str, at: usize) -> usize {
    let before = &text.as_bytes()[..at.min(text.len())];
    memchr::memchr_iter(b'\n', before).count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relations(sql: &str) -> Vec<String> {
        let conn = Connection::open_in_memory().unwrap();
        let reads = Reads::of(&conn, "f.sql", sql).unwrap();
        reads.relations.into_keys().collect()
    }

    #[test]
    fn what_looks_from_row_to_row_is_told_with_what_it_stays_within() {
        let conn = Connection::open_in_memory().unwrap();
        let sql = "SELECT lag(a) OVER (PARTITION BY t.Symbol ORDER BY ts),\n\
                   sum(a) OVER (PARTITION BY symbol, ts::DATE)\nFROM t ASOF JOIN q ON t.ts >= q.ts";
        let mut looks = Reads::of(&conn, "f.sql", sql).unwrap().looks;
        looks.sort_by_key(|look| look.line);
        let told: Vec<_> = looks
            .iter()
            .map(|l| (l.line, l.what.as_str(), l.within.as_ref()))
            .collect();
        let (symbol, none) = (BTreeSet::from(["symbol".to_owned()]), BTreeSet::new());
        assert_eq!(
            told,
            [
                (1, "lag", Some(&symbol)),
                (2, "sum", None),
                (3, ASOF_JOIN, Some(&none))
            ]
        );
    }

    #[test]
    fn ctes_and_other_schemas_are_no_relations_and_everything_else_is() {
        assert_eq!(
            relations(
                "WITH x AS (SELECT * FROM Trades), y AS (FROM x) SELECT (SELECT max(a) FROM deep), * FROM y JOIN main.quotes q \
                 ON q.a IN (FROM nested) UNION ALL FROM ops.manifest UNION ALL FROM x"
            ),
            ["deep", "nested", "quotes", "trades"]
        );
    }

    #[test]
    fn a_cte_of_a_tables_name_reads_the_table_unless_it_is_recursive() {
        assert_eq!(
            relations("WITH trades AS (FROM trades) FROM trades"),
            ["trades"]
        );
        assert_eq!(
            relations(
                "WITH RECURSIVE r AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM r WHERE a < 9) FROM r"
            ),
            [""; 0]
        );
        // Outside the subquery its name means what it always does.
        assert_eq!(
            relations("SELECT * FROM (WITH a AS (SELECT 1) FROM a), a"),
            ["a"]
        );
    }

    #[test]
    fn the_line_of_a_mention_and_functions_with_their_texts_are_known() {
        let conn = Connection::open_in_memory().unwrap();
        let reads = Reads::of(
            &conn,
            "f.sql",
            "-- A.\nSELECT * FROM latest_on('trades', NULL)\nUNION ALL\nFROM quotes",
        )
        .unwrap();
        assert_eq!(reads.relations["quotes"], 4);
        assert!(reads.functions["latest_on"].contains("trades"));
    }

    #[test]
    fn names_with_their_schema_are_known_as_such() {
        let conn = Connection::open_in_memory().unwrap();
        let sql = "SELECT * FROM trades JOIN main.quotes USING (symbol)\nJOIN db.main.Bars USING (symbol) JOIN ops.manifest USING (a)";
        let reads = Reads::of(&conn, "f.sql", sql).unwrap();
        let qualified: Vec<(&str, usize)> = reads
            .qualified
            .iter()
            .map(|(name, line)| (name.as_str(), *line))
            .collect();
        assert_eq!(qualified, [("bars", 2), ("quotes", 1)]);
        assert_eq!(reads.relations.len(), 3);
    }

    #[test]
    fn a_macro_reads_what_its_body_reads() {
        let conn = Connection::open_in_memory().unwrap();
        let of = |text: &str| Reads::of_macro(&conn, text).unwrap();
        let table = of(
            "-- M (of x).\nCREATE OR REPLACE MACRO m(a, b := now()) AS TABLE\nSELECT * FROM trades, other(a);",
        );
        assert_eq!(table.relations["trades"], 3);
        assert!(table.functions.contains_key("other"));
        let scalar =
            of("-- M.\nCREATE MACRO m(a) AS\n    inner_one(a) + (SELECT max(x) FROM quotes)");
        assert!(scalar.relations["quotes"] == 3 && scalar.functions.contains_key("inner_one"));
        assert!(of("CREATE MACRO m(a AS TABLE").relations.is_empty());
        for end in ["; -- the end", " -- the end", ";\n/* the end */\n"] {
            let scalar = of(&format!(
                "-- M.\nCREATE MACRO m(a) AS\n(SELECT max(x) FROM quotes){end}"
            ));
            assert_eq!(scalar.relations.get("quotes"), Some(&3), "{end}");
        }
        let named =
            of("-- M.\nCREATE MACRO m(a, rel := 'Quotes', n := 2) AS TABLE FROM query_table(rel)");
        assert!(named.functions["query_table"].contains("quotes"));
    }

    #[test]
    fn what_is_read_by_the_text_of_a_query_or_a_list_of_names_is_read() {
        let conn = Connection::open_in_memory().unwrap();
        let of = |text: &str| Reads::of(&conn, "f.sql", text).unwrap();
        let inner = "SELECT lag(a) OVER () FROM Trades, query(''FROM main.bars'')";
        let read = of(&format!("SELECT 1\nFROM query('{inner}')"));
        let lines: Vec<(&str, usize)> = read
            .relations
            .iter()
            .map(|(name, line)| (name.as_str(), *line))
            .collect();
        assert_eq!(lines, [("bars", 2), ("trades", 2)]);
        assert_eq!(read.qualified["bars"], 2);
        let look = &read.looks[0];
        assert_eq!((look.line, look.what.as_str()), (2, "lag"));
        let list = of("FROM query_table(['Trades', 'quotes'], true)");
        assert!(list.untold.is_none());
        let names = &list.functions["query_table"];
        assert!(names.contains("trades") && names.contains("quotes"));
        let bare = of("FROM query_table(trades)");
        assert!(bare.functions["query_table"].contains("trades"));
    }

    #[test]
    fn what_reads_a_computed_name_or_query_is_known_with_its_line() {
        let conn = Connection::open_in_memory().unwrap();
        let of = |text: &str| Reads::of(&conn, "f.sql", text).unwrap().untold;
        let told = |line: usize, function: &str| Some((line, function.to_owned()));
        for (text, line, function) in [
            ("FROM\nquery_table('a' || 'b')", 2, "query_table"),
            ("FROM query_table(['a', lower('B')])", 1, "query_table"),
            ("FROM query('FROM query(getvariable(''q''))')", 1, "query"),
        ] {
            assert_eq!(of(text), told(line, function), "{text}");
        }
        let of = |text: &str| Reads::of_macro(&conn, text).unwrap().untold;
        assert_eq!(
            of("-- M.\nCREATE MACRO m(a) AS TABLE\nFROM query('FROM ' || a)"),
            told(3, "query")
        );
        let told_by_its_caller = of("CREATE MACRO m(rel) AS TABLE FROM query_table(rel)");
        assert_eq!(told_by_its_caller, None);
    }

    #[test]
    fn what_is_no_single_select_is_refused_with_its_line() {
        let conn = Connection::open_in_memory().unwrap();
        let error = |sql: &str| Reads::of(&conn, "f.sql", sql).unwrap_err().to_string();
        assert!(error("CREATE VIEW x AS SELECT 1").contains("must be one SELECT"));
        assert!(error("SELECT 1; SELECT 2").contains("2 statements"));
        assert!(
            error("-- A.\nSELECT 1\nFRM x y").starts_with("f.sql:3:"),
            "{}",
            error("-- A.\nSELECT 1\nFRM x y")
        );
    }
}
