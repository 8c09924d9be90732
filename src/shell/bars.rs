//! Where a symbol's bars are read from: the marts that hold such bars, and the trades that those have not read yet.

use super::{Failure, Shell};
use crate::model::sql::literal;

/// The marts of bars, and how many seconds theirs are long: each is made from the one before, the first from trades.
const MARTS: [(&str, i64, &str); 4] = [
    ("ohlcv_1s", 1, "1 second"),
    ("ohlcv_1m", 60, "1 minute"),
    ("ohlcv_1h", 3600, "1 hour"),
    ("ohlcv_1d", DAY, "1 day"),
];
const DAY: i64 = 86_400;

/// What a bar is made of.
const COLUMNS: &str = "venue, ts, open, high, low, close, volume, trades";

impl Shell<'_> {
    /// A relation of a symbol's bars in a range, of all venues: those of the mart with the longest ones that fit into
    /// `length`, as far as it has them, and beyond that, or without such a mart, made from trades.
    pub(super) fn bars_for(
        &mut self,
        symbol: &str,
        length: &str,
        (from, to): (&str, &str),
    ) -> Result<String, Failure> {
        let whole = seconds_of(length);
        let fits = |seconds: i64| whole.is_some_and(|whole| whole % seconds == 0);
        let mart = MARTS.iter().rev().find(|(_, seconds, _)| fits(*seconds));
        let symbol = literal(symbol);
        let made = |each: &str, from: &str| {
            format!(
                "SELECT {COLUMNS} FROM ohlcv({symbol}, {}, {from}, {to})",
                literal(each)
            )
        };
        let Some((mart, _, each)) = mart else {
            return Ok(format!("({})", made(length, from)));
        };
        // A bar belongs to the range if any of it does.
        let start = |moment: &str| format!("bucket_start({moment}::TIMESTAMP_NS, '{each}')");
        let from = start(from);
        let kept = format!(
            "SELECT {COLUMNS} FROM {mart} WHERE symbol = {symbol} AND ts >= {from} AND ts < {to}"
        );
        Ok(match self.read_until(mart, &symbol)? {
            Read::Nothing => format!("({})", made(length, &from)),
            Read::All => format!("({kept})"),
            Read::Until(moment) => {
                let until = start(&literal(&moment));
                let rest = made(each, &format!("greatest({from}, {until})"));
                format!("({kept} AND ts < {until} UNION ALL {rest})")
            }
        })
    }

    /// Until when a mart has all trades of a symbol, which is a literal of SQL.
    fn read_until(&mut self, mart: &str, symbol: &str) -> Result<Read, Failure> {
        let names: Vec<String> = MARTS.iter().map(|(name, _, _)| literal(name)).collect();
        let end = MARTS.iter().position(|(name, _, _)| *name == mart);
        let chain = &names[..=end.unwrap_or(0)];
        let (count, chain) = (chain.len(), chain.join(", "));
        let columns = format!("{COLUMNS}, symbol");
        let columns: Vec<String> = columns.split(", ").map(literal).collect();
        // One of a user's own may have other columns, and one that has changed or failed stands still.
        let sound = self.session.strings(&format!(
            "SELECT (SELECT count(*) FROM ops.models WHERE name IN ({chain}) AND built = defined AND error IS NULL) = {count} \
             AND (SELECT count(*) FROM duckdb_columns() WHERE schema_name = 'main' AND table_name = '{mart}' \
                  AND column_name IN ({})) = {} \
             AND NOT EXISTS (FROM ops.model_pending WHERE model IN ({chain}) AND from_ns IS NULL)",
            columns.join(", "),
            columns.len()
        ));
        match sound {
            Ok(rows) => {
                if first(rows).as_deref() != Some("true") {
                    return Ok(Read::Nothing);
                }
            }
            Err(crate::query::Error::Interrupted) => return Err(Failure::Interrupted),
            // A database that is no market database has none of these tables.
            Err(_) => return Ok(Read::Nothing),
        }
        let marks = self.ask(&format!(
            "SELECT source, seq::VARCHAR, greatest(recv_ns, 0)::VARCHAR FROM ops.model_marks WHERE model = '{}'",
            MARTS[0].0
        ))?;
        let mut unread = vec![format!(
            "(SELECT min(make_timestamp_ns(from_ns)) FROM ops.model_pending WHERE model IN ({chain}))"
        )];
        for row in marks {
            let [Some(source), Some(seq), Some(received)] = row.as_slice() else {
                return Ok(Read::Nothing);
            };
            let new = format!(
                "symbol = {symbol} AND (seq > {seq} OR (seq IS NULL AND recv_ts > make_timestamp_ns({received})))"
            );
            unread.push(match source.split_once(" of ") {
                None => format!("(SELECT min(ts) FROM {source} WHERE {new})"),
                // A correction tells which trade it is of, not when that was.
                Some((voider, table)) => format!(
                    "(SELECT min(ts) FROM {table} WHERE symbol = {symbol} AND EXISTS (FROM {voider} WHERE {new}))"
                ),
            });
        }
        let least = self.ask(&format!(
            "SELECT list_min([{}])::VARCHAR",
            unread.join(", ")
        ))?;
        Ok(first(least).map_or(Read::All, Read::Until))
    }
}

fn first(rows: Vec<Vec<Option<String>>>) -> Option<String> {
    rows.into_iter().flatten().flatten().next()
}

/// What a mart has read.
enum Read {
    Nothing,
    /// Up to a moment.
    Until(String),
    All,
}

/// How many seconds a length of SQL has; months and years are told as a day, which all of them are made of.
pub(super) fn seconds_of(length: &str) -> Option<i64> {
    let length = length.trim();
    let digits = length.find(|c: char| !c.is_ascii_digit())?;
    let count: i64 = length[..digits].parse().ok()?;
    let seconds = match length[digits..].trim().to_ascii_lowercase().as_str() {
        "s" | "second" | "seconds" => 1,
        "m" | "min" | "minute" | "minutes" => 60,
        "h" | "hour" | "hours" => 3600,
        "d" | "day" | "days" => DAY,
        "w" | "week" | "weeks" => 7 * DAY,
        "mon" | "month" | "months" | "y" | "year" | "years" => return Some(DAY),
        _ => return None,
    };
    count.checked_mul(seconds).filter(|seconds| *seconds > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_told_in_seconds() {
        for (length, seconds) in [
            ("1 second", Some(1)),
            ("15s", Some(15)),
            ("5m", Some(300)),
            ("4 hours", Some(14_400)),
            ("1w", Some(7 * DAY)),
            ("3mon", Some(DAY)),
            ("0s", None),
            ("x", None),
            ("5 fortnights", None),
        ] {
            assert_eq!(seconds_of(length), seconds, "{length}");
        }
    }
}
