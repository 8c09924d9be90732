//! Commands that tell of the whole: models, what is made from what, venues, and what a capture is doing.

use std::time::Duration;

use super::inspect::failed;
use super::{Failure, Shell, status};
use crate::model::sql::literal;
use crate::query::{Error, Session, meant};
use crate::store;
use crate::transform::lineage::{EDGES, Format, Graph};

/// How long a process may take to tell what it is doing.
const PATIENCE: Duration = Duration::from_secs(10);

impl Shell<'_> {
    pub(super) fn models(&mut self) -> Result<(), Failure> {
        let query = models_query(&mut self.session).map_err(failed)?;
        self.show(&query)
    }

    pub(super) fn lineage(&mut self, model: Option<&str>) -> Result<(), Failure> {
        let mut graph = Graph::of(self.ask(EDGES)?);
        if let Some(model) = model {
            let Some(name) = graph.meant(model).map(str::to_owned) else {
                let model = model.to_ascii_lowercase();
                let hint = meant(&model, graph.names())
                    .map_or(".lineage alone shows all".to_owned(), |meant| {
                        format!("did you mean {meant}?")
                    });
                return Err(Failure::Report(format!(
                    "error: there is no table, view or mart {model}\nhint: {hint}\n"
                )));
            };
            graph = graph.around(&name);
            let text = graph.write(Format::Text, &[&name]);
            return self.tree(&text);
        }
        self.tree(&graph.write(Format::Text, &[]))
    }

    /// Shows a tree whose lines may hold long lists.
    fn tree(&mut self, text: &str) -> Result<(), Failure> {
        let Some(width) = self.printer.layout.width else {
            return self.printer.text(text);
        };
        let folded: String = text.lines().map(|line| folded(line, width)).collect();
        self.printer.text(&folded)
    }

    /// Venues that can be captured, and what there is of each.
    pub(super) fn venues(&mut self) -> Result<(), Failure> {
        let known = match &self.venues {
            Some(venues) => venues().map_err(|why| Failure::Report(format!("error: {why}\n")))?,
            None => Vec::new(),
        };
        let known: Vec<String> = known
            .iter()
            .map(|(name, what)| format!("({}, {})", literal(name), literal(what)))
            .collect();
        let counted = format!("({})", status::VENUES);
        if known.is_empty() {
            return self.show(&format!("FROM {counted}"));
        }
        self.show(&format!(
            "SELECT venue, split_part(what, ':', 1) AS what, messages, trades, quotes, gaps, dead_letters, last_message \
             FROM {counted} FULL JOIN (VALUES {}) AS known(venue, what) USING (venue) \
             ORDER BY messages IS NULL, venue",
            known.join(", ")
        ))
    }

    /// What the process that has the database open is doing; without one, what is in it.
    pub(super) fn status(&mut self) -> Result<(), Failure> {
        let Some(told) = self.session.status(PATIENCE).map_err(failed)? else {
            self.printer
                .text("no other process has the database open; this is what is in it\n")?;
            return self.show(status::VENUES);
        };
        let mut text = Vec::new();
        status::show(&told, self.printer.layout, &mut text)?;
        self.printer.text(&String::from_utf8_lossy(&text))
    }
}

/// A line of a tree, broken behind commas; what follows stands below the name.
fn folded(line: &str, width: usize) -> String {
    let mark = line.find(|c: char| c.is_alphanumeric()).unwrap_or(0);
    let column = line[..mark].chars().count();
    let bars = line[..mark].replace('├', "│").replace(['└', '─'], " ");
    let mut text = String::new();
    let mut used = 0;
    for part in line.split_inclusive(", ") {
        let length = part.trim_end().chars().count();
        if used > column && used + length > width {
            text.truncate(text.trim_end().len());
            text.push('\n');
            text.push_str(&bars);
            text.push_str("  ");
            used = column + 2;
        }
        text.push_str(part);
        used += part.chars().count();
    }
    text.push('\n');
    text
}

/// The query of all models. Whether one is behind is told by the last seq of each table that models read, and by what it is
/// made from.
///
/// # Errors
/// If the database does not answer.
pub fn models_query(session: &mut Session) -> Result<String, Error> {
    let tables = session
        .strings("SELECT DISTINCT split_part(source, ' of ', 1) FROM ops.model_marks ORDER BY 1")?;
    let last = tables.into_iter().flatten().flatten().map(|table| {
        format!(
            "SELECT '{table}' AS source, coalesce(greatest((SELECT max(seq) FROM {}), \
             (SELECT max(last_seq) FROM ops.manifest WHERE table_name = '{table}')), 0) AS seq",
            store::hot_rows(&table)
        )
    });
    let none = "SELECT NULL::VARCHAR AS source, NULL::UBIGINT AS seq".to_owned();
    let last: Vec<String> = std::iter::once(none).chain(last).collect();
    Ok(format!(
        "WITH RECURSIVE last AS ({}),
         relations AS (SELECT lower(name) AS name, lower(upstream) AS upstream, kind FROM ops.lineage WHERE kind <> 'test'),
         reads AS (
             SELECT name AS mart, upstream FROM relations WHERE kind NOT IN ('table', 'view')
             UNION SELECT mart, r.upstream FROM reads JOIN relations r ON r.name = reads.upstream AND r.kind = 'view'),
         behind AS (
             SELECT lower(model) AS name FROM ops.model_marks m
             JOIN last l ON split_part(m.source, ' of ', 1) = l.source AND m.seq < l.seq
             UNION SELECT lower(model) FROM ops.model_pending
             -- A table that was made again has lost its marks.
             UNION SELECT mart FROM reads JOIN (SELECT DISTINCT name FROM relations WHERE kind = 'table') t
                   ON t.name = reads.upstream
                   WHERE NOT EXISTS (FROM ops.model_marks m WHERE lower(m.model) = mart AND m.source = t.name)
             UNION SELECT mart FROM behind JOIN reads ON reads.upstream = behind.name),
         edges AS (
             SELECT name, kind, string_agg(DISTINCT upstream, ', ' ORDER BY upstream) AS upstream, any_value(made_by) AS file
             FROM ops.lineage WHERE kind NOT IN ('table', 'test') GROUP BY name, kind)
         SELECT e.name AS model, e.kind,
                CASE WHEN m.name IS NULL THEN NULL WHEN m.error IS NOT NULL THEN 'failed' WHEN m.built IS NULL THEN 'not built'
                     WHEN m.built <> m.defined THEN 'changed' WHEN lower(m.name) IN (FROM behind) THEN 'behind' ELSE 'ok' END AS state,
                b.rows::BIGINT AS rows, b.newest, b.how AS last_build, b.built_at, round(b.took_ms, 1) AS took_ms, e.upstream,
                e.file, m.error
         FROM edges e LEFT JOIN ops.models m USING (name) LEFT JOIN ops.builds b ON b.model = e.name
         ORDER BY m.name IS NULL, e.name",
        last.join(" UNION ALL ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_of_a_tree_are_folded_below_its_name() {
        assert_eq!(
            folded("├─ raw (table) by a.sql, b.sql, c.sql", 25),
            "├─ raw (table) by a.sql,\n│    b.sql, c.sql\n"
        );
        assert_eq!(folded("trades (table)", 5), "trades (table)\n");
    }
}
