//! Text files that were appended to since they were loaded: what was loaded of one is its beginning, byte for byte.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use duckdb::{Connection, params};

use super::refused;
use crate::sources::files::{Format, Input, Packing};
use crate::store::error::{At, Doing, Result};

/// What was loaded of a file before.
struct Before {
    rows: u64,
    /// Whether the last of them ended where the file did.
    whole: bool,
}

/// Whether a file was loaded before, when it was shorter; `said` is what was said of it then, too.
///
/// # Errors
/// If it cannot be read.
pub(super) fn has_grown(conn: &Connection, input: &Input, table: &str, said: &str) -> Result<bool> {
    Ok(before(conn, input, table, said)?.is_some())
}

/// Rows that a file had when it was loaded before, if it has only grown since, else 0.
///
/// # Errors
/// If it cannot be read, or its last row is another one now.
pub(super) fn rows_before(
    conn: &Connection,
    input: &Input,
    table: &str,
    said: &str,
) -> Result<u64> {
    match before(conn, input, table, said)? {
        None => Ok(0),
        Some(Before { rows, whole: true }) => Ok(rows),
        Some(Before { rows, whole: false }) => Err(refused(
            input,
            format!(
                "its row {rows} was not whole when it was loaded before, and has another value now; --if-exists replace makes the table anew. Nothing of it was loaded"
            ),
        )),
    }
}

fn before(conn: &Connection, input: &Input, table: &str, said: &str) -> Result<Option<Before>> {
    let is_text = matches!(input.format, Format::Csv(_) | Format::Json);
    if !is_text || input.packing != Packing::None {
        return Ok(None);
    }
    let doing = "reading ops.file_loads";
    let mut statement = conn
        .prepare(
            "SELECT mark, bytes, rows FROM ops.file_loads
             WHERE lower(into_table) = lower(?) AND source = ? AND bytes < ? ORDER BY bytes",
        )
        .doing(doing)?;
    let loads: Vec<(String, u64, u64)> = statement
        .query_map(params![table, input.label, input.bytes], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .and_then(Iterator::collect)
        .doing(doing)?;
    if loads.is_empty() {
        return Ok(None);
    }
    let mut file = File::open(&input.data).at("read", &input.data)?;
    let mut hasher = blake3::Hasher::new();
    let (mut at, mut before) = (0, None);
    for (mark, bytes, rows) in loads {
        hasher
            .update_reader(file.by_ref().take(bytes - at))
            .at("read", &input.data)?;
        at = bytes;
        if mark == format!("{}-{said}", hasher.finalize().to_hex()) {
            before = Some((bytes, rows));
        }
    }
    let Some((bytes, rows)) = before else {
        return Ok(None);
    };
    let mut around = Vec::new();
    file.seek(SeekFrom::Start(bytes.saturating_sub(1)))
        .and_then(|_| file.take(2).read_to_end(&mut around))
        .at("read", &input.data)?;
    let whole = matches!(around[..], [b'\n' | b'\r', ..] | [_, b'\n' | b'\r']);
    Ok(Some(Before { rows, whole }))
}
