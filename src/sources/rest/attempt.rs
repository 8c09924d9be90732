//! One attempt at one page: what came, or whether another attempt may help.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode, Url};

use super::{Client, MAX_BODY_BYTES, words};
use crate::sources::now_ns;

/// The first pause between attempts; each next one is twice as long …
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// No answer keeps requests away for longer, whatever it says.
const LONGEST_BAN: Duration = Duration::from_hours(7 * 24);
/// Of a body that says what is wrong this much is read …
const ERROR_BYTES: usize = 4096;
/// … and this much is shown.
const HEAD_CHARS: usize = 200;
/// What a body is that a proxy or a firewall has put in the place of the venue's.
const PAGE: &str = "is a page for people";

/// A body of status 2xx.
pub(super) struct Body {
    pub(super) text: String,
    /// When it was complete.
    pub(super) recv_ns: i64,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum Failure {
    /// The venue says no.
    Final { status: u16, body: String },
    /// The body is an error, or none that can be used.
    Wrong(String),
    /// Another attempt may succeed.
    Again {
        why: String,
        /// When, where the venue says so.
        after: Option<Duration>,
        /// Whether it is about all requests to the venue, not only this one.
        whole_venue: bool,
    },
}

impl Failure {
    fn again(why: String) -> Self {
        Self::Again {
            why,
            after: None,
            whole_venue: false,
        }
    }
}

impl Client {
    pub(super) async fn attempt(&self, url: &Url) -> Result<Body, Failure> {
        let timeout = self.rest.timeout;
        tokio::time::timeout(timeout, self.attempt_untimed(url))
            .await
            .unwrap_or_else(|_| {
                let seconds = timeout.as_secs_f64();
                Err(Failure::again(format!("no answer within {seconds} s")))
            })
    }

    async fn attempt_untimed(&self, url: &Url) -> Result<Body, Failure> {
        let broken = |error: reqwest::Error| {
            let text = words(&error.without_url());
            Failure::again(self.secrets.redact(text))
        };
        let response = self.http.get(url.clone()).send().await.map_err(broken)?;
        let status = response.status();
        if !status.is_success() {
            return Err(self.refused(response, status).await);
        }
        let bytes = match body(response, MAX_BODY_BYTES).await.map_err(broken)? {
            Read::Whole(bytes) => bytes,
            Read::Longer(_) => {
                let most = MAX_BODY_BYTES >> 20;
                return Err(Failure::Wrong(format!(
                    "its answer is longer than {most} MiB"
                )));
            }
        };
        let recv_ns = now_ns();
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            Failure::Wrong(format!("its answer is not UTF-8 from byte {at} on"))
        })?;
        let (text, what) = looked_at(text).await?;
        let inbound = crate::venues::matching::Inbound::new(&text);
        for (matcher, retry_after) in &self.errors {
            if matcher.matches(&inbound) {
                let why = format!("the answer is an error: {}", self.head(text.as_bytes()));
                return Err(match *retry_after {
                    None => Failure::Wrong(why),
                    after => Failure::Again {
                        why,
                        after,
                        whole_venue: true,
                    },
                });
            }
        }
        if let Some(what) = what {
            let head = self.head(text.as_bytes());
            return Err(Failure::again(format!("the answer {what}: {head}")));
        }
        Ok(Body { text, recv_ns })
    }

    /// An answer that is none.
    async fn refused(&self, response: Response, status: StatusCode) -> Failure {
        let too_many = [StatusCode::TOO_MANY_REQUESTS, StatusCode::IM_A_TEAPOT].contains(&status);
        let after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| retry_after(text, jiff::Timestamp::now()));
        let head = match body(response, ERROR_BYTES).await {
            Ok(Read::Whole(bytes) | Read::Longer(bytes)) => self.head(&bytes),
            Err(_) => String::new(),
        };
        // A venue's own no is in its own form. A page is of the firewall before it, which lets requests through again.
        let firewall =
            status == StatusCode::FORBIDDEN && (after.is_some() || no_data(&head) == Some(PAGE));
        let whole_venue = too_many || firewall;
        if whole_venue || status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT {
            return Failure::Again {
                why: format!("status {}: {head}", status.as_u16()),
                after,
                whole_venue,
            };
        }
        Failure::Final {
            status: status.as_u16(),
            body: head,
        }
    }

    /// The beginning of a body, in a line and without secrets.
    fn head(&self, body: &[u8]) -> String {
        // Redacted before it is cut: half a secret would not be found.
        let text = self
            .secrets
            .redact(String::from_utf8_lossy(body).into_owned());
        let mut head: String = text
            .chars()
            .take(HEAD_CHARS)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        if head.len() < text.len() {
            head.push('…');
        }
        head
    }
}

/// A body, and what it is if it can be no data. A large one is looked at beside the event loop.
async fn looked_at(text: String) -> Result<(String, Option<&'static str>), Failure> {
    const LARGE_BYTES: usize = 1 << 20;
    let look = |text: String| {
        let what = no_data(&text);
        (text, what)
    };
    if text.len() < LARGE_BYTES {
        return Ok(look(text));
    }
    let looked = tokio::task::spawn_blocking(move || look(text)).await;
    looked.map_err(|_| Failure::again("mdb is ending".to_owned()))
}

/// Says of a body of status 200 that a proxy's page stands in its place, or that a part of it is missing: another attempt
/// may bring it. Whatever else it is, its reader knows.
fn no_data(text: &str) -> Option<&'static str> {
    let start = text.trim_start();
    match start.chars().next() {
        None => Some("is empty"),
        Some('<') => (!start.starts_with("<?xml")).then_some(PAGE),
        Some('{' | '[') => {
            let read = serde_json::from_str::<serde::de::IgnoredAny>(text);
            read.is_err_and(|error| error.is_eof())
                .then_some("breaks off")
        }
        Some(_) => None,
    }
}

enum Read {
    Whole(Vec<u8>),
    /// Only its beginning.
    Longer(Vec<u8>),
}

/// Reads a body up to a limit, which holds for what it is after decompression.
async fn body(mut response: Response, limit: usize) -> reqwest::Result<Read> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = limit - bytes.len();
        if chunk.len() > room {
            bytes.extend_from_slice(&chunk[..room]);
            return Ok(Read::Longer(bytes));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Read::Whole(bytes))
}

/// How long `Retry-After` says to wait, [`LONGEST_BAN`] at most: seconds, or a date.
pub(in crate::sources) fn retry_after(text: &str, now: jiff::Timestamp) -> Option<Duration> {
    let text = text.trim();
    let wait = if let Ok(seconds) = text.parse() {
        Duration::from_secs(seconds)
    } else {
        let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        // A date in the past means now.
        Duration::try_from(at.duration_since(now)).unwrap_or_default()
    };
    Some(wait.min(LONGEST_BAN))
}

/// The pause after the `attempt`-th failure, from 1: twice as long each time, and between half and all of that, so
/// that clients that failed together do not come back together.
pub(super) fn backoff(attempt: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << attempt.saturating_sub(1).min(16));
    let share = RandomState::new().hash_one(attempt) as f64 / u64::MAX as f64;
    doubled.min(LONGEST_PAUSE).mul_f64(0.5 + share / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: jiff::Timestamp = "2026-10-21T07:27:00Z".parse().unwrap();
        let wait = |text: &str| retry_after(text, now).map(|wait| wait.as_secs());
        assert_eq!(wait("120"), Some(120));
        assert_eq!(wait(" 0 "), Some(0));
        assert_eq!(wait("Wed, 21 Oct 2026 07:28:00 GMT"), Some(60));
        assert_eq!(wait("Wed, 21 Oct 2026 07:26:00 GMT"), Some(0));
        assert_eq!(wait("soon"), None);
        assert_eq!(wait("-3"), None);
        let week = Some(7 * 86_400);
        assert_eq!(wait("18446744073709551615"), week);
        assert_eq!(wait("Thu, 21 Oct 2027 07:28:00 GMT"), week);
    }

    #[test]
    fn what_breaks_off_or_is_a_page_is_no_data() {
        for none in [
            "",
            " \n",
            " <!DOCTYPE html><p>[]",
            "{\"a\":[1",
            "[{\"a\":\"b",
        ] {
            assert!(no_data(none).is_some(), "{none}");
        }
        for some in [
            "{}",
            "[]\n",
            "<?xml version=\"1.0\"?><a/>",
            "{\"a\":1}\n{\"a\":2}\n",
            "{a}",
            "time,price\n1,2\n",
        ] {
            assert_eq!(no_data(some), None, "{some}");
        }
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_are_jittered() {
        for attempt in 1..80 {
            let most = 250_u64
                .saturating_mul(1 << (attempt - 1).min(20))
                .min(30_000);
            for _ in 0..10 {
                let ms = backoff(attempt).as_millis() as u64;
                assert!(ms <= most && ms >= most / 2, "{attempt}: {ms}");
            }
        }
        let pauses: std::collections::HashSet<Duration> = (0..10).map(|_| backoff(5)).collect();
        assert!(pauses.len() > 5);
    }
}
