//! What a venue takes back takes effect on stored trades, and stays visible as what it was. (issue 3)

use crate::harness::{Db, join_lines};

const VENUE: &str = "alpaca_stocks";

/// `<receive time> <frame>`, the receive time in seconds after 2023-04-06 14:00:00 UTC.
fn line(second: u64, frame: &str) -> String {
    format!(
        "{} {frame}",
        1_680_789_600_000_000_000 + second * 1_000_000_000
    )
}

fn trade(id: u32, price: &str, time: &str) -> String {
    format!(
        r#"[{{"T":"t","S":"EEM","i":{id},"x":"M","p":{price},"s":100,"c":["@"],"z":"B","t":"{time}"}}]"#
    )
}

fn correction(id: u32, price: &str, new_id: u32, new_price: &str, time: &str) -> String {
    format!(
        r#"[{{"T":"c","S":"EEM","x":"M","oi":{id},"op":{price},"os":100,"oc":["@"],"ci":{new_id},"cp":{new_price},"cs":200,"cc":["@","7"],"z":"B","t":"{time}"}}]"#
    )
}

fn cancel(id: u32, price: &str, time: &str) -> String {
    format!(
        r#"[{{"T":"x","S":"EEM","i":{id},"x":"M","p":{price},"s":100,"a":"C","z":"B","t":"{time}"}}]"#
    )
}

/// Trades 1 to 4 of the day, and, the day before, another trade of the id 1.
fn trades() -> Vec<String> {
    vec![
        line(0, &trade(1, "39.0", "2023-04-05T14:00:00.1Z")),
        line(1, &trade(1, "39.1", "2023-04-06T14:00:01.1Z")),
        line(2, &trade(2, "39.2", "2023-04-06T14:00:02.1Z")),
        line(3, &trade(3, "39.3", "2023-04-06T14:00:03.1Z")),
        line(4, &trade(4, "39.4", "2023-04-06T14:00:04.1Z")),
    ]
}

/// 1 is corrected to 11, which is corrected to 12; 2 is cancelled; 5 is cancelled before it is heard of.
fn corrections() -> Vec<String> {
    vec![
        line(
            10,
            &correction(1, "39.1", 11, "38.1", "2023-04-06T14:00:10.1Z"),
        ),
        line(
            11,
            &correction(11, "38.1", 12, "37.1", "2023-04-06T14:00:11.1Z"),
        ),
        line(12, &cancel(2, "39.2", "2023-04-06T14:00:12.1Z")),
        line(13, &cancel(5, "39.5", "2023-04-06T14:00:13.1Z")),
        line(14, &trade(5, "39.5", "2023-04-06T14:00:05.1Z")),
    ]
}

fn load(db: &Db, name: &str, lines: &[String]) {
    let file = db.write(name, &join_lines(lines));
    db.load(VENUE, "", [file]).ok();
}

const VALID: &str = "SELECT trade_id, price, size, array_to_string(conditions, ' ') FROM trades ORDER BY ts, trade_id";

fn assert_corrected(db: &Db) {
    assert_eq!(
        db.sql(VALID),
        [
            ["M:1", "39.0", "100.0", "@"],
            ["M:3", "39.3", "100.0", "@"],
            ["M:4", "39.4", "100.0", "@"],
            ["M:12", "37.1", "200.0", "@ 7 corrected"],
        ]
    );
    assert_eq!(
        db.sql("SELECT trade_id, price FROM trades_reported ORDER BY ts, trade_id"),
        [
            ["M:1", "39.0"],
            ["M:1", "39.1"],
            ["M:2", "39.2"],
            ["M:3", "39.3"],
            ["M:4", "39.4"],
            ["M:5", "39.5"],
            ["M:11", "38.1"],
            ["M:12", "37.1"],
        ]
    );
    assert_eq!(
        db.sql(
            "SELECT trade_id, kind, reason, price, size, array_to_string(conditions, ' '), new_trade_id, new_price, new_size \
             FROM trade_corrections ORDER BY ts"
        ),
        [
            ["M:1", "correct", "", "39.1", "100.0", "@", "M:11", "38.1", "200.0"],
            ["M:11", "correct", "", "38.1", "100.0", "@", "M:12", "37.1", "200.0"],
            ["M:2", "cancel", "C", "39.2", "100.0", "", "", "", ""],
            ["M:5", "cancel", "C", "39.5", "100.0", "", "", "", ""],
        ]
    );
    // What is built on trades agrees.
    assert_eq!(
        db.sql("SELECT count(*), sum(volume) FROM ticks"),
        [["4", "500.0"]]
    );
    assert_eq!(db.sql("SELECT last FROM latest"), [["37.1"]]);
    assert_eq!(db.count("SELECT count(*) FROM dead_letters"), 0);
    db.assert_sound();
}

#[test]
fn corrections_and_cancels_take_effect_and_stay_visible() {
    let db = Db::new();
    load(&db, "all.txt", &[trades(), corrections()].concat());
    assert_corrected(&db);
    db.run(["rebuild"]).ok();
    assert_corrected(&db);
    db.run(["seal", "--all"]).ok();
    assert_corrected(&db);
    db.run(["rebuild"]).ok();
    assert_corrected(&db);
    let before = db.checksums();
    for table in ["trades", "trade_corrections"] {
        db.run(["rebuild", "--table", table]).ok();
        assert_eq!(db.checksums(), before, "{table}");
    }
}

#[test]
fn they_take_effect_on_sealed_trades() {
    let db = Db::new();
    load(&db, "trades.txt", &trades());
    db.run(["seal", "--all"]).ok();
    assert_eq!(db.sql(VALID).len(), 5);
    load(&db, "corrections.txt", &corrections());
    assert_corrected(&db);
    db.run(["seal", "--all"]).ok();
    assert_corrected(&db);

    // Whatever comes again is known.
    let before = db.checksums();
    load(&db, "again.txt", &[corrections(), trades()].concat());
    assert_corrected(&db);
    let after = db.checksums();
    for table in ["trades", "trade_corrections"] {
        assert_eq!(after[table], before[table], "{table}");
    }
    db.run(["rebuild", "--venue", VENUE]).ok();
    assert_corrected(&db);
}

#[test]
fn a_past_version_leaves_out_what_was_taken_back_by_then() {
    let db = Db::new();
    load(&db, "trades.txt", &trades());
    db.run(["seal", "--all"]).ok();
    let version = || db.value("SELECT max(version) FROM ops.versions");
    let before = version();
    load(&db, "corrections.txt", &corrections());
    db.run(["seal", "--all"]).ok();
    let after = version();
    let ids = |from: &str| {
        let ids = format!("SELECT string_agg(trade_id, ' ' ORDER BY ts, trade_id) FROM {from}");
        db.value(&ids)
    };
    assert_eq!(
        ids(&format!("as_of('trades', {before})")),
        "M:1 M:1 M:2 M:3 M:4"
    );
    assert_eq!(ids(&format!("as_of('trades', {after})")), ids("trades"));
    assert_eq!(
        ids(&format!("as_of('trades_reported', {after})")),
        ids("trades_reported")
    );
    for (version, trades) in [(&before, "5"), (&after, "4")] {
        let run = db.run([
            "sql",
            "--as-of",
            version,
            "--format",
            "csv",
            "SELECT count(*) AS n FROM trades",
        ]);
        assert_eq!(run.ok().stdout.trim(), format!("n\n{trades}"));
    }
    db.try_sql(&format!("FROM as_of('tradez', {after})"))
        .fails_naming(&["as_of knows no table 'tradez'"]);
}

#[test]
fn one_connection_after_the_other_sees_them() {
    // Each line its own load, so that every step between is a state that users saw.
    let db = Db::new();
    let lines = [trades(), corrections()].concat();
    let mut seen = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        load(&db, &format!("{n}.txt"), std::slice::from_ref(line));
        seen.push(db.count("SELECT count(*) FROM trades"));
    }
    assert_eq!(seen, [1, 2, 3, 4, 5, 5, 5, 4, 4, 4]);
    assert_corrected(&db);
}

/// Counting hundreds of millions of sealed rows must not begin to read them because some venue might correct one.
#[test]
fn nothing_is_joined_while_nothing_is_void() {
    let db = Db::new();
    let joins = "SELECT contains(upper(sql), 'JOIN') FROM duckdb_views() WHERE schema_name = 'main' AND view_name = 'trades'";
    load(&db, "trades.txt", &trades());
    db.run(["seal", "--all"]).ok();
    db.run(["rebuild"]).ok();
    assert_eq!(db.value(joins), "false");
    load(&db, "corrections.txt", &corrections());
    assert_eq!(db.value(joins), "true");
    db.run(["seal", "--all"]).ok();
    assert_eq!(db.value(joins), "true");

    // A rebuild by SQL that finds no corrections is back where it began.
    let own = db.dir().join("sql/venues").join(VENUE);
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(
        own.join("trade_corrections.sql"),
        "-- None.\nSELECT seq, symbol, recv_ts AS ts, recv_ts, '' AS trade_id, '' AS kind FROM raw WHERE false\n",
    )
    .unwrap();
    db.run(["rebuild", "--table", "trade_corrections"]).ok();
    assert_eq!(db.value(joins), "false");
    assert_eq!(db.count("SELECT count(*) FROM trades"), 8);
    db.assert_sound();
}

#[test]
fn each_venue_voids_its_own() {
    let db = Db::new();
    let massive = |n: usize| {
        let file = db.write(
            &format!("massive{n}.txt"),
            &join_lines(&massive_frames()[n..=n]),
        );
        db.load("massive_stocks", "AAPL", [file]).ok();
    };
    let counts = || db.sql("SELECT venue, count(*) FROM trades GROUP BY ALL ORDER BY ALL");
    load(&db, "all.txt", &[trades(), corrections()].concat());
    massive(0);
    assert_eq!(counts(), [["alpaca_stocks", "4"], ["massive_stocks", "3"]]);
    db.run(["seal", "--all"]).ok();
    massive(1);
    assert_eq!(counts(), [["alpaca_stocks", "4"], ["massive_stocks", "2"]]);
    db.run(["rebuild", "--venue", VENUE]).ok();
    db.run(["seal", "--all"]).ok();
    assert_eq!(counts(), [["alpaca_stocks", "4"], ["massive_stocks", "2"]]);
    db.assert_sound();
}

#[test]
fn a_table_voided_by_none_names_it() {
    let db = Db::new();
    let own = db.dir().join("sql/tables");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(
        own.join("quotes.sql"),
        "-- Mine.\n-- @key venue, symbol\n-- @voided_by nothing_such\nCREATE TABLE IF NOT EXISTS hot.quotes \
         (seq UBIGINT, venue VARCHAR, symbol VARCHAR, ts TIMESTAMP_NS, recv_ts TIMESTAMP_NS);\n",
    )
    .unwrap();
    db.try_sql("SELECT 1")
        .ok()
        .says(&["tables/quotes.sql", "@voided_by", "nothing_such"]);
}

/// Three trades live, and then their history: the first is cancelled, the second corrected.
fn massive_frames() -> [String; 2] {
    [
        line(
            0,
            r#"[{"ev":"T","sym":"AAPL","x":11,"i":"5","p":2,"s":10,"t":1680789600461,"q":1},{"ev":"T","sym":"AAPL","x":11,"i":"6","p":3,"s":10,"t":1680789600462,"q":2},{"ev":"T","sym":"AAPL","x":11,"i":"7","p":4,"s":10,"t":1680789600463,"q":3}]"#,
        ),
        line(
            9,
            r#"{"results":[{"correction":8,"exchange":11,"id":"5","price":2,"sip_timestamp":1680789600461979400,"size":10},{"correction":10,"exchange":11,"id":"5","price":2,"sip_timestamp":1680789605461979400,"size":10},{"correction":1,"exchange":11,"id":"6","price":3.5,"sip_timestamp":1680789600462979400,"size":20},{"correction":12,"exchange":11,"id":"6","price":3,"sip_timestamp":1680789606461979400,"size":10},{"correction":0,"exchange":11,"id":"7","price":4,"sip_timestamp":1680789600463979400,"size":10}],"status":"OK","request_id":"a"}"#,
        ),
    ]
}

/// The venue whose live stream takes nothing back, but whose history tells what it should have said.
#[test]
fn history_corrects_what_was_received_live() {
    let db = Db::new();
    let frames = massive_frames();
    let file = db.write("frames.txt", &join_lines(frames));
    db.load("massive_stocks", "AAPL", [file]).ok();
    assert_eq!(
        db.sql(VALID),
        [
            ["11:6:c", "3.5", "20.0", "corrected"],
            ["11:7", "4.0", "10.0", ""],
        ]
    );
    assert_eq!(
        db.sql("SELECT trade_id, price FROM trades_reported ORDER BY ALL"),
        [
            ["11:5", "2.0"],
            ["11:6", "3.0"],
            ["11:6:c", "3.5"],
            ["11:7", "4.0"]
        ]
    );
    assert_eq!(
        db.sql("SELECT trade_id, kind, reason, price FROM trade_corrections ORDER BY ALL"),
        [
            ["11:5", "cancel", "10", "2.0"],
            ["11:5", "cancel", "8", "2.0"],
            // It might have been corrected before.
            ["11:5:c", "cancel", "10", "2.0"],
            ["11:5:c", "cancel", "8", "2.0"],
            ["11:6", "correct", "1", ""],
            ["11:6", "correct", "12", "3.0"],
        ]
    );
    assert_eq!(db.count("SELECT count(*) FROM dead_letters"), 0);
}

/// A trade that was corrected and is cancelled then: what took its place is void, too.
#[test]
fn a_trade_that_was_corrected_may_be_cancelled_then() {
    let db = Db::new();
    let trade = |correction: u32, price: &str, second: u32| {
        format!(
            r#"{{"correction":{correction},"exchange":11,"id":"6","price":{price},"sip_timestamp":16807896{second:02}462979400,"size":10}}"#
        )
    };
    let body = |trades: [String; 2]| {
        let trades = trades.join(",");
        format!(r#"{{"results":[{trades}],"status":"OK","request_id":"a"}}"#)
    };
    let bodies = [
        body([trade(1, "3.5", 0), trade(12, "3", 6)]),
        body([trade(8, "3.5", 0), trade(10, "3.5", 9)]),
    ];
    let mut seen = Vec::new();
    for (n, body) in (0_u64..).zip(&bodies) {
        let file = db.write(&format!("{n}.txt"), &join_lines([line(20 + n, body)]));
        db.load("massive_stocks", "AAPL", [file]).ok();
        seen.push(db.sql(VALID));
    }
    assert_eq!(seen[0], [["11:6:c", "3.5", "10.0", "corrected"]]);
    assert!(seen[1].is_empty(), "{:?}", seen[1]);
    assert_eq!(
        db.sql("SELECT DISTINCT trade_id FROM trades_reported ORDER BY ALL"),
        [["11:6"], ["11:6:c"]]
    );
    db.run(["rebuild"]).ok();
    assert_eq!(db.count("SELECT count(*) FROM trades"), 0);
    assert_eq!(db.count("SELECT count(*) FROM dead_letters"), 0);
    db.assert_sound();
}
