//! Query results as bytes: one encoder a format, on Arrow batches only, none with I/O beyond the `Write` it is given.
//!
//! Every encoder but the table and the picture holds one batch at a time. The table holds its first and last rows, or,
//! where nothing may be left out, a page; the picture what it draws, up to a limit.

mod cells;
pub mod chart;
mod csv;
mod insert;
mod ipc;
mod json;
mod json_value;
mod line;
mod markdown;
mod markup;
mod npy;
mod number;
mod parquet_file;
mod plain;
mod table;
mod text;
mod texts;
mod time;
mod types;
mod visible;
mod whole_file;

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use parquet::errors::ParquetError;

use cells::Cells;
use visible::Visible;

pub use npy::Npy;
pub use parquet_file::Annotated;
pub(crate) use table::{cut, grouped, marked_table, printable, rounded};
pub use texts::texts;
pub use types::{is_number, type_name};
pub(crate) use visible::printable_lines;
pub use whole_file::WholeFile;

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A table for people; fitted to the terminal, whole when piped.
    Table,
    /// The same, but whole and never cut.
    Box,
    /// Comma-separated, with a header; NULL is empty.
    Csv,
    /// As csv, with tabs between the columns.
    Tsv,
    /// One array of objects.
    Json,
    /// One object a line.
    Ndjson,
    /// A table for documents.
    Markdown,
    /// One column a line.
    Line,
    /// A table of HTML.
    Html,
    /// A tabular of LaTeX.
    Latex,
    /// One INSERT a row, into a table called result.
    Insert,
    /// A picture of each result that can be drawn; a table of the others.
    Chart,
    /// Arrow IPC: the stream format to a pipe, the file format (Feather) to a file.
    Arrow,
    /// Parquet, zstd compressed.
    Parquet,
}

impl Format {
    /// The endings of files that ask for a format, for hints.
    pub const ENDINGS: &'static str =
        ".csv, .tsv, .json, .ndjson, .parquet, .arrow, .md, .html, .tex or .sql";

    /// The format that a file's name asks for.
    #[must_use]
    pub fn of_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "tsv" => Some(Self::Tsv),
            "html" => Some(Self::Html),
            "tex" => Some(Self::Latex),
            "sql" => Some(Self::Insert),
            "json" => Some(Self::Json),
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            "md" => Some(Self::Markdown),
            "arrow" | "feather" | "ipc" | "arrows" => Some(Self::Arrow),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }

    /// Whether a file's name has an ending that asks for no format, so that its writer may expect another than a table.
    #[must_use]
    pub fn is_unclear(path: &Path) -> bool {
        let ending = path.extension().filter(|ending| !ending.is_empty());
        ending.is_some_and(|ending| !ending.eq_ignore_ascii_case("txt"))
            && Self::of_path(path).is_none()
    }

    /// The word for it on the command line.
    #[must_use]
    pub fn name(self) -> String {
        use clap::ValueEnum as _;
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    /// Whether it is for programs that read Arrow types, and holds one result only.
    #[must_use]
    pub fn is_binary(self) -> bool {
        matches!(self, Self::Arrow | Self::Parquet)
    }

    /// Whether it is text in which values stand as they are, control characters and all: on a terminal those would move
    /// the cursor, or worse.
    fn is_as_it_is(self) -> bool {
        matches!(
            self,
            Self::Csv
                | Self::Tsv
                | Self::Json
                | Self::Ndjson
                | Self::Markdown
                | Self::Html
                | Self::Latex
                | Self::Insert
        )
    }

    /// Whether a file of it holds one result only: with another one behind it, programs read it wrong or not at all.
    #[must_use]
    pub fn is_of_one_result(self) -> bool {
        self.is_binary()
            || matches!(
                self,
                Self::Csv | Self::Tsv | Self::Json | Self::Markdown | Self::Html | Self::Latex
            )
    }
}

/// Where a result will stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Layout {
    /// Columns of the terminal; `None` where nothing may be left out.
    pub width: Option<usize>,
    /// Rows shown at most; `None` for all.
    pub rows: Option<usize>,
    /// Whether escape codes may be used.
    pub color: bool,
    /// Whether the output is a file that can be read from its end.
    pub file: bool,
}

/// Why a result could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The output failed.
    #[error("cannot write the result: {0}")]
    Io(#[source] io::Error),
    /// A column's type has no place in the format.
    #[error("column \"{column}\" is of type {type_name}, which cannot be written; {instead}")]
    Unsupported {
        /// The column.
        column: String,
        /// Its type.
        type_name: String,
        /// What to do.
        instead: &'static str,
    },
    /// A whole number has more digits than the format's.
    #[error(
        "column \"{column}\": {value} has more than the 38 digits that a number has in Arrow and Parquet; cast the column \
         to VARCHAR"
    )]
    TooLong {
        /// The column.
        column: String,
        /// The first such number.
        value: i128,
    },
    /// A format that holds one result was given another.
    #[error(
        "a file of the {} format holds one result, and the script gives more; choose another format (ndjson, table), or \
         give one query",
        .0.name()
    )]
    OneResult(Format),
    /// Arrow refuses the result.
    #[error("cannot write the result as Arrow: {0}")]
    Arrow(ArrowError),
    /// Parquet refuses the result.
    #[error("cannot write the result as Parquet: {0}")]
    Parquet(ParquetError),
}

impl Error {
    fn unsupported(field: &Field) -> Self {
        Self::Unsupported {
            column: field.name().clone(),
            type_name: type_name(field).to_uppercase(),
            instead: if matches!(field.data_type(), DataType::Interval(_)) {
                "cast it to VARCHAR, or write its seconds: epoch(…)"
            } else {
                "cast it, for example to VARCHAR"
            },
        }
    }

    /// Whether the reader has gone away, which is no error: it has seen enough.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::IoError(_, error) => Self::Io(error),
            error => Self::Arrow(error),
        }
    }
}

impl From<ParquetError> for Error {
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::External(error) => match error.downcast::<io::Error>() {
                Ok(error) => Self::Io(*error),
                Err(error) => Self::Parquet(ParquetError::External(error)),
            },
            error => Self::Parquet(error),
        }
    }
}

/// What encoders write to.
pub type Out<'w> = &'w mut (dyn Write + Send);

/// Writes one result.
trait Encoder {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), Error>;

    fn finish(&mut self) -> Result<(), Error>;
}

/// Writes `batches` to `out` and returns the number of rows. The output is not flushed.
///
/// # Errors
/// The first error of a batch, as it is; else an [`Error`] of the encoder.
pub fn encode<E: From<Error>>(
    format: Format,
    layout: Layout,
    schema: &SchemaRef,
    batches: impl IntoIterator<Item = Result<RecordBatch, E>>,
    out: Out<'_>,
) -> Result<u64, E> {
    let mut visible;
    let out: Out<'_> = if layout.width.is_some() && format.is_as_it_is() {
        visible = Visible::new(out);
        &mut visible
    } else {
        out
    };
    let mut encoder = encoder(format, layout, schema, out)?;
    let mut rows = 0;
    for batch in batches {
        let batch = batch?;
        if batch.num_rows() > 0 {
            encoder.batch(&batch)?;
            rows += batch.num_rows() as u64;
        }
    }
    encoder.finish()?;
    Ok(rows)
}

fn encoder<'w>(
    format: Format,
    layout: Layout,
    schema: &SchemaRef,
    out: Out<'w>,
) -> Result<Box<dyn Encoder + 'w>, Error> {
    let schema = SchemaRef::clone(schema);
    Ok(match format {
        Format::Table => Box::new(table::Table::new(schema, layout, out)),
        Format::Box => {
            let layout = Layout {
                width: None,
                rows: None,
                ..layout
            };
            Box::new(table::Table::new(schema, layout, out))
        }
        Format::Csv => Box::new(csv::Csv::new(schema, b',', out)),
        Format::Tsv => Box::new(csv::Csv::new(schema, b'\t', out)),
        Format::Html => Box::new(markup::Html::new(schema, out)),
        Format::Latex => Box::new(markup::Latex::new(schema, out)),
        Format::Insert => Box::new(insert::Insert::new(schema, out)),
        Format::Chart => Box::new(chart::Picture::new(schema, layout, out)),
        Format::Json => Box::new(json::Json::new(schema, true, out)),
        Format::Ndjson => Box::new(json::Json::new(schema, false, out)),
        Format::Markdown => Box::new(markdown::Markdown::new(schema, out)),
        Format::Line => Box::new(line::Lines::new(schema, out)),
        Format::Arrow => Box::new(ipc::Ipc::new(&schema, layout.file, out)?),
        Format::Parquet => Box::new(parquet_file::Parquet::new(&schema, out)?),
    })
}

type Builder = for<'a> fn(&Field, &'a arrow::array::ArrayRef) -> Result<Cells<'a>, Error>;

/// The columns of a batch, ready to be written.
fn cells<'a>(
    schema: &Schema,
    batch: &'a RecordBatch,
    build: Builder,
) -> Result<Vec<Cells<'a>>, Error> {
    schema
        .fields()
        .iter()
        .zip(batch.columns())
        // It is the column that can be cast, also where what has no text is inside its values.
        .map(|(field, array)| build(field, array).map_err(|_| Error::unsupported(field)))
        .collect()
}

fn drain(buffer: &mut Vec<u8>, out: Out<'_>) -> Result<(), Error> {
    out.write_all(buffer)?;
    buffer.clear();
    Ok(())
}

/// The columns' names, later ones of a name numbered as DuckDB's COPY does: `a`, `a_1`, `a_2`.
fn unique_names(schema: &Schema) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut names = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let mut name = field.name().clone();
        while let Some(count) = seen.get_mut(&name.to_lowercase()) {
            *count += 1;
            name = format!("{name}_{count}");
        }
        seen.insert(name.to_lowercase(), 0);
        names.push(name);
    }
    names
}

/// `schema` with names that differ, for formats that address columns by name.
fn with_unique_names(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().zip(unique_names(schema));
    SchemaRef::new(Schema::new(
        fields
            .map(|(field, name)| field.as_ref().clone().with_name(name))
            .collect::<Vec<_>>(),
    ))
}

#[cfg(test)]
mod tests;
