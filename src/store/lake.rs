//! Files of the lake: how one is written so that it is either whole or not there, and what a crash leaves.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, TimestampNanosecondArray, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use duckdb::Connection;
use jiff::civil::Date;
use parquet::arrow::{ArrowWriter, PARQUET_FIELD_ID_META_KEY};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::catalog::{Layout, Table};
use super::error::{At, Doing, Error, Result};
use crate::model::RAW_MESSAGES;

/// The lake, below the database's directory.
pub(super) const DIR: &str = "lake";
/// How a hidden file's name ends.
const STAGING: &str = ".staging";
/// Rows of a row group: what a reader skips by its statistics. Smaller groups cost 9 % of size at 122,880.
const ROW_GROUP_ROWS: usize = 1 << 19;
/// … unless they are large ones: a row group is held in memory.
const ROW_GROUP_BYTES: usize = 64 << 20;
/// Level 9 would save another 1 to 7 % and take twice as long.
const ZSTD_LEVEL: i32 = 6;
/// A page of text may be larger than one of numbers: it compresses better for it.
const PAGE_BYTES: usize = 1 << 20;

/// What is known of a file once it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) rows: u64,
    pub(super) min_ts: i64,
    pub(super) max_ts: i64,
    pub(super) first_seq: Option<u64>,
    pub(super) last_seq: Option<u64>,
}

/// Path of a sealed file, relative to the database's directory.
pub(super) fn path(table: &str, date: Date, facts: &Facts) -> String {
    let (first, last) = (facts.first_seq.unwrap_or(0), facts.last_seq.unwrap_or(0));
    format!("{DIR}/{table}/date={date}/{first}-{last}.parquet")
}

/// A file under construction: hidden, and gone again if it is dropped before [`Staged::publish`].
pub(super) struct Staged {
    path: PathBuf,
    file: File,
    schema: SchemaRef,
    writer: Option<ArrowWriter<File>>,
    seq: Option<usize>,
    time: usize,
    facts: Facts,
}

impl Staged {
    /// Begins a file for rows of `table`.
    pub(super) fn create(db: &Path, table: &Table, date: Date) -> Result<Self> {
        let dir = db.join(DIR).join(&table.name).join(format!("date={date}"));
        fs::create_dir_all(&dir).at("create", &dir)?;
        let path = dir.join(format!(".{}{STAGING}", std::process::id()));
        let file = File::create(&path).at("create", &path)?;
        let schema = with_field_ids(table);
        let writer = ArrowWriter::try_new(
            file.try_clone().at("write", &path)?,
            schema.clone(),
            Some(properties(table)),
        )
        .map_err(|source| parquet(&path, source))?;
        let time = table.position(table.time()).unwrap_or_default();
        let facts = Facts {
            rows: 0,
            min_ts: i64::MAX,
            max_ts: i64::MIN,
            first_seq: None,
            last_seq: None,
        };
        Ok(Self {
            path,
            file,
            schema,
            writer: Some(writer),
            seq: table.position("seq"),
            time,
            facts,
        })
    }

    /// Adds rows.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        let numbered = self.schema.fields().iter().zip(batch.columns());
        let columns = numbered.map(|(field, column)| cast(column, field.data_type()));
        let batch = RecordBatch::try_new(self.schema.clone(), columns.collect::<Result<_, _>>()?)?;
        writer
            .write(&batch)
            .map_err(|source| parquet(&self.path, source))?;
        self.facts.rows += batch.num_rows() as u64;
        if let Some(ts) = batch
            .column(self.time)
            .as_any()
            .downcast_ref::<TimestampNanosecondArray>()
        {
            self.facts.min_ts = ts.values().iter().fold(self.facts.min_ts, |m, &v| m.min(v));
            self.facts.max_ts = ts.values().iter().fold(self.facts.max_ts, |m, &v| m.max(v));
        }
        let seqs = self
            .seq
            .and_then(|i| batch.column(i).as_any().downcast_ref::<UInt64Array>());
        for seq in seqs.into_iter().flat_map(|a| a.iter().flatten()) {
            self.facts.first_seq = Some(self.facts.first_seq.map_or(seq, |s| s.min(seq)));
            self.facts.last_seq = Some(self.facts.last_seq.map_or(seq, |s| s.max(seq)));
        }
        Ok(())
    }

    /// Ends the file and makes it durable; still hidden.
    pub(super) fn finish(&mut self) -> Result<Facts> {
        if let Some(writer) = self.writer.take() {
            writer
                .close()
                .map_err(|source| parquet(&self.path, source))?;
        }
        self.file.sync_all().at("write", &self.path)?;
        Ok(self.facts.clone())
    }

    /// Gives the file its name, durably. Returns its size and the hash of its content.
    pub(super) fn publish(self, to: &Path) -> Result<(u64, String)> {
        let bytes = self.file.metadata().at("read", &self.path)?.len();
        let hash = hash_of(&self.path)?;
        fs::rename(&self.path, to).at("rename", &self.path)?;
        if let Some(dir) = to.parent() {
            sync_dir(dir)?;
        }
        Ok((bytes, hash))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // After publishing there is nothing under this name; before, a failed removal is swept at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes a directory's entries, and its own entry above, durable.
fn sync_dir(dir: &Path) -> Result<()> {
    for dir in dir.ancestors().take(4) {
        File::open(dir).and_then(|d| d.sync_all()).at("sync", dir)?;
    }
    Ok(())
}

/// Hash of a file's content, as the manifest keeps it.
pub(super) fn hash_of(path: &Path) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    File::open(path)
        .and_then(|file| hasher.update_reader(file).map(|_| ()))
        .at("read", path)?;
    Ok(hasher.finalize().to_hex().to_string())
}

fn parquet(path: &Path, source: parquet::errors::ParquetError) -> Error {
    Error::Parquet {
        path: path.to_owned(),
        source,
    }
}

/// The table's schema; field ids let the files join an Iceberg table later.
fn with_field_ids(table: &Table) -> SchemaRef {
    let mut next = 0;
    let fields: Vec<Field> = table
        .schema
        .fields()
        .iter()
        .map(|f| numbered(f, &mut next))
        .collect();
    Arc::new(Schema::new(fields))
}

fn numbered(field: &Field, next: &mut u32) -> Field {
    *next += 1;
    let id = HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), next.to_string())]);
    let data_type = match field.data_type() {
        DataType::List(item) => DataType::List(Arc::new(numbered(item, next))),
        other => other.clone(),
    };
    Field::new(field.name(), data_type, field.is_nullable()).with_metadata(id)
}

/// How a file is written: the layouts that came out smallest on real data, see the README.
fn properties(table: &Table) -> WriterProperties {
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(
            ZstdLevel::try_new(ZSTD_LEVEL).unwrap_or_default(),
        ))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_data_page_size_limit(PAGE_BYTES)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by(format!("mdb {}", env!("CARGO_PKG_VERSION")))
        .set_key_value_metadata(Some(vec![
            KeyValue::new("mdb.table".to_owned(), table.name.clone()),
            KeyValue::new("mdb.sorted_by".to_owned(), sort_columns(table).join(", ")),
        ]));
    for (field, column) in table.schema.fields().iter().zip(&table.columns) {
        let path = ColumnPath::from(column.name.as_str());
        let encoding = match (column.layout, field.data_type()) {
            (Layout::Dictionary, _) => continue,
            (Layout::Delta, DataType::Utf8) => Encoding::DELTA_BYTE_ARRAY,
            (Layout::Delta, _) => Encoding::DELTA_BINARY_PACKED,
            (Layout::Plain, _) => Encoding::PLAIN,
            (Layout::Split, _) => Encoding::BYTE_STREAM_SPLIT,
        };
        builder = builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, encoding);
    }
    builder.build()
}

/// The order of rows in a file of the table.
pub(super) fn sort_columns(table: &Table) -> Vec<&'static str> {
    if table.name == RAW_MESSAGES {
        vec!["seq"]
    } else {
        vec!["symbol", "venue", "ts", "seq"]
    }
}

/// Whether a file is one that never got its name.
pub(super) fn is_staging(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') && name.ends_with(STAGING) && path.is_file()
}

/// Removes what a crash left: files that never got their name, and files all of whose rows are in the database
/// still. A file that the manifest does not know and whose rows are nowhere else stays: `doctor` names it.
pub(super) fn sweep(db: &Path, conn: &Connection) -> Result<()> {
    for (table, path) in unknown(db, conn)? {
        if is_staging(&path) || rows_are_hot(conn, &table, &path) {
            fs::remove_file(&path).at("remove", &path)?;
        }
    }
    Ok(())
}

fn rows_are_hot(conn: &Connection, table: &str, path: &Path) -> bool {
    if path.extension().is_none_or(|e| e != "parquet") {
        return false;
    }
    let file = path.display().to_string().replace('\'', "''");
    let all = conn.query_row(
        &format!("SELECT NOT EXISTS (FROM read_parquet('{file}', hive_partitioning = false) EXCEPT ALL FROM hot.\"{table}\")"),
        [],
        |row| row.get(0),
    );
    // A file that cannot be read is not ours to remove.
    all.unwrap_or(false)
}

/// Files of tables in the lake that the manifest does not name.
pub(super) fn unknown(db: &Path, conn: &Connection) -> Result<Vec<(String, PathBuf)>> {
    let lake = db.join(DIR);
    if !lake.is_dir() {
        return Ok(Vec::new());
    }
    let column = |sql: &str| -> duckdb::Result<HashSet<String>> {
        conn.prepare(sql)?
            .query_map([], |row| row.get(0))?
            .collect()
    };
    let known = column("SELECT path FROM ops.manifest").doing("reading the manifest")?;
    let tables = column("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'hot'")
        .doing("reading the catalog")?;
    let mut unknown = Vec::new();
    for table in entries(&lake)? {
        let name = table
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if !tables.contains(&name) || !table.is_dir() {
            continue;
        }
        for date in entries(&table)?.into_iter().filter(|d| d.is_dir()) {
            for file in entries(&date)? {
                let relative = file
                    .strip_prefix(db)
                    .unwrap_or(&file)
                    .to_string_lossy()
                    .into_owned();
                if !known.contains(&relative) {
                    unknown.push((name.clone(), file));
                }
            }
        }
    }
    Ok(unknown)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect())
        .at("read", dir)
}
