//! What the feeds cannot receive is requested: whole books to start from, and what was missed across a reconnect.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::feeds::{Missing, Want, WantKind, Wish};
use super::figures::Figures;
use crate::model::frame::{FeedEvent, Message};
use crate::sources::now_ns;
use crate::sources::rest::{Client, Error, Fetched, Query};
use crate::store::Readers;

/// Requests of a venue under way at once, of books and of what was missed; its own budget holds besides.
const AT_ONCE: usize = 8;
/// Requests that wait or are under way.
const MOST: usize = 10_000;
/// A book that is asked for again and again is asked for no more often than this, at first …
const AGAIN: Duration = Duration::from_millis(500);
/// … and in the end.
const AGAIN_AT_MOST: Duration = Duration::from_secs(5);
/// What could not be had is asked for no more seldom than this, …
const FAILED_AGAIN_AT_MOST: Duration = Duration::from_secs(30);
/// … unless the venue wants it later; even then, for it may be asked at another place meanwhile.
const LATER_AT_MOST: Duration = Duration::from_mins(10);
/// How often it is asked for in all: a book may not be there for good.
const ATTEMPTS: u32 = 100;
/// The times of trades around those that are missing need not be those of their neighbours to the last digit.
const AROUND_NS: i64 = 1_000_000_000;
/// How far before the hole the last stored trade is looked for.
const LOOK_BACK_NS: i64 = 86_400_000_000_000;

/// What a gap's `detail` says if the capture ended before a request had brought its trades: the next one asks for them.
pub(super) const STOPPED: &str = "trades of these ids were not received, and the capture was stopped before a request brought them";

/// When a book was last asked for, by venue and symbol, and how long to wait before the next time.
type Patience = HashMap<Book, (Instant, Duration)>;

/// Books that are being fetched, and whether they are to be fetched once more then.
type UnderWay = HashMap<Book, bool>;

/// Venue and symbol.
type Book = (Arc<str>, Arc<str>);

/// The REST sides of the venues that are captured.
pub(super) type Sides = HashMap<Arc<str>, Arc<Side>>;

/// The REST sides of the venues that are captured now.
#[derive(Default)]
pub struct Venues {
    by_name: Mutex<Sides>,
}

pub(super) struct Side {
    client: Client,
    /// The request that gives a book.
    snapshot: Option<String>,
    /// By channel.
    backfill: HashMap<String, Backfill>,
    /// Places of requests for books, and for what was missed: those may take long.
    books: Semaphore,
    missed: Semaphore,
}

/// How what was missed of a channel is had.
#[derive(Clone)]
struct Backfill {
    table: String,
    request: String,
    /// What stands before the numbers of its trades' ids, if they rise one by one.
    prefix: Option<String>,
}

impl Venues {
    /// Prepares for what is wished.
    ///
    /// # Errors
    /// If a venue's `[rest]` cannot be used.
    pub(super) fn prepare(&self, wishes: &[Wish]) -> Result<Sides, Error> {
        let mut sides = HashMap::new();
        for wish in wishes {
            let feed = &wish.venue.feed;
            let Some(rest) = &feed.rest else { continue };
            let url = wish.settings.first().and_then(|s| s.rest.as_deref());
            let mut client = Client::new(&wish.venue.name, rest, url, &wish.secrets)?;
            if let Some(before) = self.side(&wish.venue.name) {
                client = client.in_place_of(&before.client);
            }
            let channels = feed.channels.iter();
            let backfill = channels.filter_map(|(name, channel)| {
                let backfill = Backfill {
                    table: channel.table.clone(),
                    request: channel.backfill.clone()?,
                    prefix: channel.consecutive_ids.clone(),
                };
                Some((name.clone(), backfill))
            });
            let side = Side {
                client,
                snapshot: feed.book.as_ref().and_then(|book| book.snapshot.clone()),
                backfill: backfill.collect(),
                books: Semaphore::new(AT_ONCE),
                missed: Semaphore::new(AT_ONCE),
            };
            sides.insert(Arc::from(wish.venue.name.as_str()), Arc::new(side));
        }
        Ok(sides)
    }

    /// Takes up what was prepared.
    pub(super) fn set(&self, sides: Sides) {
        *lock(&self.by_name) = sides;
    }

    fn side(&self, venue: &str) -> Option<Arc<Side>> {
        lock(&self.by_name).get(venue).cloned()
    }
}

/// What the fetching of all venues needs.
pub struct Fetch {
    /// Where from.
    pub venues: Arc<Venues>,
    /// To look up what is stored.
    pub readers: Arc<Readers>,
    /// Which books are in step, and which trades are missing.
    pub figures: Arc<Figures>,
    /// Where what was fetched goes, and what came of it.
    pub out: mpsc::Sender<Message>,
}

/// Fulfils wants until there can be no more, or `out` is closed.
pub async fn run(fetch: Fetch, mut wants: mpsc::Receiver<Want>) {
    let fetch = Arc::new(fetch);
    let started_ns = now_ns();
    let mut patience = Patience::new();
    let books: Arc<Mutex<UnderWay>> = Arc::default();
    let mut under_way = JoinSet::new();
    while let Some(want) = wants.recv().await {
        while under_way.try_join_next().is_some() {}
        let fetch = Arc::clone(&fetch);
        if under_way.len() >= MOST {
            fetch.refuse(&want).await;
            continue;
        }
        if matches!(want.kind, WantKind::Snapshot | WantKind::Heal) {
            let book = (Arc::clone(&want.venue), Arc::clone(&want.symbol));
            if let Some(again) = lock(&books).get_mut(&book) {
                // What becomes of the request under way will be told; but it may be from before the connection was lost.
                *again |= want.kind == WantKind::Snapshot;
                continue;
            }
            lock(&books).insert(book.clone(), false);
            let (not_before, books) = (wait(&mut patience, &book), Arc::clone(&books));
            under_way.spawn(async move {
                tokio::time::sleep_until(not_before).await;
                fetch.book(&want, &books).await;
            });
            continue;
        }
        under_way.spawn(async move {
            fetch.missed(&want, started_ns).await;
            fetch.figures.answered(&want);
        });
    }
    under_way.shutdown().await;
}

/// When a book may be asked for: the sooner it was asked for before, the later.
fn wait(patience: &mut Patience, book: &Book) -> Instant {
    let now = Instant::now();
    let (last, pause) = patience.get(book).copied().unwrap_or((now, Duration::ZERO));
    let calm = now.saturating_duration_since(last) > AGAIN_AT_MOST * 2;
    let (at, next) = if pause.is_zero() || calm {
        (now, AGAIN)
    } else {
        (now.max(last + pause), (pause * 2).min(AGAIN_AT_MOST))
    };
    patience.insert(book.clone(), (at, next));
    at
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is asked for.
struct Request {
    name: String,
    /// The channel that the answer is to make up for.
    channel: Arc<str>,
    query: Query,
}

impl Fetch {
    /// Fetches a book, again and again until it is there or no longer needed.
    async fn book(&self, want: &Want, books: &Mutex<UnderWay>) {
        let book = (Arc::clone(&want.venue), Arc::clone(&want.symbol));
        let mut needed = want.kind == WantKind::Snapshot;
        loop {
            let side = self.venues.side(&want.venue);
            if let Some(name) = side.and_then(|side| side.snapshot.clone())
                && (needed || !self.figures.in_step(&want.venue, &want.symbol))
            {
                let request = Request {
                    name,
                    channel: "book".into(),
                    query: Query {
                        symbol: Some(Arc::clone(&want.symbol)),
                        ..Query::default()
                    },
                };
                self.fetch(want, &request).await;
            }
            let mut books = lock(books);
            needed = books.get_mut(&book).is_some_and(std::mem::take);
            if !needed {
                books.remove(&book);
                return;
            }
        }
    }

    /// Does not do what there is no room for: books and trades are asked for again, other things are told.
    async fn refuse(&self, want: &Want) {
        self.figures.put_off(want);
        if let WantKind::Backfill { channel, since_ns } = &want.kind {
            let request = Request {
                name: String::new(),
                channel: Arc::clone(channel),
                query: Query {
                    from_ns: *since_ns,
                    to_ns: Some(now_ns()),
                    ..Query::default()
                },
            };
            let detail = format!("not asked for: {MOST} requests wait");
            self.tell(want, &request, "backfill_failed", detail).await;
        }
    }

    /// Fetches what was missed of a channel.
    async fn missed(&self, want: &Want, started_ns: i64) {
        let Some(mut request) = self.what_was_missed(want, started_ns).await else {
            return;
        };
        while let Some(fetched) = self.fetch(want, &request).await {
            let told = told(&request.name, &fetched);
            self.tell(want, &request, "backfill", told).await;
            // There may be more than the pages of one request hold.
            let query = &mut request.query;
            let id = fetched
                .last_id
                .map(|id| id + 1)
                .filter(|id| query.from_id < Some(*id));
            let ns = fetched.last_ns.filter(|ns| query.from_ns < Some(*ns));
            if fetched.complete || (id.is_none() && ns.is_none()) {
                return;
            }
            (query.from_id, query.from_ns) = (id.or(query.from_id), ns.or(query.from_ns));
        }
    }

    /// Makes a request, again and again until it is answered. What fails is told each time.
    async fn fetch(&self, want: &Want, request: &Request) -> Option<Fetched> {
        let is_book = matches!(want.kind, WantKind::Snapshot | WantKind::Heal);
        let mut pause = AGAIN;
        for _ in 0..ATTEMPTS {
            // As it is configured by now.
            let side = self.venues.side(&want.venue)?;
            let places = if is_book { &side.books } else { &side.missed };
            let place = places.acquire().await.ok()?;
            let fetched = side.client.fetch(&request.name, &request.query, &self.out);
            let fetched = fetched.await;
            drop(place);
            let error = match fetched {
                Ok(fetched) => return Some(fetched),
                Err(Error::Closed) => return None,
                Err(error) => error,
            };
            let kind = if is_book {
                "snapshot_failed"
            } else {
                "backfill_failed"
            };
            self.tell(want, request, kind, error.to_string()).await;
            if error.is_final() && !is_book {
                return None;
            }
            // The client has tried what may be tried at once.
            let later = match error {
                Error::Later { wait, .. } => wait.min(LATER_AT_MOST),
                _ => Duration::ZERO,
            };
            tokio::time::sleep(pause.max(later)).await;
            pause = (pause * 2).min(FAILED_AGAIN_AT_MOST);
        }
        None
    }

    /// What to ask for; nothing where the venue gives nothing, or nothing was captured before.
    async fn what_was_missed(&self, want: &Want, started_ns: i64) -> Option<Request> {
        let side = self.venues.side(&want.venue)?;
        let mut query = Query {
            symbol: Some(Arc::clone(&want.symbol)),
            ..Query::default()
        };
        match &want.kind {
            WantKind::Snapshot | WantKind::Heal => None,
            WantKind::Trades { prefix, missing } => {
                let by_prefix =
                    |b: &&(&String, &Backfill)| b.1.prefix.as_deref() == Some(&**prefix);
                let (channel, backfill) = side.backfill.iter().find(|b| by_prefix(&b))?;
                let ((first, last), (from_ns, to_ns)) = (missing.ids, missing.times_ns);
                (query.from_id, query.to_id) = (Some(first), Some(last));
                query.from_ns = Some(from_ns.saturating_sub(AROUND_NS));
                query.to_ns = Some(to_ns.saturating_add(AROUND_NS));
                Some(Request {
                    name: backfill.request.clone(),
                    channel: channel.as_str().into(),
                    query,
                })
            }
            WantKind::Backfill { channel, since_ns } => {
                let backfill = side.backfill.get(&**channel)?.clone();
                // What was not received by this process before was missed since the one before it, whose last row it
                // is, not one that has come meanwhile.
                let (from, until) = match *since_ns {
                    Some(since) => (since.saturating_sub(LOOK_BACK_NS), since),
                    None => (0, started_ns),
                };
                let (wanted, readers) = (want.clone(), Arc::clone(&self.readers));
                let Backfill { table, prefix, .. } = backfill.clone();
                let first_time = since_ns.is_none();
                let read = move || {
                    let (ts, id) =
                        last_stored(&readers, &wanted, &table, prefix.as_deref(), from, until)?;
                    let number = id.as_deref().and_then(number_of);
                    // A process that was killed may have stored what came after a hole, and not yet what fills it.
                    let missing = match (&prefix, number) {
                        (Some(prefix), Some(_)) if first_time => {
                            missing(&readers, &wanted, prefix, until)
                        }
                        _ => Vec::new(),
                    };
                    Some((ts, number, missing))
                };
                // What was never captured has no beginning.
                let (ts, number, missing) =
                    tokio::task::spawn_blocking(read).await.ok().flatten()?;
                if let (true, Some(number), Some(prefix)) = (first_time, number, &backfill.prefix) {
                    self.figures.found(want, prefix, &missing, (number, ts));
                }
                query.from_ns = Some(since_ns.map_or(ts, |since| since.min(ts)));
                query.from_id = number.map(|number| number + 1);
                query.to_ns = Some(now_ns());
                Some(Request {
                    name: backfill.request,
                    channel: Arc::clone(channel),
                    query,
                })
            }
        }
    }

    async fn tell(&self, want: &Want, request: &Request, kind: &'static str, detail: String) {
        if kind.ends_with("failed") {
            tracing::warn!(venue = %want.venue, symbol = %want.symbol, "{detail}");
        }
        let event = FeedEvent {
            venue: Arc::clone(&want.venue),
            symbol: Some(Arc::clone(&want.symbol)),
            channel: Some(Arc::clone(&request.channel)),
            at_ns: now_ns(),
            kind,
            ids: request.query.from_id.zip(request.query.to_id),
            times_ns: request.query.from_ns.zip(request.query.to_ns),
            detail,
        };
        // The writer has ended: nobody is left to be told.
        let _ = self.out.send(Message::Event(event)).await;
    }
}

fn told(request: &str, fetched: &Fetched) -> String {
    let rest = if fetched.complete {
        ""
    } else {
        "; there is more"
    };
    format!(
        "{} records in {} pages of {request}{rest}",
        fetched.records, fetched.pages
    )
}

/// Time and id of the last row before the hole, of what is stored. The times are those of receiving, ns.
fn last_stored(
    readers: &Readers,
    want: &Want,
    table: &str,
    prefix: Option<&str>,
    from: i64,
    until: i64,
) -> Option<(i64, Option<String>)> {
    let reader = readers.open().ok()?;
    let id = if table == crate::model::TRADES {
        "trade_id"
    } else {
        "NULL::VARCHAR"
    };
    // Where channels with ids of different kinds fill one table, another's last row says nothing.
    let own = if prefix.is_some() {
        "regexp_full_match(trade_id, ? || '[0-9]+')"
    } else {
        "?::VARCHAR IS NULL"
    };
    let sql = format!(
        "SELECT epoch_ns(ts), {id} FROM main.{table}
         WHERE venue = ? AND symbol = ? AND recv_ts <= make_timestamp_ns(?) AND recv_ts >= make_timestamp_ns(?) AND {own}
         ORDER BY ts DESC, seq DESC LIMIT 1"
    );
    let parameters = duckdb::params![&*want.venue, &*want.symbol, until, from, prefix];
    match reader
        .connection
        .query_row(&sql, parameters, |row| Ok((row.get(0)?, row.get(1)?)))
    {
        Ok(last) => Some(last),
        Err(duckdb::Error::QueryReturnedNoRows) => None,
        Err(error) => {
            tracing::error!(venue = %want.venue, symbol = %want.symbol, %error, "what was missed cannot be told");
            None
        }
    }
}

/// What is missing between trades stored until then, of the day before, unless it is known to be lost. The latest first.
fn missing(readers: &Readers, want: &Want, prefix: &str, until: i64) -> Vec<Missing> {
    let sql = "WITH own AS (
             SELECT substr(trade_id, length($3) + 1)::UBIGINT AS n, epoch_ns(ts) AS ns, recv_ts FROM main.trades
             WHERE venue = $1 AND symbol = $2 AND recv_ts <= make_timestamp_ns($4)
               AND regexp_full_match(trade_id, $3 || '[0-9]+')
         ), recent AS (
             SELECT n, min(ns) AS ns FROM own
             WHERE recv_ts >= (SELECT max(recv_ts) FROM own) - INTERVAL '1 day' GROUP BY n
         ), holes AS (
             SELECT n + 1 AS first, lead(n) OVER (ORDER BY n) - 1 AS last, ns AS from_ns, lead(ns) OVER (ORDER BY n) AS to_ns
             FROM recent
         )
         SELECT first, last, from_ns, to_ns FROM holes WHERE last >= first AND NOT EXISTS (
             FROM main.feed_events e
             WHERE e.venue = $1 AND e.symbol = $2 AND e.channel = 'trades' AND e.kind = 'gap'
               AND e.detail <> $5 AND e.from_id <= first AND e.to_id >= last)
         ORDER BY first DESC LIMIT 64";
    let parameters = duckdb::params![&*want.venue, &*want.symbol, prefix, until, STOPPED];
    let read = || -> duckdb::Result<Vec<Missing>> {
        let Ok(reader) = readers.open() else {
            return Ok(Vec::new());
        };
        let mut statement = reader.connection.prepare(sql)?;
        let rows = statement.query_map(parameters, |row| {
            Ok(Missing {
                ids: (row.get(0)?, row.get(1)?),
                times_ns: (row.get(2)?, row.get(3)?),
            })
        })?;
        rows.collect()
    };
    read().unwrap_or_else(|error| {
        tracing::error!(venue = %want.venue, symbol = %want.symbol, %error, "what is missing cannot be told");
        Vec::new()
    })
}

/// The number that an id ends with.
fn number_of(id: &str) -> Option<u64> {
    let digits = id.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits.parse().ok()
}
