//! The topics of a connection: which are asked for, confirmed, refused; and the frames that asked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::venues::feed::Subscribe;
use crate::venues::matching::{Inbound, Match, Matcher};
use crate::venues::plan::{Topic, distinct};
use crate::venues::template::{self, Names};

/// A topic that stays without an answer is asked for again after this long, once others have shown that the connection
/// works.
const PARKED: Duration = Duration::from_mins(5);

/// A topic's number in this session.
pub(super) type Key = u64;

/// How far a topic has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// To be asked for.
    Waiting,
    /// Asked for.
    Asked,
    /// The venue said yes.
    Confirmed,
    /// Asked for in vain; again at this time.
    Parked(Duration),
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) topic: Topic,
    pub(super) stage: Stage,
    /// Asked without an answer, on this connection.
    unanswered: u32,
    /// It has cost a connection before.
    pub(super) struck: bool,
    /// Topics that may share a frame with it.
    group: usize,
}

/// A frame that asked for topics and has not been answered for all of them.
#[derive(Debug)]
struct Sent {
    id: u64,
    keys: Vec<Key>,
    deadline: Duration,
    /// Past its deadline; a late answer still counts.
    late: bool,
    acks: Vec<(Option<Key>, Matcher)>,
}

/// What an acknowledgement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Confirms {
    /// The topics it names.
    Named,
    /// The frame whose id it names, or everything asked for if it names none.
    Whole,
}

/// Whom an error frame concerns.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Concerned {
    /// These topics.
    Topics(Vec<Key>),
    /// One or more of these topics.
    Frame(Vec<Key>),
    /// One of the frames without an answer, and it cannot be told which.
    SomeFrame,
    /// None that is asked for.
    Nothing,
}

/// What came of frames that were not answered in time.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Overdue {
    /// Asked twice without an answer.
    pub(super) unanswered: Vec<Topic>,
    /// One of them has not cost a connection before, or nothing on this connection works.
    pub(super) reconnect: bool,
}

/// All topics of a connection.
#[derive(Debug)]
pub(super) struct Topics {
    entries: BTreeMap<Key, Entry>,
    next_key: Key,
    frames: Vec<Sent>,
    /// Topics to end, by channel text and symbol.
    leaving: Vec<Topic>,
    /// Confirmed since last asked.
    news: Vec<Topic>,
    /// What any acknowledgement looks like, and what it confirms.
    ack: Option<(Matcher, Confirms)>,
    /// One frame at a time, because answers do not say which frame they are to.
    serial: bool,
    /// The acknowledgement names nothing at all.
    nameless: bool,
    /// Some topic may be parked.
    parked: bool,
}

impl Topics {
    pub(super) fn new(
        subscribe: Option<&Subscribe>,
        names: &Names,
    ) -> Result<Self, template::Error> {
        let ack = subscribe.and_then(|s| s.ack.as_ref());
        let nameless = ack.is_some_and(|ack| {
            !["id", "topic", "symbol", "channel"]
                .iter()
                .any(|n| ack.uses(n))
        });
        let ack = ack
            .map(|ack| Ok((ack.shape(names)?, confirms(ack))))
            .transpose()?;
        Ok(Self {
            nameless,
            entries: BTreeMap::new(),
            next_key: 0,
            frames: Vec::new(),
            leaving: Vec::new(),
            news: Vec::new(),
            ack,
            serial: nameless,
            parked: false,
        })
    }

    pub(super) fn add(&mut self, topic: Topic, struck: bool) {
        self.entries.insert(
            self.next_key,
            Entry {
                topic,
                stage: Stage::Waiting,
                unanswered: 0,
                struck,
                group: usize::MAX,
            },
        );
        self.next_key += 1;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn count(&self, stage: impl Fn(Stage) -> bool) -> usize {
        self.iter().filter(|entry| stage(entry.stage)).count()
    }

    /// Nothing is waiting for an answer, or to be asked or ended.
    pub(super) fn are_settled(&self) -> bool {
        self.leaving.is_empty()
            && self
                .iter()
                .all(|e| !matches!(e.stage, Stage::Waiting | Stage::Asked))
    }

    /// Confirmed since the last call.
    pub(super) fn take_news(&mut self) -> Vec<Topic> {
        std::mem::take(&mut self.news)
    }

    /// On a new connection nothing is confirmed.
    pub(super) fn start_over(&mut self) {
        self.frames.clear();
        self.leaving.clear();
        self.news.clear();
        self.serial = self.nameless;
        for entry in self.entries.values_mut() {
            entry.stage = Stage::Waiting;
            entry.unanswered = 0;
            entry.group = usize::MAX;
        }
    }

    /// The URL has subscribed to everything.
    pub(super) fn confirm_all(&mut self) {
        for entry in self.entries.values_mut() {
            if entry.stage != Stage::Confirmed {
                entry.stage = Stage::Confirmed;
                self.news.push(entry.topic.clone());
            }
        }
    }

    /// Takes topics out; those that the venue knows of are to be ended.
    pub(super) fn remove(&mut self, mut gone: impl FnMut(&Topic) -> bool) -> Vec<Topic> {
        let keys: Vec<Key> = self.keys(|entry| gone(&entry.topic));
        let mut removed = Vec::with_capacity(keys.len());
        for key in keys {
            if let Some(entry) = self.entries.remove(&key) {
                if matches!(entry.stage, Stage::Asked | Stage::Confirmed) {
                    self.leaving.push(entry.topic.clone());
                }
                removed.push(entry.topic);
            }
        }
        self.tidy();
        removed
    }

    /// Ends confirmed topics and asks for them anew. Says whether there were any.
    pub(super) fn renew(&mut self, of: impl Fn(&Topic) -> bool) -> bool {
        let mut any = false;
        for entry in self.entries.values_mut().filter(|e| of(&e.topic)) {
            if matches!(entry.stage, Stage::Confirmed | Stage::Parked(_)) {
                if entry.stage == Stage::Confirmed {
                    self.leaving.push(entry.topic.clone());
                }
                entry.stage = Stage::Waiting;
                entry.unanswered = 0;
                any = true;
            }
        }
        any
    }

    /// Topics to end, for one frame.
    pub(super) fn next_leaving(&mut self, subscribe: &Subscribe) -> Vec<Topic> {
        let Some(first) = self.leaving.first().cloned() else {
            return Vec::new();
        };
        let mut frame = Vec::new();
        self.leaving.retain(|topic| {
            let fits = frame.len() < subscribe.topics_per_frame
                && (!subscribe.one_channel || topic.channel == first.channel);
            if fits {
                frame.push(topic.clone());
            }
            !fits
        });
        frame
    }

    pub(super) fn forget_leaving(&mut self) {
        self.leaving.clear();
    }

    pub(super) fn any_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Something is to be asked for, and may be now.
    pub(super) fn any_waiting(&self) -> bool {
        let held = self.serial && self.frames.iter().any(|frame| !frame.late);
        !held && self.iter().any(|entry| entry.stage == Stage::Waiting)
    }

    /// Topics to ask for, for one frame.
    pub(super) fn next_waiting(&self, subscribe: &Subscribe) -> Vec<(Key, Topic)> {
        let mut frame: Vec<(Key, Topic)> = Vec::new();
        let mut limit = subscribe.topics_per_frame;
        for (&key, entry) in &self.entries {
            if entry.stage != Stage::Waiting {
                continue;
            }
            let other = frame
                .first()
                .is_some_and(|(_, first)| first.channel != entry.topic.channel);
            if subscribe.one_channel && other {
                continue;
            }
            // A topic that must not share its frame with many starts or waits for a frame of its own.
            if !frame.is_empty() && entry.group <= frame.len() {
                continue;
            }
            limit = limit.min(entry.group);
            frame.push((key, entry.topic.clone()));
            if frame.len() >= limit {
                break;
            }
        }
        frame
    }

    /// The frame went out.
    pub(super) fn asked(
        &mut self,
        id: u64,
        topics: &[(Key, Topic)],
        subscribe: &Subscribe,
        names: &Names,
        now: Duration,
    ) -> Result<(), template::Error> {
        let (Some(ack), Some((_, confirms))) = (&subscribe.ack, &self.ack) else {
            // Nothing will say so: what was asked for counts as given.
            self.confirm(topics.iter().map(|(key, _)| *key).collect());
            return Ok(());
        };
        let names = names.clone().with("id", id);
        let acks = if *confirms == Confirms::Named {
            let each = topics.iter().map(|(key, topic)| {
                let names = names
                    .clone()
                    .with("topic", &*topic.text)
                    .with("symbol", &*topic.symbol)
                    .with("channel", &*topic.text);
                Ok((Some(*key), ack.compile(&names)?))
            });
            each.collect::<Result<_, template::Error>>()?
        } else {
            vec![(None, ack.compile(&names)?)]
        };
        for (key, _) in topics {
            if let Some(entry) = self.entries.get_mut(key) {
                entry.stage = Stage::Asked;
            }
        }
        self.frames.push(Sent {
            id,
            keys: topics.iter().map(|(key, _)| *key).collect(),
            deadline: now + subscribe.timeout,
            late: false,
            acks,
        });
        Ok(())
    }

    /// Reads a frame as an acknowledgement. Says whether it was one.
    pub(super) fn acknowledge(&mut self, frame: &Inbound<'_>) -> bool {
        let Some((shape, _)) = &self.ack else {
            return false;
        };
        if self.frames.is_empty() {
            return false;
        }
        let mut keys = Vec::new();
        for element in shape.find(frame) {
            for sent in &self.frames {
                let matching = sent.acks.iter().filter(|(_, ack)| ack.is(element));
                for (key, _) in matching {
                    match key {
                        Some(key) => keys.push(*key),
                        None => keys.extend(&sent.keys),
                    }
                }
            }
        }
        let any = !keys.is_empty();
        if any {
            self.confirm(keys);
        }
        any
    }

    fn confirm(&mut self, keys: Vec<Key>) {
        for key in keys {
            let Some(entry) = self.entries.get_mut(&key) else {
                continue;
            };
            if entry.stage != Stage::Confirmed {
                entry.stage = Stage::Confirmed;
                entry.unanswered = 0;
                entry.struck = false;
                self.news.push(entry.topic.clone());
            }
        }
        self.tidy();
    }

    /// Which topics an error frame concerns: those of its topic and symbol, else the frame of its id, else the only
    /// frame without an answer.
    pub(super) fn concerned(
        &self,
        topic: Option<&str>,
        symbol: Option<&str>,
        id: Option<&str>,
    ) -> Concerned {
        let of_id = id.and_then(|id| self.frames.iter().find(|sent| sent.id.to_string() == id));
        let names_any = topic.is_some() || symbol.is_some();
        if names_any {
            let named = |entry: &Entry| {
                topic.is_none_or(|text| text == &*entry.topic.text)
                    && symbol.is_none_or(|text| text == &*entry.topic.symbol)
            };
            let asked = self.keys(|entry| entry.stage == Stage::Asked && named(entry));
            let of_frame = asked
                .iter()
                .copied()
                .filter(|key| of_id.is_some_and(|sent| sent.keys.contains(key)));
            let of_frame: Vec<Key> = of_frame.collect();
            // The narrowest that is anything.
            let found = [of_frame, asked, self.keys(named)]
                .into_iter()
                .find(|keys| !keys.is_empty());
            if let Some(found) = found {
                return Concerned::Topics(found);
            }
        }
        let mut open = self.frames.iter().filter(|sent| !sent.late);
        let sent = match (of_id, names_any || id.is_some(), open.next(), open.next()) {
            (Some(sent), ..) | (None, false, Some(sent), None) => sent,
            (None, false, Some(_), Some(_)) => return Concerned::SomeFrame,
            _ => return Concerned::Nothing,
        };
        let asked = |key: &Key| {
            self.entries
                .get(key)
                .is_some_and(|e| e.stage == Stage::Asked)
        };
        let keys: Vec<Key> = sent.keys.iter().copied().filter(asked).collect();
        match keys.as_slice() {
            [] => Concerned::Nothing,
            [_] => Concerned::Topics(keys),
            _ => Concerned::Frame(keys),
        }
    }

    /// Several topics of which at least one is refused: each half is asked for alone.
    pub(super) fn halve(&mut self, keys: &[Key]) {
        self.frames
            .retain(|sent| !sent.keys.iter().any(|key| keys.contains(key)));
        for key in keys {
            if let Some(entry) = self.entries.get_mut(key) {
                entry.stage = Stage::Waiting;
                entry.group = keys.len().div_ceil(2);
            }
        }
        self.tidy();
    }

    /// An error that names nothing, with several frames out: they are sent again one at a time.
    pub(super) fn one_at_a_time(&mut self) {
        self.serial = true;
        for entry in self.entries.values_mut() {
            if entry.stage == Stage::Asked {
                entry.stage = Stage::Waiting;
            }
        }
        self.frames.clear();
    }

    /// Refused for good.
    pub(super) fn drop_key(&mut self, key: Key) -> Option<Topic> {
        let entry = self.entries.remove(&key);
        self.tidy();
        entry.map(|entry| entry.topic)
    }

    /// What was not answered in time is asked for once more, then given up in one of two ways.
    pub(super) fn overdue(&mut self, now: Duration) -> Overdue {
        let mut due: BTreeSet<Key> = BTreeSet::new();
        for sent in self
            .frames
            .iter_mut()
            .filter(|sent| !sent.late && sent.deadline <= now)
        {
            sent.late = true;
            due.extend(&sent.keys);
        }
        let works = self.iter().any(|entry| entry.stage == Stage::Confirmed);
        let mut overdue = Overdue::default();
        for key in due {
            let Some(entry) = self.entries.get_mut(&key) else {
                continue;
            };
            if entry.stage != Stage::Asked {
                continue;
            }
            entry.unanswered += 1;
            entry.stage = Stage::Waiting;
            if entry.unanswered < 2 {
                continue;
            }
            if works && entry.struck {
                // Said when it cost the connection; from then on it is only tried again now and then.
                entry.stage = Stage::Parked(now + PARKED);
                self.parked = true;
                continue;
            }
            entry.struck = true;
            overdue.reconnect = true;
            overdue.unanswered.push(entry.topic.clone());
        }
        if self.parked {
            for entry in self.entries.values_mut() {
                if matches!(entry.stage, Stage::Parked(until) if until <= now) {
                    entry.stage = Stage::Waiting;
                    entry.unanswered = 1;
                }
            }
            let parked = self.count(|stage| matches!(stage, Stage::Parked(_)));
            self.parked = parked > 0;
        }
        self.tidy();
        overdue
    }

    /// The next time `overdue` has something to do.
    pub(super) fn wake_at(&self) -> Option<Duration> {
        let frames = self.frames.iter().filter(|s| !s.late).map(|s| s.deadline);
        let parked = self.iter().take_while(|_| self.parked);
        let parked = parked.filter_map(|entry| match entry.stage {
            Stage::Parked(until) => Some(until),
            _ => None,
        });
        frames.chain(parked).min()
    }

    /// Time in which nothing could be read does not count.
    pub(super) fn shift(&mut self, by: Duration) {
        for sent in &mut self.frames {
            sent.deadline += by;
        }
    }

    fn keys(&self, mut of: impl FnMut(&Entry) -> bool) -> Vec<Key> {
        let found = self.entries.iter().filter(|(_, entry)| of(entry));
        found.map(|(key, _)| *key).collect()
    }

    /// Frames all of whose topics have their answer are forgotten.
    fn tidy(&mut self) {
        let entries = &self.entries;
        self.frames.retain(|sent| {
            let open = |key| {
                let stage = entries.get(key).map(|e: &Entry| e.stage);
                stage.is_some_and(|stage| stage != Stage::Confirmed)
            };
            sent.keys.iter().any(open)
        });
        // Of topics asked for again and again only the last frames are kept.
        let excess = self.frames.len().saturating_sub(2 * self.entries.len() + 2);
        self.frames.drain(..excess);
    }
}

/// Names of a frame that asks for topics.
pub(super) fn frame_names<'t>(
    names: &Names,
    id: u64,
    topics: impl Iterator<Item = &'t Topic> + Clone,
) -> Names {
    let mut by_channel: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for topic in topics.clone() {
        let symbols = by_channel.entry(topic.text.to_string()).or_default();
        symbols.push(topic.symbol.to_string());
    }
    let channel = topics.clone().next().map(|topic| topic.text.to_string());
    names
        .clone()
        .with("id", id)
        .with("topics", distinct(topics.clone().map(|topic| &*topic.text)))
        .with("symbols", distinct(topics.map(|topic| &*topic.symbol)))
        .with("channel", channel.unwrap_or_default())
        .with("by_channel", by_channel)
}

fn confirms(ack: &Match) -> Confirms {
    if ["topic", "symbol", "channel"]
        .iter()
        .any(|name| ack.uses(name))
    {
        Confirms::Named
    } else {
        Confirms::Whole
    }
}
