//! A venue's requests, made once each: what was fetched before is not asked for again, so that it costs nothing twice.
//!
//! What was fetched is known by its `fetched` event, which follows the last page of a request: a part of the pages is
//! not all of them.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::thread::Builder;

use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::config::Settings;
use crate::config::secrets::{self, Secrets};
use crate::model::frame::{FeedEvent, Message};
use crate::sources::now_ns;
use crate::sources::rest::{self, Client, Fetched, Query};
use crate::sqltree::{self, SqlTree};
use crate::store::{self, Readers, Store, Written};
use crate::venues;
use crate::venues::feed::Rest;

/// Bodies that wait for the writer; one can be large.
const BODIES: usize = 4;
/// The event that says that a request has brought all it was to bring.
const FETCHED: &str = "fetched";

/// Why nothing can be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The SQL tree cannot be read.
    #[error(transparent)]
    Tree(#[from] sqltree::Error),
    /// The venue's folder is faulty.
    #[error(transparent)]
    Venue(#[from] venues::Error),
    /// A key is missing.
    #[error("venue {venue}: {source}")]
    Secrets {
        /// The venue.
        venue: String,
        /// What to do.
        source: secrets::Error,
    },
    /// The venue has not what was asked for.
    #[error("{venue}: {message}")]
    Requests {
        /// The venue.
        venue: String,
        /// What it has.
        message: String,
    },
    /// The venue's `[rest]` cannot be used.
    #[error(transparent)]
    Rest(#[from] rest::Error),
    /// The writer cannot work with it, or has failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// What was fetched before cannot be told.
    #[error("cannot look up what was fetched before: {0}")]
    Known(#[from] duckdb::Error),
    /// No thread for the writer.
    #[error("cannot start the writer: {0}")]
    Thread(std::io::Error),
    /// The writer has ended before its time.
    #[error("internal: the writer has ended")]
    Ended,
}

/// One request for one instrument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The instrument, in the venue's own spelling.
    pub symbol: Arc<str>,
    /// A name of the venue's `[rest.requests]`.
    pub request: String,
}

/// What is to be asked of a venue, in this order.
#[derive(Debug)]
pub struct Plan {
    venue: Arc<str>,
    client: Client,
    asks: Vec<Ask>,
}

/// What came of a plan.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Rows.
    pub written: Written,
    /// Requests that brought nothing.
    pub failed: usize,
    /// Requests that were not made, because the venue wants none for now, or because of a stop.
    pub left: usize,
}

impl Plan {
    /// `requests` of each of `symbols`; those that bring all there is if none are named. `url` takes the place of the
    /// venue's address.
    ///
    /// # Errors
    /// If the venue is unknown or faulty, has not these requests, or a secret is missing.
    pub fn new(
        settings: &Settings,
        venue: &str,
        symbols: &[String],
        requests: &[String],
        url: Option<&str>,
    ) -> Result<Self, Error> {
        let tree = SqlTree::load(&settings.db)?;
        let venue = venues::load(&tree, venue)?;
        let refused = |message: String| Error::Requests {
            venue: venue.name.clone(),
            message,
        };
        let Some(rest) = &venue.feed.rest else {
            let message = "its feed.toml has no [rest] section, so nothing can be requested of it";
            return Err(refused(message.to_owned()));
        };
        let requests = chosen(rest, requests).map_err(refused)?;
        let secrets = Secrets::load(&settings.db, &venue.feed.secrets).map_err(|source| {
            let venue = venue.name.clone();
            Error::Secrets { venue, source }
        })?;
        let mut asks = Vec::with_capacity(symbols.len() * requests.len());
        for symbol in symbols {
            for request in &requests {
                let ask = Ask {
                    symbol: Arc::from(symbol.as_str()),
                    request: request.clone(),
                };
                if !asks.contains(&ask) {
                    asks.push(ask);
                }
            }
        }
        Ok(Self {
            client: Client::new(&venue.name, rest, url, &secrets)?,
            venue: Arc::from(venue.name),
            asks,
        })
    }

    /// Requests that are to be made.
    pub fn len(&self) -> usize {
        self.asks.len()
    }

    /// Whether nothing is to be asked.
    pub fn is_empty(&self) -> bool {
        self.asks.is_empty()
    }

    /// Leaves out what was fetched before, at `since_ns` (ns since 1970 UTC) or later, and returns it with the time.
    ///
    /// # Errors
    /// If the database cannot be asked.
    pub fn leave_out_known(
        &mut self,
        readers: &Readers,
        since_ns: i64,
    ) -> Result<Vec<(Ask, i64)>, Error> {
        let reader = readers.open()?;
        let mut statement = reader.connection.prepare(
            "SELECT symbol, channel, epoch_ns(max(ts)) FROM main.feed_events
             WHERE venue = ? AND kind = ? AND symbol IS NOT NULL AND channel IS NOT NULL GROUP BY ALL",
        )?;
        let rows = statement.query_map([&*self.venue, FETCHED], |row| {
            Ok(((row.get(0)?, row.get(1)?), row.get(2)?))
        })?;
        let known: HashMap<(String, String), i64> = rows.collect::<Result<_, _>>()?;
        let mut left_out = Vec::new();
        self.asks.retain(|ask| {
            let at = known.get(&(ask.symbol.to_string(), channel(&ask.request)));
            let at = at.filter(|&&at| at >= since_ns);
            left_out.extend(at.map(|&at| (ask.clone(), at)));
            at.is_none()
        });
        Ok(left_out)
    }

    /// Makes the requests one after the other until all are made, `stop` is ready, or the venue wants no more for now.
    /// `told` hears what each of them brought. All that came is committed when this returns.
    ///
    /// # Errors
    /// If the database refuses.
    pub fn run(
        self,
        runtime: &Runtime,
        store: &mut Store,
        stop: impl Future<Output = ()>,
        mut told: impl FnMut(&Ask, &Result<Fetched, rest::Error>),
    ) -> Result<Outcome, Error> {
        let (messages, incoming) = mpsc::channel(BODIES);
        // There are none.
        let (_, orders) = mpsc::channel(1);
        std::thread::scope(|scope| {
            let writer = Builder::new()
                .name("writer".to_owned())
                .spawn_scoped(scope, move || {
                    let mut written = Written::default();
                    let live = store.live(incoming, orders, |commit| written.add(&commit.written));
                    live.map(|()| written)
                })
                .map_err(Error::Thread)?;
            let mut outcome = Outcome {
                left: self.asks.len(),
                ..Outcome::default()
            };
            runtime.block_on(async {
                tokio::select! {
                    () = self.ask(&messages, &mut outcome, &mut told) => {}
                    () = stop => {}
                }
            });
            drop(messages);
            outcome.written = writer.join().map_err(|_| Error::Ended)??;
            Ok(outcome)
        })
    }

    async fn ask(
        &self,
        messages: &mpsc::Sender<Message>,
        outcome: &mut Outcome,
        told: &mut impl FnMut(&Ask, &Result<Fetched, rest::Error>),
    ) {
        for ask in &self.asks {
            let query = Query {
                symbol: Some(Arc::clone(&ask.symbol)),
                ..Query::default()
            };
            let fetched = self.client.fetch(&ask.request, &query, messages).await;
            if messages.send(self.event(ask, &fetched)).await.is_err() {
                // The writer has failed, and says why.
                return;
            }
            told(ask, &fetched);
            let Err(error) = &fetched else {
                outcome.left -= 1;
                continue;
            };
            outcome.failed += 1;
            if !error.is_final() {
                return;
            }
            outcome.left -= 1;
        }
    }

    fn event(&self, ask: &Ask, fetched: &Result<Fetched, rest::Error>) -> Message {
        let (kind, detail) = match fetched {
            Ok(fetched) => (FETCHED, pages(fetched)),
            Err(error) => ("fetch_failed", error.to_string()),
        };
        Message::Event(FeedEvent {
            venue: Arc::clone(&self.venue),
            symbol: Some(Arc::clone(&ask.symbol)),
            channel: Some(channel(&ask.request).into()),
            at_ns: now_ns(),
            kind,
            ids: None,
            times_ns: None,
            detail,
        })
    }
}

/// What a request brought, in words.
pub fn pages(fetched: &Fetched) -> String {
    let pages = match fetched.pages {
        1 => "1 page".to_owned(),
        pages => format!("{pages} pages"),
    };
    if fetched.complete {
        pages
    } else {
        format!("{pages}; there is more")
    }
}

/// The channel of the raw rows that a request brings.
fn channel(request: &str) -> String {
    format!("rest/{request}")
}

/// The requests that are named, or all that bring everything there is; in words what is wrong with them.
fn chosen(rest: &Rest, wanted: &[String]) -> Result<Vec<String>, String> {
    let all = || {
        let names: Vec<&str> = rest.requests.keys().map(String::as_str).collect();
        names.join(", ")
    };
    if wanted.is_empty() {
        let whole = rest.requests.iter().filter(|(_, request)| request.whole);
        let whole: Vec<String> = whole.map(|(name, _)| name.clone()).collect();
        if whole.is_empty() {
            return Err(format!(
                "none of its requests brings all there is (`whole` in its feed.toml); name some with --request: it has {}",
                all()
            ));
        }
        return Ok(whole);
    }
    for name in wanted {
        let Some(request) = rest.requests.get(name) else {
            return Err(format!("no request '{name}'; it has {}", all()));
        };
        if let Some(lacks) = request.lacks() {
            return Err(format!(
                "the request '{name}' needs `{lacks}`, more than a symbol; it is made by a capture that has missed something"
            ));
        }
    }
    Ok(wanted.to_vec())
}
