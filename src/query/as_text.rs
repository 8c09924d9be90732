//! A question again, with the columns as text that cannot be read as they are: the driver decodes no VARIANT, and of a
//! GEOMETRY it hands on only the encoding.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use duckdb::types::Type;
use duckdb::{Connection, Statement};

use super::tokens::{Edited, tokens, verb};

/// The words that begin what can stand in a FROM.
const QUESTIONS: [&str; 4] = ["select", "from", "values", "table"];

/// The words of what must not run twice.
const CHANGES: [&str; 4] = ["insert", "update", "delete", "merge"];

/// A question with some of its columns cast.
pub(super) struct AsText {
    pub(super) edited: Edited,
    /// What its columns are called in the question as it was written.
    names: Vec<String>,
}

impl AsText {
    /// The names that columns have after the question as it was written.
    pub(super) fn named(&self, schema: &Schema) -> SchemaRef {
        let fields = schema.fields().iter().zip(&self.names);
        let fields: Vec<Field> = fields
            .map(|(field, name)| field.as_ref().clone().with_name(name))
            .collect();
        Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
    }
}

/// Whether something of what was started cannot be read as it is.
pub(super) fn is_needed(started: &Result<Statement<'_>, duckdb::Error>) -> bool {
    match started {
        Ok(statement) => statement
            .schema()
            .fields()
            .iter()
            .any(|field| has_geometry(field)),
        Err(error) => matches!(
            error,
            duckdb::Error::FromSqlConversionFailure(_, Type::Variant, _)
        ),
    }
}

fn has_geometry(field: &Field) -> bool {
    if field.extension_type_name() == Some("geoarrow.wkb") {
        return true;
    }
    match field.data_type() {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => has_geometry(item),
        DataType::Struct(fields) => fields.iter().any(|field| has_geometry(field)),
        DataType::Union(fields, _) => fields.iter().any(|(_, field)| has_geometry(field)),
        _ => false,
    }
}

/// Whether a statement can be asked again: a question that changes nothing.
pub(super) fn is_possible(sql: &str) -> bool {
    QUESTIONS.contains(&verb(sql).as_str())
        && !tokens(sql).iter().any(|token| token.is_any(&CHANGES))
}

/// The question to ask instead; `None` if the database does not tell its columns.
pub(super) fn as_text(connection: &Connection, edited: &Edited) -> Option<AsText> {
    let columns = columns(connection, &edited.sql).ok()?;
    let listed = |of: &dyn Fn(usize, &str) -> String| {
        let all = columns.iter().enumerate();
        let all: Vec<String> = all.map(|(i, (_, kind))| of(i, kind)).collect();
        all.join(", ")
    };
    let outer = listed(&|i, kind| {
        if is_cast(kind) {
            format!("CAST(c{i} AS VARCHAR)")
        } else {
            format!("c{i}")
        }
    });
    // Two columns may have one name.
    let inner = listed(&|i, _| format!("c{i}"));
    let end = edited.sql.len();
    let edits = vec![
        (0..0, format!("SELECT {outer} FROM (\n")),
        (end..end, format!("\n) AS t({inner})")),
    ];
    Some(AsText {
        edited: Edited::new(&edited.sql, edits).after(Some(edited.clone())),
        names: columns.into_iter().map(|(name, _)| name).collect(),
    })
}

/// Names and types of a question's columns.
fn columns(connection: &Connection, sql: &str) -> duckdb::Result<Vec<(String, String)>> {
    let mut described = connection.prepare(&format!(
        "SELECT column_name, column_type FROM (DESCRIBE {sql}\n)"
    ))?;
    let columns = described.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    columns.collect()
}

/// Whether a type is, or holds, one that cannot be read.
fn is_cast(kind: &str) -> bool {
    tokens(kind)
        .iter()
        .any(|token| token.is_any(&["variant", "geometry"]))
}
