//! Trades that were passed over: where a venue numbers the trades of a symbol one by one, a jump of the ids tells of some
//! that were not received. A pure state machine: it is told what was committed and what time it is, and says what to ask
//! for and what is lost for good.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::feeds::{Want, WantKind};
use crate::model::TRADES;
use crate::store::{IdRun, Seen};

/// What is merely late, or comes by another connection or a request that is made anyway, is there by then.
const GRACE: Duration = Duration::from_secs(2);
/// A request has that long to bring what was asked for.
const BROUGHT: Duration = Duration::from_secs(30);
/// Holes of a symbol that are remembered; beyond it the oldest is given up.
const MOST: usize = 64;

/// Which trade ids rise one by one: the texts before their numbers, by venue.
pub(super) type Consecutive = HashMap<Arc<str>, Vec<Box<str>>>;

/// All holes that may still be filled.
#[derive(Debug, Default)]
pub(super) struct Holes {
    consecutive: Consecutive,
    series: BTreeMap<Key, Series>,
    over: Vec<Lost>,
}

/// Venue, symbol, and what stands before the number.
type Key = (Arc<str>, String, Box<str>);

/// The trades of a symbol.
#[derive(Debug)]
struct Series {
    /// The highest id so far.
    last: u64,
    open: Vec<Hole>,
}

#[derive(Debug, Clone, Copy)]
struct Hole {
    first: u64,
    last: u64,
    /// When the next step is due.
    due: Instant,
    asked: bool,
}

/// Trades that nobody will bring any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost {
    /// The venue.
    pub venue: Arc<str>,
    /// The instrument.
    pub symbol: String,
    /// First and last id.
    pub ids: (u64, u64),
}

impl Holes {
    /// Which ids count from now on.
    pub(super) fn set(&mut self, consecutive: Consecutive) {
        let still = |(venue, _, prefix): &Key| {
            let prefixes = consecutive.get(venue);
            prefixes.is_some_and(|prefixes| prefixes.contains(prefix))
        };
        self.series.retain(|key, _| still(key));
        self.consecutive = consecutive;
    }

    /// Trades between stored ones are missing: an earlier process ended before they came. `last` is the highest stored id.
    pub(super) fn found(
        &mut self,
        (venue, symbol, prefix): (&Arc<str>, &str, &str),
        missing: &[(u64, u64)],
        last: u64,
        now: Instant,
    ) {
        let key = (Arc::clone(venue), symbol.to_owned(), prefix.into());
        let open = Vec::new();
        let series = self.series.entry(key).or_insert(Series { last, open });
        let holes = missing.iter().map(|&(first, last)| Hole {
            first,
            last,
            due: now,
            asked: false,
        });
        let room = MOST.saturating_sub(series.open.len());
        series.open.extend(holes.take(room));
    }

    /// Takes in what a commit held.
    pub(super) fn committed(&mut self, seen: &[Seen], now: Instant) {
        for seen in seen.iter().filter(|seen| *seen.table == *TRADES) {
            let Some(prefixes) = self.consecutive.get(&seen.venue) else {
                continue;
            };
            for run in seen.ids.iter().filter(|run| prefixes.contains(&run.prefix)) {
                let key = (
                    Arc::clone(&seen.venue),
                    seen.symbol.clone(),
                    run.prefix.clone(),
                );
                if let Some(series) = self.series.get_mut(&key) {
                    if let Some(ids) = series.add(run, now) {
                        let (venue, symbol, _) = key;
                        self.over.push(Lost { venue, symbol, ids });
                    }
                } else {
                    // What was before the first trade of all is no hole.
                    let last = run.last;
                    let open = Vec::new();
                    self.series.insert(key, Series { last, open });
                }
            }
        }
    }

    /// What is to be asked for, and what is lost.
    pub(super) fn due(&mut self, now: Instant) -> (Vec<Want>, Vec<Lost>) {
        let mut wants = Vec::new();
        let mut lost = std::mem::take(&mut self.over);
        for ((venue, symbol, prefix), series) in &mut self.series {
            series.open.retain_mut(|hole| {
                if hole.due > now {
                    return true;
                }
                if hole.asked {
                    lost.push(Lost {
                        venue: Arc::clone(venue),
                        symbol: symbol.clone(),
                        ids: (hole.first, hole.last),
                    });
                    return false;
                }
                hole.asked = true;
                hole.due = now + BROUGHT;
                wants.push(Want {
                    venue: Arc::clone(venue),
                    symbol: symbol.as_str().into(),
                    kind: WantKind::Trades {
                        prefix: prefix.clone(),
                        first: hole.first,
                        last: hole.last,
                    },
                });
                true
            });
        }
        (wants, lost)
    }

    /// Nothing more will come: all that is open is lost.
    pub(super) fn give_up(&mut self) -> Vec<Lost> {
        let mut lost = std::mem::take(&mut self.over);
        for ((venue, symbol, _), series) in &mut self.series {
            lost.extend(series.open.drain(..).map(|hole| Lost {
                venue: Arc::clone(venue),
                symbol: symbol.clone(),
                ids: (hole.first, hole.last),
            }));
        }
        lost
    }

    /// A request for trades has ended: what it did not bring, nobody will. What it brought may still be on its way to the
    /// next commit.
    pub(super) fn answered(&mut self, venue: &Arc<str>, symbol: &str, prefix: &str, now: Instant) {
        let key = (Arc::clone(venue), symbol.to_owned(), prefix.into());
        if let Some(series) = self.series.get_mut(&key) {
            for hole in series.open.iter_mut().filter(|hole| hole.asked) {
                hole.due = hole.due.min(now + GRACE);
            }
        }
    }
}

impl Series {
    /// Trades were received. Returns what has no room any more.
    fn add(&mut self, run: &IdRun, now: Instant) -> Option<(u64, u64)> {
        if run.first <= self.last {
            self.fill(run.first, run.last);
        } else if run.first - 1 > self.last {
            self.open.push(Hole {
                first: self.last + 1,
                last: run.first - 1,
                due: now + GRACE,
                asked: false,
            });
        }
        self.last = self.last.max(run.last);
        let excess = self.open.len() > MOST;
        excess
            .then(|| self.open.remove(0))
            .map(|h| (h.first, h.last))
    }

    fn fill(&mut self, first: u64, last: u64) {
        let mut parts = Vec::new();
        self.open.retain_mut(|hole| {
            if hole.last < first || last < hole.first {
                return true;
            }
            if last < hole.last {
                let first = last + 1;
                parts.push(Hole { first, ..*hole });
            }
            hole.last = first.saturating_sub(1);
            hole.first < first
        });
        self.open.append(&mut parts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene {
        holes: Holes,
        now: Instant,
    }

    impl Scene {
        fn new() -> Self {
            let mut holes = Holes::default();
            holes.set(HashMap::from([("v".into(), vec!["".into(), "a".into()])]));
            let now = Instant::now();
            Self { holes, now }
        }

        fn gets(&mut self, prefix: &str, runs: &[(u64, u64)]) {
            let ids = runs.iter().map(|&(first, last)| IdRun {
                prefix: prefix.into(),
                first,
                last,
            });
            let seen = Seen {
                venue: "v".into(),
                table: TRADES.into(),
                symbol: "S".to_owned(),
                ts: 0,
                recv_ns: 0,
                rows: 1,
                ids: ids.collect(),
            };
            self.holes.committed(&[seen], self.now);
        }

        fn passes(&mut self, seconds: u64) -> Vec<String> {
            self.now += Duration::from_secs(seconds);
            let (wants, lost) = self.holes.due(self.now);
            let wants = wants.iter().map(|want| match &want.kind {
                WantKind::Trades {
                    prefix,
                    first,
                    last,
                } => format!("want {prefix}{first}-{last}"),
                other => format!("{other:?}"),
            });
            let lost = lost.iter().map(|l| format!("lost {}-{}", l.ids.0, l.ids.1));
            wants.chain(lost).collect()
        }
    }

    #[test]
    fn a_jump_is_asked_for_and_what_does_not_come_is_lost() {
        let mut scene = Scene::new();
        scene.gets("", &[(100, 110), (115, 120)]);
        scene.gets("x", &[(1, 1), (900, 900)]);
        assert!(scene.passes(1).is_empty());
        assert_eq!(scene.passes(1), ["want 111-114"]);
        assert!(scene.passes(5).is_empty());
        scene.gets("", &[(112, 113)]);
        scene.holes.answered(&"v".into(), "S", "", scene.now);
        assert_eq!(scene.passes(2), ["lost 111-111", "lost 114-114"]);
        assert!(scene.passes(3600).is_empty());
    }

    #[test]
    fn what_an_earlier_process_left_out_is_asked_for_at_once() {
        let mut scene = Scene::new();
        let series = (&"v".into(), "S", "a");
        scene.holes.found(series, &[(5, 6)], 20, scene.now);
        scene.gets("a", &[(21, 22), (5, 5)]);
        assert_eq!(scene.passes(0), ["want a6-6"]);
        scene.gets("a", &[(6, 6)]);
        assert!(scene.passes(3600).is_empty());
    }

    #[test]
    fn what_is_late_or_comes_twice_is_no_hole() {
        let mut scene = Scene::new();
        scene.gets("a", &[(7, 9), (12, 12), (10, 11), (8, 14)]);
        scene.gets("", &[(3, 3), (2, 2), (4, 4)]);
        assert!(scene.passes(3600).is_empty());
    }

    #[test]
    fn a_request_without_an_end_is_not_waited_for_and_holes_have_a_limit() {
        let mut scene = Scene::new();
        scene.gets("", &[(1, 1), (3, 3)]);
        assert_eq!(scene.passes(2), ["want 2-2"]);
        assert_eq!(scene.passes(30), ["lost 2-2"]);
        let runs: Vec<(u64, u64)> = (10..80).map(|n| (n * 2, n * 2)).collect();
        scene.gets("", &runs);
        let told = scene.passes(2);
        assert_eq!(told.iter().filter(|t| t.starts_with("want")).count(), MOST);
        assert_eq!(told.iter().filter(|t| t.starts_with("lost")).count(), 6);
        assert_eq!(scene.holes.give_up().len(), MOST);
        assert!(scene.holes.give_up().is_empty());
    }
}
