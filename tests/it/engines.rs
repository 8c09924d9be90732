//! Other engines run the marts' queries on the lake and come to the same (issue 4, "Scale beyond one machine"). Polars where
//! Python has it; Spark, which takes half a minute to begin, only if `MDB_SPARK` is set.

use std::path::Path;
use std::process::Command;

use crate::harness::{Db, gzip, real};
use crate::synthetic;

fn built() -> Db {
    let db = Db::new();
    if let Some(file) = real("usdm_ethusdt_20240808.gz") {
        db.load("binance_usdm", "ETHUSDT", [file]).ok();
    } else {
        let file = db.write(
            "capture.gz",
            &gzip(&synthetic::capture(801, 20_000).bytes()),
        );
        synthetic::load(&db, &file).ok();
    }
    db.run(["seal", "--all"]).ok();
    db.run(["build"]).ok();
    for (name, query) in [
        (
            "bars.csv",
            "SELECT venue, symbol, epoch_ns(ts) // 60000000000 AS minute, open, high, low, close, volume, trades FROM ohlcv_1m",
        ),
        (
            "liquidity.csv",
            "SELECT venue, symbol, epoch_ns(ts) // 60000000000 AS minute, quotes, bid_price, ask_price, spread_bps_avg,
                    spread_bps_max
             FROM mart_liquidity WHERE quotes > 0",
        ),
    ] {
        let path = db.beside(name);
        db.run(["sql", query, "-o", path.to_str().unwrap()]).ok();
    }
    db
}

fn compare(db: &Db, engine: &str, lake: &Path, more: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lake_engines.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(engine).arg(lake);
    command
        .args([db.beside("bars.csv"), db.beside("liquidity.csv")])
        .args(more);
    match command.output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{text}{errors}");
            eprint!("{text}");
        }
        Err(error) => eprintln!("skipped: python3 does not start ({error})"),
    }
}

#[test]
fn other_engines_come_to_the_same_bars_and_spreads() {
    let db = built();
    let lake = db.dir().join("lake");
    compare(&db, "polars", &lake, &[]);
    if std::env::var_os("MDB_SPARK").is_none() {
        eprintln!("skipped: Spark, unless MDB_SPARK is set");
        return;
    }
    compare(&db, "spark", &lake, &[]);
    let us = db.beside("us");
    std::fs::create_dir(&us).unwrap();
    for table in ["trades", "quotes"] {
        let query = format!("SELECT *, ts::DATE AS date FROM {table}");
        let path = us.join(table);
        let path = path.to_str().unwrap();
        db.run([
            "export",
            &query,
            path,
            "--partition-by",
            "date",
            "--timestamp",
            "us",
        ])
        .ok();
    }
    compare(&db, "spark", &us, &["--microseconds"]);
}
