//! Values of a file on their way into a table of the user's own, as they are. Of texts with an offset and of times of day
//! DuckDB makes types of microseconds, and cuts off the rest; and what comes after the rows that told it a column's type
//! it rounds to that.

use duckdb::Connection;
use duckdb::types::FromSql;

use super::{refused, relation};
use crate::model::sql::{identifier, literal};
use crate::sources::files::{Format, Input};
use crate::store::error::Result;

/// A text with an offset, as DuckDB tells it.
const OFFSET: &str = "TIMESTAMP WITH TIME ZONE";
/// The type that reads offsets and nanoseconds. Hardly a function takes it …
const OFFSET_NS: &str = "TIMESTAMPTZ_NS";
/// … and so it becomes this one, in UTC.
const UTC_NS: &str = "TIMESTAMP_NS";
/// The type of times to the microsecond, which reaches further.
const UTC: &str = "TIMESTAMP";
/// A time with a zone or an offset.
const ZONED: &str = ":[0-9.]+ *[^0-9.: ]";
/// A time that is finer than microseconds.
const FINE: &str = ":[0-9]{2}[.][0-9]{6}[0-9]*[1-9]";
/// DuckDB tells a column's type from so many rows.
const SAMPLE_ROWS: u32 = 20_480;
/// A whole number, and no code that begins with zeros.
const WHOLE: &str = "[+-]?(0|[1-9][0-9]*)";
/// Any number.
const NUMBER: &str = "(?i)[+-]?((0|[1-9][0-9]*)?([.][0-9]*)?(e[+-]?[0-9]+)?|nan|inf(inity)?)";
/// A date, and what may follow, that begins with its day, its month or a year of two digits, in groups 1, 3 and 4.
const SHORT_DATE: &str = r"^\s*(\d{1,2})([-/.])(\d{1,2})[-/.](\d{4}|\d{2})(\D|$)";
/// The type of all texts.
const TEXT: &str = "VARCHAR";

/// A column that is not read as DuckDB would.
struct Reading {
    column: String,
    read_as: String,
    becomes: Option<String>,
}

/// What a column's texts are like.
struct Look {
    /// Some are finer than microseconds.
    fine: bool,
    /// Some have a zone or an offset.
    zoned: bool,
    /// The type asked for has them all.
    fits: bool,
}

/// A file as DuckDB reads it by itself.
struct File<'a> {
    conn: &'a Connection,
    input: &'a Input,
    reader: &'a str,
    columns: &'a [(String, String)],
}

/// A reader of the same file that loses nothing of its values. Those columns that are said in `as_text` stay texts.
///
/// # Errors
/// If the file cannot be read to its end.
pub(super) fn exact(
    conn: &Connection,
    input: &Input,
    reader: &str,
    columns: &[(String, String)],
    as_text: &[String],
) -> Result<String> {
    let file = File {
        conn,
        input,
        reader,
        columns,
    };
    let readings = match input.format {
        Format::Csv(_) => file.csv(as_text)?,
        Format::Json => file.json(as_text)?,
        _ => file.stored(),
    };
    Ok(file.read_by(&readings))
}

impl File<'_> {
    fn csv(&self, as_text: &[String]) -> Result<Vec<Reading>> {
        let is_text = |column: &String| as_text.contains(column);
        let of_type = |wanted: &'static str| {
            let columns = self.columns.iter();
            columns.filter(move |(column, sql_type)| sql_type == wanted && !is_text(column))
        };
        let dates = of_type(UTC).chain(of_type("DATE"));
        self.check_dates(dates.map(|(column, _)| column.as_str()).collect())?;
        let mut readings: Vec<Reading> = as_text.iter().map(|c| Reading::text(c)).collect();
        // Rows after those that told the type may have an offset, which only this type heeds. How else times are
        // written, DuckDB has found out for its own types alone.
        let plain: Vec<(&str, &str)> = of_type(UTC)
            .map(|(column, _)| (column.as_str(), OFFSET_NS))
            .collect();
        let looks = self.look(&plain, &format!("LIMIT {SAMPLE_ROWS}"))?;
        let mut others = Vec::new();
        for ((column, _), look) in plain.into_iter().zip(looks) {
            if look.fits {
                readings.push(Reading::new(column, OFFSET_NS, Some(UTC_NS)));
            } else {
                others.push(column);
            }
        }
        readings.extend(self.far_or_told(&others)?);
        let cut: Vec<(&str, &str)> = of_type(OFFSET)
            .map(|(column, _)| (column.as_str(), OFFSET_NS))
            .chain(of_type("TIME").map(|(column, _)| (column.as_str(), "TIME_NS")))
            .collect();
        let looks = self.look(&cut, "")?;
        for ((column, read_as), look) in cut.into_iter().zip(looks) {
            let becomes = (read_as == OFFSET_NS).then_some(UTC_NS);
            if look.fine && look.fits {
                readings.push(Reading::new(column, read_as, becomes));
            } else if look.fine {
                readings.push(Reading::text(column));
            } else if read_as == OFFSET_NS {
                readings.push(Reading::new(column, OFFSET, Some(OFFSET)));
            }
        }
        readings.extend(self.unlike_the_first(as_text)?);
        Ok(readings)
    }

    /// A date that can be read in two ways is the user's to tell: DuckDB takes the first way that it thinks of.
    fn check_dates(&self, columns: Vec<&str>) -> Result<()> {
        let first = self.unclear_dates(columns, &format!("LIMIT {SAMPLE_ROWS}"))?;
        let Some(column) = self.unclear_dates(first, "")?.first().copied() else {
            return Ok(());
        };
        Err(refused(
            self.input,
            format!(
                "the dates of '{column}' may be read in two ways; say how they are written: --cast '{column}=DATE', or TIMESTAMP, and --date-format, e.g. '%m/%d/%Y'. Nothing of it was loaded"
            ),
        ))
    }

    fn unclear_dates<'c>(&self, columns: Vec<&'c str>, limit: &str) -> Result<Vec<&'c str>> {
        let asked: Vec<String> = columns.iter().map(|c| is_unclear_date(c)).collect();
        let unclear: Vec<bool> = self.of_texts(&columns, &asked, limit)?;
        let both = columns.into_iter().zip(unclear);
        Ok(both
            .filter_map(|(c, unclear)| unclear.then_some(c))
            .collect())
    }

    /// Columns of times without an offset. Those that are to microseconds, and of which some are too far away for
    /// nanoseconds, stay what DuckDB makes of them.
    fn far_or_told(&self, columns: &[&str]) -> Result<Vec<Reading>> {
        let as_type =
            |sql_type: &'static str| -> Vec<_> { columns.iter().map(|c| (*c, sql_type)).collect() };
        let first = format!("LIMIT {SAMPLE_ROWS}");
        let near = self.look(&as_type(UTC_NS), &first)?;
        let plain = self.look(&as_type(UTC), &first)?;
        let (mut readings, mut far) = (Vec::new(), Vec::new());
        for ((column, near), plain) in columns.iter().zip(near).zip(plain) {
            if plain.fits && !near.fits {
                far.push((*column, UTC));
            } else {
                readings.push(Reading::new(column, UTC_NS, None));
            }
        }
        let looks = self.look(&far, "")?;
        for ((column, _), look) in far.into_iter().zip(looks) {
            if look.fine || look.zoned || !look.fits {
                readings.push(Reading::text(column));
            }
        }
        Ok(readings)
    }

    /// Columns of whole numbers or dates that are something else further down.
    fn unlike_the_first(&self, as_text: &[String]) -> Result<Vec<Reading>> {
        let columns = self.columns.iter().filter(|(c, _)| !as_text.contains(c));
        let (columns, types): (Vec<_>, Vec<_>) = columns
            .filter_map(|(column, told)| Some(((column, told), type_of_all(column, told)?)))
            .unzip();
        let names: Vec<&str> = columns.iter().map(|(c, _)| c.as_str()).collect();
        let found: Vec<String> = self.of_texts(&names, &types, "")?;
        let both = columns.into_iter().zip(found);
        Ok(both
            .filter(|((_, told), found)| *told != found)
            .map(|((column, _), found)| {
                let becomes = (found == OFFSET_NS).then_some(UTC_NS);
                Reading::new(column, &found, becomes)
            })
            .collect())
    }

    /// Of JSON, times may stand inside lists and objects, too.
    fn json(&self, as_text: &[String]) -> Result<Vec<Reading>> {
        let untold = self.columns.iter().filter(|(c, _)| !as_text.contains(c));
        let ns: Vec<(&str, [String; 2])> = untold
            .clone()
            .filter_map(|(column, sql_type)| Some((column.as_str(), to_ns(sql_type)?)))
            .collect();
        let ask: Vec<(&str, &str)> = ns
            .iter()
            .map(|(c, [read, _])| (*c, read.as_str()))
            .collect();
        let looks = self.look(&ask, "")?;
        let mut readings: Vec<Reading> = as_text.iter().map(|c| Reading::text(c)).collect();
        for ((column, [read_as, becomes]), look) in ns.iter().zip(looks) {
            if look.fine && look.fits {
                readings.push(Reading::new(column, read_as, Some(becomes)));
            } else if look.fine {
                readings.push(Reading::text(column));
            }
        }
        readings.extend(self.long_numbers(as_text)?);
        if !readings.is_empty() {
            // Once types are named, DuckDB no longer finds out how dates are written.
            let others: Vec<(&str, &str)> = untold
                .filter(|(_, sql_type)| sql_type == "DATE" || sql_type == "TIMESTAMP")
                .map(|(column, sql_type)| (column.as_str(), sql_type.as_str()))
                .collect();
            let looks = self.look(&others, "")?;
            let unlike = others.iter().zip(looks).filter(|(_, look)| !look.fits);
            readings.extend(unlike.map(|((column, _), _)| Reading::text(column)));
        }
        Ok(readings)
    }

    /// Columns of JSON that DuckDB takes for fractions, and rounds, though all are whole numbers: some are too long for it.
    fn long_numbers(&self, as_text: &[String]) -> Result<Vec<Reading>> {
        let is_double =
            |(column, told): &&(String, String)| told == "DOUBLE" && !as_text.contains(column);
        let columns: Vec<&str> = self
            .columns
            .iter()
            .filter(is_double)
            .map(|(c, _)| c.as_str())
            .collect();
        // Mostly the first rows show that there are fractions.
        let first = self.whole_types(columns, &format!("LIMIT {SAMPLE_ROWS}"))?;
        let columns = first.into_iter().map(|(column, _)| column).collect();
        let whole = self.whole_types(columns, "")?;
        Ok(whole
            .into_iter()
            .map(|(column, sql_type)| Reading::new(column, &sql_type, None))
            .collect())
    }

    /// Of these columns those that have whole numbers only, each with a type that holds them.
    fn whole_types<'c>(
        &self,
        columns: Vec<&'c str>,
        limit: &str,
    ) -> Result<Vec<(&'c str, String)>> {
        let asked: Vec<String> = columns
            .iter()
            .map(|column| {
                let (text, whole) = (identifier(column), literal(WHOLE));
                format!(
                    "CASE WHEN bool_and(regexp_full_match({text}, {whole}))
                     THEN IF(bool_and(TRY_CAST({text} AS HUGEINT) IS NOT NULL) FILTER ({text} IS NOT NULL), 'HUGEINT', '{TEXT}') END"
                )
            })
            .collect();
        let types: Vec<Option<String>> = self.of_texts(&columns, &asked, limit)?;
        let both = columns.into_iter().zip(types);
        Ok(both
            .filter_map(|(column, sql_type)| Some((column, sql_type?)))
            .collect())
    }

    /// Parquet's own types have lost nothing yet.
    fn stored(&self) -> Vec<Reading> {
        let offset = self.columns.iter().filter(|(_, t)| t == OFFSET_NS);
        offset
            .map(|(column, _)| Reading::new(column, OFFSET_NS, Some(UTC_NS)))
            .collect()
    }

    /// Reads columns as texts: column, and the type that it would have.
    fn look(&self, columns: &[(&str, &str)], limit: &str) -> Result<Vec<Look>> {
        let asked: Vec<String> = columns
            .iter()
            .flat_map(|(column, sql_type)| {
                let text = identifier(column);
                let fits = if sql_type.contains(['(', '[']) {
                    "true".to_owned()
                } else {
                    format!("{text} IS NULL OR TRY_CAST({text} AS {sql_type}) IS NOT NULL")
                };
                let any = |pattern: &str| {
                    format!("coalesce(bool_or(regexp_matches({text}, '{pattern}')), false)")
                };
                let fits = format!("coalesce(bool_and({fits}), true)");
                [any(FINE), any(ZONED), fits]
            })
            .collect();
        let names: Vec<&str> = columns.iter().map(|(column, _)| *column).collect();
        let found: Vec<bool> = self.of_texts(&names, &asked, limit)?;
        let looks = found.chunks_exact(3).map(|look| Look {
            fine: look[0],
            zoned: look[1],
            fits: look[2],
        });
        Ok(looks.collect())
    }

    /// Asks for aggregates of columns that are read as texts.
    fn of_texts<T: FromSql>(
        &self,
        columns: &[&str],
        asked: &[String],
        limit: &str,
    ) -> Result<Vec<T>> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let texts: Vec<Reading> = columns.iter().map(|c| Reading::text(c)).collect();
        let sql = format!(
            "SELECT {} FROM (SELECT * FROM {} {limit})",
            asked.join(", "),
            self.typed(&texts)
        );
        self.conn
            .query_row(&sql, [], |row| {
                (0..asked.len()).map(|at| row.get(at)).collect()
            })
            .map_err(|error| relation::unread(self.input, &error))
    }

    /// DuckDB's reader, told these types.
    fn typed(&self, readings: &[Reading]) -> String {
        let open = self.reader.strip_suffix(')').unwrap_or(self.reader);
        let pair =
            |column: &str, sql_type: &str| format!("{}: {}", literal(column), literal(sql_type));
        if self.input.format == Format::Json {
            let all = self.columns.iter().map(|(column, sql_type)| {
                let read = readings.iter().find(|reading| reading.column == *column);
                pair(column, read.map_or(sql_type, |reading| &reading.read_as))
            });
            let all: Vec<String> = all.collect();
            return format!("{open}, columns = {{{}}})", all.join(", "));
        }
        let read = readings.iter();
        let read: Vec<String> = read.map(|r| pair(&r.column, &r.read_as)).collect();
        format!("{open}, types = {{{}}})", read.join(", "))
    }

    fn read_by(&self, readings: &[Reading]) -> String {
        if readings.is_empty() {
            return self.reader.to_owned();
        }
        let typed = match self.input.format {
            Format::Csv(_) | Format::Json => self.typed(readings),
            _ => self.reader.to_owned(),
        };
        let become_other: Vec<String> = readings
            .iter()
            .filter_map(|reading| {
                let column = identifier(&reading.column);
                // A bare cast DuckDB would have its CSV reader do, from the text: which drops the offset.
                let becomes = reading.becomes.as_ref()?;
                Some(format!(
                    "CASE WHEN {column} IS NOT NULL THEN {column}::{becomes} END AS {column}"
                ))
            })
            .collect();
        if become_other.is_empty() {
            return typed;
        }
        format!(
            "(SELECT * REPLACE ({}) FROM {typed})",
            become_other.join(", ")
        )
    }
}

impl Reading {
    fn new(column: &str, read_as: &str, becomes: Option<&str>) -> Self {
        Self {
            column: column.to_owned(),
            read_as: read_as.to_owned(),
            becomes: becomes.map(str::to_owned),
        }
    }

    fn text(column: &str) -> Self {
        Self::new(column, TEXT, None)
    }
}

/// SQL for the type that all texts of a column have, of which the first have told `told`; `None` if DuckDB reads no other
/// text as if it were of that.
fn type_of_all(column: &str, told: &str) -> Option<String> {
    let text = identifier(column);
    let like = |pattern: &str| format!("regexp_full_match(trim({text}), {})", literal(pattern));
    let is = |sql_type: &str| format!("TRY_CAST({text} AS {sql_type}) IS NOT NULL");
    let both = |pattern: &str, sql_type: &str| format!("{} AND {}", like(pattern), is(sql_type));
    let types = match told {
        "BIGINT" | "HUGEINT" | "BIGNUM" => vec![
            ("BIGINT", both(WHOLE, "BIGINT")),
            ("HUGEINT", both(WHOLE, "HUGEINT")),
            ("BIGNUM", both(WHOLE, "BIGNUM")),
            ("DOUBLE", both(NUMBER, "DOUBLE")),
        ],
        // How dates are written, DuckDB has found out; a time of day it cuts off.
        "DATE" => vec![
            ("DATE", format!("NOT contains({text}, ':')")),
            (OFFSET_NS, is(OFFSET_NS)),
        ],
        _ => return None,
    };
    let whens = types.into_iter().map(|(sql_type, holds)| {
        format!(
            "WHEN coalesce(bool_and({holds}) FILTER ({text} IS NOT NULL), true) THEN '{sql_type}'"
        )
    });
    let whens: Vec<String> = whens.collect();
    Some(format!("CASE {} ELSE '{TEXT}' END", whens.join(" ")))
}

/// SQL for whether all texts of a column are dates of which another order of day, month and year makes other dates.
fn is_unclear_date(column: &str) -> String {
    let (text, pattern) = (identifier(column), literal(SHORT_DATE));
    let part = |group: u8| format!("regexp_extract({text}, {pattern}, {group})");
    let number = |group: u8| format!("TRY_CAST({} AS INTEGER)", part(group));
    let [first, second, third] = [1, 3, 4].map(number);
    let point = format!("{} = '.'", part(2));
    let short = format!("length({}) = 2", part(4));
    // The day first, the month first, the year first.
    let orders = format!(
        "(max({second}) <= 12)::INTEGER + (max({first}) <= 12)::INTEGER
         + (bool_and({short}) AND max({second}) <= 12 AND max({third}) <= 31)::INTEGER"
    );
    // With points and a whole year the day is always first.
    let differ = format!(
        "IF({short}, {first} <> {second} OR {first} <> {third}, {first} <> {second} AND NOT {point})"
    );
    format!(
        "coalesce(bool_and(regexp_matches({text}, {pattern})) AND {orders} > 1 AND bool_or({differ}), false)"
    )
}

/// A type with its times to the nanosecond, as it is read and as it is kept; `None` if there is nothing to be cut off.
fn to_ns(sql_type: &str) -> Option<[String; 2]> {
    let (mut read, mut kept) = (String::new(), String::new());
    let mut quoted = false;
    let parts = sql_type.split_inclusive(|c: char| {
        quoted ^= c == '"';
        !quoted && "(),[]".contains(c)
    });
    for part in parts {
        // A field's name and its type, a type, or what stands between them.
        let field = part.trim_end_matches(['(', ')', ',', '[', ']']);
        let end = &part[field.len()..];
        let name_before = |sql_type: &str| {
            let name = field.strip_suffix(sql_type);
            name.filter(|name| name.is_empty() || name.ends_with(' '))
        };
        let (name, types) = match (name_before(OFFSET), name_before("TIME")) {
            (Some(name), _) => (name, [OFFSET_NS, UTC_NS]),
            (None, Some(name)) => (name, ["TIME_NS", "TIME_NS"]),
            (None, None) => (field, ["", ""]),
        };
        for (to, sql_type) in [&mut read, &mut kept].into_iter().zip(types) {
            to.push_str(name);
            to.push_str(sql_type);
            to.push_str(end);
        }
    }
    (read != sql_type).then_some([read, kept])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_times_become_those_of_nanoseconds_wherever_they_stand() {
        for (sql_type, read, kept) in [
            (OFFSET, OFFSET_NS, UTC_NS),
            ("TIME", "TIME_NS", "TIME_NS"),
            (
                "STRUCT(t TIMESTAMP WITH TIME ZONE, \"TIME\" TIME, \"a, TIME\" BIGINT)[]",
                "STRUCT(t TIMESTAMPTZ_NS, \"TIME\" TIME_NS, \"a, TIME\" BIGINT)[]",
                "STRUCT(t TIMESTAMP_NS, \"TIME\" TIME_NS, \"a, TIME\" BIGINT)[]",
            ),
            (
                "MAP(VARCHAR, TIMESTAMP WITH TIME ZONE[])",
                "MAP(VARCHAR, TIMESTAMPTZ_NS[])",
                "MAP(VARCHAR, TIMESTAMP_NS[])",
            ),
        ] {
            let found = to_ns(sql_type);
            assert_eq!(found, Some([read.to_owned(), kept.to_owned()]));
        }
        for other in [
            "TIMESTAMP",
            "DATE",
            "TIME WITH TIME ZONE",
            "STRUCT(t VARCHAR)",
        ] {
            assert_eq!(to_ns(other), None, "{other}");
        }
    }
}
