//! The last result, kept up to a limit: for `.last`, `.plot`, and as the relation `_`.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use crate::model::sql::{identifier, literal};
use crate::output::{self, Format, Layout};
use crate::query::{self, Session, TokenKind, Types, tokens};

/// Rows that are kept.
pub(super) const ROWS: usize = 100_000;

/// Bytes of rows that are kept.
const BYTES: usize = 64 << 20;

/// The rows of a result, or its first ones.
#[derive(Debug)]
pub(super) struct Last {
    pub(super) schema: SchemaRef,
    pub(super) batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
    /// Rows of the whole result.
    total: usize,
}

/// Why the last result is no relation.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// It could not be put into a file for the database to read.
    #[error("the last result cannot be kept as _: {0}")]
    File(#[from] std::io::Error),
    /// It has no text.
    #[error("the last result cannot be kept as _: {0}")]
    Output(#[from] output::Error),
    /// The database does not take it.
    #[error("the last result cannot be kept as _: {0}")]
    Query(#[from] query::Error),
}

impl Last {
    pub(super) fn new(schema: SchemaRef) -> Self {
        Self {
            schema,
            batches: Vec::new(),
            rows: 0,
            bytes: 0,
            total: 0,
        }
    }

    /// The rows of a query, as many as are kept.
    ///
    /// # Errors
    /// If the query fails.
    pub(super) fn of(session: &mut Session, query: &str) -> Result<Self, query::Error> {
        let rows = session.run(query, Types::Exact)?;
        let mut last = Self::new(rows.schema());
        for batch in rows {
            last.keep(&batch?);
        }
        Ok(last)
    }

    /// How many rows are kept.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Keeps a batch, or as much of it as there is room for.
    pub(super) fn keep(&mut self, batch: &RecordBatch) {
        self.total += batch.num_rows();
        let room = ROWS.saturating_sub(self.rows).min(batch.num_rows());
        if room == 0 || self.bytes >= BYTES {
            return;
        }
        self.rows += room;
        self.bytes += batch.get_array_memory_size();
        self.batches.push(batch.slice(0, room));
    }

    /// What to say of a result that is not whole.
    pub(super) fn note(&self) -> Option<String> {
        (self.rows < self.total).then(|| {
            format!(
                "the first {} of {} rows",
                output::grouped(self.rows),
                output::grouped(self.total)
            )
        })
    }

    /// Makes it the temporary table `_` of a session, wherever that runs.
    ///
    /// It goes there as text, which DuckDB casts back: so every type comes back as it was, with all its digits.
    ///
    /// # Errors
    /// If it cannot be written to a file, or read there.
    pub(super) fn to_relation(&self, session: &mut Session) -> Result<(), Error> {
        let file = tempfile::Builder::new()
            .prefix("mdb-last-")
            .suffix(".parquet")
            .tempfile()?;
        let texts = self
            .batches
            .iter()
            .map(|batch| output::texts(&self.schema, batch));
        let mut writer = file.as_file();
        let schema =
            output::texts(&self.schema, &RecordBatch::new_empty(self.schema.clone()))?.schema();
        output::encode(
            Format::Parquet,
            Layout::default(),
            &schema,
            texts,
            &mut writer,
        )?;
        let path = literal(&file.path().display().to_string());
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for (i, field) in self.schema.fields().iter().enumerate() {
            let kind = output::type_name(field);
            let is_text = matches!(kind.as_str(), "varchar" | "enum" | "null");
            // A type whose text DuckDB does not read back (a union) stays text.
            let stays =
                is_text || field.data_type().is_nested() && !reads_back(session, &path, i, &kind)?;
            let cast = if stays {
                String::new()
            } else {
                format!("::{kind}")
            };
            columns.push(format!("c{i}{cast} AS {}", identifier(field.name())));
        }
        let create = format!(
            "CREATE OR REPLACE TEMP TABLE _ AS SELECT {} FROM read_parquet({path})",
            columns.join(", ")
        );
        session.run(&create, Types::Exact)?.finish()?;
        Ok(())
    }
}

/// Whether DuckDB makes values of a type of the texts in the `i`th column of a file.
fn reads_back(session: &mut Session, path: &str, i: usize, kind: &str) -> Result<bool, Error> {
    let lost = session.strings(&format!(
        "SELECT count(*)::VARCHAR FROM read_parquet({path}) WHERE c{i} IS NOT NULL AND TRY_CAST(c{i} AS {kind}) IS NULL"
    ));
    match lost {
        Ok(lost) => Ok(lost == [[Some("0".to_owned())]]),
        // It has no name in SQL.
        Err(query::Error::Sql(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether a statement reads the relation `_`.
pub(super) fn is_read_by(sql: &str) -> bool {
    tokens(sql).iter().any(|token| match token.kind {
        TokenKind::Word => token.text == "_",
        TokenKind::Name => token.text == "\"_\"",
        TokenKind::Text | TokenKind::Sign => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session::new(duckdb::Connection::open_in_memory().unwrap(), true)
    }

    fn last(session: &mut Session, sql: &str) -> Last {
        Last::of(session, sql).unwrap()
    }

    #[test]
    fn every_type_comes_back_as_it_was() {
        let mut session = session();
        let sql = "SELECT 1 AS i, 170141183460469231731687303715884105727::HUGEINT AS h, 0.1::DOUBLE AS d, 1.50::DECIMAL(9, 2) AS m, \
                   make_timestamp_ns(1723161253937085768) AS ts, DATE '2024-08-08' AS day, INTERVAL '1 day 2 hours' AS gap, \
                   'it''s' AS t, NULL AS n, [1, NULL, 3] AS l, {'a b': 1, 'c': 'x, y'} AS s, MAP {'k': 2.5} AS mp, \
                   uuid '00000000-0000-0000-0000-000000000001' AS u, '\\xAA'::BLOB AS b, true AS yes, '{\"a\":1}'::JSON AS j, \
                   '' AS empty, 1 AS \"i\" UNION ALL \
                   SELECT NULL, -1, 'nan', NULL, NULL, NULL, NULL, 'NULL', NULL, [], NULL, NULL, NULL, NULL, NULL, NULL, NULL, 2";
        let kept = last(
            &mut session,
            &sql.replace(", 1 AS \"i\"", "")
                .replace(", NULL, 2", ", NULL"),
        );
        kept.to_relation(&mut session).unwrap();
        let differ = session
            .strings(&format!(
                "SELECT count(*)::VARCHAR FROM ((FROM _ EXCEPT ALL {0}) UNION ALL (({0}) EXCEPT ALL FROM _))",
                format!("SELECT * FROM ({})", sql.replace(", 1 AS \"i\"", "").replace(", NULL, 2", ", NULL"))
            ))
            .unwrap();
        assert_eq!(differ, [[Some("0".to_owned())]]);
    }

    #[test]
    fn a_column_that_cannot_be_read_back_is_text_and_the_others_are_not() {
        let mut session = session();
        let kept = last(
            &mut session,
            "SELECT union_value(u := 1) AS u, [10, 20] AS l, {'c d': 1, 'q\"x': 2} AS s, 'a'::ENUM('a', 'b') AS e, ['b'::ENUM('a', 'b')] AS es",
        );
        kept.to_relation(&mut session).unwrap();
        let read = "SELECT u::VARCHAR, l[2]::VARCHAR, (s.\"c d\" + s.\"q\"\"x\")::VARCHAR, e::VARCHAR, es::VARCHAR FROM _";
        let row = session.strings(read).unwrap().remove(0);
        let row: Vec<String> = row.into_iter().map(Option::unwrap).collect();
        assert_eq!(row[1..4], ["20", "3", "a"], "{row:?}");
        assert!(row[0].contains('1') && row[4].contains('b'), "{row:?}");
        // Nor is one of no rows a problem.
        let none = last(&mut session, "SELECT 'a'::ENUM('a', 'b') AS e WHERE false");
        none.to_relation(&mut session).unwrap();
    }

    #[test]
    fn more_rows_than_are_kept_are_counted() {
        let mut session = session();
        let kept = last(&mut session, "FROM range(250000)");
        assert_eq!(kept.note().unwrap(), "the first 100,000 of 250,000 rows");
        kept.to_relation(&mut session).unwrap();
        let count = session.strings("SELECT count(*)::VARCHAR FROM _").unwrap();
        assert_eq!(count, [[Some("100000".to_owned())]]);
        assert!(last(&mut session, "SELECT 1").note().is_none());
    }

    #[test]
    fn a_result_made_of_the_last_one_can_take_its_place() {
        let mut session = session();
        last(&mut session, "SELECT 41 AS a")
            .to_relation(&mut session)
            .unwrap();
        last(&mut session, "SELECT a + 1 AS a FROM _")
            .to_relation(&mut session)
            .unwrap();
        assert_eq!(
            session.strings("SELECT a::VARCHAR FROM _").unwrap(),
            [[Some("42".to_owned())]]
        );
    }

    #[test]
    fn the_name_is_told_from_others() {
        assert!(is_read_by("FROM _") && is_read_by("select * from \"_\" where x"));
        assert!(!is_read_by("select '_', a_b from t__"));
    }
}
