//! Clocks of time zones and hours of exchanges in SQL: the hours that are skipped or come twice, all the days on which New
//! York's exchange was closed or closed early, and trades told apart by them.

use std::fs;

use crate::bulk::{empty, load};
use crate::harness::{Db, join_lines, parse_csv};

/// Asserts that `function(time, zone)` is as said, for each `(time, zone, result)`.
fn assert_clocks(db: &Db, function: &str, clocks: &[(&str, &str, &str)]) {
    let calls = clocks
        .iter()
        .map(|(time, zone, _)| format!("{function}(TIMESTAMP_NS '{time}', '{zone}')"));
    let got = db.row(&format!("SELECT {}", calls.collect::<Vec<_>>().join(", ")));
    for ((time, zone, want), got) in clocks.iter().zip(got) {
        assert_eq!(got, *want, "{function}({time}, {zone})");
    }
}

#[test]
fn clocks_change_at_their_moment_in_new_york_and_london() {
    let clocks = [
        (
            "2024-03-10 06:59:59.999999999",
            "America/New_York",
            "2024-03-10 01:59:59.999999999",
        ),
        (
            "2024-03-10 07:00:00",
            "America/New_York",
            "2024-03-10 03:00:00",
        ),
        (
            "2024-11-03 05:59:59.999999999",
            "America/New_York",
            "2024-11-03 01:59:59.999999999",
        ),
        (
            "2024-11-03 06:00:00",
            "America/New_York",
            "2024-11-03 01:00:00",
        ),
        (
            "2006-04-02 07:00:00",
            "America/New_York",
            "2006-04-02 03:00:00",
        ),
        (
            "2024-03-31 00:59:59.999999999",
            "Europe/London",
            "2024-03-31 00:59:59.999999999",
        ),
        (
            "2024-03-31 01:00:00",
            "Europe/London",
            "2024-03-31 02:00:00",
        ),
        (
            "2024-10-27 00:59:59.999999999",
            "Europe/London",
            "2024-10-27 01:59:59.999999999",
        ),
        (
            "2024-10-27 01:00:00",
            "Europe/London",
            "2024-10-27 01:00:00",
        ),
        (
            "2100-07-01 12:00:00",
            "America/New_York",
            "2100-07-01 08:00:00",
        ),
        (
            "2024-07-01 12:00:00.000000001",
            "asia/kolkata",
            "2024-07-01 17:30:00.000000001",
        ),
        ("1900-01-01 12:00:00", "UTC", "1900-01-01 12:00:00"),
    ];
    assert_clocks(&empty(), "at_zone", &clocks);
}

#[test]
fn of_an_hour_that_comes_twice_it_is_the_first_and_a_skipped_one_is_after_the_change() {
    let clocks = [
        (
            "2024-11-03 01:30:00.123456789",
            "America/New_York",
            "2024-11-03 05:30:00.123456789",
        ),
        (
            "2024-11-03 02:00:00",
            "America/New_York",
            "2024-11-03 07:00:00",
        ),
        (
            "2024-03-10 01:59:59.999999999",
            "America/New_York",
            "2024-03-10 06:59:59.999999999",
        ),
        (
            "2024-03-10 02:30:00.123456789",
            "America/New_York",
            "2024-03-10 07:30:00.123456789",
        ),
        (
            "2024-03-10 03:00:00",
            "America/New_York",
            "2024-03-10 07:00:00",
        ),
        (
            "2024-10-27 01:30:00",
            "Europe/London",
            "2024-10-27 00:30:00",
        ),
        (
            "2024-10-27 02:00:00",
            "Europe/London",
            "2024-10-27 02:00:00",
        ),
        (
            "2024-03-31 01:30:00",
            "Europe/London",
            "2024-03-31 01:30:00",
        ),
        (
            "2024-03-31 02:00:00",
            "Europe/London",
            "2024-03-31 01:00:00",
        ),
    ];
    let db = empty();
    assert_clocks(&db, "from_zone", &clocks);
    // Anything else is there and back again.
    let lost = db.count(
        "SELECT count(*) FROM (SELECT make_timestamp_ns(i * 1800000000000 + i) AS t FROM range(-200000, 1200000) AS r(i)) \
         WHERE from_zone(at_zone(t, 'America/New_York'), 'America/New_York') <> t \
           AND zone_offset(t, 'America/New_York') = zone_offset(make_timestamp_ns(epoch_ns(t) - 3600000000000), \
                                                                'America/New_York')",
    );
    assert_eq!(lost, 0);
}

#[test]
fn any_time_will_do_and_what_is_none_is_null() {
    let db = empty();
    let row = db.row(
        "SELECT at_zone(TIMESTAMP '2024-07-01 12:00:00.5', z), at_zone(DATE '2024-07-01', z), \
                at_zone('2024-07-01 12:00:00.123456789', z), from_zone(DATE '2024-07-01', z), \
                zone_offset(DATE '2024-07-01', z), typeof(at_zone(DATE '2024-07-01', z)), \
                at_zone(NULL, z), at_zone(DATE '2024-07-01', NULL), at_zone('noon', z), \
                at_zone(TIMESTAMP '9999-01-01', z), from_zone('infinity'::TIMESTAMP, z) \
         FROM (VALUES ('America/New_York')) AS v(z)",
    );
    let want = [
        "2024-07-01 08:00:00.5",
        "2024-06-30 20:00:00",
        "2024-07-01 08:00:00.123456789",
        "2024-07-01 04:00:00",
        "-04:00:00",
        "TIMESTAMP_NS",
        "",
        "",
        "",
        "",
        "",
    ];
    assert_eq!(row, want);
    let now =
        db.row("SELECT typeof(now_utc()), abs(epoch_us(now_utc()) - epoch_us(now())) < 1000000");
    assert_eq!(now, ["TIMESTAMP_NS", "true"]);
}

#[test]
fn a_text_with_an_offset_is_that_moment_and_no_local_time() {
    let db = Db::new();
    let zone = "'America/New_York'";
    for text in ["2024-08-08T10:00:00+02:00", "2024-08-08 08:00:00Z"] {
        let at = format!("SELECT at_zone('{text}', {zone}), zone_offset('{text}', {zone})");
        assert_eq!(db.row(&at), ["2024-08-08 04:00:00", "-04:00:00"], "{text}");
        db.try_sql(&format!("SELECT from_zone('{text}', {zone})"))
            .fails_naming(&[text, "local time", "to_moment"]);
    }
}

#[test]
fn the_result_can_be_used_by_its_alias_and_a_constant_is_computed_ahead() {
    let db = independence_day();
    let counts = db.sql(
        "SELECT at_zone(ts, 'America/New_York') AS t, t::DATE AS day, from_zone(day, 'America/New_York') AS midnight, \
                count(*) OVER (PARTITION BY midnight) AS trades \
         FROM trades QUALIFY row_number() OVER (PARTITION BY day ORDER BY ts) = 1 ORDER BY t",
    );
    let counts: Vec<&str> = counts.iter().map(|row| row[3].as_str()).collect();
    assert_eq!(counts, ["7", "2", "5"]);
    let plan =
        db.sql("EXPLAIN FROM trades WHERE ts >= from_zone('2024-07-05 09:30', 'America/New_York')");
    let plan = plan.concat().concat();
    assert!(plan.contains("2024-07-05 13:30:00"), "{plan}");
}

#[test]
fn an_unknown_zone_is_an_error_that_names_it_and_what_is_like_it() {
    let db = empty();
    db.try_sql("SELECT at_zone(TIMESTAMP_NS '2024-07-01', 'America/New_Yrok')")
        .fails_naming(&["America/New_Yrok", "hint: did you mean America/New_York?"]);
    db.try_sql("SELECT from_zone(TIMESTAMP_NS '2024-07-01', 'here')")
        .fails_naming(&["there is no time zone 'here'", "IANA"]);
    // In a column it is found among the others, whether or not its row is looked at first.
    let column = "SELECT count(zone_offset(make_timestamp_ns(i), IF(i = 4999, 'Mars/Olympus', 'UTC'))) FROM range(5000) AS r(i)";
    db.try_sql(column).fails_naming(&["Mars/Olympus"]);
}

#[test]
fn the_days_of_new_yorks_exchange_are_those_it_had() {
    let db = empty();
    let mut want = Vec::new();
    for line in include_str!("xnys.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        let (year, days) = line.split_once(' ').unwrap();
        let (closed, early) = days.split_once('|').unwrap();
        want.extend(
            closed
                .split_whitespace()
                .map(|day| format!("{year}-{day} closed")),
        );
        want.extend(
            early
                .split_whitespace()
                .map(|day| format!("{year}-{}", day.replace('@', " until "))),
        );
    }
    want.sort();
    assert_eq!(want.len(), 375 + 88, "lines of xnys.txt");
    let rows = db.sql(
        "SELECT date || IF(is_open, ' until ' || hour(at_zone(closes_at, 'America/New_York')), ' closed') \
         FROM exchange_days \
         WHERE calendar = 'XNYS' AND date < '2031-01-01' AND isodow(date) <= 5 AND (NOT is_open OR early_close) \
         ORDER BY 1",
    );
    assert_eq!(rows.concat(), want);

    let [nameless, weekends, hours, differing] = [
        "SELECT count(*) FROM exchange_days WHERE (holiday IS NULL) = (NOT is_open AND isodow(date) <= 5)",
        "SELECT count(*) FROM exchange_days WHERE isodow(date) > 5 AND (is_open OR early_close)",
        "SELECT count(*) FROM exchange_days WHERE is_open AND [hour(at_zone(pre_opens_at, 'America/New_York')) * 60, \
             epoch_ns(opens_at) // 60000000000 - epoch_ns(pre_opens_at) // 60000000000, \
             epoch_ns(closes_at) // 60000000000 - epoch_ns(opens_at) // 60000000000, \
             epoch_ns(post_closes_at) // 60000000000 - epoch_ns(closes_at) // 60000000000] \
             NOT IN ([240, 330, 390, 240], [240, 330, IF(year(date) < 1993, 270, 210), 240])",
        "SELECT count(*) FROM (SELECT * EXCLUDE calendar FROM exchange_days WHERE calendar = 'XNYS' EXCEPT \
             SELECT * EXCLUDE calendar FROM exchange_days WHERE calendar = 'XNAS')",
    ]
    .map(|query| db.count(query));
    assert_eq!([nameless, weekends, hours, differing], [0; 4]);
    let range = "SELECT min(date), max(date), count(*) FROM exchange_days WHERE calendar = 'XNYS'";
    assert_eq!(db.row(range), ["1990-01-01", "2050-12-31", "22280"]);
}

/// Trades of SPY around the hours of 3 to 5 July 2024, an early close and a holiday among them.
fn independence_day() -> Db {
    const HOUR_MS: u32 = 3_600_000;
    let db = empty();
    for (day, times) in [
        (
            3,
            &[
                4 * HOUR_MS - 1,
                4 * HOUR_MS,
                34_200_000 - 1,
                34_200_000,
                13 * HOUR_MS - 1,
                13 * HOUR_MS,
                17 * HOUR_MS,
            ][..],
        ),
        (4, &[34_200_000, 13 * HOUR_MS]),
        (
            5,
            &[
                34_200_000,
                16 * HOUR_MS - 1,
                16 * HOUR_MS,
                20 * HOUR_MS - 1,
                20 * HOUR_MS,
            ],
        ),
    ] {
        let lines = times
            .iter()
            .map(|ms| format!("{ms},5500000,100,P,00000000,0"));
        let file = db.write(
            &format!("2024070{day}_spy_Trade_Tick.csv"),
            &join_lines(lines),
        );
        load(&db, &file, &["--as", "lean"]).ok();
    }
    db
}

#[test]
fn each_trade_falls_into_a_part_of_the_exchanges_day() {
    let db = independence_day();
    let rows = db.sql(
        "SELECT (at_zone(ts, 'America/New_York')::VARCHAR)[6:], s.kind, s.date, s.opens_at, s.closes_at, s.minutes_since_open \
         FROM (SELECT ts, session(ts, 'XNYS') AS s FROM trades) ORDER BY ts",
    );
    let rows: Vec<String> = rows.iter().map(|row| row.join("|")).collect();
    let want = [
        "07-03 03:59:59.999|closed||||",
        "07-03 04:00:00|pre|2024-07-03|2024-07-03 13:30:00|2024-07-03 17:00:00|-330",
        "07-03 09:29:59.999|pre|2024-07-03|2024-07-03 13:30:00|2024-07-03 17:00:00|-1",
        "07-03 09:30:00|regular|2024-07-03|2024-07-03 13:30:00|2024-07-03 17:00:00|0",
        "07-03 12:59:59.999|regular|2024-07-03|2024-07-03 13:30:00|2024-07-03 17:00:00|209",
        "07-03 13:00:00|post|2024-07-03|2024-07-03 13:30:00|2024-07-03 17:00:00|210",
        "07-03 17:00:00|closed||||",
        "07-04 09:30:00|closed||||",
        "07-04 13:00:00|closed||||",
        "07-05 09:30:00|regular|2024-07-05|2024-07-05 13:30:00|2024-07-05 20:00:00|0",
        "07-05 15:59:59.999|regular|2024-07-05|2024-07-05 13:30:00|2024-07-05 20:00:00|389",
        "07-05 16:00:00|post|2024-07-05|2024-07-05 13:30:00|2024-07-05 20:00:00|390",
        "07-05 19:59:59.999|post|2024-07-05|2024-07-05 13:30:00|2024-07-05 20:00:00|629",
        "07-05 20:00:00|closed||||",
    ];
    assert_eq!(rows, want);
    let counts = db.row(
        "SELECT (SELECT count(*) FROM in_session('trades', 'XNYS')), \
                (SELECT count(*) FROM in_session('trades', 'XNAS', extended := true)), \
                (SELECT count(*) FROM in_session('trades', '24x7')), \
                (SELECT count(*) FROM trades WHERE session(ts, '24x7').kind = 'regular'), \
                (SELECT count(DISTINCT session(ts, '24x7').date) FROM trades)",
    );
    assert_eq!(counts, ["4", "9", "14", "14", "4"]);
    let columns = |relation: &str| db.sql(&format!("DESCRIBE FROM {relation}"));
    assert_eq!(columns("in_session('trades', 'XNYS')"), columns("trades"));
}

#[test]
fn a_winters_evening_belongs_to_the_day_before_and_dates_without_a_calendar_to_none() {
    let db = empty();
    let row = db.row(
        "SELECT session(TIMESTAMP_NS '2024-01-03 00:59:59.999999999', 'XNYS').date, \
                session(TIMESTAMP_NS '2024-01-03 01:00:00', 'XNYS').kind, \
                session(TIMESTAMP '2024-01-03 14:30:00', 'XNYS').kind, session(DATE '2024-01-04', 'XNYS').kind, \
                session(TIMESTAMP_NS '2100-01-05 15:00:00', 'XNYS'), session(NULL::TIMESTAMP_NS, 'XNYS'), \
                session(TIMESTAMP_NS '1980-01-03 15:00:00', 'XNYS')",
    );
    assert_eq!(row, ["2024-01-02", "closed", "regular", "post", "", "", ""]);
    for query in [
        "SELECT session(TIMESTAMP_NS '2024-01-03 15:00:00', 'XMOON')",
        "FROM in_session('trades', 'XMOON')",
    ] {
        db.try_sql(query)
            .fails_naming(&["'XMOON'", "exchange_days"]);
    }
}

#[test]
fn the_last_nanosecond_of_a_date_is_of_that_dates_session() {
    let db = empty();
    let last = "TIMESTAMP_NS '2024-08-08 23:59:59.999999999'";
    let row = db.row(&format!(
        "SELECT session({last}, 'XNYS').kind, session({last}, '24x7').date, session({last}, '24x7').minutes_since_open"
    ));
    assert_eq!(row, ["post", "2024-08-08", "1439"]);
    let rows = db.try_sql(&format!(
        "CREATE TEMP TABLE moment AS SELECT {last} AS ts; SELECT count(*) FROM in_session('moment', 'XNYS', extended := true)"
    ));
    assert_eq!(parse_csv(&rows.ok().stdout), [["count_star()"], ["1"]]);
}

/// Sessions of a futures exchange begin the evening before, some on the same UTC date as the one before.
const OWN_DAYS: &str = "-- Two exchanges.
SELECT * FROM xnys_days() AS d, (VALUES ('XNYS')) AS v(calendar)
UNION ALL BY NAME
SELECT 'CMES' AS calendar, date, isodow(date) <= 5 AS is_open,
       IF(isodow(date) <= 5, from_zone(date - INTERVAL 7 HOUR, 'America/Chicago'), NULL) AS pre_opens_at,
       pre_opens_at AS opens_at,
       IF(isodow(date) <= 5, from_zone(date + INTERVAL 16 HOUR, 'America/Chicago'), NULL) AS closes_at,
       closes_at AS post_closes_at, false AS early_close, NULL::VARCHAR AS holiday
FROM (SELECT d::DATE AS date FROM range(TIMESTAMP '2024-01-01', TIMESTAMP '2025-01-01', INTERVAL 1 DAY) AS r(d))";

#[test]
fn an_exchange_of_ones_own_is_a_file() {
    let db = independence_day();
    let models = db.dir().join("sql/views");
    fs::create_dir_all(&models).unwrap();
    fs::write(
        models.join("exchange_days.sql"),
        format!("-- Own.\n{OWN_DAYS}"),
    )
    .unwrap();
    let row = db.row(
        "SELECT session(TIMESTAMP_NS '2024-07-07 21:59:59.9', 'CMES').kind, session(TIMESTAMP_NS '2024-07-07 22:00', 'CMES').date, \
                session(TIMESTAMP_NS '2024-07-08 20:59:59.9', 'CMES').date, session(TIMESTAMP_NS '2024-07-08 21:30', 'CMES').kind, \
                session(TIMESTAMP_NS '2024-07-08 22:00', 'CMES').date, session(TIMESTAMP_NS '2024-01-08 22:30', 'CMES').kind, \
                session(TIMESTAMP_NS '2024-07-03 16:00', 'XNYS').kind, (SELECT count(*) FROM in_session('trades', 'CMES'))",
    );
    assert_eq!(
        row,
        [
            "closed",
            "2024-07-08",
            "2024-07-08",
            "closed",
            "2024-07-09",
            "closed",
            "regular",
            "11"
        ]
    );
    let gap = OWN_DAYS.replace(
        "INTERVAL 1 DAY) AS r(d))",
        "INTERVAL 1 DAY) AS r(d) WHERE d <> '2024-02-03')",
    );
    fs::write(models.join("exchange_days.sql"), format!("-- Own.\n{gap}")).unwrap();
    db.try_sql("SELECT session(TIMESTAMP_NS '2024-07-08 22:00', 'CMES')")
        .fails_naming(&["lacks dates", "'CMES'"]);
}
