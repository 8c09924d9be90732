//! The watchdog of channels: tells a subscription that has died from a symbol that is quiet. A pure state machine: it is told
//! what rows there were and how the connections fare, and says what to do.
//!
//! A symbol that is silent while others of its channel flow is asked for anew, once; if that changes nothing it is quiet, and
//! left alone until it speaks. A channel that is silent as a whole is asked for anew, then its connection is opened anew,
//! then again at longer and longer intervals. Whoever was silent and spoke again is given twice as much patience for the next
//! time, so that a symbol that trades every other minute is not asked for over and over.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::model::frame::FeedEvent;
use crate::venues::plan::Topic;

/// When rows were last received, ns since 1970-01-01 UTC, by venue, what they came by, table and symbol; and of trades
/// whose ids rise one by one once more, by [`series`] in the table's place.
pub type Seen = HashMap<(Arc<str>, Arc<str>, Arc<str>, Arc<str>), i64>;

/// What tells rows of a table that have consecutive ids, with `prefix` before the numbers, from the table's other rows.
pub fn series(table: &str, prefix: &str) -> Arc<str> {
    format!("{table} {prefix}").into()
}

/// A channel that is silent as a whole is not tried more seldom than this.
const SELDOM: Duration = Duration::from_hours(1);
/// Patience is doubled so often at most.
const MOST_PATIENCE: u32 = 4;
/// After so many times `stale_after` without a silence, patience is as at first.
const LIVELY: u32 = 16;

/// A connection, as the watchdog sees it.
#[derive(Debug, Clone)]
pub struct Watched {
    /// The venue.
    pub venue: Arc<str>,
    /// The connection's number there.
    pub number: usize,
    /// Since when it has been received without a break, ns since 1970-01-01 UTC; `None` while it is not.
    pub live_since_ns: Option<i64>,
    /// When a message last came, ns since 1970-01-01 UTC.
    pub last_frame_ns: i64,
    /// Topics that are confirmed.
    pub topics: Vec<Topic>,
    /// By channel, how long a symbol may be silent.
    pub stale_after: Arc<BTreeMap<Arc<str>, Duration>>,
    /// By channel, the [`series`] of its rows, where they are one.
    pub series: Arc<BTreeMap<Arc<str>, Arc<str>>>,
}

impl Watched {
    /// What tells the channel's rows from those of another one that fills the same table; `None` if there is none such.
    fn series_of(&self, channel: &Arc<str>) -> Option<&Arc<str>> {
        let own = self.topics.iter().find(|topic| topic.channel == *channel)?;
        let beside = |topic: &Topic| topic.table == own.table && topic.channel != *channel;
        let shared = self.topics.iter().any(beside);
        self.series.get(channel).filter(|_| shared)
    }
}

/// What the watchdog wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// End these topics on the connection and ask for them anew.
    Resubscribe {
        /// The venue.
        venue: Arc<str>,
        /// The connection.
        number: usize,
        /// What is silent.
        topics: Vec<Topic>,
    },
    /// Open the connection anew.
    Reconnect {
        /// The venue.
        venue: Arc<str>,
        /// The connection.
        number: usize,
        /// Why.
        reason: String,
    },
    /// These topics speak again: what they said meanwhile may have been missed.
    Backfill {
        /// The venue.
        venue: Arc<str>,
        /// What was silent.
        topics: Vec<Topic>,
        /// Since when, ns since 1970-01-01 UTC.
        since_ns: i64,
    },
    /// Tell of it.
    Event(FeedEvent),
}

/// Venue, connection and channel.
type ChannelKey = (Arc<str>, usize, Arc<str>);

/// How far something silent has been looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It speaks.
    Fresh,
    /// Asked for anew; looked at again at this time.
    Asked { until_ns: i64 },
    /// Its connection was opened anew; looked at again at this time.
    Reopened { until_ns: i64, wait: Duration },
    /// Nothing helped.
    Quiet,
}

#[derive(Debug)]
struct State {
    /// When it was first looked at: it had no chance to speak before.
    known_ns: i64,
    stage: Stage,
    /// When it last spoke before it fell silent.
    silent_ns: i64,
    patience: u32,
    /// Since when it speaks.
    lively_ns: i64,
}

impl State {
    fn new(now_ns: i64) -> Self {
        Self {
            known_ns: now_ns,
            stage: Stage::Fresh,
            silent_ns: now_ns,
            patience: 0,
            lively_ns: now_ns,
        }
    }

    fn threshold(&self, stale_after: Duration) -> Duration {
        stale_after.saturating_mul(1 << self.patience)
    }

    fn speaks(&mut self, now_ns: i64) {
        self.stage = Stage::Fresh;
        self.patience = (self.patience + 1).min(MOST_PATIENCE);
        self.lively_ns = now_ns;
    }

    fn calm(&mut self, now_ns: i64, stale_after: Duration) {
        let lively = stale_after.saturating_mul(LIVELY << self.patience);
        if self.stage == Stage::Fresh && self.patience > 0 && now_ns - self.lively_ns > ns(lively) {
            self.patience = 0;
        }
    }
}

/// The watchdog of all feeds.
#[derive(Debug, Default)]
pub struct Watch {
    channels: BTreeMap<ChannelKey, State>,
    symbols: BTreeMap<(ChannelKey, Arc<str>), State>,
}

/// A channel of a connection, and when its topics last spoke.
struct Channel<'c> {
    connection: &'c Watched,
    name: Arc<str>,
    topics: Vec<(&'c Topic, Option<i64>)>,
    stale_after: Duration,
    live_since_ns: i64,
    now_ns: i64,
}

impl Channel<'_> {
    fn key(&self) -> ChannelKey {
        (
            Arc::clone(&self.connection.venue),
            self.connection.number,
            Arc::clone(&self.name),
        )
    }

    /// When the topic last spoke; if it had no chance to since, when it got it.
    fn spoke_ns(&self, spoke: Option<i64>, state: &State) -> i64 {
        spoke
            .unwrap_or(i64::MIN)
            .max(self.live_since_ns)
            .max(state.known_ns)
    }

    fn last_ns(&self) -> Option<i64> {
        self.topics.iter().filter_map(|(_, spoke)| *spoke).max()
    }

    fn event(
        &self,
        kind: &'static str,
        symbol: Option<&Arc<str>>,
        since_ns: i64,
        what: &str,
    ) -> Action {
        Action::Event(FeedEvent {
            venue: Arc::clone(&self.connection.venue),
            symbol: symbol.cloned(),
            channel: Some(Arc::clone(&self.name)),
            at_ns: self.now_ns,
            kind,
            ids: None,
            times_ns: Some((since_ns, self.now_ns)),
            detail: format!("ws/{}: {what}", self.connection.number),
        })
    }

    fn resubscribe(&self, topics: impl Iterator<Item = Topic>) -> Action {
        Action::Resubscribe {
            venue: Arc::clone(&self.connection.venue),
            number: self.connection.number,
            topics: topics.collect(),
        }
    }

    fn all(&self) -> impl Iterator<Item = Topic> {
        self.topics.iter().map(|(topic, _)| (*topic).clone())
    }

    fn backfill(&self, topics: Vec<Topic>, since_ns: i64) -> Action {
        Action::Backfill {
            venue: Arc::clone(&self.connection.venue),
            topics,
            since_ns,
        }
    }
}

impl Watch {
    /// Looks at all connections. Called about once a second; any interval does.
    pub fn look(&mut self, now_ns: i64, seen: &Seen, connections: &[Watched]) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut known = BTreeSet::new();
        for connection in connections {
            // Another connection's rows say nothing of this one, nor do those of requests.
            let by: Arc<str> = format!("ws/{}", connection.number).into();
            let names: BTreeSet<&Arc<str>> = connection
                .topics
                .iter()
                .map(|topic| &topic.channel)
                .collect();
            for name in names {
                let (Some(live_since_ns), Some(&stale_after)) =
                    (connection.live_since_ns, connection.stale_after.get(name))
                else {
                    // What is not up cannot be silent; where it stood is kept.
                    known.insert((
                        Arc::clone(&connection.venue),
                        connection.number,
                        Arc::clone(name),
                    ));
                    continue;
                };
                let series = connection.series_of(name);
                let spoke = |topic: &Topic| {
                    let key = (
                        Arc::clone(&connection.venue),
                        Arc::clone(&by),
                        Arc::clone(series.unwrap_or(&topic.table)),
                        Arc::clone(&topic.symbol),
                    );
                    seen.get(&key).copied()
                };
                let topics = connection
                    .topics
                    .iter()
                    .filter(|topic| topic.channel == *name);
                let channel = Channel {
                    connection,
                    name: Arc::clone(name),
                    topics: topics.map(|topic| (topic, spoke(topic))).collect(),
                    stale_after,
                    live_since_ns,
                    now_ns,
                };
                known.insert(channel.key());
                self.look_at_channel(&channel, &mut actions);
            }
        }
        self.channels.retain(|key, _| known.contains(key));
        let topics: BTreeSet<_> = connections
            .iter()
            .flat_map(|c| {
                c.topics
                    .iter()
                    .map(move |t| (&c.venue, c.number, &t.channel, &t.symbol))
            })
            .collect();
        self.symbols
            .retain(|((venue, number, channel), symbol), _| {
                topics.contains(&(venue, *number, channel, symbol))
            });
        actions
    }

    fn look_at_channel(&mut self, channel: &Channel<'_>, actions: &mut Vec<Action>) {
        let now_ns = channel.now_ns;
        let state = self
            .channels
            .entry(channel.key())
            .or_insert_with(|| State::new(now_ns));
        state.calm(now_ns, channel.stale_after);
        let last_ns = channel.last_ns();
        if state.stage != Stage::Fresh {
            if let Some(last_ns) = last_ns.filter(|&last_ns| last_ns > state.silent_ns) {
                let since_ns = state.silent_ns;
                state.speaks(now_ns);
                let seconds = (last_ns - since_ns) / 1_000_000_000;
                let what = format!("the channel speaks again, after {seconds} s");
                actions.push(channel.event("fresh", None, since_ns, &what));
                actions.push(channel.backfill(channel.all().collect(), since_ns));
            } else {
                escalate(state, channel, actions);
                return;
            }
        }
        let silent_ns = now_ns - channel.spoke_ns(last_ns, state);
        let silent = silent_ns > ns(state.threshold(channel.stale_after));
        // One symbol alone may well be quiet, if its connection brings other things.
        let flows = now_ns - channel.connection.last_frame_ns <= ns(channel.stale_after);
        if silent && (channel.topics.len() > 1 || !flows) {
            state.silent_ns = channel.spoke_ns(last_ns, state);
            state.stage = Stage::Asked {
                until_ns: now_ns + ns(channel.stale_after),
            };
            let what = format!(
                "the whole channel is silent for {} s",
                silent_ns / 1_000_000_000
            );
            actions.push(channel.event("stale", None, state.silent_ns, &what));
            actions.push(channel.resubscribe(channel.all()));
            return;
        }
        self.look_at_symbols(channel, actions);
    }

    fn look_at_symbols(&mut self, channel: &Channel<'_>, actions: &mut Vec<Action>) {
        let now_ns = channel.now_ns;
        let mut asked = Vec::new();
        for (topic, spoke) in &channel.topics {
            let key = (channel.key(), Arc::clone(&topic.symbol));
            let state = self
                .symbols
                .entry(key)
                .or_insert_with(|| State::new(now_ns));
            state.calm(now_ns, channel.stale_after);
            let spoke_ns = channel.spoke_ns(*spoke, state);
            if state.stage != Stage::Fresh
                && let Some(spoke) = spoke.filter(|&spoke| spoke > state.silent_ns)
            {
                let since_ns = state.silent_ns;
                state.speaks(now_ns);
                let seconds = (spoke - since_ns) / 1_000_000_000;
                let what = format!("it speaks again, after {seconds} s");
                actions.push(channel.event("fresh", Some(&topic.symbol), since_ns, &what));
                actions.push(channel.backfill(vec![(*topic).clone()], since_ns));
            }
            match state.stage {
                Stage::Fresh if now_ns - spoke_ns > ns(state.threshold(channel.stale_after)) => {
                    state.silent_ns = spoke_ns;
                    state.stage = Stage::Asked {
                        until_ns: now_ns + ns(channel.stale_after),
                    };
                    asked.push((*topic).clone());
                }
                Stage::Asked { until_ns } if until_ns <= now_ns => {
                    state.stage = Stage::Quiet;
                    let what = "silent while others flow, and asking for it anew changed nothing";
                    actions.push(channel.event(
                        "quiet",
                        Some(&topic.symbol),
                        state.silent_ns,
                        what,
                    ));
                }
                _ => {}
            }
        }
        if !asked.is_empty() {
            actions.push(channel.resubscribe(asked.into_iter()));
        }
    }
}

/// The next step for a channel that stays silent, once its time has come.
fn escalate(state: &mut State, channel: &Channel<'_>, actions: &mut Vec<Action>) {
    let (until_ns, wait) = match state.stage {
        Stage::Asked { until_ns } => (until_ns, channel.stale_after),
        Stage::Reopened { until_ns, wait } => (
            until_ns,
            wait.saturating_mul(2).min(SELDOM.max(channel.stale_after)),
        ),
        Stage::Fresh | Stage::Quiet => return,
    };
    if channel.now_ns < until_ns {
        return;
    }
    if let Stage::Reopened { wait, .. } = state.stage
        && wait == channel.stale_after
    {
        let what =
            "silent as a whole, and a new connection changed nothing; tried again now and then";
        actions.push(channel.event("quiet", None, state.silent_ns, what));
    }
    state.stage = Stage::Reopened {
        until_ns: channel.now_ns + ns(wait),
        wait,
    };
    actions.push(Action::Reconnect {
        venue: Arc::clone(&channel.connection.venue),
        number: channel.connection.number,
        reason: format!("{} stays silent", channel.name),
    });
}

fn ns(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;
    const START: i64 = 1_000_000 * S;

    /// One connection with trades of some symbols, stale after 60 s; time is in seconds since the start.
    struct Scene {
        watch: Watch,
        seen: Seen,
        connection: Watched,
        now: i64,
    }

    impl Scene {
        fn new(symbols: &[&str]) -> Self {
            let topics = symbols.iter().map(|symbol| Topic {
                channel: "trades".into(),
                symbol: (*symbol).into(),
                text: format!("{symbol}@trade").into(),
                table: "trades".into(),
                single: false,
                address: None,
            });
            let stale_after = BTreeMap::from([("trades".into(), Duration::from_mins(1))]);
            Self {
                watch: Watch::default(),
                seen: Seen::new(),
                connection: Watched {
                    venue: "v".into(),
                    number: 1,
                    live_since_ns: Some(START),
                    last_frame_ns: START,
                    topics: topics.collect(),
                    stale_after: Arc::new(stale_after),
                    series: Arc::default(),
                },
                now: 0,
            }
        }

        /// Seconds pass, looked at each; `speaking` symbols have rows in each. What is done is told with its second.
        fn pass(&mut self, seconds: i64, speaking: &[&str]) -> Vec<String> {
            self.pass_by("ws/1", seconds, speaking)
        }

        /// The same with rows that come by something else.
        fn pass_by(&mut self, by: &str, seconds: i64, speaking: &[&str]) -> Vec<String> {
            let mut told = Vec::new();
            for _ in 0..seconds {
                self.now += 1;
                let now_ns = START + self.now * S;
                for symbol in speaking {
                    self.connection.last_frame_ns = now_ns;
                    let key = ("v".into(), by.into(), "trades".into(), (*symbol).into());
                    self.seen.insert(key, now_ns);
                }
                let actions =
                    self.watch
                        .look(now_ns, &self.seen, std::slice::from_ref(&self.connection));
                for action in actions {
                    let what = match action {
                        Action::Resubscribe { topics, .. } => {
                            let symbols: Vec<&str> = topics.iter().map(|t| &*t.symbol).collect();
                            format!("resubscribe {}", symbols.join(","))
                        }
                        Action::Reconnect { .. } => "reconnect".to_owned(),
                        Action::Backfill { since_ns, .. } => {
                            format!("backfill since {}", (since_ns - START) / S)
                        }
                        Action::Event(event) => {
                            format!("{} {}", event.kind, event.symbol.as_deref().unwrap_or("*"))
                        }
                    };
                    told.push(format!("{}: {what}", self.now));
                }
            }
            told
        }

        /// The connection was opened anew just now.
        fn reopened(&mut self) {
            self.connection.live_since_ns = Some(START + self.now * S);
        }
    }

    #[track_caller]
    fn check(told: &[String], expected: &[&str]) {
        assert_eq!(told, expected);
    }

    #[test]
    fn what_flows_is_left_alone() {
        let mut scene = Scene::new(&["A", "B"]);
        check(&scene.pass(1000, &["A", "B"]), &[]);
    }

    #[test]
    fn a_symbol_silent_while_others_flow_is_asked_for_once_then_called_quiet() {
        let mut scene = Scene::new(&["A", "B"]);
        scene.pass(10, &["A", "B"]);
        check(
            &scene.pass(300, &["A"]),
            &["71: resubscribe B", "131: quiet B"],
        );
        check(&scene.pass(36_000, &["A"]), &[]);
        check(
            &scene.pass(1, &["A", "B"]),
            &["36311: fresh B", "36311: backfill since 10"],
        );
    }

    #[test]
    fn a_dead_subscription_comes_back_with_the_first_try() {
        let mut scene = Scene::new(&["A", "B"]);
        scene.pass(10, &["A", "B"]);
        check(&scene.pass(61, &["A"]), &["71: resubscribe B"]);
        check(
            &scene.pass(100, &["A", "B"]),
            &["72: fresh B", "72: backfill since 10"],
        );
    }

    #[test]
    fn a_symbol_that_speaks_now_and_then_is_given_more_patience() {
        let mut scene = Scene::new(&["A", "B"]);
        let mut told = Vec::new();
        for _ in 0..200 {
            told.extend(scene.pass(99, &["A"]));
            told.extend(scene.pass(1, &["A", "B"]));
        }
        let asked = told.iter().filter(|t| t.contains("resubscribe")).count();
        assert!(
            (1..=12).contains(&asked),
            "asked {asked} times in 200 silences: {told:?}"
        );
    }

    #[test]
    fn a_symbol_that_never_spoke_is_counted_from_its_confirmation() {
        let mut scene = Scene::new(&["A", "B"]);
        check(&scene.pass(61, &["A"]), &[]);
        check(&scene.pass(1, &["A"]), &["62: resubscribe B"]);
    }

    #[test]
    fn a_whole_channel_silent_is_resubscribed_then_reconnected_then_seldom() {
        let mut scene = Scene::new(&["A", "B"]);
        scene.pass(10, &["A", "B"]);
        check(
            &scene.pass(110, &[]),
            &["71: stale *", "71: resubscribe A,B"],
        );
        check(&scene.pass(11, &[]), &["131: reconnect"]);
        scene.reopened();
        check(&scene.pass(60, &[]), &["191: quiet *", "191: reconnect"]);
        scene.reopened();
        let day: Vec<i64> = scene
            .pass(86_400, &[])
            .iter()
            .map(|told| {
                assert!(told.ends_with(": reconnect"), "{told}");
                told.split(':').next().unwrap().parse().unwrap()
            })
            .collect();
        assert!(day.len() < 30, "{day:?}");
        assert!(day.windows(2).all(|w| w[1] - w[0] <= 3600), "{day:?}");
        let told = scene.pass(1, &["A"]);
        assert!(
            told[0].ends_with("fresh *") && told[1].ends_with("backfill since 10"),
            "{told:?}"
        );
    }

    #[test]
    fn what_comes_another_way_says_nothing_of_a_connection() {
        for by in ["ws/2", "rest/trades"] {
            let mut scene = Scene::new(&["A", "B"]);
            let told = scene.pass_by(by, 62, &["A", "B"]);
            assert_eq!(told, ["62: stale *", "62: resubscribe A,B"], "{by}");
        }
    }

    #[test]
    fn channels_of_one_table_do_not_hide_one_another() {
        let mut scene = Scene::new(&["A", "B"]);
        let connection = &mut scene.connection;
        let mut fills = connection.topics.clone();
        for topic in &mut fills {
            topic.channel = "fills".into();
        }
        connection.topics.append(&mut fills);
        let minute = Duration::from_mins(1);
        let stale_after = [("trades".into(), minute), ("fills".into(), minute)];
        connection.stale_after = Arc::new(BTreeMap::from(stale_after));
        let by_ids = [("trades", ""), ("fills", "f")];
        let by_ids = by_ids.map(|(name, ids)| (name.into(), series("trades", ids)));
        connection.series = Arc::new(BTreeMap::from(by_ids));
        let mut told = Vec::new();
        for _ in 0..62 {
            let now_ns = START + (scene.now + 1) * S;
            for symbol in ["A", "B"] {
                let what = series("trades", "");
                let key = ("v".into(), "ws/1".into(), what, symbol.into());
                scene.seen.insert(key, now_ns);
            }
            told.extend(scene.pass(1, &["A", "B"]));
        }
        check(&told, &["62: stale *", "62: resubscribe A,B"]);
    }

    #[test]
    fn a_single_symbol_may_be_quiet_while_its_connection_brings_other_things() {
        let mut scene = Scene::new(&["A"]);
        scene.pass(10, &["A"]);
        let mut told = Vec::new();
        for _ in 0..1000 {
            scene.connection.last_frame_ns = START + scene.now * S;
            told.extend(scene.pass(1, &[]));
        }
        check(&told, &["71: resubscribe A", "131: quiet A"]);
        let mut scene = Scene::new(&["A"]);
        check(
            &scene.pass(130, &[]),
            &["62: stale *", "62: resubscribe A", "122: reconnect"],
        );
    }

    #[test]
    fn what_is_not_up_is_not_looked_after_and_its_past_is_not_forgotten() {
        let mut scene = Scene::new(&["A", "B"]);
        scene.pass(10, &["A", "B"]);
        check(&scene.pass(61, &["A"]), &["71: resubscribe B"]);
        scene.connection.live_since_ns = None;
        check(&scene.pass(500, &[]), &[]);
        scene.reopened();
        check(&scene.pass(2, &["A"]), &["572: quiet B"]);
        scene.connection.topics.pop();
        scene.pass(1, &["A"]);
        assert_eq!(scene.watch.symbols.len(), 1);
        scene.connection.topics.clear();
        scene.pass(1, &[]);
        assert!(scene.watch.symbols.is_empty() && scene.watch.channels.is_empty());
    }
}
