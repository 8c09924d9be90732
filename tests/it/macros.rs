//! The table macros, held against what a few lines of Rust make of the captured messages themselves: bars, averages,
//! returns, samples, the book at a moment, and trades with their quotes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::harness::{Db, Rng, gzip, join_lines, read_lines, real};
use crate::synthetic;
use crate::wire::{Depth, Level, Message, parse};

const SECOND_NS: i64 = 1_000_000_000;
/// Start of the made-up market. Times are compared from here on, where a double holds them to the nanosecond.
const START_NS: i64 = 1_723_161_540_000_000_000;
/// Decimals of a trade's size in the captures here; sums are taken in whole units of the last.
const SIZE_UNITS: f64 = 1e8;
const BAR: &str =
    "open, high, low, close, volume, quote_volume, trades, vwap, buy_volume, sell_volume";

#[derive(Clone, Debug)]
struct Trade {
    ts: i64,
    price: f64,
    size: f64,
    buy: bool,
}

impl Trade {
    fn value(&self) -> f64 {
        self.price * self.size
    }
}

/// The number that stands after `key` in a message.
fn number(line: &str, key: &str) -> Option<i64> {
    let rest = &line[line.find(key)? + key.len()..];
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    rest[..end].parse().ok()
}

/// The trades of a capture as they follow each other: by time, and as received among equal times.
fn trades(lines: &[String]) -> Vec<Trade> {
    let mut trades: Vec<Trade> = lines
        .iter()
        .filter(|line| line.contains("\"e\":\"trade\""))
        .map(|line| {
            let Message::Trade { price, size, .. } = parse(line) else {
                panic!("no trade: {line}");
            };
            Trade {
                ts: number(line, "\"T\":").unwrap() * 1_000_000,
                price: price.parse().unwrap(),
                size: size.parse().unwrap(),
                buy: line.contains("\"m\":false"),
            }
        })
        .collect();
    trades.sort_by_key(|trade| trade.ts);
    trades
}

/// The ten figures of a bar, in the order of [`BAR`].
fn bar(trades: &[Trade]) -> Vec<f64> {
    let prices = || trades.iter().map(|trade| trade.price);
    let size_of = |wanted: &dyn Fn(&Trade) -> bool| -> f64 {
        let sizes = trades.iter().filter(|trade| wanted(trade));
        sizes.map(|trade| trade.size).sum()
    };
    let volume = size_of(&|_| true);
    let value: f64 = trades.iter().map(Trade::value).sum();
    vec![
        trades[0].price,
        prices().fold(f64::MIN, f64::max),
        prices().fold(f64::MAX, f64::min),
        trades[trades.len() - 1].price,
        volume,
        value,
        trades.len() as f64,
        value / volume,
        size_of(&|trade| trade.buy),
        size_of(&|trade| !trade.buy),
    ]
}

/// Trades by the second they fall into.
fn by_second(trades: &[Trade]) -> BTreeMap<i64, Vec<Trade>> {
    let mut seconds: BTreeMap<i64, Vec<Trade>> = BTreeMap::new();
    for trade in trades {
        let start = trade.ts - trade.ts.rem_euclid(SECOND_NS);
        seconds.entry(start).or_default().push(trade.clone());
    }
    seconds
}

/// Numbers as `mdb sql` wrote them; an empty field is no number.
fn numbers(rows: &[Vec<String>]) -> Vec<Vec<Option<f64>>> {
    let cell = |text: &String| match text.as_str() {
        "" => None,
        "true" => Some(1.0),
        "false" => Some(0.0),
        number => Some(number.parse().unwrap()),
    };
    rows.iter()
        .map(|row| row.iter().map(cell).collect())
        .collect()
}

/// Asserts that both are the same save for the last digits, which depend on the order of a sum.
fn assert_near(got: &[Vec<Option<f64>>], want: &[Vec<Option<f64>>], of: &str) {
    assert_eq!(got.len(), want.len(), "{of}: rows");
    for (n, (got, want)) in got.iter().zip(want).enumerate() {
        let same = got.len() == want.len()
            && got.iter().zip(want).all(|pair| match pair {
                (Some(got), Some(want)) => {
                    (got - want).abs() <= 1e-9 * want.abs().max(got.abs()) + 1e-12
                }
                (got, want) => got.is_none() && want.is_none(),
            });
        assert!(same, "{of}, row {n}: {got:?} instead of {want:?}");
    }
}

fn some(figures: impl IntoIterator<Item = f64>) -> Vec<Option<f64>> {
    figures.into_iter().map(Some).collect()
}

/// A made-up market, loaded.
fn market(messages: usize) -> (Db, Vec<String>) {
    let lines = synthetic::capture(17, messages).lines;
    let db = loaded(&lines);
    (db, lines)
}

fn loaded(lines: &[String]) -> Db {
    let db = Db::new();
    synthetic::load(&db, &db.write("market.gz", &gzip(&join_lines(lines)))).ok();
    db
}

/// Six trades: price, size and time in ms after midnight of 2024-08-09; the seller is the aggressor of all. As
/// received, which is not by time.
fn six_trades() -> Db {
    const MIDNIGHT_MS: i64 = 1_723_161_600_000;
    let trades = [
        ("101", "2", 1_000),
        ("99", "1", 1_999),
        ("98", "1", 1_999),
        ("97", "1", 999),
        ("103", "4", 4_000),
        ("100", "1", 1_000),
    ];
    let lines: Vec<String> = trades
        .iter()
        .enumerate()
        .map(|(n, (price, size, ms))| {
            let time_ms = (MIDNIGHT_MS + ms).to_string();
            let recv_ns = synthetic::time_ns(n as u64).to_string();
            synthetic::trade_line(&recv_ns, &(90 + n).to_string(), price, size, &time_ms)
        })
        .collect();
    loaded(&lines)
}

#[test]
fn bars_open_and_close_with_the_first_and_last_received_of_one_time() {
    let rows = six_trades().sql(
        "SELECT strftime(ts::TIMESTAMP, '%H:%M:%S'), open, high, low, close, volume, quote_volume, trades, \
                buy_volume, sell_volume
         FROM ohlcv('TESTUSDT', '1 second') ORDER BY ts",
    );
    let rows: Vec<String> = rows
        .iter()
        .map(|row| row.join(" ").replace(".0", ""))
        .collect();
    assert_eq!(
        rows,
        [
            "00:00:00 97 97 97 97 1 97 1 0 1",
            "00:00:01 101 101 98 98 5 499 4 0 5",
            "00:00:04 103 103 103 103 4 412 1 0 4",
        ]
    );
}

#[test]
fn a_range_holds_its_first_moment_and_not_its_last() {
    let db = six_trades();
    let volume = |range: &str| -> f64 {
        db.value(&format!(
            "SELECT sum(volume) FROM ohlcv('TESTUSDT', '1 minute'{range})"
        ))
        .parse()
        .unwrap()
    };
    let found = [
        volume(""),
        volume(", '2024-08-09 00:00:01'"),
        volume(", '2024-08-09 00:00:01', '2024-08-09 00:00:04'"),
        volume(", \"to\" := TIMESTAMP '2024-08-09 00:00:01'"),
    ];
    assert_eq!(
        found.map(|volume| volume.to_string()),
        ["10", "9", "5", "1"]
    );
}

#[test]
fn a_wrong_argument_is_told_with_how_it_is_written() {
    let db = six_trades();
    for (call, wrong) in [
        (
            "ohlcv('TESTUSDT', '1 minute', 'yesterday')",
            "'yesterday' is no moment",
        ),
        (
            "ohlcv('TESTUSDT', \"to\" := '08/09/2024')",
            "'08/09/2024' is no moment",
        ),
        ("vwap('TESTUSDT', 'soon')", "'soon' is no moment"),
    ] {
        db.try_sql(&format!("FROM {call}"))
            .fails_naming(&[wrong, "'2024-08-08 14:30:00'"]);
    }
    for macro_name in ["ohlcv", "sample_by", "volatility"] {
        db.try_sql(&format!("FROM {macro_name}('TESTUSDT', '1 fortnight')"))
            .fails_naming(&["'1 fortnight' is no length of time", "'5 minutes'"]);
    }
    for (call, wrong) in [
        ("ema('TESTUSDT', '1 second', 0)", "span is 0; it must be 1"),
        ("ema('TESTUSDT', '1 second', NULL)", "span is NULL"),
        (
            "zscore('TESTUSDT', '1 second', 1)",
            "periods is 1; it must be 2",
        ),
        (
            "volatility('TESTUSDT', '1 second', NULL)",
            "periods is NULL",
        ),
        ("tick_bars('TESTUSDT', -5)", "per_bar is -5"),
        ("volume_bars('TESTUSDT')", "per_bar is NULL"),
        ("value_bars('TESTUSDT', 0)", "per_bar is 0"),
        ("imbalance_bars('TESTUSDT', 0)", "per_bar is 0"),
        ("ohlcv('TESTUSDT', NULL)", "'NULL' is no length of time"),
        ("sample_by('TESTUSDT', NULL)", "'NULL' is no length of time"),
        ("in_session('trades', NULL)", "no calendar 'NULL'"),
        ("latest_on('trades', 'soon')", "'soon' is no moment"),
        (
            "trades_with_quotes('TESTUSDT', clock := 'mine')",
            "'mine' is no clock",
        ),
    ] {
        db.try_sql(&format!("FROM {call}")).fails_naming(&[wrong]);
    }
    db.run(["sql", "--param", "from=soon", "FROM vwap('TESTUSDT')"])
        .fails_naming(&["'soon' is no moment"]);
    let moments = "SELECT to_moment(NULL) IS NULL
            AND to_moment(DATE '2024-08-08') = TIMESTAMP_NS '2024-08-08'
            AND epoch_ns(to_moment('2024-08-08 00:00:00.123456789')) % 1000 = 789";
    assert_eq!(db.value(moments), "true");
}

/// What `mdb sql` answers, as CSV without its head, where the session's parameters are set.
fn with_parameters(db: &Db, parameters: &[&str], query: &str) -> String {
    let given = parameters.iter().flat_map(|given| ["--param", *given]);
    let args = ["sql", "--format", "csv"].into_iter().chain(given);
    let run = db.run(args.chain([query])).ok();
    let (_, rows) = run.stdout.split_once('\n').unwrap();
    rows.to_owned()
}

#[test]
fn macros_without_a_symbol_and_a_range_take_those_of_the_session() {
    let db = six_trades();
    let range = [
        "symbol=TESTUSDT",
        "from=2024-08-09 00:00:01",
        "to=2024-08-09 00:00:04",
    ];
    let arguments = "'2024-08-09 00:00:01', '2024-08-09 00:00:04'";
    for (short, long) in [
        ("ohlcv()", "ohlcv('TESTUSDT', '1 minute', FROM_TO)"),
        (
            "ohlcv(bucket := '1 second')",
            "ohlcv('TESTUSDT', '1 second', FROM_TO)",
        ),
        ("closes()", "closes('TESTUSDT', '1 minute', FROM_TO)"),
        (
            "returns(bucket := '1 second')",
            "returns('TESTUSDT', '1 second', FROM_TO)",
        ),
        (
            "volatility(bucket := '1 second')",
            "volatility('TESTUSDT', '1 second', 20, FROM_TO)",
        ),
        ("zscore()", "zscore('TESTUSDT', '1 minute', 20, FROM_TO)"),
        (
            "ema(bucket := '1 second')",
            "ema('TESTUSDT', '1 second', 20, FROM_TO)",
        ),
        (
            "sample_by(bucket := '1 second')",
            "sample_by('TESTUSDT', '1 second', 'previous', FROM_TO)",
        ),
        (
            "tick_bars(per_bar := 2)",
            "tick_bars('TESTUSDT', 2, FROM_TO)",
        ),
        (
            "volume_bars(per_bar := 2)",
            "volume_bars('TESTUSDT', 2, FROM_TO)",
        ),
        (
            "value_bars(per_bar := 200)",
            "value_bars('TESTUSDT', 200, FROM_TO)",
        ),
        (
            "imbalance_bars(per_bar := 2)",
            "imbalance_bars('TESTUSDT', 2, FROM_TO)",
        ),
        ("vwap()", "vwap('TESTUSDT', FROM_TO)"),
        ("twap()", "twap('TESTUSDT', FROM_TO)"),
        (
            "trades_with_quotes()",
            "trades_with_quotes('TESTUSDT', FROM_TO)",
        ),
    ] {
        let long = long.replace("FROM_TO", arguments);
        let want = with_parameters(&db, &[], &format!("FROM {long} ORDER BY ALL"));
        assert!(!want.is_empty(), "{long}");
        let got = with_parameters(&db, &range, &format!("FROM {short} ORDER BY ALL"));
        assert_eq!(got, want, "{short}");
    }
}

#[test]
fn arguments_win_over_the_session_and_its_open_ends_are_none() {
    let db = six_trades();
    let other = [
        "symbol=OTHER",
        "from=2024-08-09 00:00:02",
        "to=2024-08-09 00:00:03",
    ];
    let query = "SELECT volume FROM vwap('TESTUSDT', '2024-08-09', '2024-08-10')";
    assert_eq!(with_parameters(&db, &other, query), "10.0\n");
    // As the shell says that its range is open.
    let open = ["symbol=TESTUSDT", "from=1700-01-01", "to=2262-01-01"];
    for (query, answer) in [
        ("SELECT seconds FROM twap()", "3.001\n"),
        ("SELECT seconds FROM twap($symbol, $from, $to)", "3.001\n"),
        (
            "SELECT count(*) FROM sample_by(bucket := '1 second')",
            "5\n",
        ),
    ] {
        assert_eq!(with_parameters(&db, &open, query), answer, "{query}");
    }
    db.try_sql("FROM ohlcv()")
        .fails_naming(&["no symbol", ".symbol"]);
}

#[test]
fn the_last_half_microsecond_of_a_bucket_stays_in_it() {
    let bucket = six_trades().value(
        "SELECT epoch_ns(bucket_start(make_timestamp_ns(1723161659999999999), INTERVAL '1 minute'))",
    );
    assert_eq!(bucket, "1723161600000000000");
}

#[test]
fn buckets_are_counted_from_where_the_windows_of_marts_are() {
    let db = Db::new();
    let thursday = "2024-08-08 10:11:12.123456789";
    let moments = [
        (thursday, "1 minute", "2024-08-08 10:11:00"),
        (thursday, "7 minutes", "2024-08-08 10:09:00"),
        (thursday, "1 day", "2024-08-08 00:00:00"),
        (thursday, "2 days", "2024-08-07 00:00:00"),
        (thursday, "7 days", "2024-08-05 00:00:00"),
        (thursday, "2 weeks", "2024-08-05 00:00:00"),
        (thursday, "3 weeks", "2024-07-29 00:00:00"),
        (thursday, "3 months", "2024-07-01 00:00:00"),
        (thursday, "1 year", "2024-01-01 00:00:00"),
        ("1969-01-01 10:11:12", "2 days", "1968-12-31 00:00:00"),
        ("1969-12-30 00:00:00", "1 week", "1969-12-29 00:00:00"),
    ];
    for (moment, bucket, start) in moments {
        let asked = format!("SELECT bucket_start(TIMESTAMP_NS '{moment}', '{bucket}')");
        assert_eq!(db.value(&asked), start, "{bucket}");
    }
    db.try_sql("SELECT bucket_start(TIMESTAMP_NS '2024-08-08', '0 minutes')")
        .fails_naming(&["greater than 0"]);
}

#[test]
fn windows_of_marts_begin_where_buckets_do() {
    let db = Db::new();
    let moments = [
        i64::MIN / 2,
        -86_400_000_000_001,
        -60_000_000_001,
        -60_000_000_000,
        -1,
        0,
        1_723_161_659_999_999_999,
        1_723_161_660_000_000_000,
    ];
    for ns in moments {
        for (bucket, length) in [
            ("1 second", "1_000_000_000"),
            ("1 minute", "60_000_000_000"),
            ("1 day", "86_400_000_000_000"),
        ] {
            let same = format!(
                "SELECT window_start(make_timestamp_ns({ns}), {length}) = bucket_start(make_timestamp_ns({ns}), '{bucket}')"
            );
            assert_eq!(db.value(&same), "true", "{ns}, {bucket}");
        }
    }
    let none = "SELECT window_start(NULL::TIMESTAMP_NS, 60) IS NULL";
    assert_eq!(db.value(none), "true");
}

#[test]
fn trades_of_one_message_follow_each_other_by_their_ids() {
    let db = six_trades();
    for (trades, order) in [
        (
            "(5, 1, '10'), (5, 1, '9'), (4, 2, '11'), (5, 0, '12')",
            "11 12 9 10",
        ),
        // Across multiples of 2^20 and 2^64.
        ("(5, 1, '1048576'), (5, 1, '1048575')", "1048575 1048576"),
        (
            "(5, 1, '18446744073709551616'), (5, 1, '18446744073709551615')",
            "18446744073709551615 18446744073709551616",
        ),
        (
            "(5, 1, 'b'), (5, 1, 'a'), (-5, 17592186044416, 'c')",
            "c a b",
        ),
    ] {
        let found = db.value(&format!(
            "SELECT string_agg(id, ' ' ORDER BY arrival(make_timestamp_ns(ns), seq::UBIGINT, id))
             FROM (VALUES {trades}) v(ns, seq, id)"
        ));
        assert_eq!(found, order);
    }
}

#[test]
fn bars_by_time_and_by_number_agree_on_the_trades_of_one_message() {
    let db = six_trades();
    for bars in ["ohlcv('A', '1 minute')", "tick_bars('A', 2)"] {
        let row = db.sql(&format!(
            "WITH trades AS (
                 SELECT 'v' AS venue, 'A' AS symbol, 1::UBIGINT AS seq, make_timestamp_ns(5) AS ts, id AS trade_id,
                        price, 1.0::DOUBLE AS size, 'buy' AS side
                 FROM (VALUES ('1048576', 101), ('1048575', 100)) v(id, price))
             SELECT open, close FROM {bars}"
        ));
        assert_eq!(row, [["100", "101"]], "{bars}");
    }
}

#[test]
fn a_time_in_text_has_its_offset_wherever_the_time_ends() {
    let db = six_trades();
    for (text, utc) in [
        ("2024-01-02T03:04+02:00", "2024-01-02 01:04:00"),
        ("2024-1-2T3:4:5+02:00", "2024-01-02 01:04:05"),
        (
            "2024-01-02 03:04:05.123456789-0530",
            "2024-01-02 08:34:05.123456789",
        ),
        ("2024-01-02T03:04Z", "2024-01-02 03:04:00"),
        (" 2024-01-02 03:04:05 UTC", "2024-01-02 03:04:05"),
        ("2024-01-02", "2024-01-02 00:00:00"),
        ("2024-01-02 03:04:05 EST", ""),
        ("2024-01-02T03:04+02", ""),
        ("2262-04-11T23:47:16-05:00", ""),
    ] {
        let found = db.value(&format!("SELECT from_iso('{text}')::VARCHAR"));
        assert_eq!(found, utc, "{text}");
    }
    // So has one that is an argument.
    for (moment, utc) in [
        ("'2024-08-09 01:55:00+02:00'", "2024-08-08 23:55:00"),
        ("'2024-08-09T01:55:00+02'", "2024-08-08 23:55:00"),
        ("'2024-08-09 01:55:00.5Z'", "2024-08-09 01:55:00.5"),
        ("'2024-08-09'", "2024-08-09 00:00:00"),
        ("DATE '2024-08-09'", "2024-08-09 00:00:00"),
        (
            "TIMESTAMP_MS '2024-08-09 01:55:00.125'",
            "2024-08-09 01:55:00.125",
        ),
        (
            "make_timestamp_ns(1723161253937085768)",
            "2024-08-08 23:54:13.937085768",
        ),
        ("NULL", ""),
    ] {
        let found = db.value(&format!("SELECT to_moment({moment})::VARCHAR"));
        assert_eq!(found, utc, "{moment}");
    }
    db.try_sql("SELECT to_moment('2024-08-09 01:55:00 Europe/Berlin')")
        .fails_naming(&["Europe/Berlin", "is no moment"]);
}

#[test]
fn a_size_that_is_not_known_weighs_nothing() {
    let rows = six_trades().sql(
        "WITH quotes AS (
             SELECT 'v' AS venue, 'A' AS symbol, n::UBIGINT AS seq, make_timestamp_ns(n) AS ts, 99.0::DOUBLE AS bid_price,
                    101.0::DOUBLE AS ask_price, size AS bid_size, 2.0::DOUBLE AS ask_size, NULL::UBIGINT AS update_id
             FROM (VALUES (1, 10.0::DOUBLE), (2, NULL)) v(n, size))
         SELECT bid_size_avg, ask_size_avg FROM spread_stats('A', \"to\" := make_timestamp_ns(3))",
    );
    assert_near(&numbers(&rows), &[some([10.0, 2.0])], "spread_stats");
}

#[test]
fn the_latest_of_a_message_is_its_last() {
    let db = six_trades();
    let changed = db.run([
        "sql",
        "--write",
        "INSERT INTO hot.trades BY NAME
             SELECT 'v' AS venue, 'A' AS symbol, 1::UBIGINT AS seq, make_timestamp_ns(5) AS ts, make_timestamp_ns(5) AS recv_ts,
                    id AS trade_id, price, 1.0::DOUBLE AS size, 'buy' AS side
             FROM (VALUES ('9', 100), ('11', 102), ('10', 101)) v(id, price);
         INSERT INTO hot.quotes BY NAME
             SELECT 'v' AS venue, 'A' AS symbol, n::UBIGINT AS seq, make_timestamp_ns(n) AS ts, make_timestamp_ns(n) AS recv_ts,
                    99.0::DOUBLE AS bid_price, 101.0::DOUBLE AS ask_price, size AS bid_size, 2.0::DOUBLE AS ask_size,
                    n::UBIGINT AS update_id
             FROM (VALUES (5, 10.0::DOUBLE), (6, NULL)) v(n, size)",
    ]);
    changed.ok();
    assert_eq!(
        db.value("SELECT last FROM latest WHERE venue = 'v'"),
        "102.0"
    );
    // Nor is an older quote's size the last one's.
    db.run(["build", "mart_liquidity"]).ok();
    let row = db.row(
        "SELECT bid_price, bid_size, ask_size, bid_size_avg FROM mart_liquidity WHERE venue = 'v'",
    );
    assert_eq!(row, ["99.0", "", "2.0", "10.0"]);
}

#[test]
fn a_long_list_and_the_widest_numbers_have_a_spark() {
    let db = six_trades();
    for (numbers, spark) in [
        ("[1, 5, NULL, 'nan'::DOUBLE, 'inf'::DOUBLE, 9]", "▁▅   █"),
        ("[7, 7]", "▅▅"),
        ("[]", ""),
        ("[9223372036854775807, 0, -9223372036854775808]", "█▅▁"),
        ("[1.7e308, 0, -1.7e308]", "█▅▁"),
    ] {
        assert_eq!(
            db.value(&format!("SELECT spark({numbers})")),
            spark,
            "{numbers}"
        );
    }
    // In time that grows with its length: with its square, this would take an hour.
    let length = db.value("SELECT length(spark(range(200000)))");
    assert_eq!(length, "200000");
}

#[test]
fn time_bars_equal_a_fold_over_the_messages() {
    let (db, lines) = market(20_000);
    let want: Vec<_> = by_second(&trades(&lines))
        .iter()
        .map(|(&ts, trades)| some([(ts - START_NS) as f64].into_iter().chain(bar(trades))))
        .collect();
    assert!(want.len() > 50, "a capture of {} seconds", want.len());
    let got = db.sql(&format!(
        "SELECT epoch_ns(ts) - {START_NS}, {BAR} FROM ohlcv('TESTUSDT', '1 second') ORDER BY ts"
    ));
    assert_near(&numbers(&got), &want, "ohlcv");
}

/// Number of the bar, trades, and whether it is full.
type Bars = Vec<(i64, Vec<Trade>, bool)>;

/// Bars cut where the whole units of `amount` reach `per_bar`.
fn cut(trades: &[Trade], per_bar: i64, amount: impl Fn(&Trade) -> i64) -> Bars {
    let mut bars = Bars::new();
    let mut before = 0;
    for trade in trades {
        let number = before / per_bar;
        match bars.last_mut() {
            Some((last, trades, _)) if *last == number => trades.push(trade.clone()),
            _ => bars.push((number, vec![trade.clone()], true)),
        }
        before += amount(trade);
    }
    let (number, _, full) = bars.last_mut().unwrap();
    *full = before >= (*number + 1) * per_bar;
    bars
}

fn units(amount: f64) -> i64 {
    (amount * SIZE_UNITS).round() as i64
}

fn assert_bars(db: &Db, call: &str, bars: &Bars) {
    assert!(bars.len() > 3, "{call}: {} bars", bars.len());
    let want: Vec<_> = bars
        .iter()
        .map(|(number, trades, full)| {
            let (first, last) = (&trades[0], &trades[trades.len() - 1]);
            let times = [first.ts, last.ts].map(|ts| (ts - START_NS) as f64);
            let head = [*number as f64, times[0], times[1]];
            let figures = head.into_iter().chain(bar(trades));
            some(figures.chain([f64::from(u8::from(*full))]))
        })
        .collect();
    let got = db.sql(&format!(
        "SELECT bar, epoch_ns(ts) - {START_NS}, epoch_ns(end_ts) - {START_NS}, {BAR}, is_full FROM {call} ORDER BY bar"
    ));
    assert_near(&numbers(&got), &want, call);
}

#[test]
fn bars_by_what_was_traded_equal_a_walk_over_the_trades() {
    let (db, lines) = market(20_000);
    let trades = trades(&lines);
    assert_bars(&db, "tick_bars('TESTUSDT', 70)", &cut(&trades, 70, |_| 1));
    let volume: f64 = trades.iter().map(|trade| trade.size).sum();
    let per_bar = (volume / 20.0 * 1e3).round() / 1e3;
    assert_bars(
        &db,
        &format!("volume_bars('TESTUSDT', {per_bar})"),
        &cut(&trades, units(per_bar), |trade| units(trade.size)),
    );
    let value: f64 = trades.iter().map(Trade::value).sum();
    let per_bar = (value / 20.0).round();
    assert_bars(
        &db,
        &format!("value_bars('TESTUSDT', {per_bar})"),
        &cut(&trades, units(per_bar), |trade| units(trade.value())),
    );
}

/// Spreads trade below 0: what is traded adds up all the same, and bars follow one another.
#[test]
fn a_negative_price_has_a_value() {
    let rows = six_trades().sql(
        "WITH trades AS (
             SELECT 'v' AS venue, 'A' AS symbol, n::UBIGINT AS seq, make_timestamp_ns(n) AS ts, n::VARCHAR AS trade_id,
                    price, size, 'buy' AS side
             FROM (VALUES (1, -0.25::DOUBLE, 10.0::DOUBLE), (2, -0.2, 5), (3, 0.05, 8), (4, -0.5, 1)) v(n, price, size))
         SELECT bar, epoch_ns(ts), trades, quote_volume, is_full FROM value_bars('A', 2) ORDER BY bar",
    );
    let bars: Vec<String> = rows.into_iter().map(|row| row.join("|")).collect();
    assert_eq!(bars, ["0|1|1|-2.5|true", "1|2|3|-1.1|true"]);
}

/// A fall from -0.25 to -0.5 would be a gain of 100 %.
#[test]
fn there_is_no_return_on_a_negative_price() {
    let rows = six_trades().sql(
        "WITH trades AS (
             SELECT 'v' AS venue, 'A' AS symbol, n::UBIGINT AS seq, make_timestamp_ns(n * 60000000000) AS ts,
                    n::VARCHAR AS trade_id, price, 1.0 AS size
             FROM (VALUES (1, 0.5::DOUBLE), (2, -0.25), (3, -0.5), (4, 0), (5, 0.25)) v(n, price))
         SELECT simple_return, log_return IS NULL FROM returns('A') ORDER BY ts",
    );
    let returns: Vec<String> = rows.into_iter().map(|row| row.join("|")).collect();
    assert_eq!(returns, ["|true", "-1.5|true", "|true", "|true", "|true"]);
}

#[test]
fn imbalance_bars_end_with_the_trade_that_tips_them() {
    let (db, lines) = market(20_000);
    let trades = trades(&lines);
    let volume: f64 = trades.iter().map(|trade| trade.size).sum();
    let per_bar = (volume / trades.len() as f64 * 3.0 * 1e3).round() / 1e3;
    let mut bars = Bars::new();
    let mut sum = 0;
    for trade in &trades {
        match bars.last_mut() {
            Some((_, trades, false)) => trades.push(trade.clone()),
            _ => bars.push((bars.len() as i64, vec![trade.clone()], false)),
        }
        sum += units(trade.size) * if trade.buy { 1 } else { -1 };
        if sum.abs() >= units(per_bar) {
            sum = 0;
            bars.last_mut().unwrap().2 = true;
        }
    }
    assert_bars(
        &db,
        &format!("imbalance_bars('TESTUSDT', {per_bar})"),
        &bars,
    );
}

#[test]
fn averages_weigh_by_size_and_by_time() {
    let (db, lines) = market(5_000);
    let trades = trades(&lines);
    let figures = bar(&trades);
    let got = db.sql("SELECT vwap, volume, trades FROM vwap('TESTUSDT')");
    let want = vec![some([figures[7], figures[4], figures[6]])];
    assert_near(&numbers(&got), &want, "vwap");

    let end = trades[trades.len() - 1].ts + SECOND_NS;
    let ends = trades.iter().skip(1).map(|trade| trade.ts).chain([end]);
    let weighed: f64 = trades
        .iter()
        .zip(ends)
        .map(|(trade, until)| trade.price * (until - trade.ts) as f64)
        .sum();
    let time = (end - trades[0].ts) as f64;
    let got = db.sql(&format!(
        "SELECT twap, seconds FROM twap('TESTUSDT', \"to\" := make_timestamp_ns({end}))"
    ));
    assert_near(
        &numbers(&got),
        &[some([weighed / time, time / 1e9])],
        "twap",
    );
}

/// Mean and sample deviation.
fn moments(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (values.len() - 1) as f64).sqrt())
}

#[test]
fn returns_volatility_and_averages_follow_the_last_price_of_each_second() {
    const BACK: usize = 7;
    let (db, lines) = market(20_000);
    let closes: Vec<f64> = by_second(&trades(&lines))
        .values()
        .map(|trades| trades[trades.len() - 1].price)
        .collect();
    let logs: Vec<Option<f64>> = (0..closes.len())
        .map(|n| (n > 0).then(|| (closes[n] / closes[n - 1]).ln()))
        .collect();
    let query = |columns: &str, call: &str| {
        numbers(&db.sql(&format!("SELECT {columns} FROM {call} ORDER BY ts")))
    };

    let want: Vec<_> = logs
        .iter()
        .zip(&closes)
        .map(|(log, &close)| vec![Some(close), *log, log.map(f64::exp_m1)])
        .collect();
    let got = query(
        "close, log_return, simple_return",
        "returns('TESTUSDT', '1 second')",
    );
    assert_near(&got, &want, "returns");

    let want: Vec<_> = (0..closes.len())
        .map(|n| {
            let deviation = (n >= BACK).then(|| {
                let back: Vec<f64> = logs[n + 1 - BACK..=n].iter().flatten().copied().collect();
                moments(&back).1
            });
            let year = f64::sqrt(365.0 * 86_400.0);
            vec![deviation, deviation.map(|deviation| deviation * year)]
        })
        .collect();
    let call = format!("volatility('TESTUSDT', '1 second', {BACK})");
    assert_near(&query("volatility, annualized", &call), &want, "volatility");

    let want: Vec<_> = (0..closes.len())
        .map(|n| {
            let back = (n + 1 >= BACK).then(|| moments(&closes[n + 1 - BACK..=n]));
            vec![
                back.map(|(mean, _)| mean),
                back.map(|(_, deviation)| deviation),
            ]
        })
        .collect();
    let call = format!("zscore('TESTUSDT', '1 second', {BACK})");
    assert_near(
        &query("mean, round(stddev, 6)", &call),
        &rounded(want),
        "zscore",
    );
    let wrong = db.count(&format!(
        "SELECT count(*) FROM {call} WHERE zscore IS DISTINCT FROM (close - mean) / nullif(stddev, 0)"
    ));
    assert_eq!(wrong, 0, "zscore");
}

/// Deviations of prices that hardly move have few digits that mean anything.
fn rounded(mut rows: Vec<Vec<Option<f64>>>) -> Vec<Vec<Option<f64>>> {
    for row in &mut rows {
        row[1] = row[1].map(|deviation| (deviation * 1e6).round() / 1e6);
    }
    rows
}

#[test]
fn the_exponential_average_equals_its_recursion_for_any_span() {
    let (db, lines) = market(20_000);
    let seconds = by_second(&trades(&lines));
    for span in [1.0, 1.5, 3.0, 12.0, 1e6] {
        let weight = 2.0 / (span + 1.0);
        let mut average = None;
        let want: Vec<_> = seconds
            .values()
            .map(|trades| {
                let close = trades[trades.len() - 1].price;
                let next = average.map_or(close, |last| weight * close + (1.0 - weight) * last);
                average = Some(next);
                vec![average]
            })
            .collect();
        let call = format!("ema('TESTUSDT', '1 second', {span})");
        let got = db.sql(&format!("SELECT ema FROM {call} ORDER BY ts"));
        assert_near(&numbers(&got), &want, &call);
    }
}

#[test]
fn samples_fill_empty_buckets_as_asked() {
    let db = six_trades();
    let prices = |arguments: &str| -> String {
        let rows = db.sql(&format!(
            "SELECT price FROM sample_by('TESTUSDT', '1 second', {arguments}) ORDER BY ts"
        ));
        rows.concat().join(" ").replace(".0", "")
    };
    assert_eq!(prices("'previous'"), "97 98 98 98 103");
    assert_eq!(prices("'null'"), "97 98   103");
    let linear = db.sql(
        "SELECT round(price, 6), trades, is_filled \
         FROM sample_by('TESTUSDT', '1 second', 'linear') ORDER BY ts",
    );
    let want = [
        [97.0, 1.0, 0.0],
        [98.0, 4.0, 0.0],
        [99.666_667, 0.0, 1.0],
        [101.333_333, 0.0, 1.0],
        [103.0, 1.0, 0.0],
    ];
    assert_near(&numbers(&linear), &want.map(some), "linear");
    let range = "'previous', '2024-08-08 23:59:59', '2024-08-09 00:00:07'";
    assert_eq!(prices(range), " 97 98 98 98 103 103 103");
    let refused = db.try_sql("FROM sample_by('TESTUSDT', '1 second', 'guess')");
    assert!(
        refused.stderr.contains("previous, linear or null"),
        "{}",
        refused.stderr
    );
}

#[test]
fn the_latest_row_is_by_time_and_then_by_arrival() {
    let db = six_trades();
    let price = |arguments: &str| -> f64 {
        let found = db.value(&format!("SELECT price FROM latest_on({arguments})"));
        found.parse().unwrap()
    };
    let found = [
        price("'trades'"),
        price("'trades', '2024-08-09 00:00:03'"),
        price("'trades', '2024-08-09 00:00:01'"),
    ];
    assert_eq!(found.map(|price| price.to_string()), ["103", "98", "100"]);
    // Rows of no symbol have a latest one too.
    let feed = "CREATE TEMP VIEW feed AS SELECT 'v' AS venue, NULL::VARCHAR AS symbol, make_timestamp_ns(n) AS ts, \
                n::UBIGINT AS seq FROM range(3) t(n); SELECT max(seq), count(*) FROM latest_on('feed')";
    let run = db.run(["sql", "--write", "--format", "csv", feed]).ok();
    assert!(run.stdout.ends_with("2,1\n"), "{run}");
}

/// Quotes of a capture: time, best bid and ask. Spot gives them no time but that of receipt.
fn quotes(lines: &[String]) -> Vec<(i64, f64, f64)> {
    let mut quotes: Vec<(i64, f64, f64)> = lines
        .iter()
        .filter(|line| line.contains("@bookTicker"))
        .map(|line| {
            let Message::Quote { bid, ask, .. } = parse(line) else {
                panic!("no quote: {line}");
            };
            let (recv_ns, _) = line.split_once(' ').unwrap();
            let time: i64 = recv_ns.parse().unwrap();
            (time, bid.0.parse().unwrap(), ask.0.parse().unwrap())
        })
        .collect();
    quotes.sort_by_key(|quote| quote.0);
    quotes
}

/// The capture with its receive times cut to 500 ms, so that many quotes share one.
fn coarse(lines: &[String]) -> Vec<String> {
    lines
        .iter()
        .map(|line| {
            let (recv_ns, message) = line.split_once(' ').unwrap();
            let recv_ns: i64 = recv_ns.parse().unwrap();
            format!("{} {message}", recv_ns - recv_ns % 500_000_000)
        })
        .collect()
}

#[test]
fn trades_meet_the_same_quotes_in_twenty_runs() {
    let lines = coarse(&synthetic::capture(23, 8_000).lines);
    let db = loaded(&lines);
    let quotes = quotes(&lines);
    let mut times: Vec<i64> = quotes.iter().map(|quote| quote.0).collect();
    times.dedup();
    assert!(times.len() * 2 < quotes.len(), "hardly any equal times");
    let want: Vec<_> = trades(&lines)
        .iter()
        .map(|trade| {
            let before = quotes.partition_point(|quote| quote.0 <= trade.ts);
            let quote = before.checked_sub(1).map(|n| quotes[n]);
            vec![
                Some(trade.price),
                quote.map(|quote| quote.1),
                quote.map(|quote| quote.2),
                quote.map(|quote| f64::midpoint(quote.1, quote.2)),
                quote.map(|quote| (trade.ts - quote.0) as f64),
            ]
        })
        .collect();
    let query = "SELECT price, bid_price, ask_price, mid, staleness_ns \
         FROM trades_with_quotes('TESTUSDT') ORDER BY ts, seq";
    let first = db.sql(query);
    assert_near(&numbers(&first), &want, "trades_with_quotes");
    for _ in 1..20 {
        assert_eq!(db.sql(query), first);
    }
}

#[test]
fn quotes_from_before_a_time_count_for_its_trades_and_either_clock_can_be_asked_for() {
    let db = Db::new();
    let file = db.beside("trades.csv");
    let load = |table: &str, rows: &str| {
        fs::write(&file, rows).unwrap();
        let file = file.to_str().unwrap();
        db.run(["load", file, "--into", table, "--venue", "v"]).ok();
    };
    // Trades are received 0.4 s after their time, and quotes at once.
    load(
        "trades",
        "ts,recv_ts,symbol,price,size\n\
         2024-08-08 10:00:01.0,2024-08-08 10:00:01.4,A,1,1\n\
         2024-08-08 10:00:02.0,2024-08-08 10:00:02.4,A,2,1\n",
    );
    load(
        "quotes",
        "ts,recv_ts,symbol,bid_price,bid_size,ask_price,ask_size\n\
         2024-08-08 09:00:00.0,2024-08-08 09:00:00.0,A,10,1,11,1\n\
         2024-08-08 09:30:00.0,2024-08-08 09:30:00.0,A,20,1,21,1\n\
         2024-08-08 10:00:01.2,2024-08-08 10:00:01.2,A,30,1,31,1\n\
         2024-08-08 10:00:03.0,2024-08-08 10:00:03.0,A,40,1,41,1\n",
    );
    let bids = |arguments: &str| {
        db.value(&format!(
            "SELECT string_agg(bid_price::INTEGER || ' ' || staleness_ns // 1000000, ', ' ORDER BY ts)
             FROM trades_with_quotes('A'{arguments})"
        ))
    };
    for range in [
        "",
        ", '2024-08-08 10:00'",
        ", '2024-08-08 10:00', '2024-08-08 10:01'",
    ] {
        assert_eq!(bids(range), "20 1801000, 30 800", "{range}");
    }
    assert_eq!(bids(", '2024-08-08 10:00:02'"), "30 800");
    assert_eq!(bids(", clock := 'receipt'"), "30 200, 30 1200");
}

/// Open and close are told by `seq` and then by `trade_id` where times are equal, whether or not one message had several.
#[test]
fn bars_of_trades_at_once_open_with_the_first_and_close_with_the_last() {
    let db = Db::new();
    let file = db.beside("trades.parquet");
    let ties = format!(
        "COPY (SELECT make_timestamp_ns((hash(i) % 40)::BIGINT * 1000000000) AS ts, 'A' AS symbol, \
                      i::VARCHAR AS trade_id, (hash(i, 'price') % 1000 + 1)::DOUBLE AS price, 1.0 AS size, \
                      'buy' AS side FROM range(3000) t(i)) TO '{}'",
        file.display()
    );
    db.run(["sql", "--write", &ties]).ok();
    let file = file.to_str().unwrap();
    db.run(["load", file, "--into", "trades", "--venue", "v"])
        .ok();
    // Of several of one message too: rows of one seq.
    db.run([
        "sql",
        "--write",
        "INSERT INTO hot.trades BY NAME SELECT 1000000 + (hash(i) % 7) AS seq, 'w' AS venue, 'A' AS symbol,
                make_timestamp_ns((hash(i, 'at') % 5)::BIGINT * 1000000000) AS ts, ts AS recv_ts, i::VARCHAR AS trade_id,
                (hash(i, 'price') % 1000 + 1)::DOUBLE AS price, 1.0 AS size, 'sell' AS side FROM range(400) t(i)",
    ])
    .ok();
    let by_macro =
        db.sql("SELECT venue, ts, open, close, trades FROM ohlcv('A', '3 seconds') ORDER BY ALL");
    let by_hand = db.sql(
        "SELECT venue, bucket_start(ts, '3 seconds') AS ts,
                first(price ORDER BY ts, seq, length(trade_id), trade_id) AS open,
                last(price ORDER BY ts, seq, length(trade_id), trade_id) AS close, count(*)
         FROM trades WHERE symbol = 'A' GROUP BY ALL ORDER BY ALL",
    );
    assert_eq!(by_macro.len(), 14 + 2);
    assert_eq!(by_macro, by_hand);
}

#[test]
fn spreads_are_weighed_by_the_time_they_were_in_force() {
    let (db, lines) = market(5_000);
    let quotes = quotes(&lines);
    let pairs = quotes.iter().zip(&quotes[1..]);
    let weighed: f64 = pairs
        .map(|(quote, next)| (quote.2 - quote.1) * (next.0 - quote.0) as f64)
        .sum();
    let time = (quotes[quotes.len() - 1].0 - quotes[0].0) as f64;
    let widest = quotes
        .iter()
        .map(|quote| quote.2 - quote.1)
        .fold(0.0, f64::max);
    let got = db.sql(
        "SELECT quotes, crossed, one_sided, spread_avg, spread_max, seconds \
         FROM spread_stats('TESTUSDT')",
    );
    let want = some([
        quotes.len() as f64,
        0.0,
        0.0,
        weighed / time,
        widest,
        time / 1e9,
    ]);
    assert_near(&numbers(&got), &[want], "spread_stats");
}

#[test]
fn a_quote_without_prices_is_left_out_of_the_average_in_basis_points() {
    let rows = six_trades().sql(
        "WITH quotes AS (
             SELECT 'v' AS venue, 'A' AS symbol, n::UBIGINT AS seq, make_timestamp_ns(n) AS ts, bid AS bid_price,
                    ask AS ask_price, 1.0 AS bid_size, 1.0 AS ask_size, NULL::UBIGINT AS update_id
             FROM (VALUES (1, 99.0::DOUBLE, 101.0::DOUBLE), (2, 0, 0), (3, 99, 101)) v(n, bid, ask))
         SELECT spread_bps_avg, spread_avg, quotes FROM spread_stats('A', \"to\" := make_timestamp_ns(4))",
    );
    assert_near(
        &numbers(&rows),
        &[some([200.0, 4.0 / 3.0, 3.0])],
        "spread_stats",
    );
}

/// Both sides of a book; prices are positive, so their bits sort as they do.
#[derive(Default)]
struct Book {
    bids: BTreeMap<u64, f64>,
    asks: BTreeMap<u64, f64>,
}

impl Book {
    fn apply(&mut self, depth: &Depth<'_>) {
        apply(&mut self.bids, &depth.bids);
        apply(&mut self.asks, &depth.asks);
    }

    /// Side (0 = ask), level, price, size, the asks first, each side from the best on.
    fn rows(&self) -> Vec<Vec<Option<f64>>> {
        let side = |side: f64, levels: Vec<(&u64, &f64)>| -> Vec<Vec<Option<f64>>> {
            let rank = levels.into_iter().enumerate();
            rank.map(|(n, (&price, &size))| {
                some([side, (n + 1) as f64, f64::from_bits(price), size])
            })
            .collect()
        };
        let mut rows = side(0.0, self.asks.iter().collect());
        rows.extend(side(1.0, self.bids.iter().rev().collect()));
        rows
    }
}

fn apply(ladder: &mut BTreeMap<u64, f64>, levels: &[Level<'_>]) {
    for (price, size) in levels {
        let price: f64 = price.parse().unwrap();
        let size: f64 = size.parse().unwrap();
        if size > 0.0 {
            ladder.insert(price.to_bits(), size);
        } else {
            ladder.remove(&price.to_bits());
        }
    }
}

/// The updates of a capture: the venue's time, ns, and what changed. The snapshot comes first.
fn updates(lines: &[String]) -> Vec<(i64, Depth<'_>)> {
    let mut updates: Vec<_> = lines
        .iter()
        .filter_map(|line| match parse(line) {
            Message::Depth(depth) => {
                let venue_ms = number(line, "\"T\":").or_else(|| number(line, "\"E\":"));
                Some((venue_ms.unwrap_or(0) * 1_000_000, depth))
            }
            _ => None,
        })
        .collect();
    let snapshot = updates
        .iter()
        .position(|(_, depth)| depth.snapshot)
        .unwrap();
    updates[..=snapshot].rotate_right(1);
    let id = updates[0].1.last;
    updates.retain(|(_, depth)| depth.snapshot || depth.last > id);
    updates
}

fn book_at(db: &Db, symbol: &str, ns: i64, levels: &str) -> Vec<Vec<Option<f64>>> {
    numbers(&db.sql(&format!(
        "SELECT (side = 'bid')::INTEGER, level, price, size
         FROM book_at('{symbol}', make_timestamp_ns({ns}), {levels}) ORDER BY side, level"
    )))
}

/// Compares all levels at random moments of the time that `updates` cover.
fn assert_books(db: &Db, symbol: &str, updates: &[(i64, Depth<'_>)], rounds: usize) {
    // The recorder's clock may differ from the venue's: the snapshot is in force from the first update on.
    let (_, snapshot) = &updates[0];
    let (first, last) = (updates[1].0, updates[updates.len() - 1].0);
    let mut rng = Rng(5);
    for round in 0..rounds {
        let t = match round {
            0 => last,
            1 => updates[updates.len() / 2].0,
            _ => first + SECOND_NS + rng.below((last - first - SECOND_NS) as usize) as i64,
        };
        let mut book = Book::default();
        book.apply(snapshot);
        for (_, update) in updates[1..].iter().filter(|(ts, _)| *ts <= t) {
            book.apply(update);
        }
        let of = format!("book of {symbol} at {t}");
        let want = book.rows();
        assert_near(&book_at(db, symbol, t, "NULL"), &want, &of);
        let best: Vec<_> = want.into_iter().filter(|row| row[1] <= Some(3.0)).collect();
        assert_near(&book_at(db, symbol, t, "3"), &best, &of);
    }
}

#[test]
fn the_book_at_a_moment_equals_a_replay_up_to_it() {
    let (db, lines) = market(20_000);
    assert_books(&db, synthetic::SYMBOL, &updates(&lines), 10);
}

#[test]
fn recorded_books_equal_a_replay_at_any_moment() {
    let files = [
        ("spot_btcusdt_20240808.gz", "binance_spot", "BTCUSDT"),
        ("usdm_ethusdt_20240808.gz", "binance_usdm", "ETHUSDT"),
    ];
    for (file, venue, symbol) in files {
        let Some(path) = real(file) else { continue };
        assert_recorded(&path, venue, symbol);
    }
}

fn assert_recorded(path: &Path, venue: &str, symbol: &str) {
    let db = Db::new();
    db.load(venue, symbol, [path]).ok();
    let lines = read_lines(path);
    let moments = std::env::var("MDB_BOOK_MOMENTS").map_or(20, |n| n.parse().unwrap());
    assert_books(&db, symbol, &updates(&lines), moments);
}

#[test]
fn there_is_no_book_before_its_snapshot_nor_after_a_gap() {
    let mut lines = synthetic::capture(31, 20_000).lines;
    let diffs: Vec<usize> = (0..lines.len())
        .filter(|&n| lines[n].contains("\"e\":\"depthUpdate\""))
        .collect();
    let lost = diffs[diffs.len() / 2];
    let time_ns = |line: &str| number(line, "\"E\":").unwrap() * 1_000_000;
    let (before, after) = (
        time_ns(&lines[lost]),
        time_ns(&lines[diffs[diffs.len() - 1]]),
    );
    lines.remove(lost);
    let db = loaded(&lines);
    assert_eq!(
        db.count("SELECT count(*) FROM feed_events WHERE kind = 'gap'"),
        1
    );
    let levels = |ns: i64| book_at(&db, synthetic::SYMBOL, ns, "10").len();
    assert_eq!(
        levels(synthetic::time_ns(0) as i64 - SECOND_NS),
        0,
        "before"
    );
    assert!(levels(before) > 0, "up to the gap");
    assert_eq!(levels(after), 0, "after it");
}
