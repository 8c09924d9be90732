//! Answers to requests: the book at the present position, and pages of what has been up to it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use minijinja::value::Serde;
use serde_json::Value;

use super::books::{BookUpdate, Books, Snapshot};
use super::pattern::{Address, Filled};
use super::protocol::{Protocol, Symbol, no_secrets, rfc3339};
use super::recording::Sql;
use super::{Error, Query};
use crate::model::sql::literal;
use crate::query::Session;
use crate::venues::Venue;
use crate::venues::feed::History;
use crate::venues::template;

/// A page's records, where neither the history nor the request says.
const PAGE_ROWS: usize = 1000;
/// The parameter by which an address of a next page finds its place.
pub(super) const PAGE: &str = "mdb_page";

/// The requests that can be answered, and the database that knows how.
pub(super) struct Answers {
    requests: Vec<Request>,
    session: Mutex<Session>,
    sql: Sql,
    venue: String,
}

/// A request of `feed.toml`.
pub(super) struct Request {
    pub(super) address: Address,
    pub(super) kind: Kind,
}

/// What it asks for.
pub(super) enum Kind {
    /// The whole book.
    Book,
    /// Rows of a canonical table.
    History {
        table: String,
        history: History,
        rows: usize,
        /// Of bars: how long they are.
        interval: Option<String>,
    },
}

/// One page that is asked for.
pub(super) struct Wanted<'r> {
    pub(super) table: &'r str,
    pub(super) history: &'r History,
    pub(super) rows: usize,
    pub(super) interval: Option<&'r str>,
    pub(super) symbol: &'r str,
    pub(super) filled: &'r Filled,
    /// Nothing after this receive time has happened yet, ns.
    pub(super) until_ns: i64,
    /// Records that earlier pages held.
    pub(super) skip: usize,
}

/// A page, and whether there is another.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) rows: Vec<Value>,
    pub(super) more: bool,
}

impl Answers {
    /// # Errors
    /// If a request's template calculates with its names in a way that cannot be read back.
    pub(super) fn new(session: Session, sql: Sql, venue: &Venue) -> Result<Self, Error> {
        let feed = &venue.feed;
        let replay = feed.replay.as_ref();
        let none = BTreeMap::new();
        let histories = replay.map_or(&none, |replay| &replay.history);
        let requests = feed.rest.as_ref().map(|rest| &rest.requests);
        let book = feed.book.as_ref().and_then(|book| book.snapshot.as_deref());
        let mut known = Vec::new();
        for (name, request) in requests.into_iter().flatten() {
            let page = request.page.as_ref();
            let kind = match histories.get(name) {
                Some(history) => Kind::History {
                    table: request.table.clone(),
                    history: history.clone(),
                    rows: history
                        .rows
                        .or(page.and_then(|page| page.full))
                        .unwrap_or(PAGE_ROWS),
                    interval: name.strip_prefix("bars_").map(str::to_owned),
                },
                None if book == Some(name) && replay.is_some_and(|r| r.snapshot.is_some()) => {
                    Kind::Book
                }
                None => continue,
            };
            // A venue's own tokens, such as the time of the last row, are answered like the beginning of a range.
            let history = histories.get(name);
            let tokens = history.is_none_or(|h| h.page.names().contains("next_token"));
            let address =
                Address::new(&request.path, tokens).map_err(|source| Error::Template {
                    venue: venue.name.clone(),
                    source,
                })?;
            known.push(Request { address, kind });
        }
        Ok(Self {
            requests: known,
            session: Mutex::new(session),
            sql,
            venue: literal(&venue.name),
        })
    }

    /// The request that a client made, and what it filled in.
    pub(super) fn find(&self, path: &str, query: &Query) -> Option<(&Request, Filled)> {
        self.requests
            .iter()
            .find_map(|request| Some((request, request.address.read(path, query)?)))
    }

    /// The first book of a symbol that the recording has after `seq`. Blocks.
    pub(super) fn later_book(
        &self,
        protocol: &Protocol,
        rule: crate::model::Sequencing,
        symbol: Symbol,
        seq: u64,
    ) -> Result<Option<Snapshot>, Error> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let name = protocol.symbol_name(symbol);
        let update: Option<BookUpdate> =
            self.sql.next_snapshot(&mut session, protocol, name, seq)?;
        Ok(update.and_then(|update| {
            let mut books = Books::new(rule);
            books.apply(&update);
            books.snapshot(symbol)
        }))
    }

    /// A page of history. Blocks.
    pub(super) fn page(&self, wanted: &Wanted<'_>) -> Result<Rows, Error> {
        let sql = self.page_sql(wanted);
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows: Vec<Value> = session
            .strings(&sql)?
            .into_iter()
            .filter_map(|mut row| serde_json::from_str(&row.pop()??).ok())
            .map(spelled)
            .collect();
        let more = rows.len() > wanted.rows;
        rows.truncate(wanted.rows);
        Ok(Rows { rows, more })
    }

    fn page_sql(&self, wanted: &Wanted<'_>) -> String {
        let number = |name: &str| wanted.filled.get(name)?.parse::<i64>().ok();
        let time = |side: &str, ms_end: i64| {
            let ns = number(&format!("{side}_ns"));
            let ms = number(&format!("{side}_ms"))
                .and_then(|ms| ms.checked_mul(1_000_000)?.checked_add(ms_end));
            let text = wanted.filled.get(&format!("{side}_time"));
            let at: Option<jiff::Timestamp> = text.and_then(|text| text.parse().ok());
            ns.or(ms)
                .or_else(|| i64::try_from(at?.as_nanosecond()).ok())
        };
        // The number in an id; what has none cannot be asked for by one.
        let id = match wanted.table {
            "trades" => "TRY_CAST(regexp_extract(trade_id, '[0-9]+$') AS UBIGINT)",
            "quotes" => "update_id",
            _ => "NULL::UBIGINT",
        };
        let mut conditions = vec![
            format!("venue = {}", self.venue),
            format!("symbol = {}", literal(wanted.symbol)),
            format!("recv_ts <= make_timestamp_ns({})", wanted.until_ns),
        ];
        if wanted.table == "trades" {
            let not = if wanted.history.aggregates {
                ""
            } else {
                "NOT "
            };
            conditions.push(format!(
                "{not}coalesce(list_contains(conditions, 'aggregate'), false)"
            ));
        }
        if let Some(from) = time("from", 0) {
            conditions.push(format!("ts >= make_timestamp_ns({from})"));
        }
        if let Some(to) = time("to", 999_999) {
            conditions.push(format!("ts <= make_timestamp_ns({to})"));
        }
        let interval = wanted.filled.get("interval").map(String::as_str);
        if wanted.table == "bars"
            && let Some(interval) = interval.or(wanted.interval)
        {
            conditions.push(format!("\"interval\" = {}", literal(interval)));
        }
        let from_id = number("from_id");
        if let Some(from) = from_id {
            conditions.push(format!("{id} >= {from}"));
        }
        format!(
            "SELECT to_json(r)::VARCHAR FROM (
                 SELECT * EXCLUDE (venue, recv_ts, ts), {id} AS id, epoch_ns(ts) AS ts_ns FROM \"{}\"
                 WHERE {} ORDER BY {}, seq LIMIT {} OFFSET {}) r",
            wanted.table,
            conditions.join(" AND "),
            if from_id.is_some() { "id" } else { "ts" },
            wanted.rows + 1,
            wanted.skip
        )
    }
}

/// A row as templates see it: fractions as the shortest text that is the number, the time in its usual forms.
fn spelled(row: Value) -> Value {
    let Value::Object(mut row) = row else {
        return row;
    };
    if let Some(ns) = row.get("ts_ns").and_then(Value::as_i64) {
        row.insert("ts".to_owned(), rfc3339(ns).into());
        row.insert("ts_ms".to_owned(), ns.div_euclid(1_000_000).into());
    }
    for value in row.values_mut() {
        if let Value::Number(number) = value
            && let Some(fraction) = number.as_f64().filter(|_| number.is_f64())
        {
            *value = fraction.to_string().into();
        }
    }
    Value::Object(row)
}

/// The names that a page may use.
pub(super) fn names(
    symbol: &str,
    rows: &Rows,
    next_token: Option<String>,
    next_url: Option<String>,
) -> template::Names {
    no_secrets()
        .with("symbol", symbol)
        .with("rows", template::Value::from(Serde(&rows.rows)))
        .with("next_token", next_token)
        .with("next_url", next_url)
}
