//! What the database holds, by name: a snapshot that completion, help and hints look names up in.

use std::collections::{BTreeMap, HashMap};

use crate::query::{Error, Session};

/// Values and described sources kept at most; beyond that the oldest knowledge is dropped all at once.
const KEPT: usize = 256;

/// A snapshot of the names in a database.
#[derive(Debug, Default, Clone)]
pub(in crate::shell) struct Catalog {
    /// Tables and views by the name one reaches them under: `trades`, `ops.manifest`, `other.main.t`.
    pub(in crate::shell) relations: BTreeMap<String, Vec<String>>,
    /// Temporary objects of the user's own session.
    pub(in crate::shell) temporary: BTreeMap<String, Vec<String>>,
    /// Functions and macros by name.
    pub(in crate::shell) functions: BTreeMap<String, Function>,
    /// Keywords in order, and whether a name of that spelling needs quotes.
    pub(in crate::shell) keywords: Vec<(String, bool)>,
    /// Names of settings.
    pub(in crate::shell) settings: Vec<String>,
    /// Names of types, in lower case.
    pub(in crate::shell) types: Vec<String>,
    /// Parameters that `.param` has set.
    pub(in crate::shell) parameters: Vec<String>,
    /// Names of saved queries.
    pub(in crate::shell) saved: Vec<String>,
    /// Columns of sources that no catalog names: calls of table functions, files.
    pub(in crate::shell) described: HashMap<String, Vec<String>>,
    /// Values of columns.
    pub(in crate::shell) values: HashMap<ValuesOf, Vec<String>>,
}

/// A function or macro.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::shell) struct Function {
    /// Whether it stands where a table stands.
    pub(in crate::shell) table: bool,
    /// Whether a file of SQL defines it, rather than DuckDB.
    pub(in crate::shell) own: bool,
    /// Its parameters, of the overload with the fewest.
    pub(in crate::shell) parameters: Vec<String>,
}

impl Function {
    /// `name(a, b, …)`, for people.
    pub(in crate::shell) fn signature(&self, name: &str) -> String {
        const SHOWN: usize = 4;
        let mut parameters: Vec<&str> = self.parameters.iter().map(String::as_str).collect();
        if parameters.len() > SHOWN {
            parameters.truncate(SHOWN);
            parameters.push("…");
        }
        format!("{name}({})", parameters.join(", "))
    }
}

/// Whose values are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::shell) struct ValuesOf {
    /// The relation, if the column is not one that all of the market's tables share.
    pub(in crate::shell) relation: Option<String>,
    /// The column.
    pub(in crate::shell) column: String,
}

/// Columns whose values mean the same in every canonical table.
pub(super) const SHARED: [&str; 3] = ["symbol", "venue", "interval"];

impl Catalog {
    /// Asks the database for its names.
    ///
    /// # Errors
    /// If it does not answer.
    pub(in crate::shell) fn load(session: &mut Session) -> Result<Self, Error> {
        let mut catalog = Self {
            relations: relations(session, "database_name <> 'temp'")?,
            ..Self::default()
        };
        let functions = "SELECT function_name, \
                    bool_or(function_type IN ('table', 'table_macro'))::VARCHAR, \
                    bool_or(NOT internal AND function_type IN ('macro', 'table_macro'))::VARCHAR, \
                    array_to_string(arg_min(parameters, len(parameters)), chr(31)) \
             FROM duckdb_functions() \
             WHERE function_type <> 'pragma' AND schema_name <> 'ops' \
                 AND regexp_full_match(function_name, '[a-z][a-z0-9_]*') GROUP BY ALL";
        for row in session.strings(functions)? {
            let [Some(name), table, own, parameters] = row.as_slice() else {
                continue;
            };
            let is = |flag: &Option<String>| flag.as_deref() == Some("true");
            let parameters = parameters.as_deref().unwrap_or_default();
            let function = Function {
                table: is(table),
                own: is(own),
                parameters: parameters
                    .split('\u{1f}')
                    .filter(|parameter| !parameter.is_empty())
                    .map(str::to_owned)
                    .collect(),
            };
            catalog.functions.insert(name.clone(), function);
        }
        let keywords = "SELECT keyword_name, (keyword_category IN ('reserved', 'type_function'))::VARCHAR \
                        FROM duckdb_keywords() ORDER BY 1";
        catalog.keywords = pairs(session.strings(keywords)?)
            .map(|(word, reserved)| (word, reserved == "true"))
            .collect();
        catalog.settings = list(session.strings("SELECT name FROM duckdb_settings() ORDER BY 1")?);
        catalog.types = list(session.strings(
            "SELECT DISTINCT lower(type_name) FROM duckdb_types() \
             WHERE regexp_full_match(type_name, '[A-Za-z][A-Za-z0-9_]*') ORDER BY 1",
        )?);
        Ok(catalog)
    }

    /// Takes over what an older snapshot has learned of values, and what the shell itself knows.
    pub(in crate::shell) fn inherit(&mut self, older: Self) {
        self.temporary = older.temporary;
        self.parameters = older.parameters;
        self.saved = older.saved;
        self.values = older.values;
    }

    /// The columns of a relation, by the name one reaches it under.
    pub(in crate::shell) fn columns(&self, name: &str) -> Option<&[String]> {
        find(&self.temporary, name)
            .or_else(|| find(&self.relations, name))
            .or_else(|| find(&self.relations, in_main(name)?))
            .map(|(_, columns)| columns)
    }

    /// Names of all relations, those of the session first.
    pub(in crate::shell) fn names(&self) -> impl Iterator<Item = &str> {
        let temporary = self.temporary.keys();
        temporary.chain(self.relations.keys()).map(String::as_str)
    }

    /// Whether a name of that spelling has to be quoted.
    pub(super) fn needs_quotes(&self, name: &str) -> bool {
        let plain = name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        !plain
            || name.is_empty()
            || name.starts_with(|c: char| c.is_ascii_digit())
            || self
                .keywords
                .iter()
                .any(|(word, reserved)| *reserved && word == name)
    }

    /// A keyword, and whether a name of that spelling needs quotes. `word` is in lower case.
    pub(in crate::shell) fn keyword(&self, word: &str) -> Option<&(String, bool)> {
        let found = self
            .keywords
            .binary_search_by(|(known, _)| known.as_str().cmp(word));
        self.keywords.get(found.ok()?)
    }

    /// Whether some relation has a column of that name, which is in lower case.
    pub(in crate::shell) fn is_column(&self, name: &str) -> bool {
        let relations = self.temporary.values().chain(self.relations.values());
        relations
            .flatten()
            .any(|column| column.eq_ignore_ascii_case(name))
    }

    /// The columns of a source that was described.
    pub(super) fn described(&self, source: &str) -> Option<&[String]> {
        self.described.get(source).map(Vec::as_slice)
    }

    /// Notes the columns of a source.
    pub(super) fn learn_columns(&mut self, source: String, columns: Vec<String>) {
        if self.described.len() >= KEPT {
            self.described.clear();
        }
        self.described.insert(source, columns);
    }

    /// The values of a column, once they are known.
    pub(super) fn values(&self, of: &ValuesOf) -> Option<&[String]> {
        self.values.get(of).map(Vec::as_slice)
    }

    /// Notes the values of a column.
    pub(super) fn learn_values(&mut self, of: ValuesOf, values: Vec<String>) {
        if self.values.len() >= KEPT {
            self.values.clear();
        }
        self.values.insert(of, values);
    }
}

/// The schema whose relations are reached without its name, too.
pub(super) const MAIN: &str = "main";

/// What stands behind `main.`; `None` if another schema, or none, is named.
fn in_main(name: &str) -> Option<&str> {
    let (schema, name) = name.split_once('.')?;
    schema.eq_ignore_ascii_case(MAIN).then_some(name)
}

/// The entry of a name in any case.
fn find<'m>(map: &'m BTreeMap<String, Vec<String>>, name: &str) -> Option<(&'m str, &'m [String])> {
    if let Some((key, columns)) = map.get_key_value(name) {
        return Some((key, columns));
    }
    map.iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(key, columns)| (key.as_str(), columns.as_slice()))
}

/// Relations that fulfil a condition, by the name one reaches them under, with their columns.
///
/// # Errors
/// If the database does not answer.
pub(in crate::shell) fn relations(
    session: &mut Session,
    which: &str,
) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let sql = format!(
        "SELECT if(database_name IN (current_database(), 'temp'), '', database_name || '.') \
                || if(database_name = 'temp' OR schema_name = current_schema() \
                      OR (database_name <> current_database() AND schema_name = 'main'), '', schema_name || '.') \
                || table_name, column_name \
         FROM duckdb_columns() WHERE NOT internal AND {which} \
         ORDER BY database_name, schema_name, table_name, column_index"
    );
    let mut relations: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (relation, column) in pairs(session.strings(&sql)?) {
        relations.entry(relation).or_default().push(column);
    }
    Ok(relations)
}

fn pairs(rows: Vec<Vec<Option<String>>>) -> impl Iterator<Item = (String, String)> {
    rows.into_iter().filter_map(|row| {
        let mut row = row.into_iter();
        Some((row.next()??, row.next()??))
    })
}

/// The first column of some rows, without NULL.
pub(super) fn list(rows: Vec<Vec<Option<String>>>) -> Vec<String> {
    rows.into_iter()
        .filter_map(|row| row.into_iter().next()?)
        .collect()
}
