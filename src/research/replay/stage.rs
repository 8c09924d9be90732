//! What the replay's tasks share: the present position, the books at it, and who listens.
//!
//! One lock makes the position one for all: a client that subscribes gets the book as it is after a message, and
//! then the messages after that one.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::ws::Utf8Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::books::{Books, Snapshot};
use super::faults::{Dice, Faults, Kind};
use super::history::Answers;
use super::protocol::{Asked, Held, Protocol, Symbol, Topic};
use super::queue::{Inbox, Out, Outbox, Place, queue};
use super::recording::Item;
use super::{Error, Options, Progress, Start};
use crate::model::Sequencing;
use crate::venues::feed::Feed;
use crate::venues::template;

pub(super) struct Stage {
    pub(super) protocol: Protocol,
    pub(super) answers: Answers,
    pub(super) options: Options,
    /// How the books are numbered.
    rule: Sequencing,
    state: Mutex<State>,
    /// Somebody has come, subscribed or left.
    changed: Notify,
    pub(super) sent: AtomicU64,
    requests: AtomicU64,
    logins: AtomicU64,
}

struct State {
    books: Books,
    /// Messages that are behind.
    frames: u64,
    /// When the last of them was received, ns.
    at_ns: Option<i64>,
    clients: BTreeMap<u64, Client>,
    connections: u64,
    too_slow: u64,
    changed_at: Instant,
}

/// Somebody who listens.
struct Client {
    outbox: Outbox,
    kick: Arc<Notify>,
    topics: HashSet<Topic>,
    /// What it has subscribed by frames, in its own words.
    subscribed: Held,
    /// Topics that a fault keeps from it.
    silent: HashSet<Topic>,
    dice: Option<Dice>,
    /// Sent after the next one.
    held: Option<Utf8Bytes>,
}

/// A connection's side of being a client.
pub(super) struct Seat {
    pub(super) number: u64,
    pub(super) outbox: Outbox,
    pub(super) inbox: Inbox,
    /// The client is cut off.
    pub(super) kick: Arc<Notify>,
}

/// Something that has to go into a client's queue.
pub(super) struct Delivery {
    pub(super) number: u64,
    pub(super) outbox: Outbox,
    pub(super) out: Out,
}

impl Stage {
    pub(super) fn new(feed: &Feed, protocol: Protocol, answers: Answers, options: Options) -> Self {
        let rule = feed
            .book
            .as_ref()
            .map_or(Sequencing::None, |book| book.rule);
        Self {
            protocol,
            answers,
            options,
            rule,
            state: Mutex::new(State {
                books: Books::new(rule),
                frames: 0,
                at_ns: None,
                clients: BTreeMap::new(),
                connections: 0,
                too_slow: 0,
                changed_at: Instant::now(),
            }),
            changed: Notify::new(),
            sent: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            logins: AtomicU64::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn progress(&self) -> Progress {
        let state = self.state();
        Progress {
            frames: state.frames,
            sent: self.sent.load(Relaxed),
            clients: state.clients.len(),
            connections: state.connections,
            too_slow: state.too_slow,
        }
    }

    /// A new client.
    pub(super) fn join(&self) -> Seat {
        let (outbox, inbox) = queue();
        let kick = Arc::new(Notify::new());
        let mut state = self.state();
        state.connections += 1;
        let number = state.connections;
        let client = Client {
            outbox: outbox.clone(),
            kick: Arc::clone(&kick),
            topics: HashSet::new(),
            subscribed: Held::new(),
            silent: HashSet::new(),
            dice: Dice::new(&self.options.faults, number, state.frames),
            held: None,
        };
        state.clients.insert(number, client);
        self.say_changed(&mut state);
        Seat {
            number,
            outbox,
            inbox,
            kick,
        }
    }

    pub(super) fn leave(&self, number: u64) {
        let mut state = self.state();
        state.clients.remove(&number);
        self.say_changed(&mut state);
    }

    /// Cuts a client off that cannot keep up.
    pub(super) fn kick(&self, number: u64) {
        let mut state = self.state();
        if let Some(client) = state.clients.remove(&number) {
            client.kick.notify_one();
            state.too_slow += 1;
        }
        self.say_changed(&mut state);
    }

    fn say_changed(&self, state: &mut State) {
        state.changed_at = Instant::now();
        self.changed.notify_waiters();
    }

    /// The number of a request, from 1.
    pub(super) fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, Relaxed) + 1
    }

    /// The number of a login, from 1.
    pub(super) fn next_login(&self) -> u64 {
        self.logins.fetch_add(1, Relaxed) + 1
    }

    /// Subscribes a client and puts the answers in its queue: after them it gets all messages after the present
    /// position.
    pub(super) fn subscribe(
        &self,
        number: u64,
        asked: &Asked,
        place: Place<'_>,
    ) -> Result<(), template::Error> {
        let topics: Vec<Topic> = asked.wanted.iter().filter_map(|w| w.topic).collect();
        let mut state = self.state();
        let Some(client) = state.clients.get_mut(&number) else {
            return Ok(());
        };
        self.protocol.take_up(asked, &mut client.subscribed);
        let mut frames = self.protocol.subscribed(asked, &client.subscribed)?;
        for topic in &topics {
            if self.protocol.begins_with_book(*topic) {
                self.add_books(&state.books, *topic, &mut frames)?;
            }
        }
        state.add_topics(number, &topics);
        place.put(Out::Answers(frames));
        self.say_changed(&mut state);
        Ok(())
    }

    /// Subscribes a client to what its address names.
    pub(super) fn subscribe_by_address(&self, number: u64, topics: &[Topic]) {
        let mut state = self.state();
        state.add_topics(number, topics);
        self.say_changed(&mut state);
    }

    /// Ends subscriptions of a client and puts the answer in its queue: after it nothing of them comes.
    pub(super) fn unsubscribe(
        &self,
        number: u64,
        mut asked: Asked,
        place: Place<'_>,
    ) -> Result<(), template::Error> {
        let mut state = self.state();
        let Some(client) = state.clients.get_mut(&number) else {
            return Ok(());
        };
        self.protocol.give_up(&mut asked, &mut client.subscribed);
        for topic in asked.wanted.iter().filter_map(|w| w.topic) {
            client.topics.remove(&topic);
        }
        let frames = self.protocol.unsubscribed(&asked, &client.subscribed)?;
        place.put(Out::Answers(frames));
        Ok(())
    }

    /// The books of a topic, where they are known, as the venue sends them.
    fn add_books(
        &self,
        books: &Books,
        topic: Topic,
        frames: &mut Vec<String>,
    ) -> Result<(), template::Error> {
        let symbols = match topic.symbol {
            Some(symbol) => vec![symbol],
            None => books.symbols(),
        };
        for symbol in symbols {
            if let Some(book) = books.snapshot(symbol) {
                frames.extend(self.protocol.snapshot(symbol, Some(topic), book)?);
            }
        }
        Ok(())
    }

    /// The book of a symbol at the present position, or else from which seq on another one may be looked for.
    pub(super) fn book(&self, symbol: Symbol) -> Result<Snapshot, u64> {
        let state = self.state();
        let seq = state.books.seq(symbol);
        state.books.snapshot(symbol).ok_or(seq)
    }

    /// A book of a later time: under a rule with ids it is as good as the present one, for a client passes over the
    /// updates that it holds already. Blocks.
    pub(super) fn later_book(&self, symbol: Symbol, seq: u64) -> Result<Option<Snapshot>, Error> {
        if self.rule == Sequencing::None {
            return Ok(None);
        }
        self.answers
            .later_book(&self.protocol, self.rule, symbol, seq)
    }

    pub(super) fn template_error(&self, source: template::Error) -> Error {
        Error::Template {
            venue: self.options.venue.clone(),
            source,
        }
    }

    /// Receive time of the last message that is behind, ns; `None` before the first.
    pub(super) fn at_ns(&self) -> Option<i64> {
        self.state().at_ns
    }

    /// Moves on by one item and says what is to be delivered for it.
    pub(super) fn advance(&self, item: &Item, deliveries: &mut Vec<Delivery>) {
        let state = &mut *self.state();
        for update in &item.updates {
            state.books.apply(update);
        }
        if item.before {
            return;
        }
        state.at_ns = Some(item.at_ns);
        let Some(frame) = &item.frame else {
            return;
        };
        state.frames += 1;
        for (&number, client) in &mut state.clients {
            let wanted = item.topics.iter().any(|topic| client.wants(*topic));
            if wanted {
                let outbox = client.outbox.clone();
                client.send(&self.options.faults, state.frames, item, frame, |out| {
                    deliveries.push(Delivery {
                        number,
                        outbox: outbox.clone(),
                        out,
                    });
                });
            }
        }
    }

    /// What every client still has to get at the end, and `out` after it.
    pub(super) fn deliver_to_all(&self, mut out: impl FnMut() -> Out) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        for (&number, client) in &mut self.state().clients {
            let held = client.held.take().map(Out::Frame);
            for out in held.into_iter().chain([out()]) {
                deliveries.push(Delivery {
                    number,
                    outbox: client.outbox.clone(),
                    out,
                });
            }
        }
        deliveries
    }

    /// Waits until the recording may begin.
    pub(super) async fn until_start(&self) {
        loop {
            let changed = self.changed.notified();
            let (subscriptions, changed_at) = {
                let state = self.state();
                let count = state.clients.values().map(|client| client.topics.len());
                (count.sum::<usize>(), state.changed_at)
            };
            match self.options.start {
                Start::Subscriptions(count) if subscriptions >= count => return,
                Start::Quiet(quiet) if subscriptions > 0 => {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep_until(changed_at + quiet) => return,
                    }
                }
                Start::Quiet(_) | Start::Subscriptions(_) => changed.await,
            }
        }
    }

    pub(super) async fn until_all_left(&self) {
        loop {
            let changed = self.changed.notified();
            if self.state().clients.is_empty() {
                return;
            }
            changed.await;
        }
    }
}

impl State {
    fn add_topics(&mut self, number: u64, topics: &[Topic]) {
        if let Some(client) = self.clients.get_mut(&number) {
            for topic in topics {
                client.topics.insert(*topic);
                // To ask again heals what went silent.
                client.silent.retain(|silent| {
                    silent != topic && (topic.symbol.is_some() || silent.channel != topic.channel)
                });
            }
        }
    }
}

impl Client {
    fn wants(&self, topic: Topic) -> bool {
        let all = Topic {
            symbol: None,
            ..topic
        };
        (self.topics.contains(&topic) || self.topics.contains(&all))
            && !self.silent.contains(&topic)
    }

    /// Sends a frame with all that goes wrong with it.
    fn send(
        &mut self,
        faults: &Faults,
        number: u64,
        item: &Item,
        frame: &Utf8Bytes,
        mut send: impl FnMut(Out),
    ) {
        let Some(dice) = &mut self.dice else {
            return send(Out::Frame(frame.clone()));
        };
        let mut strikes = |kind| dice.strikes(faults, kind, number);
        for (kind, out) in [(Kind::Stall, Out::Stall), (Kind::Disconnect, Out::Cut)] {
            if strikes(kind) {
                self.topics.clear();
                return send(out);
            }
        }
        if strikes(Kind::Silence) {
            self.silent.extend(&item.topics);
            return;
        }
        if strikes(Kind::Drop) {
            return;
        }
        let mut frame = frame.clone();
        let checksum = item.updates.iter().find_map(|update| update.checksum);
        if let Some(wrong) = checksum.and_then(|sum| with_wrong_checksum(&frame, sum))
            && strikes(Kind::Checksum)
        {
            frame = wrong;
        }
        if strikes(Kind::Garbage) {
            send(garbage(dice.choose(faults, number, 3), &frame));
        }
        let mut strikes = |kind| dice.strikes(faults, kind, number);
        if strikes(Kind::Delay) {
            send(Out::Pause(faults.pause()));
        }
        if strikes(Kind::Duplicate) {
            send(Out::Frame(frame.clone()));
        }
        if strikes(Kind::Reorder) && self.held.is_none() {
            self.held = Some(frame);
            return;
        }
        send(Out::Frame(frame));
        if let Some(held) = self.held.take() {
            send(Out::Frame(held));
        }
    }
}

/// Something that is none of the venue's messages.
fn garbage(choice: u64, frame: &Utf8Bytes) -> Out {
    match choice {
        0 => {
            let mut half = frame.len() / 2;
            while !frame.is_char_boundary(half) {
                half -= 1;
            }
            Out::Frame(Utf8Bytes::from(frame[..half].to_owned()))
        }
        1 => Out::Frame(Utf8Bytes::from_static("<html>502 Bad Gateway</html>")),
        _ => Out::Bytes(b"\xff\xfe\x00no text\xc3"),
    }
}

/// The message with another number in place of its checksum, in whichever way the venue writes that.
fn with_wrong_checksum(frame: &Utf8Bytes, checksum: i64) -> Option<Utf8Bytes> {
    let forms = [
        checksum,
        i64::from(checksum as u32),
        i64::from(checksum as i32),
    ];
    let (start, end) = forms.iter().find_map(|form| {
        let text = form.to_string();
        let at = frame.rfind(&text)?;
        let alone = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_digit());
        let (before, after) = (&frame[..at], &frame[at + text.len()..]);
        let whole = alone(before.chars().next_back()) && alone(after.chars().next());
        whole.then_some((at, at + text.len()))
    })?;
    let last = frame[..end].chars().next_back()?.to_digit(10)?;
    let wrong = (last + 1) % 10;
    debug_assert!(start < end);
    Some(Utf8Bytes::from(format!(
        "{}{wrong}{}",
        &frame[..end - 1],
        &frame[end..]
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_checksum_changes_nothing_else() {
        let wrong = |frame: &'static str, sum| {
            with_wrong_checksum(&Utf8Bytes::from_static(frame), sum).map(|text| text.to_string())
        };
        assert_eq!(
            wrong(r#"{"c":"974947235"}"#, 974_947_235).unwrap(),
            r#"{"c":"974947236"}"#
        );
        assert_eq!(
            wrong(r#"{"sum":-855196043,"n":1}"#, -855_196_043).unwrap(),
            r#"{"sum":-855196044,"n":1}"#
        );
        assert_eq!(
            wrong(r#"{"sum":-1}"#, 0xffff_ffff).unwrap(),
            r#"{"sum":-2}"#
        );
        assert_eq!(wrong(r#"{"n":1234}"#, 23), None);
    }
}
