//! Marts beside a capture: fresh within a second, edited while they are kept, and in nobody's way (issue 5).

use std::fs;

use rustix::process::Signal;

use crate::harness::{Db, Live};
use crate::live_run::{Market, SPOT, await_true, await_value, end, hurry, sample, status, wait};

const COUNTS: &str = "-- Trades of each second.\n-- @materialize incremental\n-- @key symbol, ts\n-- @time ts\n-- @window 1 second\n\
                      SELECT symbol, bucket_start(ts, '1 second') AS ts, count(*) AS n FROM trades GROUP BY ALL\n";

#[test]
#[expect(clippy::too_many_lines, reason = "one capture, edited again and again")]
fn a_capture_keeps_marts_up_to_date_and_takes_up_their_files() {
    let btc = sample("BTCUSDT");
    let market = Market::open(SPOT, &[("BTCUSDT", &btc)], &["--speed", "3"]);
    let db = Db::new();
    hurry(&db, SPOT);
    fs::write(db.dir().join("mdb.toml"), market.feed(&["BTCUSDT"])).unwrap();
    let mut command = db.command();
    command.arg("run");
    let live = Live::spawn(command);
    // Before that every look at the file would be in its way.
    wait("the capture to begin", || {
        db.dir().join("mdb.sock").exists().then_some(())
    });
    await_true(&db, "SELECT sum(trades) > 20 FROM ohlcv_1m");
    db.run(["build"])
        .exits(1)
        .says(&["keeps its marts up to date by itself"]);

    // A mart of the user's own, with a view over it.
    let marts = db.dir().join("sql/marts");
    fs::create_dir_all(&marts).unwrap();
    let file = marts.join("counts.sql");
    fs::write(&file, COUNTS).unwrap();
    await_true(
        &db,
        "SELECT count(*) = 1 FROM duckdb_tables() WHERE table_name = 'counts'",
    );
    await_true(&db, "SELECT sum(n) > 20 FROM counts");

    // A faulty edit: told, and the mart goes on as it was.
    let told = "SELECT count(*) FROM feed_events WHERE kind = 'misconfigured' AND detail LIKE '%counts.sql:7%nonsense%'";
    fs::write(&file, COUNTS.replace("count(*) AS n", "\n  nonsense AS n")).unwrap();
    await_value(&db, told, "1");
    let before = db.count("SELECT sum(n) FROM counts");
    await_true(&db, &format!("SELECT sum(n) > {before} FROM counts"));

    // Another column.
    fs::write(
        &file,
        COUNTS.replace("count(*) AS n", "count(*) AS n, max(price) AS top"),
    )
    .unwrap();
    await_true(
        &db,
        "SELECT count(*) = 1 FROM duckdb_columns() WHERE table_name = 'counts' AND column_name = 'top'",
    );
    await_true(&db, "SELECT max(top) > 0 FROM counts");

    // One that fails on the data it gets: told where models are listed, and the others go on.
    fs::write(
        marts.join("fails.sql"),
        "-- Fails.\n-- @materialize full\nSELECT error('on purpose') AS e FROM trades\n",
    )
    .unwrap();
    await_true(
        &db,
        "SELECT count(*) = 1 FROM ops.models WHERE name = 'fails' AND error LIKE '%on purpose%'",
    );
    let before = db.count("SELECT sum(n) FROM counts");
    await_true(&db, &format!("SELECT sum(n) > {before} FROM counts"));
    db.run(["models"]).ok().shows(&["fails", "failed"]);
    // While one fails they are built one by one: now and then a mart is ahead of the next one.
    wait("the tests of the others to pass", || {
        (db.run(["test", "ohlcv_1m"]).code == Some(0)).then_some(())
    });
    fs::remove_file(marts.join("fails.sql")).unwrap();
    await_true(
        &db,
        "SELECT count(*) = 0 FROM ops.models WHERE name = 'fails'",
    );

    // A data test in a file of its own: run when what it reads has changed, told while it fails.
    let tests = db.dir().join("sql/tests");
    fs::create_dir_all(&tests).unwrap();
    let bounded = |limit: u64| {
        format!(
            "-- There are few trades.\nSELECT sum(n) AS n FROM counts HAVING sum(n) > {limit}\n"
        )
    };
    fs::write(tests.join("few.sql"), bounded(20)).unwrap();
    let state = "SELECT state || ' ' || severity FROM ops.tests WHERE of = 'few'";
    await_value(&db, state, "failed error");
    let status = status(&db);
    let failing = &status["capture"]["failing_tests"][0];
    assert!(
        failing.as_str().unwrap().contains("few.sql:1: the test"),
        "{status}"
    );
    fs::write(tests.join("few.sql"), bounded(1_000_000_000)).unwrap();
    await_value(&db, state, "ok error");

    let all = market.clean("trades");
    await_true(
        &db,
        &format!(
            "SELECT (SELECT sum(trades) FROM ohlcv_1d) = (SELECT count(*) FROM {all}) AND (SELECT sum(n) FROM counts) = (SELECT count(*) FROM {all})"
        ),
    );
    end(&db, live, Signal::INT);
    market.close();
    db.run(["build"]).ok();
    for mart in ["ohlcv_1m", "counts", "mart_liquidity"] {
        let kept = db.sql(&format!("SELECT count(*), max(ts) FROM {mart}"));
        db.run(["build", mart, "--full"]).ok();
        assert_eq!(
            db.sql(&format!("SELECT count(*), max(ts) FROM {mart}")),
            kept,
            "{mart}"
        );
    }

    // A start with a faulty file goes by what was good, and says so.
    fs::write(&file, "-- Half an edit.\n-- @materialise full\nSELECT 1").unwrap();
    let mut command = db.command();
    command.arg("run");
    let live = Live::spawn(command);
    wait("the capture to begin", || {
        db.dir().join("mdb.sock").exists().then_some(())
    });
    wait("what is wrong to be told", || {
        let status = crate::live_run::status(&db);
        let problem = status["capture"]["configuration"].as_str()?;
        problem.contains("counts.sql:2").then_some(())
    });
    assert!(db.count("SELECT count(*) FROM counts") > 0);
    end(&db, live, Signal::INT).says(&["counts.sql:2"]);
}
