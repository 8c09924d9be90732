//! What the types of `feed.toml` cannot say: names that templates may use, references between sections, limits.

use std::time::Duration;

use super::feed::{Channel, Feed, Page, Replay, Rest, WebSocket};
use super::matching::Match;
use super::template::Template;

/// What is wrong with a feed: the key, and what to do.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) key: String,
    pub(super) message: String,
}

const SYMBOL: &[&str] = &["symbol"];
const TOPICS: &[&str] = &["topics"];
const NONE: &[&str] = &[];
const SUBSCRIBE: &[&str] = &["id", "topics", "symbols", "channel", "by_channel"];
const ACK: &[&str] = &["id", "topic", "symbol", "channel"];
const SUBSCRIBED: &[&str] = &[
    "id",
    "topic",
    "topics",
    "symbol",
    "symbols",
    "channel",
    "by_channel",
    "held",
];
const SNAPSHOT: &[&str] = &[
    "symbol", "topic", "last_id", "bids", "asks", "ts_ms", "ts", "checksum",
];
const HISTORY: &[&str] = &["symbol", "rows", "next_token", "next_url"];
const REQUEST: &[&str] = &[
    "symbol",
    "from_id",
    "from_ms",
    "to_ms",
    "from_ns",
    "to_ns",
    "from_time",
    "to_time",
    "interval",
    "token",
];

/// The first fault of a feed. `tables` are all that there are.
pub(super) fn check(feed: &Feed, tables: &[&str]) -> Result<(), Fault> {
    let check = Check { feed, tables };
    if let Some(book) = &feed.book {
        check.request("book.snapshot", book.snapshot.as_deref())?;
        if let Some(checksum) = &book.checksum {
            at_least_one("book.checksum.levels", checksum.levels)?;
        }
    }
    for (name, channel) in &feed.channels {
        check.channel(&format!("channels.{name}"), channel)?;
    }
    if let Some(websocket) = &feed.websocket {
        check.websocket(websocket)?;
    }
    if let Some(rest) = &feed.rest {
        check.rest(rest)?;
    }
    if let Some(replay) = &feed.replay {
        check.replay(replay)?;
    }
    Ok(())
}

struct Check<'f> {
    feed: &'f Feed,
    tables: &'f [&'f str],
}

impl Check<'_> {
    fn channel(&self, key: &str, channel: &Channel) -> Result<(), Fault> {
        self.table(&format!("{key}.table"), &channel.table)?;
        self.template(&format!("{key}.topic"), &channel.topic, SYMBOL)?;
        if let Some(url) = &channel.url {
            self.template(&format!("{key}.url"), url, TOPICS)?;
        }
        self.request(&format!("{key}.backfill"), channel.backfill.as_deref())?;
        lasts(&format!("{key}.stale_after"), channel.stale_after)
    }

    fn websocket(&self, websocket: &WebSocket) -> Result<(), Fault> {
        self.template("websocket.url", &websocket.url, TOPICS)?;
        for (name, header) in &websocket.headers {
            self.template(&format!("websocket.headers.{name}"), header, NONE)?;
        }
        at_least_one(
            "websocket.topics_per_connection",
            websocket.topics_per_connection,
        )?;
        at_least_one("websocket.connections", websocket.connections)?;
        at_least_one(
            "websocket.frames_per_second",
            websocket.frames_per_second as usize,
        )?;
        if let Some(after) = websocket.reconnect_after {
            lasts("websocket.reconnect_after", after)?;
        }
        if let Some(greeting) = &websocket.greeting {
            self.matching("websocket.greeting", greeting, NONE)?;
        }
        if let Some(auth) = &websocket.auth {
            self.template("websocket.auth.send", &auth.send, NONE)?;
            self.matching("websocket.auth.ok", &auth.ok, NONE)?;
            lasts("websocket.auth.timeout", auth.timeout)?;
        }
        if let Some(subscribe) = &websocket.subscribe {
            self.template("websocket.subscribe.send", &subscribe.send, SUBSCRIBE)?;
            if let Some(unsubscribe) = &subscribe.unsubscribe {
                self.template("websocket.subscribe.unsubscribe", unsubscribe, SUBSCRIBE)?;
            }
            if let Some(ack) = &subscribe.ack {
                self.matching("websocket.subscribe.ack", ack, ACK)?;
            }
            at_least_one(
                "websocket.subscribe.topics_per_frame",
                subscribe.topics_per_frame,
            )?;
            lasts("websocket.subscribe.timeout", subscribe.timeout)?;
        } else if !websocket.url.names().contains("topics") {
            return Err(fault(
                "websocket.subscribe",
                "is missing, and the url does not name `topics`: nothing would be subscribed",
            ));
        }
        if let Some(ping) = &websocket.ping {
            lasts("websocket.ping.every", ping.every)?;
            lasts("websocket.ping.timeout", ping.timeout)?;
            if let Some(send) = &ping.send {
                self.template("websocket.ping.send", send, &["id"])?;
            }
        }
        for (at, answer) in websocket.answer.iter().enumerate() {
            let key = format!("websocket.answer[{at}]");
            self.matching(&format!("{key}.match"), &answer.r#match, NONE)?;
            self.template(&format!("{key}.send"), &answer.send, &["id"])?;
        }
        for (at, error) in websocket.error.iter().enumerate() {
            self.matching(
                &format!("websocket.error[{at}].match"),
                &error.r#match,
                NONE,
            )?;
        }
        Ok(())
    }

    fn rest(&self, rest: &Rest) -> Result<(), Fault> {
        self.template("rest.url", &rest.url, NONE)?;
        for (name, header) in &rest.headers {
            self.template(&format!("rest.headers.{name}"), header, NONE)?;
        }
        at_least_one("rest.budget.weight", rest.budget.weight as usize)?;
        lasts("rest.budget.per", rest.budget.per)?;
        lasts("rest.timeout", rest.timeout)?;
        at_least_one("rest.attempts", rest.attempts as usize)?;
        for (at, error) in rest.error.iter().enumerate() {
            self.matching(&format!("rest.error[{at}].match"), &error.r#match, NONE)?;
        }
        for (name, request) in &rest.requests {
            let key = format!("rest.requests.{name}");
            self.table(&format!("{key}.table"), &request.table)?;
            self.template(&format!("{key}.path"), &request.path, REQUEST)?;
            if request.weight > rest.budget.weight {
                return Err(fault(
                    &format!("{key}.weight"),
                    "is more than the whole rest.budget.weight",
                ));
            }
            if request.whole
                && let Some(name) = request.lacks()
            {
                let message = format!("cannot be: its path needs `{name}`, more than a symbol");
                return Err(fault(&format!("{key}.whole"), &message));
            }
            if let Some(page) = &request.page {
                page_has_one_way_on(&format!("{key}.page"), page)?;
            }
        }
        Ok(())
    }

    fn replay(&self, replay: &Replay) -> Result<(), Fault> {
        for (key, template, names) in [
            ("replay.authenticated", &replay.authenticated, NONE),
            ("replay.refused", &replay.refused, NONE),
            ("replay.subscribed", &replay.subscribed, SUBSCRIBED),
            ("replay.unsubscribed", &replay.unsubscribed, SUBSCRIBED),
            ("replay.unknown", &replay.unknown, SUBSCRIBED),
            ("replay.pong", &replay.pong, &["id"]),
            ("replay.snapshot", &replay.snapshot, SNAPSHOT),
        ] {
            if let Some(template) = template {
                self.template(key, template, names)?;
            }
        }
        for (key, frame) in [
            ("replay.subscribe.match", &replay.subscribe),
            ("replay.unsubscribe.match", &replay.unsubscribe),
        ] {
            if let Some(frame) = frame {
                self.matching(key, &frame.r#match, NONE)?;
            }
        }
        if let Some(ping) = &replay.ping {
            self.matching("replay.ping.match", &ping.r#match, NONE)?;
        }
        for (alias, topic) in &replay.aliases {
            let channels = &self.feed.channels;
            if !channels.values().any(|c| c.topic.source() == topic) {
                let key = format!("replay.aliases.{alias}");
                let message = format!("names the topic '{topic}', which no channel has");
                return Err(fault(&key, &message));
            }
        }
        for (name, history) in &replay.history {
            let key = format!("replay.history.{name}");
            self.request(&key, Some(name))?;
            self.template(&format!("{key}.page"), &history.page, HISTORY)?;
            at_least_one(&format!("{key}.rows"), history.rows.unwrap_or(1))?;
        }
        Ok(())
    }

    fn matching(&self, key: &str, matching: &Match, names: &[&str]) -> Result<(), Fault> {
        matching
            .templates()
            .try_for_each(|template| self.template(key, template, names))
    }

    fn template(&self, key: &str, template: &Template, names: &[&str]) -> Result<(), Fault> {
        for name in template.names() {
            if name != "secret" && !names.contains(&name.as_str()) {
                let known = if names.is_empty() {
                    "secret.<name>".to_owned()
                } else {
                    format!("{} and secret.<name>", names.join(", "))
                };
                return Err(fault(
                    key,
                    &format!("uses the unknown name '{name}'; known are {known}"),
                ));
            }
        }
        for secret in template.secrets() {
            if !self.feed.secrets.contains_key(secret) {
                return Err(fault(
                    key,
                    &format!("uses secret.{secret}, which [secrets] does not list"),
                ));
            }
        }
        Ok(())
    }

    fn table(&self, key: &str, name: &str) -> Result<(), Fault> {
        if self.tables.contains(&name) {
            return Ok(());
        }
        let tables = self.tables.join(", ");
        let message = format!("names '{name}', which is no table; there are {tables}");
        Err(fault(key, &message))
    }

    fn request(&self, key: &str, name: Option<&str>) -> Result<(), Fault> {
        let Some(name) = name else { return Ok(()) };
        let requests = self.feed.rest.iter().flat_map(|rest| rest.requests.keys());
        let requests: Vec<&str> = requests.map(String::as_str).collect();
        if requests.contains(&name) {
            return Ok(());
        }
        let message = format!(
            "names the request '{name}', which [rest.requests] does not have (it has: {})",
            requests.join(", ")
        );
        Err(fault(key, &message))
    }
}

fn page_has_one_way_on(key: &str, page: &Page) -> Result<(), Fault> {
    let ways = [&page.next_url, &page.token, &page.id, &page.time];
    let ways = ways.into_iter().flatten().count() + usize::from(page.window.is_some());
    if ways != 1 {
        let message = "needs exactly one of next_url, token, id, time, window";
        return Err(fault(key, message));
    }
    at_least_one(&format!("{key}.full"), page.full.unwrap_or(1))?;
    at_least_one(&format!("{key}.pages"), page.pages.unwrap_or(1) as usize)?;
    page.window
        .map_or(Ok(()), |window| lasts(&format!("{key}.window"), window))
}

fn at_least_one(key: &str, number: usize) -> Result<(), Fault> {
    if number > 0 {
        return Ok(());
    }
    Err(fault(key, "must be at least 1"))
}

fn lasts(key: &str, duration: Duration) -> Result<(), Fault> {
    if duration > Duration::ZERO {
        return Ok(());
    }
    Err(fault(key, "must be longer than nothing"))
}

fn fault(key: &str, message: &str) -> Fault {
    Fault {
        key: key.to_owned(),
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: &[&str] = &["bars", "trades"];

    fn error(text: &str) -> String {
        let feed: Feed = toml::from_str(&format!("description = \"x\"\n{text}")).unwrap();
        let fault = check(&feed, TABLES).expect_err("no fault found");
        format!("{} {}", fault.key, fault.message)
    }

    #[test]
    fn a_fault_names_its_key() {
        for (text, expected) in [
            (
                "[channels.trades]\ntable = \"trades\"\ntopic = \"{{ symol }}@trade\"",
                "channels.trades.topic uses the unknown name 'symol'; known are symbol and",
            ),
            (
                "[channels.trades]\ntable = \"trade\"\ntopic = \"t\"",
                "channels.trades.table names 'trade', which is no table; there are bars, trades",
            ),
            (
                "[rest]\nurl = \"https://h\"\n[rest.requests.t]\npath = \"/t\"\ntable = \"trades\"\npage = { id = \"/i\", full = 0 }",
                "rest.requests.t.page.full must be at least 1",
            ),
            (
                "[websocket]\nurl = \"wss://h/{{ secret.key }}\"",
                "websocket.url uses secret.key, which [secrets] does not list",
            ),
            (
                "[websocket]\nurl = \"wss://h\"",
                "websocket.subscribe is missing",
            ),
            (
                "[book]\nrule = \"prev\"\nsnapshot = \"depth\"",
                "book.snapshot names the request 'depth'",
            ),
            (
                "[websocket]\nurl = \"wss://h/{{ topics|join('/') }}\"\nframes_per_second = 0",
                "websocket.frames_per_second must be at least 1",
            ),
            (
                "[rest]\nurl = \"https://h\"\n[rest.requests.t]\npath = \"/t\"\ntable = \"trades\"\n[rest.requests.t.page]\nrecords = \"/r\"",
                "rest.requests.t.page needs exactly one of",
            ),
            (
                "[rest]\nurl = \"https://h\"\n[rest.requests.t]\npath = \"/t?s={{ symbol }}&from={{ from_ms }}\"\ntable = \"trades\"\nwhole = true",
                "rest.requests.t.whole cannot be: its path needs `from_ms`",
            ),
            (
                "[replay.aliases]\nother = \"none\"",
                "replay.aliases.other names the topic 'none'",
            ),
            (
                "[replay]\npong = \"{{ topic }}\"",
                "replay.pong uses the unknown name 'topic'; known are id and",
            ),
        ] {
            let error = error(text);
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_faulty_template_is_an_error_with_its_line() {
        let text =
            "description = \"x\"\n[channels.trades]\ntable = \"trades\"\ntopic = \"{{ symbol\"\n";
        let error = toml::from_str::<Feed>(text).unwrap_err().to_string();
        assert!(
            error.contains("line 4") && error.contains("template"),
            "{error}"
        );
    }
}
