//! The relation `file` that a dialect's SELECT reads: a vendor's columns, shaped as the user said, and what is known
//! of the file itself.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};
use duckdb::vtab::arrow::ArrowBatchRegistration;
use duckdb::{Connection, OptionalExt, Statement};

use super::dialect::Dialect;
use super::{ColumnCase, Import, Shape, folders, refused};
use crate::model::sql::{identifier, literal};
use crate::sources::files::{Batches, Csv, Format, Input, Packing, WRITE_AS_UTF8};
use crate::store::error::{Doing, Error, Result};
use crate::store::insert::SCAN;

/// Rows of Arrow batches are numbered in this column.
const ROW: &str = "file_row";

/// DuckDB holds a few of these for each thread; a line must fit one.
const BUFFER_BYTES: u64 = 8 << 20;
/// A nested document is read as a whole.
const MAX_DOCUMENT_BYTES: u64 = 64 << 20;

/// A file as a relation.
pub(super) struct Relation {
    /// Name and type of each column that the file itself has, as it has them.
    pub(super) columns: Vec<(String, String)>,
    /// SQL of `WITH file AS (…)`, without the numbers of its rows, and with them.
    pub(super) with: [String; 2],
    source: Source,
    /// The file, as it is read.
    input: Input,
    /// Whether the first line is no row.
    header: bool,
    rejects: bool,
}

enum Source {
    /// DuckDB reads it.
    Duck,
    /// mdb reads it, batch by batch, from a copy of what the input says.
    Batches(Box<dyn Fn() -> Result<Batches> + Send + Sync>),
}

/// A file's path as SQL, where DuckDB takes a pattern and looks for it in the database's directory: this file is meant, and
/// none that has a name like its.
pub(super) fn path(file: &Path) -> String {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let mut pattern = String::new();
    for c in absolute.to_string_lossy().chars() {
        if matches!(c, '[' | '*' | '?') {
            pattern.extend(['[', c, ']']);
        } else {
            pattern.push(c);
        }
    }
    literal(&pattern)
}

/// What DuckDB reads a file by; `None` if it cannot.
pub(super) fn reader(
    input: &Input,
    import: &Import,
    columns: Option<&[String]>,
    document: bool,
) -> Option<String> {
    let (path, folders) = (path(&input.data), folders::option(input));
    let packing = match input.packing {
        Packing::None => "none",
        Packing::Gzip => "gzip",
        Packing::Zstd => "zstd",
    };
    match &input.format {
        Format::Parquet => Some(format!("read_parquet({path}{folders})")),
        Format::Json if document => {
            // DuckDB takes a buffer of twice this for each thread.
            let unpacked = match input.packing {
                Packing::None => input.bytes,
                Packing::Gzip | Packing::Zstd => input.bytes.saturating_mul(20),
            };
            let bytes = unpacked.clamp(1 << 20, MAX_DOCUMENT_BYTES);
            Some(format!(
                "(SELECT json AS document FROM read_json_objects({path}, format = 'auto', compression = '{packing}', maximum_object_size = {bytes}))"
            ))
        }
        Format::Json => Some(format!(
            "read_json({path}, compression = '{packing}'{folders})"
        )),
        Format::Csv(csv) => {
            let types: Vec<String> = columns
                .unwrap_or(&csv.first)
                .iter()
                .map(|column| format!("{}: 'VARCHAR'", literal(column)))
                .collect();
            Some(format!(
                "read_csv({path}, auto_detect = false, delim = {}, quote = '\"', escape = '\"', header = {}, columns = {{{}}},
                 compression = '{packing}'{folders}, buffer_size = {BUFFER_BYTES}, store_rejects = true, rejects_limit = {})",
                literal(&csv.delimiter.to_string()),
                csv.header,
                types.join(", "),
                // A line is told once for each field that it lacks.
                (import.max_errors + 1).saturating_mul(types.len() as u64 + 1),
            ))
        }
        Format::Arrow | Format::Dbn => None,
    }
}

/// The same, but of JSON plain values are given as they are written: a type told from the first rows would round
/// those of others.
pub(super) fn text_reader(
    conn: &Connection,
    input: &Input,
    import: &Import,
    columns: Option<&[String]>,
    document: bool,
) -> Result<Option<String>> {
    let told = reader(input, import, columns, document);
    let Some(told) = told.filter(|_| input.format == Format::Json && !document) else {
        return Ok(reader(input, import, columns, document));
    };
    let told = if input.is_array {
        // To find that out by itself DuckDB would hold much of the file.
        let open = told.strip_suffix(')').unwrap_or(&told);
        format!("{open}, format = 'array', records = true)")
    } else {
        told
    };
    let columns: Vec<String> = json_columns(conn, &told, input)?
        .iter()
        .map(|(column, sql_type)| {
            let nested = sql_type.contains(['(', '[']);
            let sql_type = if nested { sql_type } else { "VARCHAR" };
            format!("{}: {}", literal(column), literal(sql_type))
        })
        .collect();
    let closed = told.trim_end_matches(')');
    Ok(Some(format!(
        "{closed}, columns = {{{}}})",
        columns.join(", ")
    )))
}

/// The columns that a JSON file's rows have. DuckDB tells them from the first 20,480, and passes over what only others
/// have.
fn json_columns(conn: &Connection, told: &str, input: &Input) -> Result<Vec<(String, String)>> {
    if let Some(columns) = input.columns.get() {
        return Ok(columns.clone());
    }
    let mut columns = described(conn, &by_all_rows(told), input)?;
    columns.retain(|(column, _)| !folders::is_folder(input, column));
    Ok(input.columns.get_or_init(|| columns).clone())
}

/// A JSON file's reader and columns. If they are not those that the first rows tell, they are told from all of them: DuckDB
/// would round others' values, or leave them out.
pub(super) fn whole_json(
    conn: &Connection,
    reader: String,
    input: &Input,
) -> Result<(String, Vec<(String, String)>)> {
    let by_first = described(conn, &reader, input)?;
    let by_all = by_all_rows(&reader);
    let columns = described(conn, &by_all, input)?;
    Ok(if columns == by_first {
        (reader, columns)
    } else {
        (by_all, columns)
    })
}

/// A reader of JSON by which DuckDB looks at all rows to tell its columns.
fn by_all_rows(reader: &str) -> String {
    let open = reader.strip_suffix(')').unwrap_or(reader);
    format!("{open}, sample_size = -1)")
}

/// A column that the user shapes must be there.
pub(super) fn check_shape(
    columns: &[(String, String)],
    shape: &Shape,
    input: &Input,
) -> Result<()> {
    let has = |name: &str, list: &[(String, String)]| {
        list.iter().any(|(c, _)| c.eq_ignore_ascii_case(name))
    };
    let shaped = shaped(columns, shape);
    let renamed = shape.rename.iter().find(|(old, _)| !has(old, columns));
    let cast = shape.cast.iter().find(|(column, _)| !has(column, &shaped));
    for (flag, missing) in [("--rename", renamed), ("--cast", cast)] {
        if let Some((missing, _)) = missing {
            let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
            return Err(refused(
                input,
                format!(
                    "{flag} names '{missing}', but its columns are: {}",
                    names.join(", ")
                ),
            ));
        }
    }
    Ok(())
}

/// How the user says a text file is to be read.
pub(super) fn csv(input: &Input, shape: &Shape) -> Result<Option<Csv>> {
    let Format::Csv(csv) = &input.format else {
        return Ok(None);
    };
    let mut csv = match shape.delimiter {
        Some(delimiter) if delimiter != csv.delimiter => csv
            .with(delimiter)
            .map_err(|message| refused(input, message))?,
        _ => csv.clone(),
    };
    let mut both = csv.first.iter().zip(&shape.columns);
    let same =
        csv.first.len() == shape.columns.len() && both.all(|(a, b)| a.eq_ignore_ascii_case(b));
    if !shape.columns.is_empty() {
        // The user names the columns: another first line is a row, be it of texts only.
        csv.header = same;
    }
    if csv.header {
        let mut names: Vec<String> = csv.first.iter().map(|n| n.to_lowercase()).collect();
        names.sort_unstable();
        if let Some([twice, _]) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(refused(
                input,
                format!("two of its columns are called '{twice}'; rename one"),
            ));
        }
    }
    Ok(Some(csv))
}

impl Relation {
    pub(super) fn open(
        conn: &Connection,
        input: &Input,
        import: &Import,
        dialect: &Dialect,
    ) -> Result<Self> {
        let names = dialect.csv_columns.as_deref();
        let reader = text_reader(
            conn,
            &dialect.input_as_read(input),
            import,
            names,
            dialect.document,
        )?;
        let doing = || format!("reading {}", input.label);
        let (columns, source) = if let Some(reader) = &reader {
            (described(conn, reader, input)?, Source::Duck)
        } else {
            let Some((schema, _)) = input.batches()? else {
                return Err(refused(input, "it cannot be read"));
            };
            let fields = schema.fields().iter();
            let columns = fields.map(|f| (f.name().clone(), f.data_type().to_string()));
            let again = input.clone();
            let batches = move || match again.batches()? {
                Some((_, batches)) => Ok(batches),
                None => Ok(Box::new(std::iter::empty()) as Batches),
            };
            (columns.collect(), Source::Batches(Box::new(batches)))
        };
        check_shape(&columns, &import.shape, input)?;
        let mut shaped = shaped(&columns, &import.shape);
        let have: Vec<String> = shaped.iter().map(|(n, _)| n.to_lowercase()).collect();
        for column in &dialect.optional {
            if !have.contains(&column.to_lowercase()) {
                shaped.push((column.clone(), "NULL::VARCHAR".to_owned()));
            }
        }
        let said = |value: Option<&str>| value.map_or("NULL".to_owned(), literal);
        let date = import.date.map(|d| d.to_string());
        let list: Vec<String> = shaped
            .iter()
            .map(|(column, sql)| format!("{sql} AS {}", identifier(column)))
            .collect();
        let with = |row: &str| {
            format!(
                "WITH file AS (SELECT {}, {row} AS {ROW}, {}::VARCHAR AS file_name, {}::VARCHAR AS given_venue,
                 {}::VARCHAR AS given_symbol, {}::DATE AS given_date FROM {})",
                list.join(", "),
                literal(&input.name),
                said(import.venue.as_deref()),
                said(import.symbol.as_deref()),
                said(date.as_deref()),
                reader.as_deref().unwrap_or("arrow(?)"),
            )
        };
        debug_assert_eq!(SCAN, "arrow");
        let numbered = match input.format {
            Format::Parquet => "(file_row_number + 1)::UBIGINT",
            Format::Arrow | Format::Dbn => "file_row",
            Format::Csv(_) | Format::Json => "row_number() OVER ()::UBIGINT",
        };
        let plain = if reader.is_some() { "0::UBIGINT" } else { ROW };
        let relation = Self {
            // On one line, so that an error's line is that of the dialect's own text.
            with: [with(plain), with(numbered)].map(|sql| sql.replace('\n', " ")),
            columns: columns
                .into_iter()
                .filter(|(column, _)| !folders::is_folder(input, column))
                .collect(),
            source,
            input: dialect.input_as_read(input),
            header: matches!(&dialect.csv, Some(csv) if csv.header),
            rejects: matches!(input.format, Format::Csv(_)),
        };
        conn.execute_batch("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
            .doing(doing())?;
        Ok(relation)
    }

    /// The columns of a SELECT over the file, as Arrow has them.
    pub(super) fn columns_of(&self, conn: &Connection, sql: &str) -> duckdb::Result<Vec<String>> {
        let mut probe = conn.prepare(sql)?;
        let schema = match &self.source {
            Source::Duck => probe.query_arrow([])?.get_schema(),
            Source::Batches(batches) => {
                let first = batches().ok().and_then(|mut batches| batches.next());
                let Some(Ok(first)) = first else {
                    return Ok(Vec::new());
                };
                let registered = ArrowBatchRegistration::new(numbered(&first.slice(0, 0), 0));
                probe.query_arrow([&registered])?.get_schema()
            }
        };
        Ok(schema.fields().iter().map(|f| f.name().clone()).collect())
    }

    /// Runs a SELECT over the file; `take` says whether to go on.
    pub(super) fn for_each(
        &self,
        conn: &Connection,
        sql: &str,
        take: &mut dyn FnMut(RecordBatch) -> Result<bool>,
    ) -> Result<()> {
        let doing = "reading the file";
        match &self.source {
            Source::Duck => {
                let failed = |error: duckdb::Error| unread(&self.input, &error);
                let mut statement = conn.prepare(sql).map_err(failed)?;
                for batch in statement.stream_arrow([]).map_err(failed)? {
                    if !take(batch.map_err(failed)?)? {
                        break;
                    }
                }
            }
            Source::Batches(batches) => {
                let mut row = 0;
                for batch in batches()? {
                    let batch = batch?;
                    let registered = ArrowBatchRegistration::new(numbered(&batch, row));
                    row += batch.num_rows() as u64;
                    let mut statement = conn.prepare_cached(sql).doing(doing)?;
                    for batch in statement.stream_arrow([&registered]).doing(doing)? {
                        if !take(batch.doing(doing)?)? {
                            return Ok(());
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Rows of the file by their numbers, as JSON.
    pub(super) fn rows(&self, conn: &Connection, wanted: &[u64]) -> Result<Vec<(u64, String)>> {
        let wanted: Vec<String> = wanted.iter().map(u64::to_string).collect();
        let sql = format!(
            "{} SELECT {ROW}, to_json(r)::VARCHAR AS json FROM
             (SELECT * EXCLUDE (file_name, given_venue, given_symbol, given_date) FROM file) r
             WHERE {ROW} IN ({}) ORDER BY {ROW}",
            self.with[1],
            wanted.join(", ")
        );
        let mut rows = Vec::new();
        self.for_each(conn, &sql, &mut |batch| {
            use arrow::array::AsArray;
            let numbers = batch
                .column(0)
                .as_primitive::<arrow::datatypes::UInt64Type>();
            let texts = batch.column(1).as_string::<i32>();
            rows.extend(
                (0..batch.num_rows()).map(|i| (numbers.value(i), texts.value(i).to_owned())),
            );
            Ok(true)
        })?;
        Ok(rows)
    }

    /// Refuses a text of which DuckDB may have passed over more than the lines that it tells: those below a quote that is
    /// not closed. And one that is no UTF-8, of which each reading has other rows, as it looks at other columns.
    pub(super) fn check_text(&self, conn: &Connection) -> Result<()> {
        let sql = "SELECT line, error_type = 'INVALID ENCODING' FROM reject_errors
             WHERE error_type IN ('INVALID ENCODING', 'UNQUOTED VALUE')
             OR contains(trim(csv_line, chr(10) || chr(13)), chr(10)) ORDER BY ALL LIMIT 1";
        let found = match self.rejects(conn, sql)? {
            Some(mut statement) => statement
                .query_row([], |row| {
                    Ok((row.get::<_, u64>(0)?, row.get::<_, bool>(1)?))
                })
                .optional()
                .doing("reading rejected lines")?,
            None => None,
        };
        let message = match found {
            None => return Ok(()),
            Some((line, true)) => format!("line {line} is no UTF-8; {WRITE_AS_UTF8}"),
            Some((line, false)) => format!(
                "line {line} has a quote (\") that does not begin and end a field there, and lines below it would be lost; mend that line"
            ),
        };
        Err(refused(
            &self.input,
            format!("{message}. Nothing of it was loaded"),
        ))
    }

    /// A query of what DuckDB took for no rows; `None` if there is nothing of that.
    fn rejects<'c>(&self, conn: &'c Connection, sql: &str) -> Result<Option<Statement<'c>>> {
        if !self.rejects {
            return Ok(None);
        }
        match conn.prepare(sql) {
            Ok(statement) => Ok(Some(statement)),
            // Nothing was rejected, and so the table was not made.
            Err(error) if error.to_string().starts_with("Catalog Error") => Ok(None),
            Err(error) => Err(error).doing("reading rejected lines"),
        }
    }

    /// Lines that DuckDB took for no rows, and why.
    pub(super) fn rejected_lines(
        &self,
        conn: &Connection,
        limit: u64,
    ) -> Result<Vec<(u64, String, String)>> {
        let found = self.rejects(
            conn,
            "SELECT line, any_value(error_message), coalesce(any_value(trim(csv_line, chr(10) || chr(13))), '')
             FROM reject_errors
             GROUP BY line ORDER BY line LIMIT ?",
        )?;
        let Some(mut statement) = found else {
            return Ok(Vec::new());
        };
        statement
            .query_map([limit + 1], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .and_then(Iterator::collect)
            .doing("reading rejected lines")
    }

    /// The line that a row stands on, of a file in which these lines are no rows, in order. Right as long as no field
    /// has a line break in it.
    pub(super) fn line_of(&self, row: u64, no_rows: &[u64]) -> u64 {
        let mut line = row + u64::from(self.header);
        for other in no_rows {
            if *other <= line {
                line += 1;
            }
        }
        line
    }
}

/// The batch with the numbers of its rows in the file, from 1.
fn numbered(batch: &RecordBatch, before: u64) -> RecordBatch {
    let rows = batch.num_rows() as u64;
    let mut fields: Vec<Arc<Field>> = batch.schema_ref().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(ROW, DataType::UInt64, false)));
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    columns.push(Arc::new(
        (before + 1..=before + rows).collect::<UInt64Array>(),
    ));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap_or_else(|_| batch.clone())
}

/// The columns of a file that DuckDB reads.
pub(super) fn described(
    conn: &Connection,
    reader: &str,
    input: &Input,
) -> Result<Vec<(String, String)>> {
    let described = conn
        .prepare(&format!("DESCRIBE SELECT * FROM {reader}"))
        .and_then(|mut s| {
            s.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
                .and_then(Iterator::collect)
        });
    described.map_err(|error| unread(input, &error))
}

/// What DuckDB says of a file that it cannot read.
pub(super) fn unread(input: &Input, error: &duckdb::Error) -> Error {
    if let Some(fault) = input.text_fault() {
        return refused(input, format!("{fault}. Nothing of it was loaded"));
    }
    let text = error.to_string();
    if text.contains("Error when sniffing file") {
        return refused(
            input,
            "its lines differ in their numbers of fields, or in how these are quoted; mend those that do, or say --delimiter. Nothing of it was loaded",
        );
    }
    if text.contains("GZIP stream") {
        return refused(
            input,
            "its gzip data is damaged or cut off, or zeros or something else stand behind it; if gzip -dc reads it, write it anew: gzip -dc FILE | gzip > NEW.gz. Nothing of it was loaded",
        );
    }
    // DuckDB's own advice is about options that mdb has not.
    let ragged = text.contains("Expected Number of Columns");
    let mend = if ragged { ". Mend that line" } else { "" };
    let first: Vec<String> = text.lines().take(3).map(shortened).collect();
    refused(
        input,
        format!("{}{mend}. Nothing of it was loaded", first.join(" ")),
    )
}

/// A line of an error, which may have a whole line of the file in it.
fn shortened(line: &str) -> String {
    const SHOWN: usize = 200;
    match line.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}… ({} characters)", &line[..at], line.chars().count()),
        None => line.to_owned(),
    }
}

/// The columns as the user shapes them: name and SQL.
pub(super) fn shaped(columns: &[(String, String)], shape: &Shape) -> Vec<(String, String)> {
    let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    let mut shaped = Vec::new();
    for (column, sql_type) in columns {
        let renamed = shape.rename.iter().find(|(old, _)| same(old, column));
        let new = renamed.map_or(column, |(_, new)| new);
        let new = match shape.case {
            ColumnCase::Keep => new.clone(),
            ColumnCase::Lower => new.to_lowercase(),
            ColumnCase::Upper => new.to_uppercase(),
        };
        let mut sql = identifier(column);
        if let Some((_, to)) = shape.cast.iter().find(|(c, _)| same(c, &new)) {
            let date = to.to_uppercase();
            let is_time = date.starts_with("TIMESTAMP") || date == "DATE";
            sql = match &shape.date_format {
                Some(format) if is_time => {
                    format!("try_strptime({sql}::VARCHAR, {})::{to}", literal(format))
                }
                _ => format!("TRY_CAST({sql} AS {to})"),
            };
            if let Some(decimals) = shape
                .decimals
                .filter(|_| ["DOUBLE", "FLOAT"].contains(&&*date))
            {
                sql = format!("round({sql}, {decimals})");
            }
        } else if let Some(decimals) = shape.decimals
            && ["DOUBLE", "FLOAT"].contains(&sql_type.as_str())
        {
            sql = format!("round({sql}, {decimals})");
        }
        shaped.push((new, sql));
    }
    for (column, value) in &shape.set {
        shaped.retain(|(c, _)| !same(c, column));
        shaped.push((column.clone(), literal(value)));
    }
    shaped
}
