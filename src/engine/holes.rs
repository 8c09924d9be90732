//! Trades that were passed over: where a venue numbers the trades of a symbol one by one, a jump of the ids tells of some
//! that were not received. A pure state machine: it is told what was committed and what time it is, and says what to ask
//! for and what is lost for good.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::feeds::{Missing, Want, WantKind};
use crate::model::TRADES;
use crate::store::{IdRun, Seen};

/// What is merely late, or comes by another connection or a request that is made anyway, is there by then; so is, after its
/// end, what a request brought.
const GRACE: Duration = Duration::from_secs(2);
/// What could not be asked for is tried again so much later.
const PUT_OFF: Duration = Duration::from_secs(30);
/// Trades that the first commit of a symbol lacks are no older than this.
const JUST_NOW_NS: i64 = 60_000_000_000;
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
    /// The latest time of the commits so far, ns since 1970-01-01 UTC.
    last_ns: i64,
    open: Vec<Hole>,
}

#[derive(Debug, Clone, Copy)]
struct Hole {
    missing: Missing,
    step: Step,
}

/// What becomes of a hole, and when.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// It is to be asked for.
    Ask(Instant),
    /// A request is under way or waits for its turn: [`Holes::answered`] tells of its end.
    Asked,
    /// It is lost.
    Lose(Instant),
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

    /// The texts before the numbers of a venue's ids that rise one by one.
    pub(super) fn prefixes(&self, venue: &Arc<str>) -> &[Box<str>] {
        self.consecutive.get(venue).map_or(&[], Vec::as_slice)
    }

    /// Trades between stored ones are missing: an earlier process ended before they came. `last` is the highest stored id,
    /// of a trade at `last_ns`.
    pub(super) fn found(
        &mut self,
        (venue, symbol, prefix): (&Arc<str>, &str, &str),
        missing: &[Missing],
        (last, last_ns): (u64, i64),
        now: Instant,
    ) {
        let key = (Arc::clone(venue), symbol.to_owned(), prefix.into());
        let series = self.series.entry(key).or_insert(Series {
            last,
            last_ns,
            open: Vec::new(),
        });
        let holes = missing.iter().map(|&missing| Hole {
            missing,
            step: Step::Ask(now),
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
            let mut touched = Vec::new();
            for run in seen.ids.iter().filter(|run| prefixes.contains(&run.prefix)) {
                let key = (
                    Arc::clone(&seen.venue),
                    seen.symbol.clone(),
                    run.prefix.clone(),
                );
                if let Some(series) = self.series.get_mut(&key) {
                    if let Some(ids) = series.add(run, seen.ts, now) {
                        let (venue, symbol) = (Arc::clone(&key.0), key.1.clone());
                        self.over.push(Lost { venue, symbol, ids });
                    }
                } else {
                    // What was before the first trade of all is no hole.
                    let series = Series {
                        last: run.last,
                        last_ns: seen.ts.saturating_sub(JUST_NOW_NS),
                        open: Vec::new(),
                    };
                    self.series.insert(key.clone(), series);
                }
                touched.push(key);
            }
            for key in touched {
                if let Some(series) = self.series.get_mut(&key) {
                    series.last_ns = series.last_ns.max(seen.ts);
                }
            }
        }
    }

    /// What is to be asked for, and what is lost.
    pub(super) fn due(&mut self, now: Instant) -> (Vec<Want>, Vec<Lost>) {
        let mut wants = Vec::new();
        let mut lost = std::mem::take(&mut self.over);
        for ((venue, symbol, prefix), series) in &mut self.series {
            series.open.retain_mut(|hole| match hole.step {
                Step::Ask(at) if at <= now => {
                    hole.step = Step::Asked;
                    wants.push(Want {
                        venue: Arc::clone(venue),
                        symbol: symbol.as_str().into(),
                        kind: WantKind::Trades {
                            prefix: prefix.clone(),
                            missing: hole.missing,
                        },
                    });
                    true
                }
                Step::Lose(at) if at <= now => {
                    lost.push(Lost {
                        venue: Arc::clone(venue),
                        symbol: symbol.clone(),
                        ids: hole.missing.ids,
                    });
                    false
                }
                _ => true,
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
                ids: hole.missing.ids,
            }));
        }
        lost
    }

    /// A request for trades has ended: what it did not bring, nobody will. What it brought may still be on its way to the
    /// next commit.
    pub(super) fn answered(&mut self, want: &Want, now: Instant) {
        self.step(want, Step::Lose(now + GRACE));
    }

    /// What was to be asked for has found no room.
    pub(super) fn put_off(&mut self, want: &Want, now: Instant) {
        self.step(want, Step::Ask(now + PUT_OFF));
    }

    /// What is left of a hole that was asked for goes on.
    fn step(&mut self, want: &Want, step: Step) {
        let WantKind::Trades { prefix, missing } = &want.kind else {
            return;
        };
        let key = (
            Arc::clone(&want.venue),
            want.symbol.to_string(),
            prefix.clone(),
        );
        let (first, last) = missing.ids;
        let open = self.series.get_mut(&key).map(|series| &mut series.open);
        for hole in open.into_iter().flatten() {
            let (own_first, own_last) = hole.missing.ids;
            if matches!(hole.step, Step::Asked) && first <= own_first && own_last <= last {
                hole.step = step;
            }
        }
    }
}

impl Series {
    /// Trades were received, the latest at `ts`. Returns what has no room any more.
    fn add(&mut self, run: &IdRun, ts: i64, now: Instant) -> Option<(u64, u64)> {
        if run.first <= self.last {
            self.fill(run.first, run.last);
        } else if run.first - 1 > self.last {
            self.open.push(Hole {
                missing: Missing {
                    ids: (self.last + 1, run.first - 1),
                    times_ns: (self.last_ns, ts),
                },
                step: Step::Ask(now + GRACE),
            });
        }
        self.last = self.last.max(run.last);
        let excess = self.open.len() > MOST;
        excess.then(|| self.open.remove(0).missing.ids)
    }

    fn fill(&mut self, first: u64, last: u64) {
        let mut parts = Vec::new();
        self.open.retain_mut(|hole| {
            let (own_first, own_last) = hole.missing.ids;
            if own_last < first || last < own_first {
                return true;
            }
            if last < own_last {
                let mut part = *hole;
                part.missing.ids.0 = last + 1;
                parts.push(part);
            }
            hole.missing.ids.1 = first.saturating_sub(1);
            own_first < first
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
        ts: i64,
    }

    fn missing(first: u64, last: u64) -> Missing {
        Missing {
            ids: (first, last),
            times_ns: (0, 0),
        }
    }

    fn want(prefix: &str, first: u64, last: u64) -> Want {
        Want {
            venue: "v".into(),
            symbol: "S".into(),
            kind: WantKind::Trades {
                prefix: prefix.into(),
                missing: missing(first, last),
            },
        }
    }

    impl Scene {
        fn new() -> Self {
            let mut holes = Holes::default();
            holes.set(HashMap::from([("v".into(), vec!["".into(), "a".into()])]));
            let now = Instant::now();
            Self { holes, now, ts: 0 }
        }

        fn gets(&mut self, prefix: &str, runs: &[(u64, u64)]) {
            let ids = runs.iter().map(|&(first, last)| IdRun {
                prefix: prefix.into(),
                first,
                last,
            });
            let seen = Seen {
                venue: "v".into(),
                channel: "ws/1".into(),
                table: TRADES.into(),
                symbol: "S".to_owned(),
                ts: self.ts,
                recv_ns: 0,
                rows: 1,
                ids: ids.collect(),
            };
            self.holes.committed(&[seen], self.now);
        }

        fn answers(&mut self, prefix: &str, first: u64, last: u64) {
            let want = want(prefix, first, last);
            self.holes.answered(&want, self.now);
        }

        fn passes(&mut self, seconds: u64) -> Vec<String> {
            self.now += Duration::from_secs(seconds);
            let (wants, lost) = self.holes.due(self.now);
            let wants = wants.iter().map(|want| match &want.kind {
                WantKind::Trades { prefix, missing } => {
                    format!("want {prefix}{}-{}", missing.ids.0, missing.ids.1)
                }
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
        // However long the request takes.
        assert!(scene.passes(3600).is_empty());
        scene.gets("", &[(112, 113)]);
        scene.answers("", 111, 114);
        assert_eq!(scene.passes(2), ["lost 111-111", "lost 114-114"]);
        assert!(scene.passes(3600).is_empty());
    }

    #[test]
    fn what_an_earlier_process_left_out_is_asked_for_at_once() {
        let mut scene = Scene::new();
        let series = (&"v".into(), "S", "a");
        scene
            .holes
            .found(series, &[missing(5, 6)], (20, 0), scene.now);
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
    fn the_end_of_a_request_is_about_its_own_trades() {
        let mut scene = Scene::new();
        scene.gets("", &[(1, 1), (3, 3), (5, 5)]);
        assert_eq!(scene.passes(2), ["want 2-2", "want 4-4"]);
        scene.answers("", 4, 4);
        assert_eq!(scene.passes(2), ["lost 4-4"]);
        scene.holes.put_off(&want("", 2, 2), scene.now);
        assert!(scene.passes(29).is_empty());
        assert_eq!(scene.passes(1), ["want 2-2"]);
    }

    #[test]
    fn a_hole_lies_between_the_commits_around_it() {
        let mut scene = Scene::new();
        for (ts, id) in [(1_000, 1), (2_000, 2), (3_000, 9)] {
            scene.ts = ts * JUST_NOW_NS;
            scene.gets("", &[(id, id)]);
        }
        let (wants, _) = scene.holes.due(scene.now + GRACE);
        let times_ns = (2_000 * JUST_NOW_NS, 3_000 * JUST_NOW_NS);
        let ids = (3, 8);
        let missing = Missing { ids, times_ns };
        assert!(
            matches!(&wants[0].kind, WantKind::Trades { missing: m, .. } if *m == missing),
            "{wants:?}"
        );
    }

    #[test]
    fn holes_have_a_limit() {
        let mut scene = Scene::new();
        let runs: Vec<(u64, u64)> = (10..81).map(|n| (n * 2, n * 2)).collect();
        scene.gets("", &runs);
        let told = scene.passes(2);
        assert_eq!(told.iter().filter(|t| t.starts_with("want")).count(), MOST);
        assert_eq!(told.iter().filter(|t| t.starts_with("lost")).count(), 6);
        assert_eq!(scene.holes.give_up().len(), MOST);
        assert!(scene.holes.give_up().is_empty());
    }
}
