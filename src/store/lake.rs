//! Files of the lake: how one is written so that it is either whole or not there, and what a crash leaves.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, max, min};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampNanosecondType, UInt64Type};
use duckdb::{Connection, params};
use jiff::civil::Date;
use parquet::arrow::{ArrowWriter, PARQUET_FIELD_ID_META_KEY};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnPath;

use super::catalog::{Catalog, Layout, Table};
use super::error::{At, Doing, Error, Result};
use super::history::{self, Version};
use super::schema;
use super::seal::source_facts;
use crate::model::RAW_MESSAGES;
use crate::model::sql::literals;
use crate::model::time::date_of;
use crate::sources::files::UNPACKED;

/// The lake, below the database's directory.
pub(super) const DIR: &str = "lake";
/// How a hidden file's name ends.
const STAGING: &str = ".staging";
/// Where a file says at which zstd level it was written.
const LEVEL_KEY: &str = "mdb.zstd";
/// Rows of a row group: what a reader skips by its statistics. Smaller groups cost 9 % of size at 122,880.
const ROW_GROUP_ROWS: usize = 1 << 19;
/// … unless they are large ones: a row group is held in memory.
const ROW_GROUP_BYTES: usize = 64 << 20;
/// zstd's level for files that stay: 9 would save another 1 to 7 % and take twice as long.
pub(super) const SEAL_LEVEL: i32 = 6;
/// … and for files written as fast as a vendor's file can be read.
pub(super) const LOAD_LEVEL: i32 = 1;
/// A page that zstd does not make this much smaller is stored as it is, and read faster.
const WORTH_COMPRESSING: f64 = 0.9;
/// A page of text may be larger than one of numbers: it compresses better for it.
const PAGE_BYTES: usize = 1 << 20;
/// Rows of a page. A dictionary's numbers are written in runs of 504, and DuckDB reads 2,048 at a time; what it has left of a
/// run it reads bit by bit, unless it began with a multiple of 32. In the first fifteen vectors of a page it always does.
const PAGE_ROWS: usize = 15 * 2048;

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

/// A name that no file has yet: late rows may span the same seqs as a file that is there, or as one that past versions had
/// and that is lost.
pub(super) fn free_path(
    db: &Path,
    conn: &Connection,
    table: &Table,
    date: Date,
    facts: &Facts,
) -> Result<String> {
    const MAX_FILES: usize = 10_000;
    let path = path(&table.name, date, facts);
    let numbered = |n: usize| path.replace(".parquet", &format!("-{n}.parquet"));
    for path in std::iter::once(path.clone()).chain((2..MAX_FILES).map(numbered)) {
        if !db.join(&path).exists() && !is_outgoing(conn, &path)? {
            return Ok(path);
        }
    }
    Err(Error::SealMismatch {
        table: table.name.clone(),
        date: date.to_string(),
        message: format!("all names like {path} are taken"),
    })
}

/// Whether a file has left the lake, and past versions may have it.
fn is_outgoing(conn: &Connection, path: &str) -> Result<bool> {
    conn.prepare_cached("SELECT EXISTS (FROM ops.outgoing WHERE path = ?)")
        .and_then(|mut s| s.query_row([path], |row| row.get(0)))
        .doing("reading ops.outgoing")
}

/// A file as the manifest has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The first date of its partition.
    pub(super) date: Date,
    /// Relative to the database's directory.
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) hash: String,
    pub(super) facts: Facts,
    /// Its rows come from a vendor's file and not from raw.
    pub(super) loaded: bool,
}

/// Paths for SQL.
pub(super) fn paths(files: &[Entry]) -> String {
    literals(files.iter().map(|file| file.path.as_str()))
}

/// Notes that a file is about to get its name: unless the manifest names it, the next start removes it.
pub(super) fn announce(conn: &Connection, path: &str) -> Result<()> {
    conn.prepare_cached("INSERT INTO ops.incoming VALUES (?)")
        .and_then(|mut s| s.execute([path]))
        .doing("writing ops.incoming")
        .map(|_| ())
}

/// The file is in the manifest: takes back that it is about to get its name.
pub(super) fn take_back(conn: &Connection, path: &str) -> Result<()> {
    conn.execute("DELETE FROM ops.incoming WHERE path = ?", [path])
        .doing("writing ops.incoming")
        .map(|_| ())
}

/// Makes a file part of the lake, from a version on.
pub(super) fn record(
    conn: &Connection,
    table: &Table,
    file: &Entry,
    version: &Version<'_>,
) -> Result<()> {
    let facts = &file.facts;
    conn.execute(
        "INSERT INTO ops.manifest
             (table_name, date, path, first_seq, last_seq, rows, bytes, min_ts, max_ts, blake3, loaded, added)
         VALUES (?, ?::DATE, ?, ?, ?, ?, ?, make_timestamp_ns(?), make_timestamp_ns(?), ?, ?, ?)",
        params![
            table.name,
            file.date.to_string(),
            file.path,
            facts.first_seq,
            facts.last_seq,
            facts.rows,
            file.bytes,
            facts.min_ts,
            facts.max_ts,
            file.hash,
            file.loaded,
            version.number
        ],
    )
    .doing("writing the manifest")?;
    take_back(conn, &file.path)
}

/// Files of the lake whose row of the manifest meets a condition, each with its table.
pub(super) fn entries_where(conn: &Connection, condition: &str) -> Result<Vec<(String, Entry)>> {
    conn.prepare(&format!(
        "SELECT table_name, date::VARCHAR, path, bytes, blake3, loaded, rows, epoch_ns(min_ts), epoch_ns(max_ts),
                first_seq, last_seq
         FROM ops.manifest WHERE {condition} ORDER BY table_name, date, path"
    ))
    .and_then(|mut s| {
        s.query_map([], |row| {
            let facts = Facts {
                rows: row.get(6)?,
                min_ts: row.get(7)?,
                max_ts: row.get(8)?,
                first_seq: row.get(9)?,
                last_seq: row.get(10)?,
            };
            let date: String = row.get(1)?;
            let entry = Entry {
                date: date.parse().unwrap_or_else(|_| date_of(facts.min_ts)),
                path: row.get(2)?,
                bytes: row.get(3)?,
                hash: row.get(4)?,
                loaded: row.get(5)?,
                facts,
            };
            Ok((row.get(0)?, entry))
        })
        .and_then(Iterator::collect)
    })
    .doing("reading the manifest")
}

/// A file under construction: hidden, and gone again if it is dropped before [`Staged::publish`].
pub(super) struct Staged {
    path: PathBuf,
    /// `None` once it is on its way to the disk: thousands may wait for their names.
    file: Option<File>,
    schema: SchemaRef,
    writer: Option<ArrowWriter<File>>,
    seq: Option<usize>,
    time: usize,
    facts: Facts,
}

impl Staged {
    /// Begins a file for rows of `table`, compressed at a zstd level.
    pub(super) fn create(db: &Path, table: &Table, date: Date, level: i32) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let dir = db.join(DIR).join(&table.name).join(format!("date={date}"));
        fs::create_dir_all(&dir).at("create", &dir)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!(".{}-{number}{STAGING}", std::process::id()));
        let file = File::create(&path).at("create", &path)?;
        let schema = with_field_ids(table);
        let writer = ArrowWriter::try_new(
            file.try_clone().at("write", &path)?,
            schema.clone(),
            Some(properties(table, level)),
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
            file: Some(file),
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
        let columns = numbered.map(|(field, column)| match column.data_type() {
            // The writer takes a dictionary for its values.
            DataType::Dictionary(_, values) if **values == *field.data_type() => {
                Ok(Arc::clone(column))
            }
            _ => cast(column, field.data_type()),
        });
        let columns: Vec<ArrayRef> = columns.collect::<Result<_, _>>()?;
        let fields = self.schema.fields().iter().zip(&columns);
        let fields = fields.map(|(field, column)| {
            field
                .as_ref()
                .clone()
                .with_data_type(column.data_type().clone())
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let batch = RecordBatch::try_new(schema, columns)?;
        writer
            .write(&batch)
            .map_err(|source| parquet(&self.path, source))?;
        self.facts.rows += batch.num_rows() as u64;
        let facts = &mut self.facts;
        let times = batch.column(self.time);
        if let Some(times) = times.as_primitive_opt::<TimestampNanosecondType>() {
            facts.min_ts = min(times).map_or(facts.min_ts, |ts| ts.min(facts.min_ts));
            facts.max_ts = max(times).map_or(facts.max_ts, |ts| ts.max(facts.max_ts));
        }
        let seqs = self.seq.map(|i| batch.column(i));
        if let Some(seqs) = seqs.and_then(|a| a.as_primitive_opt::<UInt64Type>()) {
            facts.first_seq = [facts.first_seq, min(seqs)].into_iter().flatten().min();
            facts.last_seq = facts.last_seq.max(max(seqs));
        }
        Ok(())
    }

    /// Ends the row group: what follows is read, or passed over, apart from what came before.
    pub(super) fn end_group(&mut self) -> Result<()> {
        match &mut self.writer {
            Some(writer) => writer.flush().map_err(|source| parquet(&self.path, source)),
            None => Ok(()),
        }
    }

    /// Where it is while it is hidden.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Ends the file; still hidden, and not durable yet.
    pub(super) fn end(&mut self) -> Result<Facts> {
        if let Some(writer) = self.writer.take() {
            writer
                .close()
                .map_err(|source| parquet(&self.path, source))?;
        }
        Ok(self.facts.clone())
    }

    /// Makes an ended file durable on a thread of its own, which returns its size and the hash of its content.
    pub(super) fn settle(&mut self) -> JoinHandle<Result<(u64, String)>> {
        let (path, file) = (self.path.clone(), self.file.take());
        thread::spawn(move || {
            if let Some(file) = file {
                file.sync_all().at("write", &path)?;
            }
            let bytes = fs::metadata(&path).at("read", &path)?.len();
            Ok((bytes, hash_of(&path)?))
        })
    }

    /// Ends the file and makes it durable; still hidden.
    pub(super) fn finish(&mut self) -> Result<Facts> {
        let facts = self.end()?;
        if let Some(file) = &self.file {
            file.sync_all().at("write", &self.path)?;
        }
        Ok(facts)
    }

    /// Gives the file its name, durably. Returns its size and the hash of its content.
    pub(super) fn publish(self, to: &Path) -> Result<(u64, String)> {
        let bytes = fs::metadata(&self.path).at("read", &self.path)?.len();
        let hash = hash_of(&self.path)?;
        self.publish_settled(to)?;
        Ok((bytes, hash))
    }

    /// The same of a file that is durable and hashed.
    pub(super) fn publish_settled(self, to: &Path) -> Result<()> {
        fs::rename(&self.path, to).at("rename", &self.path)?;
        if let Some(dir) = to.parent() {
            sync_dir(dir)?;
        }
        Ok(())
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
fn properties(table: &Table, level: i32) -> WriterProperties {
    let sorted_by = sort_columns(table);
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(
            ZstdLevel::try_new(level).unwrap_or_default(),
        ))
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_data_page_v2_compression_ratio_threshold(WORTH_COMPRESSING)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_data_page_size_limit(PAGE_BYTES)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by(format!("mdb {}", env!("CARGO_PKG_VERSION")))
        .set_key_value_metadata(Some(vec![
            KeyValue::new("mdb.table".to_owned(), table.name.clone()),
            KeyValue::new("mdb.sorted_by".to_owned(), sorted_by.join(", ")),
            KeyValue::new(LEVEL_KEY.to_owned(), level.to_string()),
        ]));
    for (field, column) in table.schema.fields().iter().zip(&table.columns) {
        let path = ColumnPath::from(column.name.as_str());
        // What is least and greatest of a few texts that stand everywhere lets no reader pass over rows.
        let few_texts = column.layout == Layout::Dictionary && *field.data_type() == DataType::Utf8;
        if few_texts && !sorted_by.contains(&column.name.as_str()) {
            builder = builder.set_column_statistics_enabled(path.clone(), EnabledStatistics::None);
        }
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

/// Whether a file is as small as it gets: sorted as a whole, and compressed for staying. If it cannot be read, whoever
/// reads it next says why.
pub(super) fn is_settled(path: &Path) -> bool {
    let reader = File::open(path)
        .ok()
        .and_then(|file| SerializedFileReader::new(file).ok());
    reader.is_some_and(|reader| {
        let keys = reader.metadata().file_metadata().key_value_metadata();
        let level = SEAL_LEVEL.to_string();
        keys.into_iter()
            .flatten()
            .any(|key| key.key == LEVEL_KEY && key.value.as_ref() == Some(&level))
    })
}

/// Whether a file is one that never got its name.
pub(super) fn is_staging(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') && name.ends_with(STAGING) && path.is_file()
}

/// Takes files out of the lake, from a version on: those whose row of the manifest meets a condition. They stay on disk,
/// where an open query may read them, until [`remove_outgoing`]. Returns their number.
pub(super) fn retire(conn: &Connection, condition: &str, version: &Version<'_>) -> Result<usize> {
    conn.execute(
        &format!(
            "INSERT INTO ops.outgoing BY NAME
             SELECT path, table_name, rows, bytes, added, ?::UBIGINT AS removed, make_timestamp_ns(?) AS removed_at
             FROM ops.manifest WHERE {condition}"
        ),
        params![version.number, version.at_ns],
    )
    .doing("writing ops.outgoing")?;
    conn.execute(&format!("DELETE FROM ops.manifest WHERE {condition}"), [])
        .doing("writing the manifest")
}

/// Removes the files that were taken out of the lake, but for those of versions that are kept.
pub(super) fn remove_outgoing(db: &Path, conn: &Connection, keep: Duration) -> Result<()> {
    let expired = history::expired(keep);
    let paths: Vec<String> = conn
        .prepare(&format!(
            "SELECT path FROM ops.outgoing ANTI JOIN ops.manifest USING (path) WHERE {expired}"
        ))
        .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
        .doing("reading ops.outgoing")?;
    if paths.is_empty() {
        return Ok(());
    }
    history::forget(conn, &expired)?;
    for path in paths {
        remove(&db.join(path))?;
    }
    conn.execute_batch(&format!("DELETE FROM ops.outgoing WHERE {expired}"))
        .doing("writing ops.outgoing")
}

/// Removes a file, and with the last one of a date the date's directory.
fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).at("remove", path),
        _ => {}
    }
    if let Some(date) = path.parent() {
        // It fails as long as there is something in it.
        let _ = fs::remove_dir(date);
    }
    Ok(())
}

/// Paths of the files that are on their way into the lake, or out of it.
pub(super) fn unsettled(conn: &Connection) -> Result<HashSet<String>> {
    conn.prepare("SELECT path FROM ops.incoming UNION SELECT path FROM ops.outgoing")
        .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
        .doing("reading ops.incoming and ops.outgoing")
}

/// Removes what a crash left: files that never got their name, files that were about to become part of the lake or had
/// ceased to be, and files all of whose rows are in the database still. A file that the manifest does not know and whose
/// rows are nowhere else stays: `doctor` names it.
pub(super) fn sweep(db: &Path, conn: &Connection, catalog: &Catalog, keep: Duration) -> Result<()> {
    for left in listed(db)? {
        let name = left.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(UNPACKED) && left.is_file() {
            fs::remove_file(&left).at("remove", &left)?;
        }
    }
    remove_outgoing(db, conn, keep)?;
    let kept: HashSet<String> = history::kept(conn, keep)?.into_iter().collect();
    let unsettled = unsettled(conn)?;
    for (table, path) in unknown(db, conn)? {
        let relative = path.strip_prefix(db).unwrap_or(&path).to_string_lossy();
        if kept.contains(&*relative) {
            continue;
        }
        // A file that cannot be read is not ours to remove.
        let are_hot = |table: &Arc<Table>| rows_are_hot(conn, table, &path).unwrap_or(false);
        if is_staging(&path)
            || unsettled.contains(&*relative)
            || catalog.get(&table).is_some_and(are_hot)
        {
            remove(&path)?;
        }
    }
    if unsettled.len() > kept.len() {
        conn.execute_batch("DELETE FROM ops.incoming")
            .doing("writing ops.incoming")?;
    }
    Ok(())
}

/// Whether a file that nobody announced is what a seal left that broke off, as older ones of mdb did not announce theirs:
/// its rows are the hot ones of their time, but for those that came later. Their hashes are added up, in memory that does
/// not grow with them, and only if their number and bounds are the same.
fn rows_are_hot(conn: &Connection, table: &Table, path: &Path) -> duckdb::Result<bool> {
    if path.extension().is_none_or(|e| e != "parquet") {
        return Ok(false);
    }
    let time = table.time();
    let file = schema::parquet(&literals([&*path.to_string_lossy()]));
    let facts = source_facts(conn, &file, time)?;
    let hot = format!(
        "{} WHERE {time} BETWEEN make_timestamp_ns({}) AND make_timestamp_ns({}) AND coalesce(seq <= {}, true)",
        table.hot(),
        facts.min_ts,
        facts.max_ts,
        facts.last_seq.unwrap_or(u64::MAX)
    );
    if source_facts(conn, &hot, time)? != facts {
        return Ok(false);
    }
    let columns = table.select_list();
    let sum = |rows: &str| format!("(SELECT sum(hash(r)) FROM (SELECT {columns} FROM {rows}) r)");
    let same = format!("SELECT {} = {}", sum(&file), sum(&hot));
    conn.query_row(&same, [], |row| row.get(0))
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
    for table in listed(&lake)? {
        let name = table
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if !tables.contains(&name) || !table.is_dir() {
            continue;
        }
        for date in listed(&table)?.into_iter().filter(|d| d.is_dir()) {
            for file in listed(&date)? {
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

fn listed(dir: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect())
        .at("read", dir)
}
