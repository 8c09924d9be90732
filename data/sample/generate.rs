//! Writes the sample captures beside this file: a simulated spot market of two symbols, as a
//! recorder of a venue's combined streams would have kept it.
//!
//! `cargo run --release --example generate_sample [DIRECTORY]`
//!
//! The seed fixes every line. Floats see only arithmetic, rounding and square roots, which IEEE 754
//! defines to the last bit, so that every platform computes the same market.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, GzBuilder};

const SEED: u64 = 15;
/// 2026-11-17 14:30:00 UTC.
const START_MS: u64 = 1_794_925_800_000;
/// Four minutes, less what would still be on its way to the recorder at their end.
const RECORDED_MS: u64 = 4 * 60_000 - 50;
/// Runs before anything is recorded, so that the book has lost its artificial first shape.
const WARM_UP_MS: u64 = 20_000;
const DEPTH_EVERY_MS: u64 = 100;
/// When the REST snapshot is taken: amid the updates of a depth message, after some others.
const SNAPSHOT_AT_MS: u64 = START_MS + 420;
const LEVELS_PER_SIDE: u32 = 300;
/// One cent, in units of 1e-8.
const TICK: i64 = 1_000_000;

/// What distinguishes one market from another. Prices count ticks, sizes count lots.
struct Spec {
    symbol: &'static str,
    /// In units of 1e-8, as `TICK`.
    lot: i64,
    start_price: i32,
    /// Standard deviation of the fair price in a calm market, in ticks per root of a millisecond.
    volatility: f64,
    /// How far the best price may lag behind the fair one, in ticks, before somebody acts on it.
    tolerance: f64,
    /// Typical distance between neighbouring price levels, in ticks.
    spacing: f64,
    smallest_order: f64,
    orders_per_ms: f64,
    first_update_id: u64,
    first_trade_id: u64,
    depth_phase_ms: u64,
}

const MARKETS: [Spec; 2] = [
    Spec {
        symbol: "BTCUSDT",
        lot: 1_000,
        start_price: 9_741_862,
        volatility: 9.0,
        tolerance: 240.0,
        spacing: 45.0,
        smallest_order: 240.0,
        orders_per_ms: 0.023,
        first_update_id: 81_540_233_117,
        first_trade_id: 5_512_904_411,
        depth_phase_ms: 46,
    },
    Spec {
        symbol: "ETHUSDT",
        lot: 10_000,
        start_price: 318_447,
        volatility: 0.42,
        tolerance: 7.0,
        spacing: 3.0,
        smallest_order: 520.0,
        orders_per_ms: 0.020,
        first_update_id: 62_118_907_340,
        first_trade_id: 2_970_118_562,
        depth_phase_ms: 49,
    },
];

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os().nth(1).map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("data/sample"),
        PathBuf::from,
    );
    let mut climate = Climate {
        rng: Rng(SEED),
        ..Climate::default()
    };
    let mut markets: Vec<Market> = (SEED + 1..)
        .zip(&MARKETS)
        .map(|(seed, spec)| Market::new(spec, seed))
        .collect();
    for now in START_MS - WARM_UP_MS..START_MS + RECORDED_MS {
        climate.step();
        for market in &mut markets {
            if now == START_MS {
                market.start_recording();
            }
            market.step(now, &climate);
        }
    }
    for market in markets {
        let name = format!("binance_spot-{}.gz", market.spec.symbol);
        market.capture.save(&directory.join(name))?;
    }
    Ok(())
}

/// What moves all markets together.
#[derive(Default)]
struct Climate {
    rng: Rng,
    /// Activity and volatility as a multiple of the calm market's.
    heat: f64,
    /// Trend after news, and noise, both in standard deviations a millisecond.
    drift: f64,
    noise: f64,
}

impl Climate {
    fn step(&mut self) {
        self.heat += 0.0004 * (0.8 - self.heat);
        self.drift *= 0.99;
        self.noise = self.rng.gauss();
        if self.rng.chance(1.0 / 14_000.0) {
            let surprise = 0.5 + self.rng.unit();
            self.heat = (self.heat + 2.0 * surprise).min(5.0);
            let good = self.rng.chance(0.5);
            self.drift += if good { surprise } else { -surprise };
        }
    }
}

/// A side of the book, as an index: `BID` or `ASK`.
type Side = usize;
const BID: Side = 0;
const ASK: Side = 1;
const SIGN: [i32; 2] = [-1, 1];

/// One side's lots by *cost*, which is the price of an ask and the negated price of a bid: the
/// lowest cost is the best level on both sides, and the book is not crossed as long as the two best
/// costs add up to more than 0.
type Levels = BTreeMap<i32, i32>;

struct Market {
    spec: &'static Spec,
    rng: Rng,
    /// Where informed traders see the price, in ticks; it reverts slowly to `start_price`.
    fair: f64,
    /// Rises with every market order and fades: trades come in clusters.
    excitement: f64,
    levels: [Levels; 2],
    /// Costs changed since the last depth message.
    changed: [BTreeSet<i32>; 2],
    update_id: u64,
    last_depth_id: u64,
    trade_id: u64,
    now: u64,
    capture: Capture,
}

impl Market {
    fn new(spec: &'static Spec, seed: u64) -> Self {
        let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9));
        let levels = [BID, ASK].map(|side| {
            let mut cost = SIGN[side] * spec.start_price;
            let mut level = |behind| {
                let thinning = 1.0 + f64::from(behind) / 60.0;
                cost += 1 + whole(2.0 * spec.spacing * thinning * rng.unit());
                (cost, whole(spec.smallest_order * rng.heavy_tail(200.0)))
            };
            (0..LEVELS_PER_SIDE).map(&mut level).collect()
        });
        Self {
            spec,
            fair: f64::from(spec.start_price),
            excitement: 0.0,
            levels,
            changed: Default::default(),
            update_id: spec.first_update_id,
            last_depth_id: spec.first_update_id,
            trade_id: spec.first_trade_id,
            now: 0,
            capture: Capture {
                rng: Rng(rng.next()),
                ..Capture::default()
            },
            rng,
        }
    }

    fn start_recording(&mut self) {
        self.capture.lines.clear();
        self.changed = Default::default();
        self.last_depth_id = self.update_id;
    }

    /// Lets one millisecond pass.
    fn step(&mut self, now: u64, climate: &Climate) {
        self.now = now;
        self.excitement *= 0.996;
        let heat = climate.heat + self.excitement;
        let shock = climate.drift + heat.sqrt() * (0.75 * climate.noise + 0.66 * self.rng.gauss());
        let pull = (f64::from(self.spec.start_price) - self.fair) / 90_000.0;
        self.fair += self.spec.volatility * shock + pull;

        if self.rng.chance(self.spec.orders_per_ms * heat) {
            self.anybody();
        }
        self.informed();
        if now == SNAPSHOT_AT_MS {
            self.send_snapshot();
        }
        if now % DEPTH_EVERY_MS == self.spec.depth_phase_ms {
            self.send_depth();
        }
    }

    /// An order of somebody without a view: takes, adds or cancels, leaning towards the fair price.
    fn anybody(&mut self) {
        let mid = f64::from(self.best(ASK) - self.best(BID)) / 2.0;
        let lean = ((self.fair - mid) / self.spec.tolerance).clamp(-1.0, 1.0);
        let buys = self.rng.chance(0.5 + 0.3 * lean);
        let side = if buys { BID } else { ASK };
        let best = self.best(side);
        let fullness = self.fullness(1 - side);
        let cancels = 0.35 * fullness * fullness * fullness;
        let choice = self.rng.unit();
        if choice < 0.17 {
            let lots = self.order_size(1.0, 4_000.0);
            let worst = self.best(1 - side) + whole(4.0 * self.spec.spacing);
            self.take(1 - side, lots, worst);
        } else if choice < 0.17 + cancels {
            let behind = whole(2.0 * self.rng.heavy_tail(100.0)) - 2;
            self.cancel(1 - side, usize::try_from(behind).unwrap_or(0));
        } else {
            let away = self.spec.spacing * (self.rng.heavy_tail(400.0) - 1.0);
            let join = self.rng.chance(0.4);
            let cost = if join { best } else { best + whole(away) };
            let lots = self.order_size(2.0, 800.0);
            self.add(side, cost, lots);
        }
    }

    /// Those who know the fair price: they take or withdraw what is mispriced, and quote inside a
    /// wide spread.
    fn informed(&mut self) {
        for side in [BID, ASK] {
            let fair_cost = f64::from(SIGN[side]) * self.fair;
            let mispriced = whole(fair_cost - self.spec.tolerance);
            if self.best(side) < mispriced && self.rng.chance(0.12) {
                if self.rng.chance(0.5) {
                    let lots = self.order_size(6.0, 8_000.0);
                    self.take(side, lots, mispriced);
                } else {
                    self.cancel(side, 0);
                }
            }
            let cost = whole(fair_cost.ceil()).max(1 - self.best(1 - side));
            if cost < self.best(side) && self.rng.chance(0.08) {
                let lots = self.order_size(25.0, 400.0);
                self.add(side, cost, lots);
            }
        }
    }

    /// Executes against the resting orders of `side` up to the cost `worst`.
    fn take(&mut self, side: Side, mut lots: i32, worst: i32) {
        self.excitement = (self.excitement + 0.15).min(3.0);
        while let Some((&cost, &resting)) = self.levels[side].first_key_value() {
            if lots == 0 || cost > worst {
                break;
            }
            let filled = lots.min(resting);
            self.send_trades(side, cost, filled);
            self.set_level(side, cost, resting - filled);
            lots -= filled;
        }
    }

    fn add(&mut self, side: Side, cost: i32, lots: i32) {
        let cost = cost.max(1 - self.best(1 - side));
        let resting = self.levels[side].get(&cost).copied();
        self.set_level(side, cost, resting.unwrap_or(0) + lots);
    }

    /// Withdraws the level that `better` others are in front of, or a part of it.
    fn cancel(&mut self, side: Side, better: usize) {
        let level = self.levels[side].iter().nth(better);
        if let Some((&cost, &resting)) = level {
            let all = self.rng.chance(0.6) || better == 0;
            let gone = if all {
                resting
            } else {
                self.rng.lots_of(resting)
            };
            self.set_level(side, cost, resting - gone);
        }
    }

    /// The one place that changes the book: counts the update and announces a new best level.
    fn set_level(&mut self, side: Side, cost: i32, lots: i32) {
        let before = [BID, ASK].map(|side| self.top(side));
        let levels = &mut self.levels[side];
        if lots > 0 {
            levels.insert(cost, lots);
        } else {
            levels.remove(&cost);
        }
        self.changed[side].insert(cost);
        self.update_id += 1;
        if before != [BID, ASK].map(|side| self.top(side)) {
            self.send_book_ticker();
        }
    }

    fn best(&self, side: Side) -> i32 {
        self.top(side).0
    }

    /// The best level's cost and lots; a cost nobody would pay if the side is empty.
    fn top(&self, side: Side) -> (i32, i32) {
        let best = self.levels[side].first_key_value();
        best.map_or((i32::MAX / 4, 0), |(&cost, &lots)| (cost, lots))
    }

    /// How many levels a side has, as a share of what is usual.
    fn fullness(&self, side: Side) -> f64 {
        let count = u32::try_from(self.levels[side].len()).unwrap_or(u32::MAX);
        f64::from(count) / f64::from(LEVELS_PER_SIDE)
    }

    /// Many small orders and a few very large ones; some people like round numbers.
    fn order_size(&mut self, factor: f64, tail: f64) -> i32 {
        let lots = whole(self.spec.smallest_order * factor * self.rng.heavy_tail(tail));
        let round = if self.rng.chance(0.3) { 100 } else { 1 };
        (lots / round * round).max(1)
    }

    fn send_trades(&mut self, side: Side, cost: i32, mut lots: i32) {
        let price = price(side, cost);
        let event_ms = self.now + u64::from(self.rng.chance(0.2));
        while lots > 0 {
            // The resting orders of the level, one trade each.
            let one = self.rng.chance(0.65);
            let filled = if one { lots } else { self.rng.lots_of(lots) };
            let json = format!(
                r#"{{"e":"trade","E":{event_ms},"s":"{}","t":{},"p":"{price}","q":"{}","T":{},"m":{},"M":true}}"#,
                self.spec.symbol,
                self.trade_id,
                self.size(filled),
                self.now,
                side == BID,
            );
            self.send(FAST, "trade", &json);
            self.trade_id += 1;
            lots -= filled;
        }
    }

    fn send_book_ticker(&mut self) {
        let [(bid, bid_lots), (ask, ask_lots)] = [BID, ASK].map(|side| self.top(side));
        let json = format!(
            r#"{{"u":{},"s":"{}","b":"{}","B":"{}","a":"{}","A":"{}"}}"#,
            self.update_id,
            self.spec.symbol,
            price(BID, bid),
            self.size(bid_lots),
            price(ASK, ask),
            self.size(ask_lots),
        );
        self.send(FAST, "bookTicker", &json);
    }

    /// What changed since the last depth message, best levels first.
    fn send_depth(&mut self) {
        if self.update_id == self.last_depth_id {
            return;
        }
        let changed = std::mem::take(&mut self.changed);
        let [bids, asks] = [BID, ASK].map(|side| {
            let lots = |cost| self.levels[side].get(cost).unwrap_or(&0);
            self.json_levels(side, changed[side].iter().map(|cost| (cost, lots(cost))))
        });
        let json = format!(
            r#"{{"e":"depthUpdate","E":{},"s":"{}","U":{},"u":{},"b":{bids},"a":{asks}}}"#,
            self.now,
            self.spec.symbol,
            self.last_depth_id + 1,
            self.update_id,
        );
        self.last_depth_id = self.update_id;
        self.send(DEPTH, "depth@100ms", &json);
    }

    /// The answer to a REST request, in which the venue names no symbol.
    fn send_snapshot(&mut self) {
        let [bids, asks] = [BID, ASK].map(|side| self.json_levels(side, &self.levels[side]));
        let json = format!(
            r#"{{"lastUpdateId":{},"bids":{bids},"asks":{asks}}}"#,
            self.update_id
        );
        self.capture.receive(REST, self.now, json);
    }

    fn send(&mut self, route: Route, stream: &str, data: &str) {
        let symbol = self.spec.symbol.to_lowercase();
        let json = format!(r#"{{"stream":"{symbol}@{stream}","data":{data}}}"#);
        self.capture.receive(route, self.now, json);
    }

    fn json_levels<'a>(
        &self,
        side: Side,
        levels: impl IntoIterator<Item = (&'a i32, &'a i32)>,
    ) -> String {
        let level = |(&cost, &lots): (&i32, &i32)| {
            format!(r#"["{}","{}"]"#, price(side, cost), self.size(lots))
        };
        let levels: Vec<String> = levels.into_iter().map(level).collect();
        format!("[{}]", levels.join(","))
    }

    fn size(&self, lots: i32) -> String {
        decimal(lots, self.spec.lot)
    }
}

/// How a message travels to the recorder. Each route keeps its order; the fast one overtakes.
type Route = usize;
const FAST: Route = 0;
const DEPTH: Route = 1;
const REST: Route = 2;
const LATENCY_US: [u64; 3] = [3_100, 7_400, 128_000];

/// The recorder: lines with their receive times.
#[derive(Default)]
struct Capture {
    rng: Rng,
    lines: Vec<(u64, String)>,
    last_ns: [u64; 3],
}

impl Capture {
    fn receive(&mut self, route: Route, sent_ms: u64, json: String) {
        let hiccup_us = if self.rng.chance(0.001) { 25_000 } else { 900 };
        let departure = sent_ms * 1_000_000 + self.rng.below(1_000_000);
        let last_ns = &mut self.last_ns[route];
        let earliest_ns = *last_ns + 500 + self.rng.below(900);
        let jitter_us = self.rng.below(hiccup_us);
        *last_ns = earliest_ns.max(departure + (LATENCY_US[route] + jitter_us) * 1_000);
        self.lines.push((*last_ns, json));
    }

    fn save(mut self, path: &Path) -> std::io::Result<()> {
        self.lines.sort_by_key(|(received_ns, _)| *received_ns);
        let file = BufWriter::new(File::create(path)?);
        let mut gzip = GzBuilder::new().write(file, Compression::best());
        let mut last_ns = 0;
        for (received_ns, json) in self.lines {
            last_ns = received_ns.max(last_ns + 1);
            writeln!(gzip, "{last_ns} {json}")?;
        }
        gzip.finish()?.flush()
    }
}

/// `SplitMix64` (Steele, Lea, Flood 2014).
#[derive(Default)]
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform, strictly between 0 and 1.
    fn unit(&mut self) -> f64 {
        (f64::from((self.next() >> 32) as u32) + 0.5) / 4_294_967_296.0
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// From 1 to `lots`.
    fn lots_of(&mut self, lots: i32) -> i32 {
        1 + whole(self.unit() * f64::from(lots - 1))
    }

    /// Mean 0, standard deviation 1, nearly normal: a sum of uniform numbers needs no logarithm.
    fn gauss(&mut self) -> f64 {
        (self.unit() + self.unit() + self.unit() + self.unit() - 2.0) * 3_f64.sqrt()
    }

    /// Pareto from 1 with exponent 4/3: mean 4, infinite variance were it not cut at `limit`.
    fn heavy_tail(&mut self, limit: f64) -> f64 {
        let root = self.unit().sqrt();
        (1.0 / (root * root.sqrt())).min(limit)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "ticks and lots fit")]
fn whole(number: f64) -> i32 {
    number as i32
}

fn price(side: Side, cost: i32) -> String {
    decimal(SIGN[side] * cost, TICK)
}

/// A count of ticks or lots as the venue writes it, with 8 decimals.
fn decimal(count: i32, unit: i64) -> String {
    let units = i64::from(count) * unit;
    format!("{}.{:08}", units / 100_000_000, units % 100_000_000)
}
