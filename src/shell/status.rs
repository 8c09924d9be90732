//! What a process that has a database open says of itself, as people read it.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use serde_json::{Map, Value};

use crate::output::{self, Format, Layout};

/// What is known of each venue without asking a process: a query.
pub const VENUES: &str = "
    WITH counted AS (
        SELECT venue, 'messages' AS what, count(*) AS n, max(recv_ts) AS last FROM raw_messages GROUP BY venue
        UNION ALL SELECT venue, 'trades', count(*), max(recv_ts) FROM trades GROUP BY venue
        UNION ALL SELECT venue, 'quotes', count(*), max(recv_ts) FROM quotes GROUP BY venue
        UNION ALL SELECT venue, 'book_deltas', count(*), max(recv_ts) FROM book_deltas GROUP BY venue
        UNION ALL SELECT venue, 'gaps', count(*), NULL FROM feed_events WHERE kind = 'gap' GROUP BY venue
        UNION ALL SELECT venue, 'dead_letters', count(*), NULL FROM dead_letters GROUP BY venue)
    SELECT venue, max(last) AS last_message,
           coalesce(sum(n) FILTER (what = 'messages'), 0)::BIGINT AS messages,
           coalesce(sum(n) FILTER (what = 'trades'), 0)::BIGINT AS trades,
           coalesce(sum(n) FILTER (what = 'quotes'), 0)::BIGINT AS quotes,
           coalesce(sum(n) FILTER (what = 'book_deltas'), 0)::BIGINT AS book_deltas,
           coalesce(sum(n) FILTER (what = 'gaps'), 0)::BIGINT AS gaps,
           coalesce(sum(n) FILTER (what = 'dead_letters'), 0)::BIGINT AS dead_letters
    FROM counted GROUP BY venue ORDER BY venue";

/// Members and columns that come first, in this order; the others follow by name.
const FIRST: [&str; 16] = [
    "process",
    "feeds",
    "command",
    "pid",
    "venue",
    "connection",
    "state",
    "symbol",
    "channel",
    "topics",
    "last_message",
    "age",
    "rows_per_s",
    "messages",
    "gaps",
    "error",
];

/// Lists of objects become tables, objects lines, whatever they hold.
///
/// # Errors
/// If it cannot be written.
pub fn show(status: &Value, layout: Layout, out: output::Out<'_>) -> Result<(), output::Error> {
    let Value::Object(members) = status else {
        writeln!(out, "{status}")?;
        return Ok(());
    };
    for (i, name) in in_order(members.keys()).into_iter().enumerate() {
        let member = &members[name];
        if i > 0 {
            writeln!(out)?;
        }
        match member {
            Value::Array(rows) if rows.iter().any(Value::is_object) => {
                writeln!(out, "{name}")?;
                let batch = table(rows)?;
                let schema = batch.schema();
                let batches = [Ok::<_, output::Error>(batch)];
                output::encode(Format::Table, layout, &schema, batches, out)?;
            }
            Value::Object(fields) => {
                writeln!(out, "{name}")?;
                let width = fields.keys().map(String::len).max().unwrap_or(0);
                for field in in_order(fields.keys()) {
                    writeln!(out, "  {field:<width$}  {}", text(&fields[field]))?;
                }
            }
            other => writeln!(out, "{name}: {}", text(other))?,
        }
    }
    Ok(())
}

fn in_order<'a>(names: impl Iterator<Item = &'a String>) -> Vec<&'a String> {
    let mut names: Vec<&String> = names.collect();
    names.sort_by_key(|name| {
        let place = FIRST.iter().position(|first| first == name);
        (place.unwrap_or(FIRST.len()), *name)
    });
    names
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Objects as rows; a column for each name that one of them has.
fn table(rows: &[Value]) -> Result<RecordBatch, output::Error> {
    let objects: Vec<&Map<String, Value>> = rows.iter().filter_map(Value::as_object).collect();
    let names: BTreeSet<&String> = objects.iter().flat_map(|object| object.keys()).collect();
    let columns = in_order(names.into_iter()).into_iter().map(|name| {
        let cells: Vec<&Value> = objects
            .iter()
            .map(|object| object.get(name).unwrap_or(&Value::Null))
            .collect();
        (name, column(&cells), true)
    });
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}

fn column(cells: &[&Value]) -> ArrayRef {
    let all = |fits: fn(&Value) -> bool| {
        let mut filled = cells.iter().filter(|cell| !cell.is_null()).peekable();
        filled.peek().is_some() && filled.all(|cell| fits(cell))
    };
    if all(Value::is_i64) {
        return Arc::new(
            cells
                .iter()
                .map(|cell| cell.as_i64())
                .collect::<Int64Array>(),
        );
    }
    if all(Value::is_number) {
        return Arc::new(
            cells
                .iter()
                .map(|cell| cell.as_f64())
                .collect::<Float64Array>(),
        );
    }
    let words = cells
        .iter()
        .map(|cell| (!cell.is_null()).then(|| text(cell)));
    Arc::new(words.collect::<StringArray>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_status_of_any_shape_is_shown() {
        let status = json!({
            "feeds": [
                {"venue": "x", "state": "live", "topics": ["a", "b"], "rows_per_s": 1.5, "gaps": 0},
                {"venue": "y", "gaps": 12, "zeal": null},
            ],
            "process": {"pid": 7, "command": "run"},
            "note": "calm",
        });
        let mut out = Vec::new();
        show(&status, Layout::default(), &mut out).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @"
        process
          command  run
          pid      7

        feeds
        ┌─────────┬─────────┬─────────┬────────────┬────────┬─────────┐
        │ venue   │ state   │ topics  │ rows_per_s │   gaps │ zeal    │
        │ varchar │ varchar │ varchar │     double │ bigint │ varchar │
        ├─────────┼─────────┼─────────┼────────────┼────────┼─────────┤
        │ x       │ live    │ a, b    │        1.5 │      0 │ NULL    │
        │ y       │ NULL    │ NULL    │       NULL │     12 │ NULL    │
        └─────────┴─────────┴─────────┴────────────┴────────┴─────────┘

        note: calm
        ");
    }
}
