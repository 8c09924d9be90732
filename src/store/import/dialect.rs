//! Which SQL reads a vendor's file: the dialect's file whose columns and name fit, wrapped so that it gives the table's
//! columns in their types.

use std::sync::Arc;

use duckdb::Connection;

use super::relation::{self, Relation};
use super::{Import, auto, refused};
use crate::model::BARS;
use crate::model::interval::{INTERVAL, LENGTH, bar_interval};
use crate::model::sql::{identifier, literal};
use crate::sources::files::{Csv, Format, Input};
use crate::sqltree::{SqlFile, SqlTree};
use crate::store::catalog::{Catalog, Table, VENUE};
use crate::store::error::{Error, Result, in_file};

/// The dialect that goes by the names of columns.
pub(super) const AUTO: &str = "auto";
/// A column of every SELECT: which row of the file it comes from.
const ROW: &str = "file_row";
/// Lines that stand before a dialect's own text.
const WRAPPER_LINES: usize = 2;

/// The SQL for one file.
pub(super) struct Dialect {
    /// `<dialect>/<stem>`.
    pub(super) name: String,
    /// The same with the format: the columns of files of one kind have the same types.
    pub(super) kind: String,
    origin: String,
    pub(super) text: String,
    pub(super) table: Arc<Table>,
    /// Names that a column may have, one or the other.
    pub(super) either: Vec<String>,
    required: Vec<String>,
    pub(super) optional: Vec<String>,
    pub(super) document: bool,
    /// The file's name is what the vendor calls such files.
    pub(super) is_named: bool,
    /// The vendor gives such files no name by which they are told.
    is_unnamed: bool,
    /// Of a text file how it is read, and the names of its columns.
    pub(super) csv: Option<Csv>,
    pub(super) csv_columns: Option<Vec<String>>,
    mapping: Vec<(String, String)>,
}

/// The SELECT that makes a table's rows of a file.
pub(super) struct Select {
    pub(super) table: Arc<Table>,
    /// Names of its columns.
    pub(super) columns: Vec<String>,
    /// Those that the file's SQL says a row must have, beside those that the table does.
    pub(super) required: Vec<String>,
    /// Columns of one text: the user has said it, or the file's SELECT does not give them.
    pub(super) said: Vec<(String, String)>,
    pub(super) sql: String,
    /// The number in the file of each row that it makes, in the same order.
    pub(super) rows_sql: String,
    pub(super) mapping: Vec<(String, String)>,
}

impl Select {
    /// The one text of a column, if it has one.
    pub(super) fn said_of(&self, column: &str) -> Option<&str> {
        let said = self.said.iter().find(|(name, _)| name == column);
        said.map(|(_, text)| text.as_str())
    }
}

impl Dialect {
    /// Chooses it.
    pub(super) fn choose(
        conn: &Connection,
        tree: &SqlTree,
        catalog: &Catalog,
        input: &Input,
        import: &Import,
    ) -> Result<Self> {
        let csv = relation::csv(input, &import.shape)?;
        if import.dialect == AUTO {
            return Self::by_names(conn, tree, catalog, input, import, csv);
        }
        let folder = format!("files/{}", import.dialect);
        let files: Vec<&SqlFile> = tree.folder(&folder).collect();
        if files.is_empty() {
            let mut known = tree.subfolders("files");
            known.push(AUTO.to_owned());
            return Err(refused(
                input,
                format!(
                    "there is no dialect '{}'; there are: {}",
                    import.dialect,
                    known.join(", ")
                ),
            ));
        }
        let columns = columns_of(conn, input, import, csv.as_ref())?;
        let fits: Vec<&SqlFile> = files
            .iter()
            .copied()
            .filter(|file| fits(file, columns.as_deref(), csv.as_ref(), &input.format))
            .filter(|file| {
                import
                    .into
                    .as_ref()
                    .is_none_or(|into| table_name(file) == into)
            })
            .collect();
        let named: Vec<&SqlFile> = fits
            .iter()
            .copied()
            .filter(|f| is_named(f, &input.name))
            .collect();
        // A column more that is asked for tells files of one vendor apart.
        let most = |files: &[&SqlFile]| files.iter().map(|f| f.header.columns.len()).max();
        let pick = |files: Vec<&'_ SqlFile>| -> Vec<String> {
            let most = most(&files);
            files
                .iter()
                .filter(|f| Some(f.header.columns.len()) == most)
                .map(|f| f.name.clone())
                .collect()
        };
        // A file that any name may have before one that wants another name.
        let unnamed: Vec<&SqlFile> = fits
            .iter()
            .copied()
            .filter(|f| f.header.file_names.is_empty())
            .collect();
        let chosen = pick(match (named.is_empty(), unnamed.is_empty()) {
            (false, _) => named,
            (true, false) => unnamed,
            (true, true) => fits,
        });
        let [only] = chosen.as_slice() else {
            return Err(refused(
                input,
                no_choice(input, import, &files, &chosen, columns.as_deref()),
            ));
        };
        let Some(file) = files.iter().find(|f| f.name == *only) else {
            return Err(Error::Panicked);
        };
        let csv_columns = csv.as_ref().map(|csv| csv_names(csv, file, import));
        Ok(Self {
            name: format!("{}/{}", import.dialect, file.name),
            kind: format!("{}/{} {}", import.dialect, file.name, input.format.name()),
            origin: file.origin.clone(),
            text: file.select().to_owned(),
            table: Arc::clone(catalog.filled_by(&file.origin, table_name(file))?),
            either: file
                .header
                .columns
                .iter()
                .filter(|c| c.contains('|'))
                .flat_map(|c| c.split('|').map(str::to_owned))
                .collect(),
            required: file.header.required.clone(),
            optional: file.header.optional.clone(),
            document: file.header.document,
            is_named: is_named(file, &input.name),
            is_unnamed: file.header.file_names.is_empty(),
            csv,
            csv_columns,
            mapping: Vec::new(),
        })
    }

    fn by_names(
        conn: &Connection,
        tree: &SqlTree,
        catalog: &Catalog,
        input: &Input,
        import: &Import,
        csv: Option<Csv>,
    ) -> Result<Self> {
        let names = match &csv {
            Some(csv) if csv.header => Some(csv.first.clone()),
            Some(_) if !import.shape.columns.is_empty() => Some(import.shape.columns.clone()),
            Some(_) => {
                return Err(refused(
                    input,
                    "its first line holds no names; say them with --columns a,b,c, or the dialect with --as",
                ));
            }
            None => None,
        };
        let columns = typed_columns(conn, input, import, csv.as_ref(), names.as_deref())?;
        let auto = auto::map(tree, catalog, &columns, input, import)?;
        Ok(Self {
            name: format!("{AUTO}/{}", auto.table.name),
            kind: AUTO.to_owned(),
            origin: "sql/files/auto.toml".to_owned(),
            text: auto.sql,
            table: auto.table,
            either: Vec::new(),
            required: Vec::new(),
            optional: Vec::new(),
            document: false,
            is_named: false,
            is_unnamed: false,
            csv,
            csv_columns: names,
            mapping: auto.mapping,
        })
    }

    /// Whether the columns alone tell the file: it names them, and the vendor gives it no name.
    pub(super) fn may_have_any_name(&self) -> bool {
        self.is_unnamed && self.csv.as_ref().is_none_or(|csv| csv.header)
    }

    /// What is said of the file, with the length of its bars as the table has it: the dialect's SQL may go by it.
    pub(super) fn said(&self, input: &Input, import: &Import) -> Result<Import> {
        let mut import = import.clone();
        if self.table.name == BARS {
            for (column, text) in &mut import.shape.set {
                if column.eq_ignore_ascii_case(INTERVAL) {
                    *text = bar_interval(text).ok_or_else(|| {
                        refused(input, format!("--set {column}={text} is no {LENGTH}"))
                    })?;
                }
            }
        }
        Ok(import)
    }

    /// The input as it is read.
    pub(super) fn input_as_read(&self, input: &Input) -> Input {
        let mut input = input.clone();
        if let Some(csv) = &self.csv {
            input.format = Format::Csv(csv.clone());
        }
        input
    }

    /// Wraps the SQL for a file.
    pub(super) fn select(
        &self,
        conn: &Connection,
        relation: &Relation,
        input: &Input,
        import: &Import,
    ) -> Result<Select> {
        let [with, numbered] = &relation.with;
        let in_file = |e: duckdb::Error| in_file(&self.origin, WRAPPER_LINES, &e);
        let given = relation
            .columns_of(
                conn,
                &format!("{with}\nSELECT * FROM (\n{}\n) LIMIT 0", self.text),
            )
            .map_err(in_file)?;
        if given.is_empty() {
            return Err(refused(input, "it has no rows"));
        }
        let wrong = |message: String| Error::Model {
            file: self.origin.clone(),
            message,
        };
        if !given.iter().any(|c| c == ROW) {
            return Err(wrong(format!("its SELECT has no column '{ROW}'")));
        }
        if let Some(other) = given
            .iter()
            .find(|c| *c != ROW && self.table.position(c).is_none())
        {
            return Err(wrong(format!(
                "its SELECT has a column '{other}', which {} has not",
                self.table.name
            )));
        }
        let (mut columns, mut list) = (Vec::new(), Vec::new());
        let said = [(VENUE, &import.venue), ("symbol", &import.symbol)];
        let mut said: Vec<(String, String)> = said
            .into_iter()
            .filter_map(|(name, text)| Some((name.to_owned(), text.clone()?)))
            .collect();
        for (name, text) in &import.defaults {
            if !given.iter().any(|column| column == name) {
                said.push(((*name).to_owned(), text.clone()));
            }
        }
        for column in self.table.columns.iter().filter(|c| c.name != "seq") {
            if said.iter().any(|(name, _)| *name == column.name) {
                // What the user says of all rows need not be read of each.
                continue;
            }
            if given.contains(&column.name) {
                let quoted = identifier(&column.name);
                let mut sql = match import.shape.decimals {
                    Some(decimals) if column.sql_type == "DOUBLE" => {
                        format!("round(TRY_CAST({quoted} AS DOUBLE), {decimals})")
                    }
                    _ => format!("TRY_CAST({quoted} AS {})", column.sql_type),
                };
                if self.table.name == BARS && column.name == INTERVAL {
                    sql = format!("bar_interval({sql})");
                }
                let mut defaults = import.defaults.iter();
                if let Some((_, text)) = defaults.find(|(name, _)| *name == column.name) {
                    sql = format!("coalesce({sql}, {})", literal(text));
                }
                list.push(format!("{sql} AS {quoted}"));
                columns.push(column.name.clone());
            } else if column.required && column.name != "recv_ts" {
                return Err(wrong(format!(
                    "its SELECT has no column '{}', which {} requires",
                    column.name, self.table.name
                )));
            }
        }
        Ok(Select {
            table: Arc::clone(&self.table),
            columns,
            required: self.required.clone(),
            said,
            sql: format!(
                "{with}\nSELECT {} FROM (\n{}\n)",
                list.join(", "),
                self.text
            ),
            rows_sql: format!("{numbered}\nSELECT {ROW}::UBIGINT FROM (\n{}\n)", self.text),
            mapping: self.mapping.clone(),
        })
    }
}

fn table_name(file: &SqlFile) -> &str {
    file.header.into.as_deref().unwrap_or(&file.name)
}

/// Names of a file's columns, shaped; `None` if it has none of its own.
fn columns_of(
    conn: &Connection,
    input: &Input,
    import: &Import,
    csv: Option<&Csv>,
) -> Result<Option<Vec<String>>> {
    let names = match csv {
        Some(csv) if csv.header => csv.first.clone(),
        Some(_) if !import.shape.columns.is_empty() => import.shape.columns.clone(),
        Some(_) => return Ok(None),
        None => {
            let columns = typed_columns(conn, input, import, None, None)?;
            return Ok(Some(columns.into_iter().map(|(name, _)| name).collect()));
        }
    };
    let untyped: Vec<(String, String)> = names.into_iter().map(|n| (n, String::new())).collect();
    let shaped = relation::shaped(&untyped, &import.shape);
    Ok(Some(shaped.into_iter().map(|(name, _)| name).collect()))
}

/// Names, shaped, and types of a file's columns.
fn typed_columns(
    conn: &Connection,
    input: &Input,
    import: &Import,
    csv: Option<&Csv>,
    names: Option<&[String]>,
) -> Result<Vec<(String, String)>> {
    let mut as_read = input.clone();
    if let Some(csv) = csv {
        as_read.format = Format::Csv(csv.clone());
    }
    let columns = match relation::text_reader(conn, &as_read, import, names, false)? {
        Some(reader) => relation::described(conn, &reader, input)?,
        None => input.batches()?.map_or(Vec::new(), |(schema, _)| {
            let fields = schema.fields().iter();
            fields
                .map(|f| (f.name().clone(), f.data_type().to_string()))
                .collect()
        }),
    };
    let types = columns.iter().map(|(_, sql_type)| sql_type.clone());
    let shaped = relation::shaped(&columns, &import.shape);
    let types = types.chain(std::iter::repeat("VARCHAR".to_owned()));
    Ok(shaped
        .into_iter()
        .zip(types)
        .map(|((name, _), sql_type)| {
            let cast = import
                .shape
                .cast
                .iter()
                .find(|(c, _)| c.eq_ignore_ascii_case(&name));
            (name, cast.map_or(sql_type, |(_, to)| to.clone()))
        })
        .collect())
}

fn fits(file: &SqlFile, columns: Option<&[String]>, csv: Option<&Csv>, format: &Format) -> bool {
    let header = &file.header;
    if header.document {
        return *format == Format::Json;
    }
    match (columns, csv) {
        (Some(columns), _) => header.columns.iter().all(|wanted| {
            // `a|b`: either name.
            let mut names = wanted.split('|');
            names.any(|name| columns.iter().any(|c| c.eq_ignore_ascii_case(name)))
        }),
        (None, Some(csv)) => {
            let wanted = header.columns.len();
            (wanted..=wanted + header.optional.len()).contains(&csv.first.len())
        }
        (None, None) => false,
    }
}

/// Names of a text file's columns.
fn csv_names(csv: &Csv, file: &SqlFile, import: &Import) -> Vec<String> {
    if csv.header {
        return csv.first.clone();
    }
    if !import.shape.columns.is_empty() {
        return import.shape.columns.clone();
    }
    let names = file.header.columns.iter().chain(&file.header.optional);
    names
        .take(csv.first.len())
        .map(|name| name.split('|').next().unwrap_or(name).to_owned())
        .collect()
}

/// Whether a file of this name is what the vendor calls such files.
fn is_named(file: &SqlFile, name: &str) -> bool {
    let name = name.to_lowercase();
    file.header
        .file_names
        .iter()
        .any(|pattern| matches(&pattern.to_lowercase(), &name))
}

/// Whether a text is as a pattern says, in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// A hint for a text file that seems to have one column.
pub(super) fn one_field(input: &Input) -> &'static str {
    match &input.format {
        Format::Csv(csv) if csv.first.len() == 1 => {
            "\n  hint: if its fields are parted by another character than , tab ; or |, say it with --delimiter"
        }
        _ => "",
    }
}

fn no_choice(
    input: &Input,
    import: &Import,
    files: &[&SqlFile],
    chosen: &[String],
    columns: Option<&[String]>,
) -> String {
    if !chosen.is_empty() {
        return format!(
            "several files of the dialect '{}' fit it: {}; say which table with --into",
            import.dialect,
            chosen.join(", ")
        );
    }
    let wants: Vec<String> = files
        .iter()
        .map(|f| format!("{} ({})", f.name, f.header.columns.join(", ")))
        .collect();
    let has = columns.map_or("no names".to_owned(), |columns| columns.join(", "));
    format!(
        "no file of the dialect '{}' fits its columns, which are: {has}\n  they read: {}{}",
        import.dialect,
        wants.join("; "),
        one_field(input)
    )
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, expected) in [
            ("*-trades-*", "btcusdt-trades-2024-08-08.csv", true),
            ("*-trades-*", "btcusdt-aggtrades-2024-08-08.csv", false),
            ("*.csv", "a.csv", true),
            ("*.csv", "a.csv.gz", false),
            ("trades", "trades", true),
            ("trades", "trades2", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
