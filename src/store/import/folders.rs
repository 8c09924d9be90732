//! Folders called `name=value`: columns of the files in them, beside those that the files have.

use std::collections::BTreeMap;

use duckdb::{Connection, OptionalExt};

use super::{Import, PARTITION_TYPES, relation};
use crate::model::sql::literal;
use crate::sources::files::{Format, Input};
use crate::store::error::Result;

/// The option by which DuckDB takes an input's folders for columns, or none.
pub(super) fn option(input: &Input) -> String {
    if input.folders.is_empty() {
        return ", hive_partitioning = false".to_owned();
    }
    let types: Vec<String> = input
        .folders
        .iter()
        .map(|folder| format!("{}: {}", literal(&folder.name), literal(&folder.sql_type)))
        .collect();
    format!(
        ", hive_partitioning = true, hive_types_autocast = false, hive_types = {{{}}}",
        types.join(", ")
    )
}

/// Whether a column is a folder's name, and not in the file.
pub(super) fn is_folder(input: &Input, column: &str) -> bool {
    input.folders.iter().any(|folder| folder.name == column)
}

/// The input without its folders if it has a column of such a name itself, which is the one to go by; or with those types
/// of them that an export has written into it.
pub(super) fn resolved(conn: &Connection, input: &Input, import: &Import) -> Result<Input> {
    let mut input = input.clone();
    let mut folders = std::mem::take(&mut input.folders);
    if folders.is_empty() {
        return Ok(input);
    }
    let own: Vec<String> = match &input.format {
        Format::Csv(csv) if csv.header => csv.first.clone(),
        Format::Csv(_) => Vec::new(),
        _ => {
            let Some(reader) = relation::reader(&input, import, None, false) else {
                return Ok(input);
            };
            let columns = relation::described(conn, &reader, &input)?;
            columns.into_iter().map(|(column, _)| column).collect()
        }
    };
    let has = |name: &str| own.iter().any(|column| column.eq_ignore_ascii_case(name));
    if folders.iter().any(|folder| has(&folder.name)) {
        return Ok(input);
    }
    if input.format == Format::Parquet {
        let written = written_types(conn, &input)?;
        for folder in &mut folders {
            if let Some(sql_type) = written.get(&folder.name) {
                folder.sql_type.clone_from(sql_type);
            }
        }
    }
    input.folders = folders;
    Ok(input)
}

/// The types of its folders' values that stand in a Parquet file of mdb's.
fn written_types(conn: &Connection, input: &Input) -> Result<BTreeMap<String, String>> {
    let sql = format!(
        "SELECT decode(value) FROM parquet_kv_metadata({}) WHERE key = '{PARTITION_TYPES}'::BLOB LIMIT 1",
        relation::path(&input.data)
    );
    let text: Option<String> = conn
        .query_row(&sql, [], |row| row.get(0))
        .optional()
        .map_err(|error| relation::unread(input, &error))?;
    let written: Option<BTreeMap<String, String>> =
        text.and_then(|text| serde_json::from_str(&text).ok());
    let mut written = written.unwrap_or_default();
    // DuckDB takes no others for a folder.
    written.retain(|_, sql_type| !sql_type.contains('(') || sql_type.starts_with("DECIMAL("));
    Ok(written)
}
