//! The prompt: where one is, what is open, and how fresh what is captured is.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use super::Shell;
use super::range::Focus;
use crate::query::{Open, open_at_end};

/// How long the prompt waits for a capture to tell how fresh it is. It is asked when a prompt is drawn, at no other time.
const PATIENCE: Duration = Duration::from_millis(50);

impl Shell<'_> {
    /// The prompt of a first line.
    pub(super) fn first_prompt(&self) -> String {
        let mut parts = vec!["mdb".to_owned()];
        parts.extend(self.database.clone());
        if self.session.attached_to().is_some() {
            parts.push("attached".to_owned());
            // A process that is too busy to tell has better things to do.
            let status = self.session.status(PATIENCE).ok().flatten();
            parts.extend(status.and_then(|status| freshness(&status, &self.focus)));
        }
        parts.extend(Some(self.focus.told()).filter(|focus| !focus.is_empty()));
        let end = if self.session.in_transaction() {
            "*> "
        } else {
            "> "
        };
        format!("{}{end}", parts.join(" "))
    }
}

/// How long ago the newest row of a capture came, of the focus' symbol if it has one, and its gaps; `None` of what is no
/// capture.
fn freshness(status: &Value, focus: &Focus) -> Option<String> {
    let capture = status.get("capture")?;
    let concerns = |row: &&Value| {
        let is = |key: &str, wanted: &Option<String>| {
            wanted
                .as_deref()
                .is_none_or(|wanted| row.get(key).and_then(Value::as_str) == Some(wanted))
        };
        is("symbol", &focus.symbol) && is("venue", &focus.venue)
    };
    let symbols = status.get("symbols").and_then(Value::as_array);
    let ages = symbols.into_iter().flatten().filter(concerns);
    let newest = ages
        .filter_map(|row| row.get("age")?.as_f64())
        .min_by(f64::total_cmp);
    let mut told = newest.map_or("no rows yet".to_owned(), age);
    match capture.get("gaps").and_then(Value::as_u64) {
        None | Some(0) => {}
        Some(1) => told.push_str(" 1 gap"),
        Some(gaps) => {
            let _ = write!(told, " {gaps} gaps");
        }
    }
    Some(told)
}

fn age(seconds: f64) -> String {
    // A venue's clock may be ahead of this one's.
    let seconds = seconds.max(0.0);
    match seconds {
        0.0..10.0 => format!("{seconds:.1}s"),
        10.0..100.0 => format!("{seconds:.0}s"),
        100.0..6000.0 => format!("{:.0}m", seconds / 60.0),
        _ => format!("{:.0}h", seconds / 3600.0),
    }
}

/// The prompt after what was typed so far: the second line's shows what is still open.
pub(super) fn prompt(typed: &str, first: &str) -> String {
    if typed.trim().is_empty() {
        return first.to_owned();
    }
    let open = match open_at_end(typed) {
        Some(Open::Quote) => "'> ",
        Some(Open::Name) => "\"> ",
        Some(Open::Dollar) => "$$> ",
        Some(Open::Comment) => "/*> ",
        Some(Open::Bracket('[')) => "[> ",
        Some(Open::Bracket('{')) => "{> ",
        Some(Open::Bracket(_)) => "(> ",
        Some(Open::Statement) | None => "-> ",
    };
    format!("{open:>width$}", width = first.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_prompt_shows_what_is_open() {
        for (typed, expected) in [
            ("", "mdb> "),
            ("select\n", "  -> "),
            ("select (\n", "  (> "),
            ("select 'x\n", "  '> "),
            ("select \"x\n", "  \"> "),
            ("select $$\n", " $$> "),
            ("/* \n", " /*> "),
            ("select [\n", "  [> "),
        ] {
            assert_eq!(prompt(typed, "mdb> "), expected, "{typed:?}");
        }
        assert_eq!(
            prompt("select\n", "mdb data attached*> "),
            "                 -> "
        );
    }

    #[test]
    fn a_capture_is_as_fresh_as_its_newest_row() {
        let status = json!({"capture": {"gaps": 2}, "symbols": [
            {"venue": "v", "symbol": "A", "age": 0.24}, {"venue": "v", "symbol": "B", "age": 131.0},
            {"venue": "w", "symbol": "B", "age": null}]});
        let focus = |symbol: Option<&str>, venue: Option<&str>| Focus {
            symbol: symbol.map(str::to_owned),
            venue: venue.map(str::to_owned),
            ..Focus::default()
        };
        let told = |focus| freshness(&status, &focus);
        assert_eq!(told(focus(None, None)).as_deref(), Some("0.2s 2 gaps"));
        assert_eq!(told(focus(Some("B"), None)).as_deref(), Some("2m 2 gaps"));
        let none = told(focus(Some("B"), Some("w")));
        assert_eq!(none.as_deref(), Some("no rows yet 2 gaps"));
        assert_eq!(freshness(&json!({}), &Focus::default()), None);
    }
}
