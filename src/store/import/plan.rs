//! How a file is run: what it takes is estimated first, and memory and threads follow from what there is.

use std::fmt;

use duckdb::Connection;

use super::{Import, relation};
use crate::config::StoreSettings;
use crate::sources::files::{Format, Input, Packing};
use crate::store::catalog::Table;
use crate::store::duck::{self, Purpose};
use crate::store::error::{Doing, Result};

/// Memory for a load if the user says nothing and the machine has it.
const MEMORY_BYTES: u64 = 420 << 20;
/// What the process takes beside the two sides' own.
const BASE_BYTES: u64 = 100 << 20;
/// A chunk is held while the next one is read, and copied while it is sorted: so many times its size in all.
const COPIES: u64 = 4;
/// Bytes a row takes while it waits in a chunk, for the estimate.
const ROW_BYTES: u64 = 32;
/// Text shrinks about so far when it is packed.
const PACKED: u64 = 8;

/// How much there is, and what it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Rows of the file, about.
    pub rows: u64,
    /// Whether that is exact.
    pub rows_are_exact: bool,
    /// Size of the file.
    pub bytes: u64,
    /// Memory for all, in bytes.
    pub memory_bytes: u64,
    /// Of that DuckDB's, which reads.
    pub reader_bytes: u64,
    /// Rows are sorted and written in chunks of this size.
    pub chunk_bytes: usize,
    /// Threads that read.
    pub threads: usize,
    /// Where the memory's size comes from.
    why: &'static str,
    own_table: bool,
}

impl Plan {
    pub(super) fn of(
        conn: &Connection,
        input: &Input,
        import: &Import,
        table: Option<&Table>,
    ) -> Result<Self> {
        let available = duck::machine_memory_bytes() / 2;
        let (memory_bytes, why) = match import.memory_bytes {
            Some(bytes) => (bytes, "as --memory-limit says"),
            None if available < MEMORY_BYTES => (
                available,
                "half of what the machine or its control group gives",
            ),
            None => (MEMORY_BYTES, "more would not make it faster"),
        };
        let reader_bytes = match table {
            Some(_) => (memory_bytes / 4).clamp(48 << 20, 4 << 30),
            // DuckDB writes, too.
            None => memory_bytes.saturating_sub(BASE_BYTES).max(48 << 20),
        };
        let rest = memory_bytes.saturating_sub(BASE_BYTES + reader_bytes);
        let chunk_bytes = (rest / COPIES).clamp(4 << 20, 256 << 20) as usize;
        let (rows, rows_are_exact) = rows(conn, input)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            rows,
            rows_are_exact,
            bytes: input.bytes,
            memory_bytes,
            reader_bytes,
            chunk_bytes,
            threads: import
                .threads
                .unwrap_or(match table {
                    // One sorts and writes.
                    Some(_) => cores - 1,
                    None => cores,
                })
                .max(1),
            why,
            own_table: table.is_none(),
        })
    }

    /// DuckDB's settings for the load.
    pub(super) fn settings(&self) -> String {
        format!(
            "SET GLOBAL memory_limit = '{}KB'; SET GLOBAL threads = {}",
            self.reader_bytes / 1000,
            self.threads
        )
    }

    /// … and those after it.
    pub(super) fn reset(settings: &StoreSettings, purpose: Purpose) -> String {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        format!(
            "SET GLOBAL memory_limit = '{}'; SET GLOBAL threads = {}",
            duck::memory_limit(purpose, settings),
            settings.threads.unwrap_or(cores)
        )
    }

    /// Rows that a chunk has about, and at most if the file has fewer.
    pub(super) fn chunk_rows(&self) -> usize {
        let fit = self.chunk_bytes as u64 / ROW_BYTES;
        if self.rows_are_exact {
            fit.min(self.rows) as usize
        } else {
            fit.min(1 << 16) as usize
        }
    }

    /// Chunks that the rows make.
    fn chunks(&self) -> u64 {
        (self.rows * ROW_BYTES)
            .div_ceil(self.chunk_bytes as u64)
            .max(1)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mb = |bytes: u64| bytes.div_ceil(1 << 20);
        let about = if self.rows_are_exact { "" } else { "about " };
        writeln!(
            f,
            "  estimate   {about}{} rows in {} MB",
            self.rows,
            mb(self.bytes)
        )?;
        writeln!(
            f,
            "  memory     {} MB ({}), of it {} MB to read",
            mb(self.memory_bytes),
            self.why,
            mb(self.reader_bytes)
        )?;
        writeln!(
            f,
            "  threads    {} to read, 1 to sort and write",
            self.threads
        )?;
        let chunk = mb(self.chunk_bytes as u64);
        if self.own_table {
            write!(
                f,
                "  run        streaming into a table of its own; DuckDB spills what does not fit"
            )
        } else if self.chunks() == 1 {
            write!(
                f,
                "  run        in memory: all rows fit one chunk of {chunk} MB"
            )
        } else {
            write!(
                f,
                "  run        streaming: about {} chunks of {chunk} MB, sorted one by one; rows that are out of the order of time spill to files of their own",
                self.chunks()
            )
        }
    }
}

/// Rows of a file, and whether that is exact.
fn rows(conn: &Connection, input: &Input) -> Result<(u64, bool)> {
    if input.format == Format::Parquet {
        let path = relation::path(&input.data);
        let rows = conn
            .query_row(
                &format!("SELECT sum(num_rows)::UBIGINT FROM parquet_file_metadata({path})"),
                [],
                |row| row.get(0),
            )
            .doing(format!("reading {}", input.label))?;
        return Ok((rows, true));
    }
    let unpacked = match input.packing {
        Packing::None => input.bytes,
        Packing::Gzip | Packing::Zstd => input.bytes.saturating_mul(PACKED),
    };
    let row_bytes = match &input.format {
        Format::Csv(csv) => csv
            .first
            .iter()
            .map(|f| f.len() as u64 + 1)
            .sum::<u64>()
            .max(16),
        Format::Json => 150,
        _ => 80,
    };
    Ok((unpacked.div_ceil(row_bytes), false))
}
