//! Stocks: Alpha Vantage as a venue, `mdb fetch`, and the star schema made of weekly and daily bars, splits and dividends.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::harness::{Db, Live, Rng, Run, join_lines, read_lines, recorded, walk};
use crate::rest::{Answer, Server, ok};
use crate::stock_venues::assert_kept;

const VENUE: &str = "alpha_vantage";
const KEY: &str = "DEMO-KEY-NOBODY-SEES";

const WEEKLY: &str = r#"{"Meta Data":{"1. Information":"Weekly Adjusted Prices and Volumes","2. Symbol":"IBM","3. Last Refreshed":"2025-11-06","4. Time Zone":"US/Eastern"},"Weekly Adjusted Time Series":{"2025-11-06":{"1. open":"308.0000","2. high":"315.4400","3. low":"296.0000","4. close":"312.4200","5. adjusted close":"312.4200","6. volume":"20956438","7. dividend amount":"0.0000"},"2025-10-31":{"1. open":"307.8000","2. high":"319.3500","3. low":"303.4000","4. close":"307.4100","5. adjusted close":"307.4100","6. volume":"29000000","7. dividend amount":"0.0000"}}}"#;
/// The same a week later: the running week is over.
const WEEKLY_LATER: &str = r#"{"Meta Data":{"1. Information":"Weekly Adjusted Prices and Volumes","2. Symbol":"IBM","3. Last Refreshed":"2025-11-12","4. Time Zone":"US/Eastern"},"Weekly Adjusted Time Series":{"2025-11-12":{"1. open":"306.0000","2. high":"324.9000","3. low":"305.0000","4. close":"314.9800","5. adjusted close":"314.9800","6. volume":"9000000","7. dividend amount":"1.6800"},"2025-11-07":{"1. open":"308.0000","2. high":"315.4400","3. low":"296.0000","4. close":"306.3800","5. adjusted close":"304.7361","6. volume":"25000000","7. dividend amount":"0.0000"}}}"#;
const DAILY: &str = r#"{"Meta Data":{"1. Information":"Daily Time Series with Splits and Dividend Events","2. Symbol":"IBM","3. Last Refreshed":"2025-11-10","4. Output Size":"Full size","5. Time Zone":"US/Eastern"},"Time Series (Daily)":{"2025-11-10":{"1. open":"306.0","2. high":"310.0","3. low":"305.0","4. close":"309.13","5. adjusted close":"309.13","6. volume":"3000000","7. dividend amount":"1.6800","8. split coefficient":"1.0"},"2025-11-07":{"1. open":"1224.0","2. high":"1240.0","3. low":"1220.0","4. close":"1225.52","5. adjusted close":"304.7361","6. volume":"800000","7. dividend amount":"0.0000","8. split coefficient":"4.0"}}}"#;
const SPLITS: &str =
    r#"{"symbol":"IBM","data":[{"effective_date":"1999-05-27","split_factor":"2.0000"}]}"#;
const DIVIDENDS: &str = r#"{"symbol":"IBM","data":[{"ex_dividend_date":"2025-11-10","declaration_date":"2025-10-22","record_date":"2025-11-10","payment_date":"2025-12-10","amount":"1.68"},{"ex_dividend_date":"1962-02-06","declaration_date":"None","record_date":"None","payment_date":"None","amount":"0.6"}]}"#;
const OVERVIEW: &str = r#"{"Symbol":"IBM","AssetType":"Common Stock","Name":"International Business Machines","CIK":"51143","Exchange":"NYSE","Currency":"USD","Country":"USA","Sector":"TECHNOLOGY","Industry":"None","MarketCapitalization":"280000000000"}"#;
const NOTE: &str = r#"{"Note":"Thank you for using Alpha Vantage! Our standard API call frequency is 5 calls per minute and 500 calls per day."}"#;
const SPENT: &str = r#"{"Information":"We have detected your API key as DEMO-KEY-NOBODY-SEES and our standard API rate limit is 25 requests per day."}"#;
const ERROR: &str =
    r#"{"Error Message":"Invalid API call. Please retry or visit the documentation."}"#;

/// Receive times of the loaded bodies: 2025-11-06 23:00 UTC, and a week later.
const RECEIVED_NS: u64 = 1_762_470_000_000_000_000;
const WEEK_NS: u64 = 7 * 86_400_000_000_000;

fn load(db: &Db, name: &str, received_ns: u64, bodies: &[&str]) {
    let lines = (0_u64..)
        .zip(bodies)
        .map(|(n, body)| format!("{} {body}", received_ns + n * 1_000_000_000));
    let file = db.write(name, &join_lines(lines));
    db.load(VENUE, "IBM", [file]).ok();
}

fn cells(rows: Vec<Vec<String>>) -> Vec<String> {
    rows.into_iter().map(|row| row.join("|")).collect()
}

const BARS: &str = "SELECT symbol, epoch_ns(ts) // 1000000000, \"interval\", open, high, low, close, adj_close, volume, \
                    dividend, is_final FROM bars ORDER BY \"interval\", ts";

#[test]
fn documented_bodies_become_exactly_these_rows() {
    let db = Db::new();
    let bodies = [
        WEEKLY, DAILY, SPLITS, DIVIDENDS, OVERVIEW, NOTE, SPENT, "{}", ERROR,
    ];
    load(&db, "first.txt", RECEIVED_NS, &bodies);
    load(&db, "second.txt", RECEIVED_NS + WEEK_NS, &[WEEKLY_LATER]);
    let bars = [
        "IBM|1762491600|1d|1224.0|1240.0|1220.0|1225.52|304.7361|800000.0|0.0|true",
        "IBM|1762750800|1d|306.0|310.0|305.0|309.13|309.13|3000000.0|1.68|false",
        "IBM|1761537600|1w|307.8|319.35|303.4|307.41|307.41|29000000.0|0.0|true",
        // What was running when it was first received is over.
        "IBM|1762146000|1w|308.0|315.44|296.0|306.38|304.7361|25000000.0|0.0|true",
        "IBM|1762750800|1w|306.0|324.9|305.0|314.98|314.98|9000000.0|1.68|false",
    ];
    assert_eq!(cells(db.sql(BARS)), bars);
    let actions = "SELECT seq, symbol, kind, ex_date, ratio, amount, declared_on, record_date, pay_date \
                   FROM corporate_actions ORDER BY seq, ex_date";
    assert_eq!(
        cells(db.sql(actions)),
        [
            "2|IBM|split|2025-11-07|4.0||||",
            "2|IBM|dividend|2025-11-10||1.68|||",
            "3|IBM|split|1999-05-27|2.0||||",
            "4|IBM|dividend|1962-02-06||0.6|||",
            "4|IBM|dividend|2025-11-10||1.68|2025-10-22|2025-11-10|2025-12-10",
        ]
    );
    let instruments = "SELECT symbol, ts = recv_ts, asset_class, name, \"quote\", exchange, sector, industry FROM instruments";
    assert_eq!(
        cells(db.sql(instruments)),
        ["IBM|true|equity|International Business Machines|USD|NYSE|TECHNOLOGY|"]
    );
    // A quota note is no data, and no dead letter either; an error is one.
    assert_eq!(cells(db.sql("SELECT seq FROM dead_letters")), ["9"]);
    assert_kept(&db);
}

#[test]
fn a_recorded_body_is_read_whole() {
    let Some(file) = recorded("alpha_vantage/time_series_intraday_msft.json") else {
        return;
    };
    let body: String = read_lines(&file).iter().map(|line| line.trim()).collect();
    let db = Db::new();
    load(&db, "recorded.txt", RECEIVED_NS, &[&body]);
    let bars = cells(db.sql(BARS));
    assert_eq!(bars.len(), 100);
    assert_eq!(
        bars[99],
        "MSFT|1513626960|1m|86.49|86.5|86.475|86.5||10494.0||true"
    );
    assert_eq!(db.count("SELECT count(*) FROM dead_letters"), 0);
}

/// A database whose copy of the venue's feed.toml does not wait.
fn hurried() -> Db {
    let db = Db::new();
    let stock = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("sql/venues/{VENUE}/feed.toml"));
    let mut text = fs::read_to_string(stock).unwrap();
    for (slow, quick) in [
        ("per = \"12 s\"", "per = \"1 ms\""),
        ("retry_after = \"1 min\"", "retry_after = \"50 ms\""),
    ] {
        assert!(text.contains(slow), "{slow}");
        text = text.replace(slow, quick);
    }
    let folder = db.dir().join("sql/venues").join(VENUE);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("feed.toml"), text).unwrap();
    db
}

fn fetch(db: &Db, server: &Server, args: &[&str]) -> Run {
    let mut command = db.command();
    command.args(["fetch", VENUE]).args(args);
    command.args(["--rest", &server.base]);
    command.env("ALPHAVANTAGE_API_KEY", KEY);
    Live::spawn(command).finish()
}

/// What the server was asked, without the key, which each request must have.
fn functions(server: &Server) -> Vec<String> {
    let start = "/query?function=";
    let end = format!("&apikey={KEY}");
    let functions = server.uris().into_iter().map(|uri| {
        let function = uri.strip_prefix(start).and_then(|f| f.strip_suffix(&end));
        function.unwrap_or_else(|| panic!("{uri}")).to_owned()
    });
    functions.collect()
}

const ALL: [&str; 4] = [
    "TIME_SERIES_WEEKLY_ADJUSTED&symbol=IBM",
    "DIVIDENDS&symbol=IBM",
    "OVERVIEW&symbol=IBM",
    "SPLITS&symbol=IBM",
];

/// Answers in the order of [`ALL`].
fn all() -> [Answer; 4] {
    [WEEKLY, DIVIDENDS, OVERVIEW, SPLITS].map(ok)
}

fn raw(db: &Db) -> Vec<String> {
    cells(db.sql("SELECT channel, symbol, payload FROM raw_messages ORDER BY seq"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_venue_is_asked_once_and_a_rerun_spends_nothing() {
    let db = hurried();
    let server = Server::start(&all()).await;
    let said = fetch(&db, &server, &["IBM"]).ok();
    assert!(said.stdout.contains("IBM bars_1w: 1 page"), "{said}");
    assert_eq!(functions(&server), ALL);
    let stored = [
        format!("rest/bars_1w|IBM|{WEEKLY}"),
        format!("rest/dividends|IBM|{DIVIDENDS}"),
        format!("rest/overview|IBM|{OVERVIEW}"),
        format!("rest/splits|IBM|{SPLITS}"),
    ];
    assert_eq!(raw(&db), stored);
    assert_eq!(db.count("SELECT count(*) FROM bars"), 2);
    assert_eq!(db.count("SELECT count(*) FROM corporate_actions"), 3);
    assert_eq!(db.count("SELECT count(*) FROM instruments"), 1);

    for args in [&["IBM"][..], &["IBM,IBM", "--max-age", "7 days"]] {
        let said = fetch(&db, &server, args).ok();
        assert_eq!(said.stdout.matches("not asked again").count(), 4, "{said}");
    }
    db.run(["seal", "--all"]).ok();
    db.run(["rebuild"]).ok();
    fetch(&db, &server, &["IBM"]).ok();
    assert_eq!(server.uris().len(), 4);

    // Another symbol and another request are not known yet.
    fetch(&db, &server, &["MSFT", "--request", "splits"]).ok();
    fetch(&db, &server, &["IBM", "--request", "splits,bars_1d"]).ok();
    assert_eq!(
        functions(&server)[4..],
        [
            "SPLITS&symbol=MSFT",
            "TIME_SERIES_DAILY&symbol=IBM&outputsize=compact"
        ]
    );
    fetch(
        &db,
        &server,
        &["IBM", "--request", "splits", "--max-age", "0 s"],
    )
    .ok();
    fetch(&db, &server, &["IBM", "--request", "splits", "--refresh"]).ok();
    assert_eq!(server.uris().len(), 8);
    assert_eq!(db.count("SELECT count(*) FROM bars"), 2);
    db.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_is_waited_out_and_is_no_data() {
    let db = hurried();
    let server = Server::start(&[ok(NOTE), ok(NOTE), ok(WEEKLY)]).await;
    fetch(&db, &server, &["IBM", "--request", "bars_1w"]).ok();
    assert_eq!(server.uris().len(), 3);
    assert_eq!(raw(&db), [format!("rest/bars_1w|IBM|{WEEKLY}")]);
    assert_eq!(db.count("SELECT count(*) FROM dead_letters"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spent_quota_ends_the_venue_and_what_came_stays() {
    let db = hurried();
    let server = Server::start(&[ok(WEEKLY), ok(SPENT)]).await;
    let said = fetch(&db, &server, &["IBM,MSFT"]).exits(1).says(&[
        "alpha_vantage dividends of IBM",
        "25 requests per day",
        "7 requests left",
    ]);
    assert!(said.stdout.contains("IBM bars_1w: 1 page"), "{said}");
    assert_eq!(server.uris().len(), 2);
    assert_eq!(raw(&db), [format!("rest/bars_1w|IBM|{WEEKLY}")]);
    let failed = "SELECT symbol, channel, kind FROM feed_events ORDER BY ts";
    assert_eq!(
        cells(db.sql(failed)),
        [
            "IBM|rest/bars_1w|fetched",
            "IBM|rest/dividends|fetch_failed"
        ]
    );

    // The next day.
    let [_, rest @ ..] = all();
    let server = Server::start(&rest).await;
    fetch(&db, &server, &["IBM"]).ok();
    assert_eq!(functions(&server), ALL[1..]);
    assert_eq!(db.count("SELECT count(*) FROM raw_messages"), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_is_of_one_request_and_the_others_are_made() {
    let db = hurried();
    let [_, rest @ ..] = all();
    let answers: Vec<Answer> = std::iter::once(ok(ERROR)).chain(rest).collect();
    let server = Server::start(&answers).await;
    fetch(&db, &server, &["IBM"])
        .exits(1)
        .says(&["alpha_vantage bars_1w of IBM", "Invalid API call"]);
    assert_eq!(functions(&server), ALL);
    assert_eq!(db.count("SELECT count(*) FROM raw_messages"), 3);
    assert_eq!(db.count("SELECT count(*) FROM dead_letters"), 0);
    // It is asked for again.
    fetch(&db, &server, &["IBM"]).ok();
    assert_eq!(functions(&server)[4..], ALL[..1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_is_nowhere() {
    let db = hurried();
    let echo = format!("{{\"symbol\":\"IBM\",\"you\":\"{KEY}\",\"data\":[]}}");
    let server = Server::start(&[ok(&echo), ok(SPENT)]).await;
    let said = fetch(&db, &server, &["IBM", "--request", "splits,dividends"]).exits(1);
    assert!(
        !said.stdout.contains(KEY) && !said.stderr.contains(KEY),
        "{said}"
    );
    assert_eq!(
        raw(&db),
        [format!("rest/splits|IBM|{}", echo.replace(KEY, "***"))]
    );
    walk(db.dir(), &mut |file| {
        let bytes = fs::read(file).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(KEY), "{}", file.display());
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_asked_is_told_before_anything_is() {
    let db = hurried();
    let server = Server::start(&all()).await;
    fetch(&db, &server, &["IBM", "--request", "weekly"]).fails_naming(&[
        "alpha_vantage",
        "no request 'weekly'",
        "bars_1w",
    ]);
    fetch(&db, &server, &["IBM", "--max-age", "soon"])
        .exits(2)
        .says(&["7 days"]);
    let mut command = db.command();
    command.args(["fetch", VENUE, "IBM"]);
    Live::spawn(command)
        .finish()
        .fails_naming(&["ALPHAVANTAGE_API_KEY"]);
    db.run(["fetch", "binance_spot", "BTCUSDT"]).fails_naming(&[
        "binance_spot",
        "--request",
        "agg_trades",
    ]);
    db.run(["fetch", "binance_spot", "BTCUSDT", "--request", "bars_1m"])
        .fails_naming(&["bars_1m", "more than a symbol"]);
    let mut command = db.command();
    command.args(["stream", VENUE, "IBM"]);
    command.env("ALPHAVANTAGE_API_KEY", KEY);
    Live::spawn(command).finish().fails_naming(&["mdb fetch"]);
    assert!(server.uris().is_empty());
}

/// A stock's days, and what is known of them by other means than mdb's.
struct Stock {
    symbol: &'static str,
    /// Day since 1970, close as traded, to 4 decimals.
    days: Vec<(i64, f64)>,
    /// Day and ratio.
    splits: Vec<(i64, f64)>,
    /// Day and amount.
    dividends: Vec<(i64, f64)>,
}

/// A week: Monday, last trading day, close, adjusted close, dividends.
type Week = (i64, i64, f64, f64, f64);

fn day(text: &str) -> i64 {
    let date: jiff::civil::Date = text.parse().unwrap();
    let epoch = jiff::civil::date(1970, 1, 1);
    i64::from((date - epoch).get_days())
}

fn text(day: i64) -> String {
    let epoch = jiff::civil::date(1970, 1, 1);
    (epoch + jiff::Span::new().days(day)).to_string()
}

/// Days since the Monday before or on that day; 1970-01-01 was a Thursday.
fn weekday(day: i64) -> i64 {
    (day + 3).rem_euclid(7)
}

fn to_4(x: f64) -> f64 {
    (x * 1e4).round() / 1e4
}

impl Stock {
    /// Ten years of a price that wanders, with splits, and dividends every 91 days.
    fn new(symbol: &'static str, seed: u64, splits: &[(&str, f64)]) -> Self {
        let mut rng = Rng(seed);
        let splits: Vec<(i64, f64)> = splits.iter().map(|&(d, r)| (day(d), r)).collect();
        let (first, last) = (day("2011-06-01"), day("2021-07-02"));
        let mut stock = Self {
            symbol,
            days: Vec::new(),
            splits,
            dividends: Vec::new(),
        };
        let (mut price, mut due) = (400.0, first + 70);
        for today in first..=last {
            if weekday(today) > 4 {
                continue;
            }
            let noise = f64::from(u32::try_from(rng.below(2_001)).unwrap()) - 998.0;
            price *= 1.0 + noise * 3e-5;
            if let Some(&(_, ratio)) = stock.splits.iter().find(|(d, _)| *d == today) {
                price /= ratio;
            }
            if today >= due {
                let amount = to_4(price * 0.006);
                price -= amount;
                stock.dividends.push((today, amount));
                due += 91;
            }
            stock.days.push((today, to_4(price)));
        }
        stock
    }

    /// The closes adjusted by hand: from the last day back, a factor at each ex-date.
    fn adjusted(&self) -> Vec<f64> {
        let mut factor = 1.0;
        let mut adjusted = Vec::new();
        for (i, &(today, close)) in self.days.iter().enumerate().rev() {
            adjusted.push(close * factor);
            let Some(&(_, before)) = i.checked_sub(1).and_then(|i| self.days.get(i)) else {
                break;
            };
            for (_, amount) in self.dividends.iter().filter(|(d, _)| *d == today) {
                factor *= 1.0 - amount / before;
            }
            for (_, ratio) in self.splits.iter().filter(|(d, _)| *d == today) {
                factor /= ratio;
            }
        }
        adjusted.reverse();
        adjusted
    }

    fn weeks(&self) -> Vec<Week> {
        let mut weeks: Vec<Week> = Vec::new();
        for (&(today, close), adjusted) in self.days.iter().zip(self.adjusted()) {
            let monday = today - weekday(today);
            let paid = self.dividends.iter().find(|(d, _)| *d == today);
            let paid = paid.map_or(0.0, |(_, amount)| *amount);
            match weeks.last_mut().filter(|week| week.0 == monday) {
                Some(week) => *week = (monday, today, close, adjusted, week.4 + paid),
                None => weeks.push((monday, today, close, adjusted, paid)),
            }
        }
        weeks
    }

    fn weekly_body(&self) -> String {
        let mut bars = Vec::new();
        for (_, last, close, adjusted, dividend) in self.weeks().iter().rev() {
            bars.push(format!(
                r#""{}":{{"1. open":"{close:.4}","2. high":"{close:.4}","3. low":"{close:.4}","4. close":"{close:.4}","5. adjusted close":"{adjusted:.4}","6. volume":"100","7. dividend amount":"{dividend:.4}"}}"#,
                text(*last)
            ));
        }
        self.body("Weekly Adjusted Time Series", "4. Time Zone", &bars)
    }

    fn daily_body(&self) -> String {
        let mut bars = Vec::new();
        for (today, close) in self.days.iter().rev() {
            bars.push(format!(
                r#""{}":{{"1. open":"{close:.4}","2. high":"{close:.4}","3. low":"{close:.4}","4. close":"{close:.4}","5. volume":"20"}}"#,
                text(*today)
            ));
        }
        self.body("Time Series (Daily)", "5. Time Zone", &bars)
    }

    fn body(&self, series: &str, zone: &str, bars: &[String]) -> String {
        let (symbol, last) = (self.symbol, text(self.days.last().unwrap().0));
        format!(
            r#"{{"Meta Data":{{"2. Symbol":"{symbol}","3. Last Refreshed":"{last}","{zone}":"US/Eastern"}},"{series}":{{{}}}}}"#,
            bars.join(",")
        )
    }

    fn splits_body(&self) -> String {
        let splits = self.splits.iter().map(|(d, ratio)| {
            let d = text(*d);
            format!(r#"{{"effective_date":"{d}","split_factor":"{ratio:.4}"}}"#)
        });
        let splits: Vec<String> = splits.collect();
        format!(
            r#"{{"symbol":"{}","data":[{}]}}"#,
            self.symbol,
            splits.join(",")
        )
    }

    fn dividends_body(&self) -> String {
        let mut data = String::new();
        for (d, amount) in self.dividends.iter().rev() {
            let d = text(*d);
            write!(
                data,
                r#"{{"ex_dividend_date":"{d}","declaration_date":"None","record_date":"None","payment_date":"None","amount":"{amount:.4}"}},"#
            )
            .unwrap();
        }
        // Declared, and far from its day.
        let ahead = r#"{"ex_dividend_date":"2021-08-06","declaration_date":"2021-06-20","record_date":"None","payment_date":"None","amount":"0.8"}"#;
        format!(r#"{{"symbol":"{}","data":[{data}{ahead}]}}"#, self.symbol)
    }
}

const SPLIT_7: &str = "2014-06-09";
const SPLIT_4: &str = "2020-08-31";

/// Two stocks of ten years: one with two splits, days and weeks; and what others are compared with, of which there are
/// only weeks and splits.
fn stocks() -> [Stock; 2] {
    [
        Stock::new("AAPL", 11, &[(SPLIT_7, 7.0), (SPLIT_4, 4.0)]),
        Stock::new("SPY", 12, &[]),
    ]
}

fn starred(stocks: &[Stock; 2]) -> Db {
    let [stock, benchmark] = stocks;
    let db = Db::new();
    // 2021-07-20 12:00 UTC.
    let received_ns = 1_626_782_400_000_000_000;
    let bodies = [
        stock.weekly_body(),
        stock.daily_body(),
        stock.splits_body(),
        stock.dividends_body(),
        // Said twice, and counted once.
        stock.splits_body(),
        benchmark.weekly_body(),
    ];
    let mut bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let apple = |sector: &str| {
        format!(
            r#"{{"Symbol":"AAPL","AssetType":"Common Stock","Name":"Apple Inc","Exchange":"NASDAQ","Currency":"USD","Sector":"{sector}","Industry":"None"}}"#
        )
    };
    let (one, other) = (apple("HARDWARE"), apple("TECHNOLOGY"));
    bodies.extend([one.as_str(), &one, &other, &other, &one]);
    load(&db, "star.txt", received_ns, &bodies);
    db.run(["build"]).ok();
    db
}

fn number(cell: &str) -> Option<f64> {
    (!cell.is_empty()).then(|| cell.parse().unwrap())
}

#[track_caller]
fn assert_near(what: &str, at: i64, got: Option<f64>, want: Option<f64>) {
    let near = match (got, want) {
        (None, None) => true,
        (Some(got), Some(want)) => (got - want).abs() <= 1e-9 * want.abs().max(1.0),
        _ => false,
    };
    assert!(near, "{what} of {}: {got:?}, expected {want:?}", text(at));
}

#[test]
fn adjusted_closes_are_the_venues_own_to_four_decimals() {
    let stocks = stocks();
    let db = starred(&stocks);
    let query = |symbol: &str, interval: &str| {
        db.sql(&format!(
            "SELECT f.date, adjusted_close, adj_close, split_ratio, dividend FROM fact_adjusted_prices f
             JOIN dim_stock USING (stock_key) WHERE symbol = '{symbol}' AND \"interval\" = '{interval}' ORDER BY f.date"
        ))
    };
    let weeks = query("AAPL", "1w");
    assert_eq!(weeks.len(), stocks[0].weeks().len());
    for (row, week) in weeks.iter().zip(stocks[0].weeks()) {
        assert_eq!(row[0], text(week.0));
        assert_near("week", week.0, number(&row[1]), Some(week.3));
        // The venue's text of it, as it stood in the body.
        let own = number(&row[1]).unwrap();
        assert_eq!(
            format!("{own:.4}"),
            format!("{:.4}", number(&row[2]).unwrap())
        );
        let split = [(SPLIT_7, 7.0), (SPLIT_4, 4.0)];
        let split = split
            .iter()
            .find(|(d, _)| day(d) - weekday(day(d)) == week.0);
        assert_near(
            "split",
            week.0,
            number(&row[3]),
            Some(split.map_or(1.0, |s| s.1)),
        );
        assert_near("dividend", week.0, number(&row[4]), Some(week.4));
    }
    let days = query("AAPL", "1d");
    assert_eq!(days.len(), stocks[0].days.len());
    let adjusted = stocks[0].adjusted();
    for ((row, (today, _)), adjusted) in days.iter().zip(&stocks[0].days).zip(adjusted) {
        assert_near("day", *today, number(&row[1]), Some(adjusted));
    }
    // With nothing but weeks and the dividends in them it is close.
    for (row, week) in query("SPY", "1w").iter().zip(stocks[1].weeks()) {
        let own = number(&row[1]).unwrap();
        assert!((own / week.3 - 1.0).abs() < 0.003, "{row:?}, {}", week.3);
    }
    db.run(["test"]).ok();
}

#[test]
fn returns_and_what_follows_from_them_are_those_of_the_formulas() {
    let stocks = stocks();
    let db = starred(&stocks);
    let rows = db.sql(
        "SELECT f.date, f.adjusted_close, f.weekly_return, f.zscore, f.return_zscore, f.volatility_52w, f.relative_return,
                k.weekly_return
         FROM fact_adjusted_prices f JOIN dim_stock s USING (stock_key)
         JOIN (FROM fact_adjusted_prices JOIN dim_stock USING (stock_key) WHERE symbol = 'SPY') k
              ON k.date = f.date AND k.\"interval\" = f.\"interval\"
         WHERE s.symbol = 'AAPL' ORDER BY f.date",
    );
    let closes: Vec<f64> = stocks[0].weeks().iter().map(|week| week.3).collect();
    assert_eq!(rows.len(), closes.len());
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
    let deviation = |of: &[f64]| {
        let mean = mean(of);
        let squares: f64 = of.iter().map(|x| (x - mean).powi(2)).sum();
        (squares / (of.len() - 1) as f64).sqrt()
    };
    let simple: Vec<f64> = closes.windows(2).map(|w| w[1] / w[0] - 1.0).collect();
    let logs: Vec<f64> = closes.windows(2).map(|w| (w[1] / w[0]).ln()).collect();
    for (i, row) in rows.iter().enumerate() {
        let at = day(&row[0]);
        let back = |of: &[f64], end: usize| end.checked_sub(52).map(|from| of[from..end].to_vec());
        let score = |of: Vec<f64>| (of[51] - mean(&of)) / deviation(&of);
        let gain = i.checked_sub(1).map(|i| simple[i]);
        assert_near("return", at, number(&row[2]), gain);
        assert_near(
            "zscore",
            at,
            number(&row[3]),
            back(&closes, i + 1).map(score),
        );
        assert_near(
            "return_zscore",
            at,
            number(&row[4]),
            back(&simple, i).map(score),
        );
        let volatility = back(&logs, i).map(|of| deviation(&of) * 52_f64.sqrt());
        assert_near("volatility", at, number(&row[5]), volatility);
        let relative = gain.zip(number(&row[7])).map(|(own, other)| own - other);
        assert_near("relative return", at, number(&row[6]), relative);
    }
}

#[test]
fn keys_are_hashes_of_the_business_keys_and_lead_somewhere() {
    let db = starred(&stocks());
    let one = db.row(
        "SELECT count(*), count(DISTINCT price_key), count(*) FILTER (d.date_key IS NULL), count(*) FILTER (s.stock_key IS NULL),
                count(*) FILTER (v.source_key IS NULL), count(*) FILTER (d.date <> f.date),
                count(*) FILTER (f.date_key <> md5(f.date::VARCHAR)), count(*) FILTER (f.source_key <> md5('alpha_vantage')),
                count(*) FILTER (s.stock_key <> md5(s.venue || '|' || s.symbol || '|' || s.valid_from::VARCHAR)),
                count(*) FILTER (f.price_key <> md5(concat_ws('|', s.venue, s.symbol, f.\"interval\", f.date::VARCHAR)))
         FROM fact_adjusted_prices f LEFT JOIN dim_date d USING (date_key) LEFT JOIN dim_stock s USING (stock_key)
         LEFT JOIN dim_source v USING (source_key)",
    );
    assert_eq!(one[0], one[1]);
    assert_eq!(one[2..], ["0"; 8]);
    let dates = "SELECT count(*), min(date), max(date), count(DISTINCT date_key) FROM dim_date";
    assert_eq!(cells(db.sql(dates)), ["22280|1990-01-01|2050-12-31|22280"]);
    // 2021-05-28 is the last trading day before Memorial Day; ISO week 53 belongs to the year before.
    let weeks = "SELECT date, iso_year, iso_week, is_trading_day, trading_days_in_week, is_first_trading_day_of_week,
                        is_last_trading_day_of_week
                 FROM dim_date WHERE date IN ('2021-01-03', '2021-05-28', '2021-05-31', '2021-06-01') ORDER BY date";
    assert_eq!(
        cells(db.sql(weeks)),
        [
            "2021-01-03|2020|53|false|4|false|false",
            "2021-05-28|2021|21|true|5|false|true",
            "2021-05-31|2021|22|false|4|false|false",
            "2021-06-01|2021|22|true|4|true|false",
        ]
    );
    assert_eq!(
        cells(db.sql("SELECT venue, stocks, gives_adj_close FROM dim_source")),
        ["alpha_vantage|2|true"]
    );
    // Nothing of it depends on what was built before.
    let sums = "SELECT sum(hash(f)) FROM fact_adjusted_prices f UNION ALL SELECT sum(hash(s)) FROM dim_stock s";
    let before = db.sql(sums);
    for step in [&["rebuild"][..], &["build", "--full"]] {
        db.run(step.iter().copied()).ok();
    }
    assert_eq!(db.sql(sums), before);
}

#[test]
fn versions_of_a_stock_follow_one_another_without_hole_or_overlap() {
    let db = starred(&stocks());
    // 6, 7: HARDWARE; 8, 9: TECHNOLOGY; 10: HARDWARE. Seconds after the first body.
    let versions = "SELECT symbol, sector, valid_from, valid_to, is_current FROM dim_stock ORDER BY symbol, valid_from";
    assert_eq!(
        cells(db.sql(versions)),
        [
            "AAPL|HARDWARE|1900-01-01 00:00:00|2021-07-20 12:00:08|false",
            "AAPL|TECHNOLOGY|2021-07-20 12:00:08|2021-07-20 12:00:10|false",
            "AAPL|HARDWARE|2021-07-20 12:00:10||true",
            "SPY||1900-01-01 00:00:00||true",
        ]
    );
    let now = "SELECT symbol, sector FROM dim_stock_current ORDER BY symbol";
    assert_eq!(cells(db.sql(now)), ["AAPL|HARDWARE", "SPY|"]);
    // At any moment each stock has one version.
    let moments = "SELECT max(versions), min(versions) FROM (
            SELECT t, symbol, count(*) FILTER (valid_from <= t AND (valid_to IS NULL OR t < valid_to)) AS versions
            FROM dim_stock, (SELECT unnest(['1900-01-01', '2021-07-20 12:00:08', '2021-07-20 12:00:09.999999999',
                                            '2021-07-20 12:00:10', '2200-01-01']::TIMESTAMP_NS[]) AS t)
            GROUP BY t, symbol)";
    assert_eq!(cells(db.sql(moments)), ["1|1"]);
    // Prices are from before, so they have the first version.
    let used = "SELECT DISTINCT symbol, valid_from::DATE FROM fact_adjusted_prices JOIN dim_stock USING (stock_key) ORDER BY ALL";
    assert_eq!(cells(db.sql(used)), ["AAPL|1900-01-01", "SPY|1900-01-01"]);
}

/// The stock of every week meets a benchmark that lacks one, and one that lacks two weeks a benchmark that has them.
#[test]
fn a_return_is_compared_with_the_benchmarks_over_the_same_time() {
    let body = |symbol: &str, weeks: &[(&str, u32)]| {
        let bars: Vec<String> = weeks
            .iter()
            .map(|(day, close)| {
                format!(
                    r#""{day}":{{"1. open":"{close}","2. high":"{close}","3. low":"{close}","4. close":"{close}","5. adjusted close":"{close}","6. volume":"1","7. dividend amount":"0.0000"}}"#
                )
            })
            .collect();
        format!(
            r#"{{"Meta Data":{{"1. Information":"Weekly Adjusted Prices and Volumes","2. Symbol":"{symbol}","3. Last Refreshed":"2024-03-29","4. Time Zone":"US/Eastern"}},"Weekly Adjusted Time Series":{{{}}}}}"#,
            bars.join(",")
        )
    };
    let [first, second, third, fourth, last] = [
        "2024-03-01",
        "2024-03-08",
        "2024-03-15",
        "2024-03-22",
        "2024-03-28",
    ];
    let bodies = [
        body(
            "SPY",
            &[(last, 441), (fourth, 420), (second, 400), (first, 400)],
        ),
        body(
            "IBM",
            &[
                (last, 121),
                (fourth, 121),
                (third, 110),
                (second, 100),
                (first, 100),
            ],
        ),
        body("TSLA", &[(last, 121), (second, 100), (first, 100)]),
    ];
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let db = Db::new();
    load(&db, "weeks.txt", 1_712_000_000_000_000_000, &bodies);
    db.run(["build"]).ok();
    let fact = "SELECT symbol, date, round(weekly_return, 9), round(benchmark_return, 9), round(relative_return, 9)
                FROM fact_adjusted_prices JOIN dim_stock USING (stock_key)
                WHERE symbol <> 'SPY' AND date > '2024-03-04' ORDER BY symbol, date";
    assert_eq!(
        cells(db.sql(fact)),
        [
            "IBM|2024-03-11|0.1||",
            "IBM|2024-03-18|0.1||",
            "IBM|2024-03-25|0.0|0.05|-0.05",
            "TSLA|2024-03-25|0.21|0.1025|0.1075",
        ]
    );
}

#[test]
fn what_was_before_the_first_bar_is_not_in_it() {
    let db = Db::new();
    let splits = r#"{"symbol":"IBM","data":[{"effective_date":"1999-05-27","split_factor":"2.0000"},{"effective_date":"2025-11-07","split_factor":"4.0000"}]}"#;
    let dividends = r#"{"symbol":"IBM","data":[{"ex_dividend_date":"2025-11-10","declaration_date":"None","record_date":"None","payment_date":"None","amount":"1.68"},{"ex_dividend_date":"1999-11-08","declaration_date":"None","record_date":"None","payment_date":"None","amount":"0.12"}]}"#;
    load(
        &db,
        "old.txt",
        1_762_800_000_000_000_000,
        &[DAILY, splits, dividends],
    );
    db.run(["build"]).ok();
    let fact = "SELECT date, split_ratio, dividend FROM fact_adjusted_prices ORDER BY date";
    assert_eq!(
        cells(db.sql(fact)),
        ["2025-11-07|4.0|0.0", "2025-11-10|1.0|1.68"]
    );
}

#[test]
fn a_reverse_split_counts_also_where_the_dividends_are_another_venues() {
    let db = Db::new();
    let stock = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("sql/venues")
        .join(VENUE);
    let own = db.dir().join("sql/venues/own");
    fs::create_dir_all(&own).unwrap();
    walk(&stock, &mut |path| {
        fs::copy(path, own.join(path.file_name().unwrap())).unwrap();
    });
    let bar = |day: &str, close: &str| {
        format!(
            r#""{day}":{{"1. open":"{close}","2. high":"{close}","3. low":"{close}","4. close":"{close}","5. adjusted close":"{close}","6. volume":"1","7. dividend amount":"0.0000","8. split coefficient":"1.0"}}"#
        )
    };
    let bars = [
        bar("2025-11-12", "10.0"),
        bar("2025-11-10", "10.0"),
        bar("2025-11-07", "1.0"),
    ];
    let bars = format!(
        r#"{{"Meta Data":{{"1. Information":"Daily Time Series with Splits and Dividend Events","2. Symbol":"IBM","3. Last Refreshed":"2025-11-12","4. Output Size":"Full size","5. Time Zone":"US/Eastern"}},"Time Series (Daily)":{{{}}}}}"#,
        bars.join(",")
    );
    // One share for ten; both say so, and only the other knows of a dividend.
    let split =
        r#"{"symbol":"IBM","data":[{"effective_date":"2025-11-10","split_factor":"0.1000"}]}"#;
    let dividend = r#"{"symbol":"IBM","data":[{"ex_dividend_date":"2025-11-12","declaration_date":"None","record_date":"None","payment_date":"None","amount":"0.5"}]}"#;
    for (venue, bodies) in [("own", [bars.as_str(), split]), (VENUE, [split, dividend])] {
        let lines = (1_763_100_000_u64..)
            .zip(bodies)
            .map(|(second, body)| format!("{second}000000000 {body}"));
        let file = db.write(&format!("{venue}.txt"), &join_lines(lines));
        db.load(venue, "IBM", [file]).ok();
    }
    db.run(["build"]).ok();
    let fact = "SELECT date, split_ratio, dividend, round(adjusted_close, 9) FROM fact_adjusted_prices ORDER BY date";
    assert_eq!(
        cells(db.sql(fact)),
        [
            "2025-11-07|1.0|0.0|9.5",
            "2025-11-10|0.1|0.0|9.5",
            "2025-11-12|1.0|0.5|10.0",
        ]
    );
}
