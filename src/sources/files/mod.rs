//! Vendors' files: which there are, what each holds, told from its content, and what of it DuckDB cannot read itself.

mod dbn;
mod folders;
mod ipc;
mod json;
mod text;
mod zipped;

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use memchr::memchr_iter;
use tempfile::TempPath;

use super::{Error, unpack};
pub use folders::Folder;
pub use text::Csv;
pub use zipped::UNPACKED;

/// What to do with a text in another encoding.
pub const WRITE_AS_UTF8: &str = "write the file as UTF-8 first, e.g. with iconv -f latin1 -t utf8";

/// So many bytes tell what a file holds.
const HEAD_BYTES: usize = 64 << 10;

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// Text, one record a line, its fields apart by a character.
    Csv(Csv),
    /// JSON: an array of objects, or one object after the other.
    Json,
    /// Apache Parquet.
    Parquet,
    /// Apache Arrow, as a file or a stream.
    Arrow,
    /// Databento's binary encoding.
    Dbn,
}

impl Format {
    /// What people call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Csv(_) => "CSV",
            Self::Json => "JSON",
            Self::Parquet => "Parquet",
            Self::Arrow => "Arrow",
            Self::Dbn => "DBN",
        }
    }
}

/// How a text file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// As it is.
    None,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

/// A file, or a member of a zip archive.
#[derive(Debug, Clone)]
pub struct Source {
    path: PathBuf,
    /// Which member, of a zip archive.
    member: Option<usize>,
    /// The folders whose names are columns of it.
    folders: Vec<Folder>,
}

/// A file that is ready to be read.
#[derive(Debug, Clone)]
pub struct Input {
    /// What to call it, for people: its path, and the member's name in a zip archive.
    pub label: String,
    /// Its own name without folders, or the member's.
    pub name: String,
    /// Where its bytes are.
    pub data: PathBuf,
    /// Its size as it is packed.
    pub bytes: u64,
    /// What it holds.
    pub format: Format,
    /// Whether that is JSON, in one array of objects.
    pub is_array: bool,
    /// How it is packed.
    pub packing: Packing,
    /// The folders whose names are columns of it.
    pub folders: Vec<Folder>,
    /// Name and type of each column that rows of a JSON file have, once all have been looked at for it.
    pub columns: Arc<OnceLock<Vec<(String, String)>>>,
    /// What a zip archive's member was unpacked to; removed with the last of this.
    _unpacked: Option<Arc<TempPath>>,
}

/// What there is to load.
#[derive(Debug, Default)]
pub struct Found {
    /// Files and members of archives, sorted.
    pub sources: Vec<Source>,
    /// Why others cannot be read.
    pub failures: Vec<Error>,
}

/// What there is to load below `path`: itself, each member if it is a zip archive, or each file if it is a directory.
#[must_use]
pub fn found(path: &Path) -> Found {
    let mut found = Found::default();
    found.look(path, &mut Vec::new());
    let is_plain = |source: &Source| source.member.is_none();
    if path.is_dir() && found.sources.iter().all(is_plain) {
        let files = found.sources.iter().map(|source| source.path.as_path());
        if let Some(folders) = folders::of(path, files) {
            for (source, folders) in found.sources.iter_mut().zip(folders) {
                source.folders = folders;
            }
        }
    }
    found
}

/// The same, if all of it can be read.
///
/// # Errors
/// If something is not there or cannot be read.
pub fn sources(path: &Path) -> Result<Vec<Source>, Error> {
    let found = found(path);
    match found.failures.into_iter().next() {
        Some(failure) => Err(failure),
        None => Ok(found.sources),
    }
}

impl Found {
    /// Adds what is below `path`, which stands in the directories `inside`.
    fn look(&mut self, path: &Path, inside: &mut Vec<PathBuf>) {
        let looked = if path.is_dir() {
            self.look_inside(path, inside)
        } else {
            file(path).map(|members| self.sources.extend(members))
        };
        self.failures.extend(looked.err());
    }

    fn look_inside(&mut self, path: &Path, inside: &mut Vec<PathBuf>) -> Result<(), Error> {
        let failed = |source| Error::Open {
            path: path.to_owned(),
            source,
        };
        let real = path.canonicalize().map_err(failed)?;
        if inside.contains(&real) {
            return Err(Error::File {
                path: path.display().to_string(),
                message:
                    "it is a link to a directory that it stands in, and is passed over; remove it"
                        .to_owned(),
            });
        }
        let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
            .and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect())
            .map_err(failed)?;
        entries.sort();
        inside.push(real);
        for entry in entries {
            let name = entry.file_name().unwrap_or_default().to_string_lossy();
            if !name.starts_with('.') {
                self.look(&entry, inside);
            }
        }
        inside.pop();
        Ok(())
    }
}

/// A file, or the members of it.
fn file(path: &Path) -> Result<Vec<Source>, Error> {
    let there = std::fs::metadata(path).map_err(|source| Error::Open {
        path: path.to_owned(),
        source,
    })?;
    if there.is_file() {
        return zipped::members(path);
    }
    // To open a pipe would wait for its writer.
    Err(Error::File {
        path: path.display().to_string(),
        message: "it is a pipe or a device, and a file is read more than once; write what comes out of it to a file, and load that"
            .to_owned(),
    })
}

impl Source {
    /// Makes it ready; a member of a zip archive is unpacked into `scratch`.
    ///
    /// # Errors
    /// If it cannot be read, or is no table.
    pub fn open(&self, scratch: &Path) -> Result<Input, Error> {
        let own_name = |path: &Path| {
            path.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        };
        let (label, name, data, unpacked) = match self.member {
            None => (
                self.path.display().to_string(),
                own_name(&self.path),
                self.path.clone(),
                None,
            ),
            Some(member) => {
                let (inner, file) = zipped::unpack(&self.path, member, scratch)?;
                let label = format!("{}/{inner}", self.path.display());
                let name = own_name(Path::new(&inner));
                (label, name, file.to_path_buf(), Some(file))
            }
        };
        let failed = |source| Error::Open {
            path: data.clone(),
            source,
        };
        let bytes = std::fs::metadata(&data).map_err(failed)?.len();
        let (packing, head) = head(&data).map_err(failed)?;
        let format = format_of(&head, packing).map_err(|message| Error::File {
            path: label.clone(),
            message,
        })?;
        Ok(Input {
            label,
            name,
            data,
            bytes,
            is_array: format == Format::Json && begins_array(&head),
            format,
            packing,
            folders: self.folders.clone(),
            columns: Arc::default(),
            _unpacked: unpacked.map(Arc::new),
        })
    }
}

/// Batches of a file, all of one schema.
pub type Batches = Box<dyn Iterator<Item = Result<RecordBatch, Error>>>;

impl Input {
    /// The folders whose names are columns, as a path; empty if there are none.
    #[must_use]
    pub fn folder_path(&self) -> String {
        let folders = self.folders.iter();
        folders.fold(String::new(), |path, folder| {
            path + "/" + &folder.name + "=" + &folder.value
        })
    }

    /// The rows of a file that DuckDB cannot read, in batches of bounded size; `None` of one that it can.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn batches(&self) -> Result<Option<(SchemaRef, Batches)>, Error> {
        match self.format {
            Format::Csv(_) | Format::Json | Format::Parquet => Ok(None),
            Format::Arrow => ipc::batches(self).map(plainly).map(Some),
            Format::Dbn => dbn::batches(self).map(plainly).map(Some),
        }
    }

    /// Reads a file to its end that would be taken for whole if it were cut off: one that is packed, JSON, or DBN.
    ///
    /// # Errors
    /// If it is cut off or changed.
    pub fn verify(&self) -> Result<(), Error> {
        let mut nesting = json::Nesting::default();
        let mut records = dbn::Lengths::default();
        let mut text = self.unpacked()?;
        let read = match self.format {
            Format::Json => io::copy(&mut text, &mut nesting),
            Format::Dbn => io::copy(&mut text, &mut records),
            _ if self.packing == Packing::None => return Ok(()),
            _ => io::copy(&mut text, &mut io::sink()),
        };
        read.map_err(|why| self.damaged(format!("it is damaged or cut off: {why}")))?;
        if records.is_cut() {
            return Err(self.damaged("it ends in the middle of a record: it is cut off"));
        }
        if nesting.is_cut_array() {
            return Err(self.damaged("it ends in the middle of its JSON array: it is cut off"));
        }
        Ok(())
    }

    /// What of a text table DuckDB does not read: its first line that is no UTF-8, or ends otherwise than the first.
    #[must_use]
    pub fn text_fault(&self) -> Option<String> {
        const MAX_BYTES: u64 = 16 << 20;
        let Format::Csv(_) = self.format else {
            return None;
        };
        let mut text = io::BufReader::with_capacity(256 << 10, self.unpacked().ok()?);
        let (mut number, mut quoted, mut first) = (0_u64, false, None);
        loop {
            let mut line = Vec::new();
            let limited = &mut text.by_ref().take(MAX_BYTES);
            limited.read_until(b'\n', &mut line).ok()?;
            number += 1;
            if let Err(error) = std::str::from_utf8(&line)
                && (line.len() as u64) < MAX_BYTES
            {
                return Some(format!(
                    "line {number} is no UTF-8 from byte {} on; {WRITE_AS_UTF8}",
                    error.valid_up_to()
                ));
            }
            if !line.ends_with(b"\n") {
                return None;
            }
            quoted ^= memchr_iter(b'"', &line).count() % 2 == 1;
            let windows = line.ends_with(b"\r\n");
            // Inside of quotes a line may end as it likes.
            if !quoted && *first.get_or_insert(windows) != windows {
                let [own, others] = if windows {
                    ["CR LF", "LF"]
                } else {
                    ["LF", "CR LF"]
                };
                return Some(format!(
                    "line {number} ends with {own}, and those before it with {others}; let all end alike, e.g. with sed 's/\\r$//'"
                ));
            }
        }
    }

    /// The first of a text table's lines that are empty, and so no rows, from 1.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn empty_lines(&self) -> Result<Vec<u64>, Error> {
        const MAX_LINES: usize = 1 << 16;
        let Format::Csv(_) = self.format else {
            return Ok(Vec::new());
        };
        let mut empty = Vec::new();
        let lines = io::BufReader::with_capacity(256 << 10, self.unpacked()?).split(b'\n');
        for (at, line) in lines.enumerate() {
            let line = line.map_err(|why| self.damaged(why))?;
            if line.is_empty() || line == b"\r" {
                empty.push(at as u64 + 1);
                if empty.len() == MAX_LINES {
                    break;
                }
            }
        }
        Ok(empty)
    }

    fn open(&self) -> Result<File, Error> {
        File::open(&self.data).map_err(|source| Error::Open {
            path: self.data.clone(),
            source,
        })
    }

    fn unpacked(&self) -> Result<Box<dyn Read + Send>, Error> {
        unpack::reader(self.open()?).map_err(|source| Error::Open {
            path: self.data.clone(),
            source,
        })
    }

    fn damaged(&self, why: impl std::fmt::Display) -> Error {
        Error::File {
            path: self.label.clone(),
            message: format!("{why}; nothing of it was loaded"),
        }
    }
}

/// The same in types that DuckDB takes: plain UTC times, for it would round those with a time zone to microseconds, and
/// values in place of references to a dictionary.
fn plainly((schema, batches): (SchemaRef, Batches)) -> (SchemaRef, Batches) {
    let plain = |field: &Arc<Field>| match field.data_type() {
        DataType::Dictionary(_, values) => {
            Arc::new(field.as_ref().clone().with_data_type((**values).clone()))
        }
        DataType::Null => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8)),
        DataType::Timestamp(unit, Some(_)) => Arc::new(
            field
                .as_ref()
                .clone()
                .with_data_type(DataType::Timestamp(*unit, None)),
        ),
        _ => Arc::clone(field),
    };
    let fields: Vec<Arc<Field>> = schema.fields().iter().map(plain).collect();
    let schema = Arc::new(Schema::new(fields));
    let columns = Arc::clone(&schema);
    let batches = batches.map(move |batch| {
        let batch = batch?;
        let arrays = batch.columns().iter().zip(columns.fields());
        // The same number of units since 1970 in UTC: nothing is converted.
        let arrays = arrays.map(|(array, field)| cast(array, field.data_type()));
        arrays
            .collect::<Result<Vec<_>, _>>()
            .and_then(|arrays| RecordBatch::try_new(Arc::clone(&columns), arrays))
            .map_err(|why| Error::File {
                path: "the file".to_owned(),
                message: why.to_string(),
            })
    });
    (schema, Box::new(batches))
}

/// How a file is packed, and the first bytes of what is in it.
fn head(path: &Path) -> io::Result<(Packing, Vec<u8>)> {
    let mut packed = [0; 4];
    let n = File::open(path)?.read(&mut packed)?;
    let packing = match packed[..n] {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        // … or a frame to be skipped, which may stand before others.
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Packing::Zstd,
        _ => Packing::None,
    };
    let mut head = Vec::with_capacity(HEAD_BYTES);
    unpack::reader(File::open(path)?)?
        .take(HEAD_BYTES as u64)
        .read_to_end(&mut head)?;
    Ok((packing, head))
}

/// Whether a text begins with an array, and that with an object.
fn begins_array(head: &[u8]) -> bool {
    let mut bytes = head.iter().filter(|byte| !byte.is_ascii_whitespace());
    bytes.next() == Some(&b'[') && bytes.next() == Some(&b'{')
}

/// What a file with these first bytes holds, or why it is no table.
fn format_of(head: &[u8], packing: Packing) -> Result<Format, String> {
    let binary = if head.starts_with(b"PAR1") {
        Some((Format::Parquet, "Parquet"))
    } else if head.starts_with(b"ARROW1") || head.starts_with(&[0xff, 0xff, 0xff, 0xff]) {
        Some((Format::Arrow, "Arrow"))
    } else {
        None
    };
    if let Some((format, name)) = binary {
        return match packing {
            Packing::None => Ok(format),
            _ => Err(format!(
                "{name} inside gzip or zstd cannot be read piece by piece; unpack it first"
            )),
        };
    }
    if head.starts_with(b"DBN") {
        return Ok(Format::Dbn);
    }
    if head.is_empty() {
        return Err("it is empty".to_owned());
    }
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return Err(
            "it is UTF-16; write it as UTF-8 first, e.g. with iconv -f UTF-16 -t UTF-8".to_owned(),
        );
    }
    if head.contains(&0) {
        return Err("it is binary, and neither Parquet, Arrow, DBN, zip, gzip nor zstd".to_owned());
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
        // DuckDB takes such an array for one row.
        Some(b'[') if text.len() < head.len() => Err(
            "it begins with a byte order mark, which JSON must not have; cut it off, e.g. with tail -c +4"
                .to_owned(),
        ),
        Some(b'{' | b'[') => Ok(Format::Json),
        _ => Csv::of(text, head.len() == HEAD_BYTES).map(Format::Csv),
    }
}

#[cfg(test)]
mod tests;
