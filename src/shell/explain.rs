//! `.explain`: how DuckDB ran a query, as a person reads it: what took how long, and how much it gave.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Failure, Shell, report_width};
use crate::output::{cut, grouped};
use crate::query::{Error, Source, Statement, first_word};

/// Operators that only carry the plan.
const CARRIERS: [&str; 3] = ["RESULT_COLLECTOR", "EXECUTE", "EXPLAIN_ANALYZE"];

/// What DuckDB tells of a query it has run: `EXPLAIN (ANALYZE, FORMAT JSON)`.
#[derive(Debug, Deserialize)]
struct Profile {
    #[serde(default)]
    io: Io,
    /// None of a query that is answered from statistics.
    #[serde(default)]
    operator: Vec<Operator>,
}

#[derive(Debug, Default, Deserialize)]
struct Io {
    #[serde(default)]
    total_bytes_read: u64,
}

#[derive(Debug, Deserialize)]
struct Operator {
    #[serde(rename = "type")]
    kind: String,
    /// Seconds, of all threads together.
    #[serde(default)]
    timing: f64,
    #[serde(default, rename = "intermediate_rows")]
    rows: u64,
    row_groups_scanned: Option<u64>,
    total_row_groups_to_scan: Option<u64>,
    #[serde(default)]
    extra_info: Map<String, Value>,
    #[serde(default)]
    children: Vec<Operator>,
}

impl Shell<'_> {
    pub(super) fn explain(&mut self, query: &str) -> Result<(), Failure> {
        let query = query.trim_end().trim_end_matches(';');
        if first_word(query) == "explain" {
            return Err(Failure::Report(
                "error: .explain takes the query alone, without EXPLAIN\n".to_owned(),
            ));
        }
        self.offer_last(query)?;
        let prefix = "EXPLAIN (ANALYZE, FORMAT JSON) ";
        let asked = format!("{prefix}{query}");
        let start = Instant::now();
        let rows = self.session.strings(&asked);
        let took = start.elapsed();
        let rows = rows.map_err(|error| match error {
            Error::Interrupted => Failure::Interrupted,
            error => {
                // The place in what was typed.
                let typed = |at: usize| at.saturating_sub(prefix.len());
                let error = error.placed(|at| typed(at.start)..typed(at.end));
                let error = super::hint::improved(error, query, &mut self.session);
                let source = Source {
                    name: None,
                    text: query,
                };
                let statement = Statement {
                    text: query,
                    offset: 0,
                    line: 1,
                };
                Failure::Report(error.report(source, statement, report_width()))
            }
        })?;
        let json = rows.into_iter().flatten().flatten().next_back();
        let profile: Profile =
            serde_json::from_str(&json.unwrap_or_default()).map_err(|error| {
                Failure::Report(format!(
                    "error: cannot read DuckDB's plan: {error}\nhint: EXPLAIN ANALYZE shows it as DuckDB does\n"
                ))
            })?;
        if profile.operator.is_empty() {
            return self
                .printer
                .text("no rows were read: DuckDB knows the answer from the tables' statistics\n");
        }
        let layout = self.printer.layout;
        let text = told(&profile, took, layout.width, layout.color);
        self.printer.text(&text)
    }
}

/// The plan: times and rows in front, the operators as a tree behind them.
fn told(profile: &Profile, took: Duration, width: Option<usize>, color: bool) -> String {
    let mut slowest = 0.0;
    for operator in &profile.operator {
        operator.walk(&mut |operator| slowest = f64::max(slowest, operator.timing));
    }
    let mut text = format!("{:>10}  {:>14}\n", "time", "rows");
    let painter = Painter {
        width: width.unwrap_or(usize::MAX),
        color,
        slowest,
    };
    for operator in &profile.operator {
        painter.operator(operator, "", "", &mut text);
    }
    let _ = writeln!(
        text,
        "{} in all; {} bytes read. Times are those of all threads together.",
        duration(took.as_secs_f64()),
        grouped(usize::try_from(profile.io.total_bytes_read).unwrap_or(usize::MAX))
    );
    text
}

impl Operator {
    fn walk(&self, visit: &mut impl FnMut(&Self)) {
        visit(self);
        for child in &self.children {
            child.walk(visit);
        }
    }

    /// What DuckDB says under a name, less what only it understands: columns by their place, filters it may use.
    fn info(&self, name: &str) -> Option<String> {
        let value = self.extra_info.get(name)?;
        let parts = value
            .as_array()
            .map_or(std::slice::from_ref(value), Vec::as_slice);
        let told: Vec<String> = parts
            .iter()
            .filter_map(Value::as_str)
            .filter(|part| !part.starts_with('#') && !part.starts_with("optional:"))
            .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        Some(told.join(", ")).filter(|text| !text.is_empty())
    }

    /// What it is, and to what it is done.
    fn name(&self) -> String {
        let kind = self.info("Function").unwrap_or_else(|| self.kind.clone());
        let mut name = kind.to_ascii_lowercase().replace('_', " ");
        let files = self.info("Filename(s)");
        // `database.schema.table`, of which the database is the same throughout.
        let table = self.info("Table").or_else(|| self.info("CTE Name"));
        if let Some(table) = table {
            name = format!(
                "{name} {}",
                table.split_once('.').map_or(&*table, |(_, name)| name)
            );
        } else if let Some(file) = files.as_deref().and_then(|files| files.split(", ").next()) {
            // `lake/trades/date=…`: the table's directory says enough.
            let end = file.find("/date=").unwrap_or(file.len());
            name = format!("{name} {}", &file[..end]);
        }
        let mut parts = vec![name];
        if let Some(files) = self.info("Scanning Files") {
            parts.push(format!("{} files", files.replace('/', " of ")));
        } else if let Some(files) = self.info("Total Files Read") {
            let plural = if files == "1" { "" } else { "s" };
            parts.push(format!("{files} file{plural}"));
        }
        if let (Some(read), Some(all @ 1..)) =
            (self.row_groups_scanned, self.total_row_groups_to_scan)
        {
            parts.push(format!("{read} of {all} row groups"));
        }
        for name in [
            "Join Type",
            "Conditions",
            "Groups",
            "Aggregates",
            "Expression",
            "File Filters",
            "Filters",
            "Order By",
            "Top",
        ] {
            parts.extend(self.info(name));
        }
        if parts.len() == 1 && self.kind == "PROJECTION" {
            parts.extend(self.info("Projections"));
        }
        parts.join(" · ")
    }
}

struct Painter {
    width: usize,
    color: bool,
    slowest: f64,
}

impl Painter {
    /// `first` stands before the operator's own line, `below` before those of its children.
    fn operator(&self, operator: &Operator, first: &str, below: &str, text: &mut String) {
        if CARRIERS.contains(&operator.kind.as_str()) {
            for child in &operator.children {
                self.operator(child, first, below, text);
            }
            return;
        }
        // What took no time of its own passes rows on.
        let time = if operator.timing > 0.0 {
            duration(operator.timing)
        } else {
            String::new()
        };
        let rows = if operator.rows > 0 || operator.children.is_empty() {
            grouped(usize::try_from(operator.rows).unwrap_or(usize::MAX))
        } else {
            String::new()
        };
        let line = format!("{time:>10}  {rows:>14}  {first}{}", operator.name());
        let line = cut(&line, self.width);
        if self.color && self.slowest > 0.0 && operator.timing >= self.slowest {
            let _ = writeln!(text, "\x1b[1m{line}\x1b[0m");
        } else {
            let _ = writeln!(text, "{line}");
        }
        for (i, child) in operator.children.iter().enumerate() {
            let last = i + 1 == operator.children.len();
            let (mark, bar) = if last {
                ("└ ", "  ")
            } else {
                ("├ ", "│ ")
            };
            self.operator(
                child,
                &format!("{below}{mark}"),
                &format!("{below}{bar}"),
                text,
            );
        }
    }
}

fn duration(seconds: f64) -> String {
    if seconds >= 1.0 {
        format!("{seconds:.2} s")
    } else {
        format!("{:.1} ms", seconds * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_a_tree_with_times_and_rows() {
        let json = r##"{"io": {"total_bytes_read": 25701}, "operator": [{"type": "RESULT_COLLECTOR", "children": [
            {"type": "HASH_GROUP_BY", "timing": 0.0092, "intermediate_rows": 2,
             "extra_info": {"Groups": "#0", "Aggregates": "count_star()"}, "children": [
                {"type": "UNION", "children": [
                    {"type": "TABLE_SCAN", "timing": 1.5, "intermediate_rows": 9515, "extra_info":
                        {"Function": "READ_PARQUET", "Total Files Read": "2", "Filename(s)": "lake/trades/date=2024-08-08/1.parquet, b",
                         "Filters": ["optional: Dynamic Filter (symbol)", "(ts >= 1)"]},
                     "row_groups_scanned": 1, "total_row_groups_to_scan": 2},
                    {"type": "SEQ_SCAN", "timing": 0.0001, "extra_info": {"Table": "market.hot.trades"}}]}]}]}]}"##;
        let profile: Profile = serde_json::from_str(json).unwrap();
        let text = told(&profile, Duration::from_millis(1250), Some(70), false);
        insta::assert_snapshot!(text);
        assert!(told(&profile, Duration::ZERO, None, true).contains("\x1b[1m"));
    }
}
