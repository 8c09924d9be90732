//! What the feeds cannot receive is requested: whole books to start from, and what was missed across a reconnect.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::feeds::{Want, WantKind, Wish};
use super::figures::Figures;
use crate::model::frame::{FeedEvent, Message};
use crate::sources::now_ns;
use crate::sources::rest::{Client, Error, Fetched, Query};
use crate::store::Readers;

/// Requests under way at once; the venues' own budgets hold besides.
const AT_ONCE: usize = 16;
/// A book that is asked for again and again is asked for no more often than this, at first …
const AGAIN: Duration = Duration::from_millis(500);
/// … and in the end.
const AGAIN_AT_MOST: Duration = Duration::from_secs(5);
/// A book whose request fails is asked for no more seldom than this …
const FAILED_AGAIN_AT_MOST: Duration = Duration::from_secs(30);
/// … and no more often in all: it may be that there is none.
const ATTEMPTS: u32 = 100;
/// Trades that were passed over are no older than this.
const JUST_NOW_NS: i64 = 60_000_000_000;
/// How far before the hole the last stored trade is looked for.
const LOOK_BACK_NS: i64 = 86_400_000_000_000;

/// When a book was last asked for, by venue and symbol, and how long to wait before the next time.
type Patience = HashMap<Book, (Instant, Duration)>;

/// Books that are being fetched, and whether they are to be fetched once more then.
type UnderWay = HashMap<Book, bool>;

/// Venue and symbol.
type Book = (Arc<str>, Arc<str>);

/// The REST side of the venues that are captured.
#[derive(Default)]
pub struct Venues {
    by_name: Mutex<HashMap<Arc<str>, Arc<Side>>>,
}

struct Side {
    client: Client,
    /// The request that gives a book.
    snapshot: Option<String>,
    /// By channel.
    backfill: HashMap<String, Backfill>,
}

/// How what was missed of a channel is had.
struct Backfill {
    table: String,
    request: String,
    /// What stands before the numbers of its trades' ids, if they rise one by one.
    prefix: Option<String>,
}

impl Venues {
    /// Takes up what is wished now.
    ///
    /// # Errors
    /// If a venue's `[rest]` cannot be used; nothing has changed then.
    pub fn set(&self, wishes: &[Wish]) -> Result<(), Error> {
        let mut sides = HashMap::new();
        for wish in wishes {
            let feed = &wish.venue.feed;
            let Some(rest) = &feed.rest else { continue };
            let url = wish.settings.first().and_then(|s| s.rest.as_deref());
            let client = Client::new(&wish.venue.name, rest, url, &wish.secrets)?;
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
            };
            sides.insert(Arc::from(wish.venue.name.as_str()), Arc::new(side));
        }
        *lock(&self.by_name) = sides;
        Ok(())
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
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let started_ns = now_ns();
    let mut patience = Patience::new();
    let books: Arc<Mutex<UnderWay>> = Arc::default();
    let mut under_way = JoinSet::new();
    while let Some(want) = wants.recv().await {
        while under_way.try_join_next().is_some() {}
        let Some(side) = fetch.venues.side(&want.venue) else {
            continue;
        };
        let (fetch, places) = (Arc::clone(&fetch), Arc::clone(&places));
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
                fetch.book(&side, &want, &places, &books).await;
            });
            continue;
        }
        let Ok(place) = places.acquire_owned().await else {
            break;
        };
        under_way.spawn(async move {
            let _place = place;
            fetch.missed(&side, &want, started_ns).await;
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

impl Fetch {
    /// Fetches a book, again and again until it is there or no longer needed.
    async fn book(&self, side: &Side, want: &Want, places: &Semaphore, books: &Mutex<UnderWay>) {
        let book = (Arc::clone(&want.venue), Arc::clone(&want.symbol));
        let mut needed = want.kind == WantKind::Snapshot;
        loop {
            if needed || !self.figures.in_step(&want.venue, &want.symbol) {
                self.snapshot(side, want, places).await;
            }
            let mut books = lock(books);
            needed = books.get_mut(&book).is_some_and(std::mem::take);
            if !needed {
                books.remove(&book);
                return;
            }
        }
    }

    async fn snapshot(&self, side: &Side, want: &Want, places: &Semaphore) {
        let Some(request) = &side.snapshot else {
            return;
        };
        let query = Query {
            symbol: Some(Arc::clone(&want.symbol)),
            ..Query::default()
        };
        let mut pause = AGAIN;
        for _ in 0..ATTEMPTS {
            let Ok(place) = places.acquire().await else {
                return;
            };
            let fetched = side.client.fetch(request, &query, &self.out).await;
            drop(place);
            let Err(error) = fetched else { return };
            if matches!(error, Error::Closed) {
                return;
            }
            self.tell(want, "book", "snapshot_failed", &query, error.to_string())
                .await;
            // The client has tried what may be tried at once.
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(FAILED_AGAIN_AT_MOST);
        }
    }

    /// Fetches what was missed of a channel.
    async fn missed(&self, side: &Side, want: &Want, started_ns: i64) {
        let mut query = Query {
            symbol: Some(Arc::clone(&want.symbol)),
            ..Query::default()
        };
        let (request, channel) = match &want.kind {
            WantKind::Snapshot | WantKind::Heal => return,
            WantKind::Trades {
                prefix,
                first,
                last,
            } => {
                let by_prefix =
                    |b: &&(&String, &Backfill)| b.1.prefix.as_deref() == Some(&**prefix);
                let Some((channel, backfill)) = side.backfill.iter().find(|b| by_prefix(&b)) else {
                    self.figures.answered(want);
                    return;
                };
                (query.from_id, query.to_id) = (Some(*first), Some(*last));
                // For requests by time: it was noticed just now.
                query.from_ns = Some(now_ns().saturating_sub(JUST_NOW_NS));
                query.to_ns = Some(now_ns());
                (&backfill.request, &**channel)
            }
            WantKind::Backfill { channel, since_ns } => {
                let Some(backfill) = side.backfill.get(&**channel) else {
                    return;
                };
                // What was not received by this process before was missed since the one before it, whose last row it
                // is, not one that has come meanwhile.
                let (from, until) = match *since_ns {
                    Some(since) => (since.saturating_sub(LOOK_BACK_NS), since),
                    None => (0, started_ns),
                };
                let (wanted, readers) = (want.clone(), Arc::clone(&self.readers));
                let (table, prefix) = (backfill.table.clone(), backfill.prefix.clone());
                let first_time = since_ns.is_none();
                let read = move || {
                    let stored =
                        last_stored(&readers, &wanted, &table, prefix.as_deref(), from, until)?;
                    // A process that was killed may have stored what came after a hole, and not yet what fills it.
                    let last = stored.1.as_deref().and_then(number_of);
                    let missing = match (&prefix, last) {
                        (Some(prefix), Some(last)) if first_time => {
                            Some((missing(&readers, &wanted, prefix, until), last))
                        }
                        _ => None,
                    };
                    Some((stored, missing))
                };
                // What was never captured has no beginning.
                let Some(((ts, id), missing)) =
                    tokio::task::spawn_blocking(read).await.ok().flatten()
                else {
                    return;
                };
                if let (Some((missing, last)), Some(prefix)) = (missing, &backfill.prefix) {
                    self.figures.found(want, prefix, &missing, last);
                }
                query.from_ns = Some(since_ns.map_or(ts, |since| since.min(ts)));
                query.from_id = id.and_then(|id| number_of(&id)).map(|id| id + 1);
                query.to_ns = Some(now_ns());
                (&backfill.request, &**channel)
            }
        };
        match side.client.fetch(request, &query, &self.out).await {
            Err(Error::Closed) => return,
            Ok(fetched) => {
                self.tell(want, channel, "backfill", &query, told(request, &fetched))
                    .await;
            }
            Err(error) => {
                self.tell(want, channel, "backfill_failed", &query, error.to_string())
                    .await;
            }
        }
        self.figures.answered(want);
    }

    async fn tell(
        &self,
        want: &Want,
        channel: &str,
        kind: &'static str,
        query: &Query,
        detail: String,
    ) {
        if kind.ends_with("failed") {
            tracing::warn!(venue = %want.venue, symbol = %want.symbol, "{detail}");
        }
        let event = FeedEvent {
            venue: Arc::clone(&want.venue),
            symbol: Some(Arc::clone(&want.symbol)),
            channel: Some(channel.into()),
            at_ns: now_ns(),
            kind,
            ids: query.from_id.zip(query.to_id),
            times_ns: query.from_ns.zip(query.to_ns),
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

/// Ranges of ids that are missing between trades stored until then, of the day before, unless they are known to be lost. The
/// latest first.
fn missing(readers: &Readers, want: &Want, prefix: &str, until: i64) -> Vec<(u64, u64)> {
    let sql = "WITH own AS (
             SELECT substr(trade_id, length($3) + 1)::UBIGINT AS n, recv_ts FROM main.trades
             WHERE venue = $1 AND symbol = $2 AND recv_ts <= make_timestamp_ns($4)
               AND regexp_full_match(trade_id, $3 || '[0-9]+')
         ), recent AS (
             SELECT DISTINCT n FROM own WHERE recv_ts >= (SELECT max(recv_ts) FROM own) - INTERVAL '1 day'
         ), holes AS (
             SELECT n + 1 AS first, lead(n) OVER (ORDER BY n) - 1 AS last FROM recent
         )
         SELECT first, last FROM holes WHERE last >= first AND NOT EXISTS (
             FROM main.feed_events e
             WHERE e.venue = $1 AND e.symbol = $2 AND e.channel = 'trades' AND e.kind = 'gap'
               AND e.from_id <= first AND e.to_id >= last)
         ORDER BY first DESC LIMIT 64";
    let parameters = duckdb::params![&*want.venue, &*want.symbol, prefix, until];
    let read = || -> duckdb::Result<Vec<(u64, u64)>> {
        let Ok(reader) = readers.open() else {
            return Ok(Vec::new());
        };
        let mut statement = reader.connection.prepare(sql)?;
        let rows = statement.query_map(parameters, |row| Ok((row.get(0)?, row.get(1)?)))?;
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
