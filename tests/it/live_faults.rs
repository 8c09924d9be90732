//! Capture from a venue that does everything wrong, by a process that is killed, through a writer that is too slow
//! (issue 3, items 3, 4 and 6).

use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::harness::{Db, Rng, real};
use crate::live_run::{Market, SPOT, await_true, await_value, end, hurry, sample, status, wait};

const FUTURES: &str = "binance_usdm";
/// What a message says of the market, whenever and however it came.
const TRADE: &str = "venue, symbol, trade_id, ts, price, size, side, conditions";
const QUOTE: &str = "venue, symbol, update_id, bid_price, bid_size, ask_price, ask_size";

/// How many rows one has and the other has not.
fn differences(market: &Market, table: &str, columns: &str) -> String {
    let (clean, own) = (market.clean(table), table);
    format!(
        "SELECT (SELECT count(*) FROM (SELECT {columns} FROM {clean} EXCEPT ALL SELECT {columns} FROM {own}))
              + (SELECT count(*) FROM (SELECT {columns} FROM {own} EXCEPT ALL SELECT {columns} FROM {clean}))"
    )
}

/// How an update names the one before it: the id that must be the book's, from the message itself.
fn before(venue: &str) -> &'static str {
    if venue == FUTURES {
        "json_extract_string(payload, '$.data.pu')::UBIGINT"
    } else {
        "json_extract_string(payload, '$.data.U')::UBIGINT - 1"
    }
}

/// The book of `market` in `db`: never crossed, never other than in the clean run, every hole an event with its range.
fn check_book(db: &Db, market: &Market) {
    let clean = market.clean("book_tops");
    let crossed = "SELECT count(*) FROM book_tops WHERE bid_price >= ask_price";
    assert_eq!(db.count(crossed), 0, "crossed tops");
    let same = "(t.bid_price, t.bid_size, t.ask_price, t.ask_size)
        IS NOT DISTINCT FROM (c.bid_price, c.bid_size, c.ask_price, c.ask_size)";
    let row = db.row(&format!(
        "SELECT count(*), count(*) FILTER (NOT ({same})), (SELECT count(*) FROM book_tops), (SELECT count(*) FROM {clean})
         FROM book_tops t JOIN (SELECT DISTINCT ON (symbol, last_id) * FROM {clean}) c USING (symbol, last_id)"
    ));
    eprintln!(
        "{} tops of {}, of which the clean run ({}) has {}; {} differ",
        row[2], market.venue, row[3], row[0], row[1]
    );
    assert_eq!(row[1], "0", "tops that differ from the clean run's");
    assert_ne!(row[0], "0", "nothing was compared");

    // Within an epoch every update follows the one before it; the first may overlap the snapshot.
    let updates = format!(
        "updates AS (SELECT seq, json_extract_string(payload, '$.data.s') AS symbol, {} AS before,
                            json_extract_string(payload, '$.data.U')::UBIGINT AS first_id,
                            json_extract_string(payload, '$.data.u')::UBIGINT AS last_id
                     FROM raw_messages WHERE contains(payload, 'depthUpdate\"') AND json_valid(payload))",
        before(market.venue)
    );
    let jumps = format!(
        "WITH {updates}, chain AS (
             SELECT u.before, u.first_id, lag(t.last_id) OVER w AS stood, row_number() OVER w AS n
             FROM book_tops t LEFT JOIN updates u USING (seq)
             WINDOW w AS (PARTITION BY t.symbol, epoch ORDER BY t.last_id, t.seq))
         SELECT count(*) FROM chain WHERE n > 2 AND before != stood AND first_id > stood + 1"
    );
    assert_eq!(db.count(&jumps), 0, "updates passed over in silence");

    // An event says exactly what lies between the update it hangs on and the one received before it: the ids missing, or,
    // where updates name their predecessor, the id last seen and the predecessor that was not.
    let beyond = u8::from(market.venue != FUTURES);
    let exact = format!(
        "from_id IS NOT DISTINCT FROM stood + {beyond} AND to_id IS NOT DISTINCT FROM before"
    );
    let row = db.row(&format!(
        "WITH {updates}, gaps AS (
             SELECT e.seq, e.from_id, e.to_id, u.before,
                    (SELECT max(last_id) FROM updates k
                     WHERE k.symbol = e.symbol AND k.seq < e.seq AND k.last_id <= u.before) AS stood
             FROM feed_events e LEFT JOIN updates u USING (seq)
                       WHERE kind = 'gap' AND channel = 'book')
         SELECT count(*), count(*) FILTER (NOT ({exact})), any_value(gaps) FILTER (NOT ({exact})) FROM gaps"
    ));
    eprintln!("{} gaps, each with its range", row[0]);
    assert_eq!(row[1], "0", "gaps with a wrong range, e.g. {}", row[2]);
    // After every one the book goes on.
    let open = "SELECT count(*) FROM feed_events e WHERE kind = 'gap' AND channel = 'book' AND NOT EXISTS (
            FROM book_tops t WHERE t.symbol = e.symbol AND t.last_id > e.to_id) AND NOT EXISTS (
            FROM feed_events r WHERE r.symbol = e.symbol AND r.kind = 'resync' AND r.seq > e.seq)";
    assert_eq!(db.count(open), 0, "gaps that nothing followed");
    let without = "SELECT count(*) FROM (SELECT DISTINCT symbol, epoch FROM book_tops) t ANTI JOIN feed_events e
        ON e.symbol = t.symbol AND e.kind = 'resync' AND contains(e.detail, ' epoch ' || t.epoch || ' ')";
    assert_eq!(db.count(without), 0, "an epoch is what a resync starts");
}

/// Between the first trade and the last, exactly those are missing that an event names.
fn check_trades(db: &Db, market: &Market) {
    let clean = market.clean("trades");
    let missing = db.sql(&format!(
        "SELECT c.trade_id FROM {clean} c ANTI JOIN trades t USING (symbol, trade_id)
         WHERE c.trade_id::UBIGINT BETWEEN (SELECT min(trade_id::UBIGINT) FROM trades)
                                       AND (SELECT max(trade_id::UBIGINT) FROM trades) ORDER BY 1"
    ));
    let told = db.sql(
        "SELECT unnest(range(from_id::BIGINT, to_id::BIGINT + 1))::VARCHAR AS id
         FROM feed_events WHERE kind = 'gap' AND channel = 'trades' ORDER BY 1",
    );
    eprintln!("{} trades lost for good", missing.len());
    assert_eq!(missing, told);
}

/// Waits until every book is in step with its venue.
fn await_books(db: &Db) {
    wait("the books to be in sync", || {
        let told = status(db);
        let mut books = told["symbols"].as_array()?.iter().map(|s| &s["book"]);
        let known = books.clone().any(|book| !book.is_null());
        (known && books.all(|book| book.is_null() || book == "in sync")).then_some(())
    });
}

fn tell(db: &Db) {
    let kinds =
        db.value("SELECT string_agg(kind || ' ' || n, ', ' ORDER BY kind) FROM (SELECT kind, count(*) AS n FROM feed_events GROUP BY kind)");
    eprintln!("{kinds}");
}

/// The recorded spot market, or the sample.
fn spot() -> (&'static str, PathBuf) {
    match real("spot_btcusdt_20240808.gz") {
        Some(file) => ("BTCUSDT", file),
        None => ("BTCUSDT", sample("BTCUSDT")),
    }
}

/// All but lost frames: what the venue sent, and what it can supply again, is there in the end.
fn faults_but_drop(symbol: &str, file: &Path, seed: u64) {
    let faults = format!(
        "seed={seed},duplicate=0.02,delay=0.0005,delay_ms=30,garbage=0.002,reorder=0.0005,stall=[6000],\
         disconnect=[1500,3500,9000,12000],silent_channel=[4500],too_many_requests=0.1"
    );
    let market = Market::open(
        SPOT,
        &[(symbol, file)],
        &["--speed", "4000/s", "--faults", &faults],
    );
    let db = Db::new();
    hurry(&db, SPOT);
    let live = market.stream(&db, symbol, "trades,quotes,book");
    await_value(&db, &differences(&market, "trades", TRADE), "0");
    await_books(&db);
    tell(&db);
    end(&db, live, Signal::INT);
    assert_eq!(
        db.value(&differences(&market, "trades", TRADE)),
        "0",
        "seed {seed}"
    );
    check_book(&db, &market);
    for kind in ["disconnect", "backfill", "gap", "resync"] {
        let query = format!("SELECT count(*) > 0 FROM feed_events WHERE kind = '{kind}'");
        assert_eq!(db.value(&query), "true", "{kind}");
    }
    eprintln!("{}", market.close().stdout.trim());
}

#[test]
fn every_fault_of_the_spot_market_leaves_the_tables_as_without() {
    let (symbol, file) = spot();
    faults_but_drop(symbol, &file, 11);
}

/// Lost frames as well: each hole of the book is told with its range, and what is there is right.
fn faults_with_drop(venue: &'static str, symbol: &str, file: &Path, channels: &str) {
    let faults = "seed=5,drop=0.0005,duplicate=0.01,delay=0.0005,delay_ms=20,garbage=0.001,reorder=0.0003,\
                  disconnect=[2000,7000],too_many_requests=0.1";
    let market = Market::open(
        venue,
        &[(symbol, file)],
        &["--speed", "8000/s", "--faults", faults],
    );
    let db = Db::new();
    hurry(&db, venue);
    let live = market.stream(&db, symbol, channels);
    // The last quote of all may be lost; one of the last will come.
    await_true(
        &db,
        &format!(
            "SELECT max(update_id) >= (SELECT min(update_id) FROM (SELECT update_id FROM {} ORDER BY update_id DESC LIMIT 20)) FROM quotes",
            market.clean("quotes")
        ),
    );
    await_books(&db);
    if venue == SPOT {
        // Here what was lost can be had again, although the connection was up all the while.
        await_value(&db, &differences(&market, "trades", TRADE), "0");
    }
    tell(&db);
    end(&db, live, Signal::INT);
    // Nothing that the venue did not send, and nothing twice.
    for (table, columns) in [("trades", TRADE), ("quotes", QUOTE)] {
        let more = format!(
            "SELECT count(*) FROM (SELECT {columns} FROM {table} EXCEPT ALL SELECT {columns} FROM {})",
            market.clean(table)
        );
        assert_eq!(db.count(&more), 0, "{table}");
        let row = db.row(&format!(
            "SELECT (SELECT count(*) FROM {table}), count(*) FROM {}",
            market.clean(table)
        ));
        eprintln!("{} of {} {table}", row[0], row[1]);
    }
    check_book(&db, &market);
    check_trades(&db, &market);
    market.close();
}

#[test]
fn every_fault_of_the_sample_leaves_the_tables_as_without() {
    faults_but_drop("ETHUSDT", &sample("ETHUSDT"), 12);
}

#[test]
fn lost_frames_of_the_sample_are_told_with_their_range() {
    faults_with_drop(SPOT, "BTCUSDT", &sample("BTCUSDT"), "trades,quotes,book");
}

#[test]
fn lost_frames_of_the_futures_market_are_told_with_their_range() {
    if let Some(file) = real("usdm_ethusdt_20240808.gz") {
        faults_with_drop(FUTURES, "ETHUSDT", &file, "single_trades,quotes,book");
    }
}

#[test]
fn a_kill_during_capture_loses_no_trade_and_doubles_nothing() {
    let seed = 41;
    let mut rng = Rng(seed);
    let market = Market::open(
        SPOT,
        &[("BTCUSDT", &sample("BTCUSDT"))],
        &["--speed", "600/s"],
    );
    let db = Db::new();
    hurry(&db, SPOT);
    let all = db.count(&format!("SELECT count(*) FROM {}", market.clean("trades")));
    let kept = |db: &Db| {
        db.row("SELECT count(*), coalesce(sum(hash(trade_id, price)), 0) FROM trades WHERE seq <= (SELECT max(seq) FROM raw_messages)")
    };
    let mut killed = 0;
    for round in 0..10 {
        let live = market.stream(&db, "BTCUSDT", "trades,quotes,book");
        let more = if round == 0 { 0 } else { db_count_at_rest(&db) };
        // Somewhere after the first trades of this round, by count and by time; the market may be over.
        let beyond = (more + rng.below(150) as u64).min(all - 1);
        wait("trades of this round", || {
            let run = db.try_sql(&format!("SELECT count(*) > {beyond} FROM trades"));
            run.stdout.contains("true").then_some(())
        });
        std::thread::sleep(std::time::Duration::from_millis(rng.below(60) as u64));
        live.kill();
        killed += 1;
        // What was committed is whole, and no message is there in part or twice.
        db.assert_sound();
        let row = kept(&db);
        let doubles = "SELECT count(*) FROM (SELECT trade_id FROM trades GROUP BY trade_id HAVING count(*) > 1)";
        assert_eq!(db.count(doubles), 0, "seed {seed}, round {round}");
        assert_ne!(row[0], "0");
        if round % 5 == 4 {
            let copy = db.copy();
            let before = copy.checksums();
            copy.run(["rebuild"]).ok();
            assert_eq!(copy.checksums(), before, "seed {seed}, round {round}");
        }
    }
    let live = market.stream(&db, "BTCUSDT", "trades,quotes,book");
    await_missing_beginning(&db, &market);
    await_books(&db);
    tell(&db);
    end(&db, live, Signal::INT);
    check_book(&db, &market);
    let before = db.checksums();
    db.run(["rebuild"]).ok();
    assert_eq!(
        db.checksums(),
        before,
        "a rebuild makes something else of raw"
    );
    eprintln!(
        "{killed} kills of seed {seed}; {} trades",
        before["trades"].0
    );
    market.close();
}

/// Rows of trades that whoever captures now has found or written.
fn db_count_at_rest(db: &Db) -> u64 {
    wait("an answer", || {
        let run = db.try_sql("SELECT count(*) FROM trades");
        (run.code == Some(0)).then(|| run.stdout.lines().nth(1)?.parse().ok())?
    })
}

/// Waits until all trades are there that came after the first one captured.
fn await_missing_beginning(db: &Db, market: &Market) {
    await_value(db, &differences(market, "trades", TRADE), "0");
}

#[test]
fn a_writer_that_is_too_slow_holds_the_venue_back_and_loses_nothing() {
    let market = Market::open(
        SPOT,
        &[
            ("BTCUSDT", &sample("BTCUSDT")),
            ("ETHUSDT", &sample("ETHUSDT")),
        ],
        &["--speed", "max"],
    );
    // The stock folder's patience: a shorter one takes a slow writer for a silent venue, and resubscribes.
    let db = Db::new();
    let slow = [("MDB_COMMIT_DELAY_MS", "1500")];
    let live = market.stream_with(&db, "BTCUSDT,ETHUSDT", "trades,quotes,book", &slow);
    for (table, columns) in [("trades", TRADE), ("quotes", QUOTE)] {
        await_value(&db, &differences(&market, table, columns), "0");
    }
    await_true(
        &db,
        "SELECT count(*) > 0 FROM feed_events WHERE kind = 'backpressure' AND from_ts < to_ts",
    );
    let status = status(&db);
    eprintln!(
        "held back for {} s, {} commits",
        status["feeds"][0]["held_back_s"], status["capture"]["commits"]
    );
    await_books(&db);
    tell(&db);
    end(&db, live, Signal::INT);
    check_book(&db, &market);
    assert_eq!(
        db.value(
            "SELECT coalesce(string_agg(DISTINCT kind, ','), '') FROM feed_events
             WHERE kind IN ('gap', 'disconnect') AND detail != 'stopped'"
        ),
        "",
        "nothing was lost meanwhile"
    );
    market.close();
}
