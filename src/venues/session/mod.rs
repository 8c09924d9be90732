//! One connection to a venue, from its opening to its end: greeting, authentication, subscribing, staying alive. A pure
//! state machine: it is told what came and what time it is, and says what to do. It does no I/O and reads no clock.
//!
//! Times are lengths of time since any fixed moment, and never run backwards.

mod outgoing;
#[cfg(test)]
mod tests;
mod topics;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use self::outgoing::{Item, Outgoing};
use self::topics::{Concerned, Stage, Topics, frame_names};
use super::feed::{Effect, ErrorFrame};
use super::matching::{Inbound, Match, Matcher, Pointer};
use super::plan::{Link, Topic};
use super::template::{self, Names};
use crate::config::secrets::Secret;

/// How long a greeting is waited for.
const GREETING: Duration = Duration::from_secs(10);
/// A venue without `[websocket.ping]` is asked this often whether it is still there …
const PING_EVERY: Duration = Duration::from_secs(20);
/// … and must show within this.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// After an error that named nothing, others of the same kind may still be under way.
const ECHOES: Duration = Duration::from_secs(2);
/// Reports of errors in a minute; more are only counted.
const REPORTS: u32 = 20;
/// Topics that a message names one by one.
const NAMED: usize = 20;

/// What the connection is doing, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not open.
    Closed,
    /// Open; the venue has yet to greet.
    Greeting,
    /// Waiting for the answer to the credentials.
    Authenticating,
    /// Topics are being asked for.
    Subscribing,
    /// Every topic is confirmed or refused.
    Live,
}

/// What to do. Never holds a secret but in `Send`.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a text.
    Send(Secret),
    /// Send a ping of the protocol.
    Ping,
    /// Tell of something that happened.
    Event(Note),
    /// Every topic is confirmed or refused; these were confirmed since the last time.
    Settled(Vec<Topic>),
    /// The venue refuses a topic for good; it is no longer asked for.
    Refused(Topic, String),
    /// Open another connection and then end this one, which works until then.
    Replace(String),
    /// End this connection and open another.
    Reconnect(String),
    /// End this connection; none to this venue can work.
    Stop(String),
    /// End this connection: nothing is left to ask for.
    Idle,
}

/// Something that happened, as `feed_events` tells it.
#[derive(Debug, PartialEq, Eq)]
pub struct Note {
    /// `authenticated`, `subscribed`, `resubscribe`, `refused`, `error`, `unacknowledged`.
    pub kind: &'static str,
    /// The instrument, if it concerns one.
    pub symbol: Option<Arc<str>>,
    /// In words.
    pub detail: String,
}

/// What becomes of a received text.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// It is stored as it came.
    AsItCame,
    /// It held a secret: this is stored in its place.
    Redacted(String),
    /// It only answers our ping.
    Pong,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Closed,
    Greeting {
        until: Duration,
    },
    Auth {
        until: Duration,
    },
    Streaming,
    /// An end was asked for; nothing more is said.
    Over,
}

struct Answering {
    matcher: Matcher,
    send: template::Template,
}

struct Failing {
    matcher: Matcher,
    rule: ErrorFrame,
}

/// One connection.
pub struct Session {
    link: Arc<Link>,
    names: Names,
    greeting: Option<Matcher>,
    authenticated: Option<Matcher>,
    answers: Vec<Answering>,
    errors: Vec<Failing>,

    phase: Phase,
    state: State,
    topics: Topics,
    next_id: u64,
    outgoing: Outgoing,
    outputs: VecDeque<Output>,
    settled: bool,
    /// When the next ping is due.
    ping_at: Duration,
    /// A ping is out, and some life must show by then.
    pong_by: Option<Duration>,
    /// When the venue's cut-off is to be forestalled.
    replace_at: Option<Duration>,
    /// Until then nothing is asked for.
    hold_until: Duration,
    /// Start of the minute in which reports are counted, and how many there were.
    reports: (Duration, u32),
}

impl Session {
    /// A connection that is not open yet.
    ///
    /// # Errors
    /// When a template of the feed cannot be filled in.
    pub fn new(link: Arc<Link>, topics: Vec<Topic>) -> Result<Self, template::Error> {
        let names = link.names();
        let websocket = &link.websocket;
        let greeting = websocket
            .greeting
            .as_ref()
            .map(|m| m.compile(&names))
            .transpose()?;
        let ok = websocket.auth.as_ref().map(|auth| auth.ok.compile(&names));
        let answers = websocket.answer.iter().map(|answer| {
            Ok(Answering {
                matcher: answer.r#match.compile(&names)?,
                send: answer.send.clone(),
            })
        });
        let errors = websocket.error.iter().map(|rule| {
            Ok(Failing {
                matcher: rule.r#match.compile(&names)?,
                rule: rule.clone(),
            })
        });
        let mut session = Self {
            greeting,
            authenticated: ok.transpose()?,
            answers: answers.collect::<Result<_, template::Error>>()?,
            errors: errors.collect::<Result<_, template::Error>>()?,
            phase: Phase::Closed,
            state: State::Closed,
            topics: Topics::new(websocket.subscribe.as_ref(), &names)?,
            next_id: 1,
            outgoing: Outgoing::new(websocket.frames_per_second),
            outputs: VecDeque::new(),
            settled: false,
            ping_at: Duration::ZERO,
            pong_by: None,
            replace_at: None,
            hold_until: Duration::ZERO,
            reports: (Duration::ZERO, 0),
            names,
            link,
        };
        for topic in topics {
            session.topics.add(topic, false);
        }
        Ok(session)
    }

    /// The session of the next connection to the same topics. What was refused stays refused.
    ///
    /// # Errors
    /// When a template of the feed cannot be filled in.
    pub fn successor(&self) -> Result<Self, template::Error> {
        let mut next = Self::new(Arc::clone(&self.link), Vec::new())?;
        for entry in self.topics.iter() {
            next.topics.add(entry.topic.clone(), entry.struck);
        }
        Ok(next)
    }

    /// Fills in all that the connection may have to say, only to see that it can be done: some faults of a template show no
    /// sooner.
    ///
    /// # Errors
    /// When a template of the feed cannot be filled in.
    pub fn rehearse(&self) -> Result<(), template::Error> {
        let websocket = &self.link.websocket;
        let names = self.names.clone().with("id", self.next_id);
        if let Some(auth) = &websocket.auth {
            auth.send.render(&self.names)?;
        }
        if let Some(send) = websocket.ping.as_ref().and_then(|p| p.send.as_ref()) {
            send.render(&names)?;
        }
        for answer in &self.answers {
            answer.send.render(&names)?;
        }
        let Some(subscribe) = &websocket.subscribe else {
            return Ok(());
        };
        let Some(topic) = self.topics().pop() else {
            return Ok(());
        };
        let frame = frame_names(&self.names, self.next_id, std::iter::once(&topic));
        subscribe.send.render(&frame)?;
        if let Some(unsubscribe) = &subscribe.unsubscribe {
            unsubscribe.render(&frame)?;
        }
        let answer = names
            .with("topic", &*topic.text)
            .with("symbol", &*topic.symbol)
            .with("channel", &*topic.text);
        for template in subscribe.ack.iter().flat_map(Match::templates) {
            template.render(&answer)?;
        }
        Ok(())
    }

    /// How the venue is reached.
    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// All topics that are not refused.
    pub fn topics(&self) -> Vec<Topic> {
        self.topics
            .iter()
            .map(|entry| entry.topic.clone())
            .collect()
    }

    /// What the connection is doing.
    pub fn state(&self) -> State {
        self.state
    }

    /// Topics that are confirmed, and those that are not.
    pub fn counts(&self) -> (usize, usize) {
        let confirmed = self.topics.count(|stage| stage == Stage::Confirmed);
        (confirmed, self.topics.count(|_| true) - confirmed)
    }

    /// What to do next, until `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When `tick` must be called, if nothing else happens before.
    pub fn wake_at(&self) -> Option<Duration> {
        let streaming = self.phase == Phase::Streaming;
        let phase = match self.phase {
            Phase::Closed | Phase::Over => return None,
            Phase::Greeting { until } | Phase::Auth { until } => Some(until),
            Phase::Streaming => self.replace_at,
        };
        let ping = streaming.then(|| self.pong_by.map_or(self.ping_at, |by| by.min(self.ping_at)));
        let asking = streaming && !self.settled;
        let waiting = self.outgoing.has_urgent()
            || (asking && (self.topics.any_waiting() || self.topics.any_leaving()));
        let send = waiting.then(|| self.outgoing.free_at().max(self.hold_until));
        let acks = self.topics.wake_at();
        [phase, ping, send, acks].into_iter().flatten().min()
    }

    /// The connection is open.
    pub fn opened(&mut self, now: Duration) {
        self.topics.start_over();
        self.settled = false;
        self.hold_until = Duration::ZERO;
        self.replace_at = self.link.websocket.reconnect_after.map(|after| now + after);
        if self.greeting.is_some() {
            self.phase = Phase::Greeting {
                until: now + GREETING,
            };
            self.state = State::Greeting;
        } else {
            self.authenticate(now);
        }
        self.pump(now);
    }

    /// The connection is gone.
    pub fn closed(&mut self) {
        self.phase = Phase::Closed;
        self.state = State::Closed;
    }

    /// A text came.
    pub fn text(&mut self, now: Duration, text: &str) -> Received {
        self.alive();
        let pong = self
            .link
            .websocket
            .ping
            .as_ref()
            .and_then(|ping| ping.pong.as_deref());
        if pong == Some(text) {
            return Received::Pong;
        }
        let frame = Inbound::new(text);
        if !matches!(self.phase, Phase::Closed | Phase::Over) {
            // Market data on a settled connection is all there is, nearly always: nothing follows from it.
            if self.read(now, &frame) || !self.settled {
                self.pump(now);
            }
        }
        match self.link.secrets.redacted(text) {
            None => Received::AsItCame,
            Some(clean) => Received::Redacted(clean),
        }
    }

    /// Something else came that shows life: a pong or a ping of the protocol, or bytes.
    pub fn alive(&mut self) {
        self.pong_by = None;
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Duration) {
        match self.phase {
            Phase::Closed | Phase::Over => return,
            Phase::Greeting { until } if until <= now => {
                return self.reconnect("the venue did not greet");
            }
            Phase::Auth { until } if until <= now => {
                return self.reconnect("no answer to the credentials");
            }
            Phase::Greeting { .. } | Phase::Auth { .. } => {}
            Phase::Streaming => self.tick_streaming(now),
        }
        self.pump(now);
    }

    fn tick_streaming(&mut self, now: Duration) {
        if self.pong_by.is_some_and(|by| by <= now) {
            return self.reconnect("no sign of life after a ping");
        }
        if self.ping_at <= now {
            self.ping(now);
        }
        let overdue = self.topics.overdue(now);
        if !overdue.unanswered.is_empty() {
            let detail = format!(
                "asked twice without an answer: {}",
                listed(&overdue.unanswered)
            );
            self.note("unacknowledged", only_symbol(&overdue.unanswered), detail);
        }
        self.settled &= self.topics.are_settled();
        if overdue.reconnect {
            return self.reconnect("a subscription was not acknowledged");
        }
        if self.replace_at.is_some_and(|at| at <= now) {
            self.replace_at = None;
            let reason = "planned, before the venue cuts the connection off".to_owned();
            self.outputs.push_back(Output::Replace(reason));
        }
    }

    /// Time in which nothing was read, because what was read before had no room yet, proves nothing.
    pub fn stalled(&mut self, by: Duration) {
        match &mut self.phase {
            Phase::Greeting { until } | Phase::Auth { until } => *until += by,
            _ => {}
        }
        if let Some(pong_by) = &mut self.pong_by {
            *pong_by += by;
        }
        self.topics.shift(by);
    }

    /// Asks the venue whether it is there, unless that is asked already.
    pub fn ping(&mut self, now: Duration) {
        let ping = self.link.websocket.ping.clone();
        let (every, timeout) = ping
            .as_ref()
            .map_or((PING_EVERY, PING_TIMEOUT), |p| (p.every, p.timeout));
        self.ping_at = now + every;
        if self.phase != Phase::Streaming || self.pong_by.is_some() {
            return;
        }
        match ping.and_then(|ping| ping.send) {
            None => self.outgoing.push(Item::Ping),
            Some(send) => {
                let id = self.take_id();
                match send.render(&self.names.clone().with("id", id)) {
                    Ok(text) => self.outgoing.push(Item::Text(Secret::new(text))),
                    Err(error) => return self.stop(error.to_string()),
                }
            }
        }
        self.pong_by = Some(now + timeout);
    }

    /// Some topics are no longer wanted, others are new. Those that stay are not touched.
    pub fn change_topics(&mut self, now: Duration, gone: &[Topic], new: &[Topic]) {
        let gone = self.topics.remove(|topic| gone.contains(topic));
        let known = self.topics();
        let new: Vec<&Topic> = new.iter().filter(|topic| !known.contains(topic)).collect();
        for topic in &new {
            self.topics.add((*topic).clone(), false);
        }
        if (gone.is_empty() && new.is_empty()) || matches!(self.phase, Phase::Closed | Phase::Over)
        {
            return;
        }
        if self.topics.is_empty() {
            return self.end(Output::Idle);
        }
        let subscribe = self.link.websocket.subscribe.as_ref();
        let by_url = subscribe.is_none();
        let cannot_end = subscribe.is_none_or(|subscribe| subscribe.unsubscribe.is_none());
        if cannot_end {
            self.topics.forget_leaving();
        }
        if by_url || (cannot_end && !gone.is_empty()) {
            self.outputs
                .push_back(Output::Replace("other topics are wanted".to_owned()));
        }
        if !by_url {
            self.settled = false;
            self.pump(now);
        }
    }

    /// Ends these topics and asks for them anew: they are said to be silent, or their book is to be sent again.
    pub fn resubscribe(&mut self, now: Duration, of: &[Topic], reason: &str) {
        if self.phase != Phase::Streaming {
            return;
        }
        let Some(subscribe) = self.link.websocket.subscribe.as_ref() else {
            return self.reconnect(reason);
        };
        let can_end = subscribe.unsubscribe.is_some();
        if self.topics.renew(|topic| of.contains(topic)) {
            if !can_end {
                self.topics.forget_leaving();
            }
            self.settled = false;
            let detail = format!("{reason}: {}", listed(of));
            self.note("resubscribe", only_symbol(of), detail);
            self.pump(now);
        }
    }

    fn authenticate(&mut self, now: Duration) {
        let link = Arc::clone(&self.link);
        let Some(auth) = &link.websocket.auth else {
            return self.stream(now);
        };
        match auth.send.render(&self.names) {
            Ok(text) => {
                self.phase = Phase::Auth {
                    until: now + auth.timeout,
                };
                self.state = State::Authenticating;
                self.outgoing.push(Item::Text(Secret::new(text)));
            }
            Err(error) => self.stop(error.to_string()),
        }
    }

    fn stream(&mut self, now: Duration) {
        self.phase = Phase::Streaming;
        self.state = State::Subscribing;
        self.pong_by = None;
        let ping = self.link.websocket.ping.as_ref();
        self.ping_at = now + ping.map_or(PING_EVERY, |ping| ping.every);
        if self.link.websocket.subscribe.is_none() {
            self.topics.confirm_all();
        }
    }

    /// Reads a frame as everything but market data. Says whether it was any of that.
    fn read(&mut self, now: Duration, frame: &Inbound<'_>) -> bool {
        let mut any = false;
        match self.phase {
            Phase::Greeting { .. } => {
                if self
                    .greeting
                    .as_ref()
                    .is_some_and(|greeting| greeting.matches(frame))
                {
                    self.authenticate(now);
                    return true;
                }
            }
            Phase::Auth { .. } => {
                if self
                    .authenticated
                    .as_ref()
                    .is_some_and(|ok| ok.matches(frame))
                {
                    self.note("authenticated", None, String::new());
                    self.stream(now);
                    return true;
                }
            }
            _ => any = self.topics.acknowledge(frame),
        }
        let answers = self
            .answers
            .iter()
            .filter(|answer| answer.matcher.matches(frame));
        let answers: Vec<template::Template> = answers.map(|answer| answer.send.clone()).collect();
        for answer in answers {
            any = true;
            let names = self.names.clone().with("id", self.take_id());
            match answer.render(&names) {
                Ok(text) => self.outgoing.push(Item::Text(Secret::new(text))),
                Err(error) => self.stop(error.to_string()),
            }
        }
        // Of an array's elements each is told by the first rule that knows it.
        let mut told: Vec<(ErrorFrame, Value)> = Vec::new();
        for error in &self.errors {
            for value in error.matcher.find(frame) {
                if !told.iter().any(|(_, known)| known == value) {
                    told.push((error.rule.clone(), value.clone()));
                }
            }
        }
        for (rule, value) in told {
            any = true;
            self.fail(now, &rule, &value);
        }
        any
    }

    /// An error frame.
    fn fail(&mut self, now: Duration, rule: &ErrorFrame, value: &Value) {
        let at = |pointer: &Option<Pointer>| pointer.as_ref().and_then(|p| p.text(value));
        let detail = at(&rule.detail).unwrap_or_else(|| value.to_string());
        let detail = self.clean(detail);
        let before = matches!(self.phase, Phase::Greeting { .. } | Phase::Auth { .. });
        match rule.effect {
            Effect::Report => self.report(now, at(&rule.symbol), detail),
            Effect::Reconnect => {
                self.report(now, None, detail.clone());
                self.reconnect(&detail);
            }
            Effect::Stop => self.stop(detail),
            // Before anything was asked for, the credentials are all that can have been refused.
            Effect::DropTopic if before => self.stop(detail),
            Effect::DropTopic => {
                let (topic, symbol, id) = (at(&rule.topic), at(&rule.symbol), at(&rule.id));
                let concerned =
                    self.topics
                        .concerned(topic.as_deref(), symbol.as_deref(), id.as_deref());
                self.settled &= concerned == Concerned::Nothing;
                match concerned {
                    Concerned::Topics(keys) => {
                        let dropped: Vec<Topic> = keys
                            .into_iter()
                            .filter_map(|key| self.topics.drop_key(key))
                            .collect();
                        for topic in dropped {
                            self.refuse(topic, &detail);
                        }
                        if self.topics.is_empty() {
                            self.end(Output::Idle);
                        }
                    }
                    Concerned::Frame(keys) => self.topics.halve(&keys),
                    Concerned::SomeFrame if now >= self.hold_until => {
                        self.topics.one_at_a_time();
                        self.hold_until = now + ECHOES;
                        self.report(now, symbol, detail);
                    }
                    Concerned::SomeFrame | Concerned::Nothing => self.report(now, symbol, detail),
                }
            }
        }
    }

    fn refuse(&mut self, topic: Topic, detail: &str) {
        let words = format!("{} is refused: {detail}", topic.text);
        let symbol = Some(Arc::clone(&topic.symbol));
        self.note("refused", symbol, words);
        self.outputs
            .push_back(Output::Refused(topic, detail.to_owned()));
    }

    /// Tells of an error, so often and no oftener.
    fn report(&mut self, now: Duration, symbol: Option<String>, detail: String) {
        let (since, count) = &mut self.reports;
        let mut unsaid = 0;
        if now >= *since + Duration::from_mins(1) {
            unsaid = count.saturating_sub(REPORTS);
            (*since, *count) = (now, 0);
        }
        *count += 1;
        if *count > REPORTS {
            return;
        }
        let detail = if unsaid > 0 {
            format!("{detail} (and {unsaid} more in the minute before)")
        } else {
            detail
        };
        self.note("error", symbol.map(Into::into), detail);
    }

    /// Sends what may be sent now, and says when all is settled.
    fn pump(&mut self, now: Duration) {
        if self.phase == Phase::Over {
            return;
        }
        while let Some(item) = self.outgoing.pop(now) {
            self.outputs.push_back(match item {
                Item::Text(text) => Output::Send(text),
                Item::Ping => Output::Ping,
            });
        }
        if self.phase != Phase::Streaming {
            return;
        }
        if let Err(error) = self.ask(now) {
            return self.stop(error.to_string());
        }
        let settled = self.topics.are_settled();
        self.state = if settled {
            State::Live
        } else {
            State::Subscribing
        };
        if settled && !self.settled {
            self.settled = true;
            let news = self.topics.take_news();
            if !news.is_empty() {
                self.note("subscribed", only_symbol(&news), listed(&news));
            }
            self.outputs.push_back(Output::Settled(news));
        }
    }

    fn ask(&mut self, now: Duration) -> Result<(), template::Error> {
        let link = Arc::clone(&self.link);
        let Some(subscribe) = &link.websocket.subscribe else {
            return Ok(());
        };
        while now >= self.hold_until && self.outgoing.is_free(now) {
            let leaving = self.topics.next_leaving(subscribe);
            if let (Some(unsubscribe), false) = (&subscribe.unsubscribe, leaving.is_empty()) {
                let id = self.take_id();
                let text = unsubscribe.render(&frame_names(&self.names, id, leaving.iter()))?;
                self.send(now, text);
                continue;
            }
            if !self.topics.any_waiting() {
                break;
            }
            let asking = self.topics.next_waiting(subscribe);
            let id = self.take_id();
            let topics = asking.iter().map(|(_, topic)| topic);
            let text = subscribe
                .send
                .render(&frame_names(&self.names, id, topics))?;
            self.topics
                .asked(id, &asking, subscribe, &self.names, now)?;
            self.send(now, text);
        }
        Ok(())
    }

    fn send(&mut self, now: Duration, text: String) {
        self.outgoing.count(now);
        self.outputs.push_back(Output::Send(Secret::new(text)));
    }

    fn take_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    fn note(&mut self, kind: &'static str, symbol: Option<Arc<str>>, detail: String) {
        self.outputs.push_back(Output::Event(Note {
            kind,
            symbol,
            detail,
        }));
    }

    fn reconnect(&mut self, reason: &str) {
        self.end(Output::Reconnect(reason.to_owned()));
    }

    fn stop(&mut self, reason: String) {
        self.end(Output::Stop(reason));
    }

    /// The last thing this session says.
    fn end(&mut self, output: Output) {
        if self.phase != Phase::Over {
            self.phase = Phase::Over;
            self.outputs.push_back(output);
        }
    }

    /// A venue's own words: short, and without secrets.
    fn clean(&self, text: String) -> String {
        let mut text = self.link.secrets.redact(text);
        if let Some((end, _)) = text.char_indices().nth(500) {
            text.truncate(end);
            text.push('…');
        }
        text
    }
}

/// The symbol, if all topics have the same.
fn only_symbol(topics: &[Topic]) -> Option<Arc<str>> {
    let first = topics.first()?;
    topics
        .iter()
        .all(|topic| topic.symbol == first.symbol)
        .then(|| Arc::clone(&first.symbol))
}

/// Channels and symbols, as many as one can read.
fn listed(topics: &[Topic]) -> String {
    let named: Vec<String> = topics
        .iter()
        .take(NAMED)
        .map(|topic| format!("{} {}", topic.channel, topic.symbol))
        .collect();
    let more = topics.len().saturating_sub(NAMED);
    if more > 0 {
        format!("{} and {more} more", named.join(", "))
    } else {
        named.join(", ")
    }
}
