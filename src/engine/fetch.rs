//! What the feeds cannot receive is requested: whole books to start from, and what was missed across a reconnect.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::feeds::{Want, WantKind, Wish};
use crate::model::frame::{FeedEvent, Message};
use crate::sources::now_ns;
use crate::sources::rest::{Client, Error, Fetched, Query};
use crate::store::Readers;

/// Requests under way at once; the venues' own budgets hold besides.
const AT_ONCE: usize = 16;
/// A book that is asked for again and again is asked for no more often than this, at first …
const AGAIN: Duration = Duration::from_millis(500);
/// … and in the end.
const AGAIN_AT_MOST: Duration = Duration::from_secs(30);
/// How far before the hole the last stored trade is looked for.
const LOOK_BACK_NS: i64 = 86_400_000_000_000;

/// When a book was last asked for, by venue and symbol, and how long to wait before the next time.
type Patience = HashMap<(Arc<str>, Arc<str>), (Instant, Duration)>;

/// The REST side of the venues that are captured.
#[derive(Default)]
pub struct Venues {
    by_name: Mutex<HashMap<Arc<str>, Arc<Side>>>,
}

struct Side {
    client: Client,
    /// The request that gives a book.
    snapshot: Option<String>,
    /// By channel: the table, and the request that gives what was missed.
    backfill: HashMap<String, (String, String)>,
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
                let request = channel.backfill.clone()?;
                Some((name.clone(), (channel.table.clone(), request)))
            });
            let side = Side {
                client,
                snapshot: feed.book.as_ref().and_then(|book| book.snapshot.clone()),
                backfill: backfill.collect(),
            };
            sides.insert(Arc::from(wish.venue.name.as_str()), Arc::new(side));
        }
        *self.by_name.lock().unwrap_or_else(PoisonError::into_inner) = sides;
        Ok(())
    }

    fn side(&self, venue: &str) -> Option<Arc<Side>> {
        let sides = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        sides.get(venue).cloned()
    }
}

/// Fulfils wants until there can be no more, or `out` is closed.
pub async fn run(
    venues: Arc<Venues>,
    readers: Arc<Readers>,
    mut wants: mpsc::Receiver<Want>,
    out: mpsc::Sender<Message>,
) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let started_ns = now_ns();
    let mut patience = Patience::new();
    let mut under_way = JoinSet::new();
    while let Some(want) = wants.recv().await {
        while under_way.try_join_next().is_some() {}
        let Some(side) = venues.side(&want.venue) else {
            continue;
        };
        let not_before = match want.kind {
            WantKind::Snapshot => wait(&mut patience, &want),
            WantKind::Backfill { .. } => Instant::now(),
        };
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            break;
        };
        let (out, readers) = (out.clone(), Arc::clone(&readers));
        under_way.spawn(async move {
            let _place = place;
            tokio::time::sleep_until(not_before).await;
            if let Some(event) = fulfil(&side, &want, started_ns, readers, &out).await {
                // The writer has ended: nobody is left to be told.
                let _ = out.send(Message::Event(event)).await;
            }
        });
    }
    under_way.shutdown().await;
}

/// When a book may be asked for: the sooner it was asked for before, the later.
fn wait(patience: &mut Patience, want: &Want) -> Instant {
    let now = Instant::now();
    let key = (Arc::clone(&want.venue), Arc::clone(&want.symbol));
    let (last, pause) = patience.get(&key).copied().unwrap_or((now, Duration::ZERO));
    let calm = now.saturating_duration_since(last) > AGAIN_AT_MOST * 2;
    let (at, next) = if pause.is_zero() || calm {
        (now, AGAIN)
    } else {
        (now.max(last + pause), (pause * 2).min(AGAIN_AT_MOST))
    };
    patience.insert(key, (at, next));
    at
}

/// Makes the request. What came of it is an event, unless it speaks for itself.
async fn fulfil(
    side: &Side,
    want: &Want,
    started_ns: i64,
    readers: Arc<Readers>,
    out: &mpsc::Sender<Message>,
) -> Option<FeedEvent> {
    let mut query = Query {
        symbol: Some(Arc::clone(&want.symbol)),
        ..Query::default()
    };
    let (request, channel) = match &want.kind {
        WantKind::Snapshot => (side.snapshot.as_ref()?, "book"),
        WantKind::Backfill { channel, since_ns } => {
            let (table, request) = side.backfill.get(&**channel)?;
            let last = {
                let (want, table) = (want.clone(), table.clone());
                // What was not received by this process before was missed since the one before it, whose last row it
                // is, not one that has come meanwhile.
                let (from, until) = match *since_ns {
                    Some(since) => (since.saturating_sub(LOOK_BACK_NS), since),
                    None => (0, started_ns),
                };
                let read = move || last_stored(&readers, &want, &table, from, until);
                tokio::task::spawn_blocking(read).await.ok().flatten()
            };
            // What was never captured has no beginning.
            let (ts, id) = last?;
            query.from_ns = Some(since_ns.map_or(ts, |since| since.min(ts)));
            query.from_id = id.and_then(|id| number_of(&id)).map(|id| id + 1);
            query.to_ns = Some(now_ns());
            (request, &**channel)
        }
    };
    let fetched = side.client.fetch(request, &query, out).await;
    let (kind, detail) = match (&want.kind, fetched) {
        (_, Err(Error::Closed)) | (WantKind::Snapshot, Ok(_)) => return None,
        (WantKind::Snapshot, Err(error)) => ("snapshot_failed", error.to_string()),
        (WantKind::Backfill { .. }, Ok(fetched)) => ("backfill", told(request, &fetched)),
        (WantKind::Backfill { .. }, Err(error)) => ("backfill_failed", error.to_string()),
    };
    if kind.ends_with("failed") {
        tracing::warn!(venue = %want.venue, symbol = %want.symbol, "{detail}");
    }
    Some(FeedEvent {
        venue: Arc::clone(&want.venue),
        symbol: Some(Arc::clone(&want.symbol)),
        channel: Some(channel.into()),
        at_ns: now_ns(),
        kind,
        ids: None,
        times_ns: query.from_ns.zip(query.to_ns),
        detail,
    })
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
    from: i64,
    until: i64,
) -> Option<(i64, Option<String>)> {
    let reader = readers.open().ok()?;
    let id = if table == crate::model::TRADES {
        "trade_id"
    } else {
        "NULL::VARCHAR"
    };
    let sql = format!(
        "SELECT epoch_ns(ts), {id} FROM main.{table}
         WHERE venue = ? AND symbol = ? AND recv_ts <= make_timestamp_ns(?) AND recv_ts >= make_timestamp_ns(?)
         ORDER BY ts DESC, seq DESC LIMIT 1"
    );
    let parameters = duckdb::params![&*want.venue, &*want.symbol, until, from];
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

/// The number that an id ends with.
fn number_of(id: &str) -> Option<u64> {
    let digits = id.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits.parse().ok()
}
