//! Files of no known make: their columns are matched to a canonical table's by name, as `sql/files/auto.toml` lists
//! them, and read by type.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::dialect::one_field;
use super::{Import, refused};
use crate::model::sql::{identifier, literal};
use crate::model::{BOOK_DELTAS, TRADES};
use crate::sources::files::Input;
use crate::sqltree::SqlTree;
use crate::store::catalog::{Catalog, Table, VENUE};
use crate::store::error::{Error, Result};

const FILE: &str = "files/auto.toml";

/// Best bids and asks …
const QUOTES: &str = "quotes";
/// … the price and size of each side.
const SIDES: [[&str; 2]; 2] = [["bid_price", "bid_size"], ["ask_price", "ask_size"]];

/// Who was the aggressor, or whose level it is.
const SIDE: &str = "side";

/// A column of times of day, if a file has it beside …
const TIME: &str = "time";
/// … a column of their dates.
const DATE: &str = "date";

/// For each canonical column the names that vendors give it, the likeliest first.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Names {
    /// Tables that a file may be, in the order of preference.
    tables: Vec<String>,
    /// Tables that a file is only if the user says so.
    #[serde(default)]
    only_into: Vec<String>,
    /// Columns of trades that say whether the buyer was the maker.
    #[serde(default)]
    buyer_is_maker: Vec<String>,
    columns: BTreeMap<String, Vec<String>>,
}

/// How a file's columns become a table's.
pub(super) struct Auto {
    pub(super) table: Arc<Table>,
    pub(super) sql: String,
    /// Column of the file, column of the table.
    pub(super) mapping: Vec<(String, String)>,
}

/// The table that has the most of the file's columns, of those whose required columns it has all.
pub(super) fn map(
    tree: &SqlTree,
    catalog: &Catalog,
    columns: &[(String, String)],
    input: &Input,
    import: &Import,
) -> Result<Auto> {
    let (origin, toml) = tree.toml(FILE).ok_or_else(|| Error::Model {
        file: format!("sql/{FILE}"),
        message: "it is missing".to_owned(),
    })?;
    let names: Names = toml::from_str(toml).map_err(|error| Error::Model {
        file: origin.to_owned(),
        message: error.to_string(),
    })?;
    let mut best: Option<Auto> = None;
    let mut lacking = Vec::new();
    for table in names
        .tables
        .iter()
        .chain(names.only_into.iter().filter(|_| import.into.is_some()))
        .filter(|t| import.into.as_ref().is_none_or(|into| into == *t))
    {
        let table = catalog.filled_by(origin, table)?;
        match map_to(table, &names, columns, import) {
            Ok(auto)
                if best
                    .as_ref()
                    .is_none_or(|b| auto.mapping.len() > b.mapping.len()) =>
            {
                best = Some(auto);
            }
            Ok(_) => {}
            Err(column) => lacking.push(format!("{} lacks '{column}'", table.name)),
        }
    }
    best.ok_or_else(|| {
        let has: Vec<&str> = columns.iter().map(|(n, _)| n.as_str()).collect();
        refused(
            input,
            format!(
                "its columns are: {}\n  as a table of mdb's: {}\n  hint: say --venue, --symbol, --set COLUMN=VALUE or --rename OLD=NEW; or --into NAME for a table of your own{}",
                has.join(", "),
                if lacking.is_empty() { "none: what --into names is filled by mdb itself".to_owned() } else { lacking.join("; ") },
                one_field(input)
            ),
        )
    })
}

/// The first column that the file lacks and must have, if there is one.
fn map_to(
    table: &Arc<Table>,
    names: &Names,
    columns: &[(String, String)],
    import: &Import,
) -> Result<Auto, String> {
    let mut list = vec!["file_row".to_owned()];
    let mut mapping = Vec::new();
    let has_default = |column: &str| import.defaults.iter().any(|(name, _)| *name == column);
    for column in table.columns.iter().filter(|c| c.name != "seq") {
        let found = found(&column.name, names, columns);
        let said = match column.name.as_str() {
            VENUE => import.venue.as_ref().map(|_| "given_venue"),
            "symbol" => import.symbol.as_ref().map(|_| "given_symbol"),
            _ => None,
        };
        let sql = match (said, found) {
            (Some(said), _) => said.to_owned(),
            (None, Some((from, sql_type))) => {
                let may_be_of_day = from.eq_ignore_ascii_case(TIME)
                    && !sql_type.to_lowercase().starts_with("timestamp")
                    && import.shape.date_format.is_none();
                let date = columns
                    .iter()
                    .map(|(c, _)| c.as_str())
                    .find(|c| may_be_of_day && c.eq_ignore_ascii_case(DATE));
                let both = date.into_iter().chain([from.as_str()]);
                mapping.extend(both.map(|from| (from.to_owned(), column.name.clone())));
                expression(
                    table,
                    &column.name,
                    &column.sql_type,
                    (date, from.as_str()),
                    sql_type,
                    import,
                )
            }
            (None, None)
                if column.required && column.name != "recv_ts" && !has_default(&column.name) =>
            {
                return Err(column.name.clone());
            }
            (None, None) => {
                let mut makers = names.buyer_is_maker.iter();
                let maker = makers.find_map(|name| called(name, columns));
                let Some((from, _)) = maker.filter(|_| table.name == TRADES && column.name == SIDE)
                else {
                    continue;
                };
                mapping.push((from.clone(), column.name.clone()));
                format!(
                    "CASE TRY_CAST({} AS BOOLEAN) WHEN true THEN 'sell' WHEN false THEN 'buy' ELSE 'unknown' END",
                    identifier(from)
                )
            }
        };
        let sql = if table.name == QUOTES {
            unless_empty(sql, &column.name, names, columns)
        } else {
            sql
        };
        list.push(format!("{sql} AS {}", identifier(&column.name)));
    }
    // Quotes need neither side; but a row of the market without a single number says nothing.
    let is_filled = |name: &str| mapping.iter().any(|(_, to)| to == name) || has_default(name);
    let mut numbers = table.columns.iter().filter(|c| c.sql_type == "DOUBLE");
    if names.tables.contains(&table.name)
        && let Some(first) = numbers.clone().next()
        && !numbers.any(|c| is_filled(&c.name))
    {
        return Err(first.name.clone());
    }
    Ok(Auto {
        table: Arc::clone(table),
        sql: format!("SELECT {} FROM file", list.join(",\n       ")),
        mapping,
    })
}

/// The file's column of this name.
fn called<'a>(name: &str, columns: &'a [(String, String)]) -> Option<&'a (String, String)> {
    columns
        .iter()
        .find(|(column, _)| column.eq_ignore_ascii_case(name))
}

/// The file's column that is a table's, by its own name or one that vendors give it.
fn found<'a>(
    column: &str,
    names: &Names,
    columns: &'a [(String, String)],
) -> Option<&'a (String, String)> {
    let others = names.columns.get(column).into_iter().flatten();
    std::iter::once(column)
        .chain(others.map(String::as_str))
        .find_map(|name| called(name, columns))
}

/// SQL for a column of quotes. Where price and size of a side are both 0, there is no bid, or no ask.
fn unless_empty(sql: String, column: &str, names: &Names, columns: &[(String, String)]) -> String {
    let Some([price, size]) = SIDES.iter().find(|side| side.contains(&column)) else {
        return sql;
    };
    let number = |name: &str| {
        let (from, _) = found(name, names, columns)?;
        Some(format!("TRY_CAST({} AS DOUBLE)", identifier(from)))
    };
    let (Some(price), size) = (number(price), number(size)) else {
        return sql;
    };
    let size = size.unwrap_or_else(|| "0".to_owned());
    format!("IF({price} = 0 AND coalesce({size}, 0) = 0, NULL, {sql})")
}

fn expression(
    table: &Table,
    column: &str,
    wanted: &str,
    (date, from): (Option<&str>, &str),
    sql_type: &str,
    import: &Import,
) -> String {
    let quoted = identifier(from);
    let given = sql_type.to_lowercase();
    let is_time = given.starts_with("timestamp") || given.starts_with("date");
    let is_text = ["varchar", "utf8", "largeutf8", "utf8view"].contains(&given.as_str());
    if wanted == "TIMESTAMP_NS" && !is_time {
        if let Some(date) = date {
            return format!("from_date_and_time({}, {quoted})", identifier(date));
        }
        return match &import.shape.date_format {
            Some(format) => {
                format!(
                    "try_strptime({quoted}::VARCHAR, {})::TIMESTAMP_NS",
                    literal(format)
                )
            }
            None if is_text => {
                format!("coalesce(from_iso({quoted}), from_number({quoted}))")
            }
            None => format!("from_number({quoted})"),
        };
    }
    if column == SIDE {
        let [buy, sell, other] = if table.name == BOOK_DELTAS {
            ["'bid'", "'ask'", "NULL"]
        } else {
            ["'buy'", "'sell'", "'unknown'"]
        };
        // One by one: DuckDB would make a join of a list.
        let words = |spellings: [&str; 4], side: &str| -> String {
            let when = spellings.map(|word| format!("WHEN '{word}' THEN {side}"));
            when.join(" ")
        };
        let buys = words(["buy", "b", "bid", "1"], buy);
        let sells = words(["sell", "s", "ask", "-1"], sell);
        return format!(
            "CASE {quoted}::VARCHAR WHEN {buy} THEN {buy} WHEN {sell} THEN {sell}
             ELSE CASE lower({quoted}::VARCHAR) {buys} {sells} WHEN 'a' THEN {sell} ELSE {other} END END"
        );
    }
    quoted
}
