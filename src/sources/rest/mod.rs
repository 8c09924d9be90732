//! REST: the requests of a venue's `[rest]`. A body becomes one frame; pages, weights and second attempts are the
//! venue's affair as `feed.toml` describes it.
//!
//! Nothing of an address is ever shown but the request's name: addresses may hold keys.

mod attempt;
mod budget;
mod page;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::mpsc;

use super::{hand_on, tls};
use crate::config::secrets::Secrets;
use crate::model::frame::{Frame, Message};
use crate::venues::feed::{Request, Rest};
use crate::venues::matching::Matcher;
use crate::venues::template::{self, Names};
use attempt::Failure;
pub(super) use attempt::retry_after;
use budget::{Budget, Wait};
use page::{Cursor, Next};

/// A longer body is no market data.
pub const MAX_BODY_BYTES: usize = 64 << 20;
/// Nobody waits longer inside a request: what takes longer is an error that says how long.
pub const MAX_WAIT: Duration = Duration::from_mins(5);
/// Pages of one request, where the venue's folder sets no limit.
const MAX_PAGES: u32 = 1000;

/// Why a request did not bring what it was asked for. What came before is with the receiver already.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The venue's folder does not describe it.
    #[error("{venue}: its feed.toml has no [rest.requests.{request}]")]
    Unknown {
        /// The venue.
        venue: String,
        /// The request.
        request: String,
    },
    /// The venue's folder, or a secret, cannot be used for requests.
    #[error("{what}: {message}")]
    Setup {
        /// The venue, or the request and its symbol.
        what: String,
        /// What is wrong.
        message: String,
    },
    /// A template cannot be filled in.
    #[error("{what}: {source}")]
    Template {
        /// The venue, or the request and its symbol.
        what: String,
        /// Which one and why.
        source: template::Error,
    },
    /// The venue says no, and would say it again.
    #[error("{what}: refused with status {status}: {body}")]
    Refused {
        /// The request and its symbol.
        what: String,
        /// HTTP status.
        status: u16,
        /// The beginning of what it says.
        body: String,
    },
    /// A body that is not what the venue's folder says.
    #[error("{what}: {message}")]
    Body {
        /// The request and its symbol.
        what: String,
        /// What is wrong with it.
        message: String,
    },
    /// All attempts failed.
    #[error("{what}: given up after {attempts} attempts; the last one: {last}")]
    GivenUp {
        /// The request and its symbol.
        what: String,
        /// How many.
        attempts: u32,
        /// What the last one failed with.
        last: String,
    },
    /// The venue wants no request for a time that is too long to wait for.
    #[error("{what}: {why}; the venue asks for no more requests for {} s; try again then", .wait.as_secs())]
    Later {
        /// The request and its symbol.
        what: String,
        /// What it says, as far as it says anything.
        why: String,
        /// How long.
        wait: Duration,
    },
    /// The next page is said to be at another host, which must not see this one's keys.
    #[error("{what}: the next page is at another host ({host}) than the first; it is not fetched")]
    OtherHost {
        /// The request and its symbol.
        what: String,
        /// Where.
        host: String,
    },
    /// Nobody takes the frames any more.
    #[error("nobody takes the answers any more")]
    Closed,
}

impl Error {
    /// Whether the same request would fail again, however often it is made.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(
            self,
            Self::GivenUp { .. } | Self::Later { .. } | Self::Closed
        )
    }
}

/// What a request's template is filled with. What is not given is not known in the template.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// The instrument: it becomes the frames' symbol, too.
    pub symbol: Option<Arc<str>>,
    /// `from_id`.
    pub from_id: Option<u64>,
    /// No page after the one that holds it is wanted.
    pub to_id: Option<u64>,
    /// `from_ms`, `from_ns`, `from_time`: ns since 1970 UTC.
    pub from_ns: Option<i64>,
    /// `to_ms`, `to_ns`, `to_time`: ns since 1970 UTC.
    pub to_ns: Option<i64>,
    /// `interval`.
    pub interval: Option<String>,
}

/// What a request brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Bodies handed over.
    pub pages: u32,
    /// Records in them, where `records` says what a record is.
    pub records: u64,
    /// Id of the last record that has one.
    pub last_id: Option<u64>,
    /// Time of the last record that has one, ns since 1970 UTC.
    pub last_ns: Option<i64>,
    /// False if there is more, beyond the most pages one request may have.
    pub complete: bool,
}

/// One venue's REST side; shared by all that ask it, so that they keep to one budget.
pub struct Client {
    venue: Arc<str>,
    http: reqwest::Client,
    /// Beginning of every address.
    base: String,
    home: Url,
    secrets: Secrets,
    names: Names,
    rest: Rest,
    errors: Vec<(Matcher, Option<Duration>)>,
    channels: BTreeMap<String, Arc<str>>,
    allowance: Arc<Allowance>,
}

/// What a venue lets this machine ask.
struct Allowance {
    budget: Mutex<Budget>,
    /// Who waits for the budget stands in line here.
    line: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("venue", &self.venue)
            .field("secrets", &self.secrets)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Prepares for `venue`'s requests; `url` takes the place of the folder's.
    ///
    /// # Errors
    /// If the folder's templates or limits cannot be used.
    pub fn new(
        venue: &str,
        rest: &Rest,
        url: Option<&str>,
        secrets: &Secrets,
    ) -> Result<Self, Error> {
        let what = || format!("{venue} [rest]");
        let setup = |message: String| Error::Setup {
            what: what(),
            message,
        };
        let template = |source| Error::Template {
            what: what(),
            source,
        };
        for (name, request) in &rest.requests {
            let (weight, most) = (request.weight, rest.budget.weight);
            if weight > most {
                return Err(setup(format!(
                    "requests.{name} has the weight {weight}, and the budget is {most}"
                )));
            }
        }
        let names = Names::new(secrets);
        let base = match url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => rest.url.render(&names).map_err(template)?,
        };
        let home = Url::parse(&base)
            .ok()
            .filter(|url| url.has_host() && ["http", "https"].contains(&url.scheme()))
            .ok_or_else(|| setup("its url is not of the form https://host/path".to_owned()))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &rest.headers {
            let text = value.render(&names).map_err(template)?;
            let key = HeaderName::try_from(name)
                .map_err(|_| setup(format!("'{name}' is no name of a header")))?;
            let mut value = HeaderValue::try_from(text)
                .map_err(|_| setup(format!("the header '{name}' is not of visible ASCII")))?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
        let errors = rest
            .error
            .iter()
            .map(|error| Ok((error.r#match.compile(&names)?, error.retry_after)))
            .collect::<Result<_, _>>()
            .map_err(template)?;
        let channels = rest
            .requests
            .keys()
            .map(|name| (name.clone(), Arc::from(format!("rest/{name}"))))
            .collect();
        Ok(Self {
            venue: Arc::from(venue),
            http: http_client(&home, headers).map_err(setup)?,
            base,
            home,
            secrets: secrets.clone(),
            names,
            rest: rest.clone(),
            errors,
            channels,
            allowance: Arc::new(Allowance {
                budget: Mutex::new(Budget::new(rest.budget.weight, rest.budget.per)),
                line: tokio::sync::Mutex::new(()),
            }),
        })
    }

    /// Takes an earlier client's place: what it has spent, and the silence that its host has asked for, count on.
    #[must_use]
    pub fn in_place_of(self, before: &Self) -> Self {
        if self.home.origin() != before.home.origin() || self.rest.budget != before.rest.budget {
            return self;
        }
        let allowance = Arc::clone(&before.allowance);
        Self { allowance, ..self }
    }

    /// Makes a request, all its pages, and hands each body to `to` as it comes.
    ///
    /// May be dropped at any time: a body is handed over whole or not at all.
    ///
    /// # Errors
    /// See [`Error`]; the pages before it are handed over.
    pub async fn fetch(
        &self,
        request: &str,
        query: &Query,
        to: &mpsc::Sender<Message>,
    ) -> Result<Fetched, Error> {
        let (Some(about), Some(channel)) =
            (self.rest.requests.get(request), self.channels.get(request))
        else {
            return Err(Error::Unknown {
                venue: self.venue.to_string(),
                request: request.to_owned(),
            });
        };
        let what = match &query.symbol {
            Some(symbol) => format!("{} {request} of {symbol}", self.venue),
            None => format!("{} {request}", self.venue),
        };
        let mut cursor = Cursor::new(query);
        let most = about.page.as_ref().and_then(|page| page.pages);
        let most = most.unwrap_or(MAX_PAGES);
        let mut fetched = Fetched::default();
        let mut url = self.address(&what, about, query, &cursor)?;
        loop {
            let body = self.page(&what, about.weight, &url).await?;
            let (seen, text) = self.read(&what, about, &mut cursor, body.text).await?;
            let frame = Frame {
                venue: Arc::clone(&self.venue),
                channel: Arc::clone(channel),
                symbol: query.symbol.clone(),
                recv_ns: body.recv_ns,
                // A key that comes back is not stored.
                payload: self.secrets.redact(text),
            };
            if !hand_on(to, Message::Frame(frame)).await {
                return Err(Error::Closed);
            }
            fetched.pages += 1;
            let next = match seen {
                None => Next::End,
                Some(Err(message)) => return Err(Error::Body { what, message }),
                Some(Ok(seen)) => {
                    fetched.records += seen.records;
                    fetched.last_id = seen.last_id.or(fetched.last_id);
                    fetched.last_ns = seen.last_ns.or(fetched.last_ns);
                    seen.next
                }
            };
            fetched.complete = next == Next::End;
            if fetched.complete || fetched.pages >= most {
                return Ok(fetched);
            }
            url = match next {
                Next::Url(next) => self.next_address(&what, about, &url, &next)?,
                _ => self.address(&what, about, query, &cursor)?,
            };
        }
    }

    /// One page, with as many attempts as it may have.
    async fn page(&self, what: &str, weight: u32, url: &Url) -> Result<attempt::Body, Error> {
        let attempts = self.rest.attempts.max(1);
        let mut attempt = 1;
        loop {
            self.spend(what, weight).await?;
            let (why, after, whole_venue) = match self.attempt(url).await {
                Ok(body) => return Ok(body),
                Err(Failure::Final { status, body }) => {
                    return Err(Error::Refused {
                        what: what.to_owned(),
                        status,
                        body,
                    });
                }
                Err(Failure::Wrong(message)) => {
                    return Err(Error::Body {
                        what: what.to_owned(),
                        message,
                    });
                }
                Err(Failure::Again {
                    why,
                    after,
                    whole_venue,
                }) => (why, after, whole_venue),
            };
            let wait = after.unwrap_or_else(|| attempt::backoff(attempt));
            if whole_venue {
                self.budget().close(Instant::now() + wait);
            }
            if wait > MAX_WAIT {
                return Err(Error::Later {
                    what: what.to_owned(),
                    why,
                    wait,
                });
            }
            if attempt >= attempts {
                return Err(Error::GivenUp {
                    what: what.to_owned(),
                    attempts,
                    last: why,
                });
            }
            tracing::debug!(request = what, attempt, wait_ms = wait.as_millis(), why);
            attempt += 1;
            tokio::time::sleep(wait).await;
        }
    }

    /// Waits until the budget has room for `weight`, in the order of asking.
    async fn spend(&self, what: &str, weight: u32) -> Result<(), Error> {
        let _turn = self.allowance.line.lock().await;
        loop {
            let now = Instant::now();
            let asked = self.budget().spend(now, weight);
            match asked {
                Ok(()) => return Ok(()),
                Err(Wait::Closed(until)) if until > now + MAX_WAIT => {
                    return Err(Error::Later {
                        what: what.to_owned(),
                        why: "not asked".to_owned(),
                        wait: until - now,
                    });
                }
                Err(Wait::Closed(until) | Wait::Spent(until)) => {
                    tokio::time::sleep_until(until.into()).await;
                }
            }
        }
    }

    fn budget(&self) -> std::sync::MutexGuard<'_, Budget> {
        let budget = self.allowance.budget.lock();
        budget.unwrap_or_else(PoisonError::into_inner)
    }

    /// The request's address for what the cursor stands at.
    fn address(
        &self,
        what: &str,
        about: &Request,
        query: &Query,
        cursor: &Cursor,
    ) -> Result<Url, Error> {
        let mut names = self.names.clone();
        if let Some(symbol) = &query.symbol {
            names = names.with("symbol", symbol.as_ref());
        }
        if let Some(interval) = &query.interval {
            names = names.with("interval", interval.as_str());
        }
        if let Some(token) = &cursor.token {
            names = names.with("token", token.as_str());
        }
        if let Some(id) = cursor.from_id {
            names = names.with("from_id", id);
        }
        if let Some(ns) = cursor.from_ns {
            names = names
                .with("from_ms", ns.div_euclid(1_000_000))
                .with("from_ns", ns)
                .with("from_time", rfc3339(ns));
        }
        let until_ns = about
            .page
            .as_ref()
            .map_or(query.to_ns, |page| cursor.until_ns(page));
        if let Some(ns) = until_ns {
            names = names
                .with("to_ms", ns.div_euclid(1_000_000))
                .with("to_ns", ns)
                .with("to_time", rfc3339(ns));
        }
        let path = about
            .path
            .render(&names)
            .map_err(|source| Error::Template {
                what: what.to_owned(),
                source,
            })?;
        // The message would quote the address, and so its keys.
        let url = Url::parse(&format!("{}{path}", self.base)).map_err(|_| Error::Setup {
            what: what.to_owned(),
            message: "its path makes no address".to_owned(),
        })?;
        self.at_home(what, url)
    }

    /// The next page's address, as the venue gave it, with the keys that the first one had.
    fn next_address(
        &self,
        what: &str,
        about: &Request,
        url: &Url,
        next: &str,
    ) -> Result<Url, Error> {
        let next = url.join(next).map_err(|_| Error::Body {
            what: what.to_owned(),
            message: "the next page's address is none".to_owned(),
        })?;
        let mut next = self.at_home(what, next)?;
        if !about.path.secrets().is_empty() {
            let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
            let there: Vec<String> = next
                .query()
                .unwrap_or_default()
                .split('&')
                .map(name)
                .collect();
            let keys = url.query().unwrap_or_default().split('&').filter(|pair| {
                self.secrets.redacted(pair).is_some() && !there.contains(&name(pair))
            });
            let pairs: Vec<&str> = next.query().into_iter().chain(keys).collect();
            let query = pairs.join("&");
            next.set_query(Some(&query));
        }
        Ok(next)
    }

    /// Refuses what is at another host.
    fn at_home(&self, what: &str, url: Url) -> Result<Url, Error> {
        if url.origin() == self.home.origin() {
            return Ok(url);
        }
        let host = url.host_str().unwrap_or("nowhere");
        // What stands there may be anything, even a part of a key.
        let part_of_a_secret = self
            .secrets
            .iter()
            .any(|(_, secret)| secret.expose().to_lowercase().contains(host));
        let host = if part_of_a_secret { "…" } else { host };
        Err(Error::OtherHost {
            what: what.to_owned(),
            host: self.secrets.redact(format!("{}://{host}", url.scheme())),
        })
    }

    /// Looks into a body as far as the request has pages. A large one is parsed beside the event loop.
    async fn read(
        &self,
        what: &str,
        about: &Request,
        cursor: &mut Cursor,
        text: String,
    ) -> Result<(Option<Result<page::Seen, String>>, String), Error> {
        const LARGE_BYTES: usize = 1 << 20;
        let Some(page) = &about.page else {
            return Ok((None, text));
        };
        let parse = |text: String| (serde_json::from_str::<serde_json::Value>(&text), text);
        let (value, text) = if text.len() < LARGE_BYTES {
            parse(text)
        } else {
            tokio::task::spawn_blocking(move || parse(text))
                .await
                .map_err(|_| Error::Closed)?
        };
        let value = value.map_err(|error| Error::Body {
            what: what.to_owned(),
            message: format!("its answer is no JSON: {error}"),
        })?;
        // The page itself is good, and handed over, even where the way to the next one is not.
        Ok((Some(cursor.advance(page, &value)), text))
    }
}

/// Connections that are used again, TLS by rustls, and no way to another host.
fn http_client(home: &Url, headers: HeaderMap) -> Result<reqwest::Client, String> {
    let origin = home.origin();
    let stay = reqwest::redirect::Policy::custom(move |attempt| {
        if attempt.url().origin() == origin && attempt.previous().len() < 5 {
            attempt.follow()
        } else {
            attempt.stop()
        }
    });
    let tls = tls::client_config().map_err(|error| format!("cannot set TLS up: {error}"))?;
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("mdb/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .redirect(stay);
    if is_this_machine(home) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| words(&error.without_url()))
}

/// A local replay, which no proxy reaches.
fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// An error with its causes, which reqwest's own text leaves out.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

fn rfc3339(ns: i64) -> String {
    // Every i64 of nanoseconds is a time that jiff knows.
    jiff::Timestamp::from_nanosecond(i128::from(ns))
        .map_or_else(|_| String::new(), |at| at.to_string())
}
