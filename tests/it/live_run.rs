//! `mdb run` and `mdb stream` as a person runs them: one process that captures from a local replay, while files are edited,
//! questions asked and files dropped (issue 3, "The one process", items 6 and 7).

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::{Db, Live, Run, gzip};
use crate::synthetic;

pub(crate) const SPOT: &str = "binance_spot";

/// What is waited for comes sooner; only a fault makes a test wait so long.
const PATIENCE: Duration = Duration::from_mins(2);
/// Each look is a process of its own.
const PAUSE: Duration = Duration::from_millis(20);

/// Makes a database's copy of a venue's feed.toml one that notices within seconds what others notice within minutes.
pub(crate) fn hurry(db: &Db, venue: &str) {
    let stock = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("sql/venues/{venue}/feed.toml"));
    let mut text = fs::read_to_string(stock).unwrap();
    for (slow, quick) in [
        ("every = \"30 s\"", "every = \"1 s\"\ntimeout = \"1 s\""),
        ("open_every = \"1100 ms\"", "open_every = \"10 ms\""),
    ] {
        text = text.replace(slow, quick);
    }
    assert!(
        text.contains("timeout = \"1 s\""),
        "{venue}: no ping to hurry"
    );
    for channel in ["trades", "single_trades", "quotes", "book"] {
        let head = format!("[channels.{channel}]\n");
        text = text.replace(&head, &format!("{head}stale_after = \"2 s\"\n"));
    }
    for rate in [4, 8] {
        text = text.replace(
            &format!("frames_per_second = {rate}"),
            "frames_per_second = 100",
        );
    }
    let folder = db.dir().join("sql/venues").join(venue);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("feed.toml"), text).unwrap();
}

pub(crate) fn sample(symbol: &str) -> PathBuf {
    let name = format!("data/sample/{SPOT}-{symbol}.gz");
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A stand-in of a venue: `mdb replay`, and the tables that its recording makes.
pub(crate) struct Market {
    pub(crate) db: Db,
    pub(crate) venue: &'static str,
    /// Host and port.
    pub(crate) address: String,
    replay: Live,
}

impl Market {
    /// Serves `captures`, `(symbol, file)`.
    pub(crate) fn open(
        venue: &'static str,
        captures: &[(&str, &Path)],
        arguments: &[&str],
    ) -> Self {
        let db = Db::new();
        hurry(&db, venue);
        for (symbol, file) in captures {
            db.load(venue, symbol, [file]).ok();
        }
        for table in ["trades", "quotes", "book_deltas", "book_tops"] {
            let file = db.beside(table);
            let to = file.to_str().unwrap();
            let query = format!("SELECT * FROM {table}");
            db.run(["sql", "--format", "parquet", "-o", to, query.as_str()])
                .ok();
        }
        let mut command = db.command();
        command
            .args(["replay", venue, "--listen", "127.0.0.1:0", "--stay"])
            .args(arguments);
        let replay = Live::spawn(command);
        wait("the stand-in to listen", || {
            replay.output().contains('\n').then_some(())
        });
        let said = replay.output();
        let address = said.split("ws://").nth(1).unwrap();
        let address = address.split([',', '\n']).next().unwrap().to_owned();
        Self {
            db,
            venue,
            address,
            replay,
        }
    }

    /// The table as a load of the recording makes it, for a query's FROM.
    pub(crate) fn clean(&self, table: &str) -> String {
        format!("read_parquet('{}')", self.db.beside(table).display())
    }

    /// `mdb stream` of it into `db`.
    pub(crate) fn stream(&self, db: &Db, symbols: &str, channels: &str) -> Live {
        self.stream_with(db, symbols, channels, &[])
    }

    pub(crate) fn stream_with(
        &self,
        db: &Db,
        symbols: &str,
        channels: &str,
        environment: &[(&str, &str)],
    ) -> Live {
        let mut command = db.command();
        command.args(["stream", self.venue, symbols, "--channels", channels]);
        command.args(["--websocket", &format!("ws://{}", self.address)]);
        command.args(["--rest", &format!("http://{}", self.address)]);
        command.envs(environment.iter().copied());
        let live = Live::spawn(command);
        // Before that every look at the file would be in its way.
        wait("the capture to begin", || {
            db.dir().join("mdb.sock").exists().then_some(())
        });
        live
    }

    /// A `[[feed]]` section for it.
    pub(crate) fn feed(&self, symbols: &[&str]) -> String {
        format!(
            "[[feed]]\nvenue = \"{}\"\nsymbols = {symbols:?}\nwebsocket = \"ws://{1}\"\nrest = \"http://{1}\"\n",
            self.venue, self.address
        )
    }

    /// Ends it.
    pub(crate) fn close(self) -> Run {
        self.replay.interrupt();
        self.replay.finish()
    }
}

/// Asks again and again until there is an answer.
#[track_caller]
pub(crate) fn wait<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    wait_or(what, &mut ask, String::new)
}

#[track_caller]
pub(crate) fn wait_or<T>(
    what: &str,
    mut ask: impl FnMut() -> Option<T>,
    tell: impl FnOnce() -> String,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "waited in vain for {what}\n{}",
            tell()
        );
        thread::sleep(PAUSE);
    }
}

/// Waits until a query of a database that is being captured into has this value.
#[track_caller]
pub(crate) fn await_value(db: &Db, query: &str, value: &str) {
    wait_or(
        query,
        || {
            let run = db.try_sql(query);
            let faulty = run.code != Some(0) && run.stderr.contains("\nline ");
            assert!(!faulty, "{run}");
            let last = run.stdout.lines().nth(1).unwrap_or_default();
            (last == value).then_some(())
        },
        || {
            let events = db.try_sql(
                "SELECT recv_ts, symbol, channel, kind, from_id, to_id, detail FROM feed_events ORDER BY recv_ts DESC LIMIT 40",
            );
            let status = db.run(["status"]);
            format!("it never was {value:?}\n{events}\n{status}")
        },
    );
}

/// Waits until it is true.
#[track_caller]
pub(crate) fn await_true(db: &Db, query: &str) {
    await_value(db, &format!("SELECT ({query})"), "true");
}

pub(crate) fn status(db: &Db) -> Value {
    let run = db.run(["status", "--format", "json"]).ok();
    serde_json::from_str(&run.stdout).unwrap()
}

/// Ends a capture by a signal: it ends soon, well, and leaves a sound database. Says what it took.
#[track_caller]
pub(crate) fn end(db: &Db, live: Live, signal: Signal) -> Run {
    let peak = live.peak_bytes().unwrap_or(0) >> 20;
    let pid = Pid::from_raw(i32::try_from(live.pid()).unwrap()).unwrap();
    let asked = Instant::now();
    kill_process(pid, signal).unwrap();
    let run = live.finish().ok();
    let took = asked.elapsed();
    eprintln!(
        "ended {:.0} ms after it was asked to; {peak} MB at most",
        took.as_secs_f64() * 1e3
    );
    assert!(took < Duration::from_secs(5), "{took:?} to end\n{run}");
    assert!(peak < 900, "{peak} MB of memory");
    db.assert_sound();
    run
}

/// Writes a file as editors do: beside it, then in its place.
pub(crate) fn put(path: &Path, text: &str) {
    let aside = path.with_extension("new");
    fs::write(&aside, text).unwrap();
    fs::rename(aside, path).unwrap();
}

/// Waits until mdb.toml or sql/ as it is now was taken up, or refused; says how long it took.
#[track_caller]
fn await_configured(db: &Db, kind: &str, count: u64, since: Instant) {
    let query = format!("SELECT count(*) FROM feed_events WHERE kind = '{kind}'");
    await_value(db, &query, &count.to_string());
    eprintln!(
        "{kind} within {:.0} ms",
        since.elapsed().as_secs_f64() * 1e3
    );
}

#[test]
fn a_capture_goes_on_when_nobody_reads_its_log() {
    let btc = sample("BTCUSDT");
    let market = Market::open(SPOT, &[("BTCUSDT", &btc)], &["--speed", "5"]);
    let db = Db::new();
    hurry(&db, SPOT);
    let config = db.dir().join("mdb.toml");
    let feed = market.feed(&["BTCUSDT"]);
    put(&config, &feed);
    let mut command = db.command();
    command.arg("run");
    let live = Live::spawn_unheard(command);
    wait("the capture to begin", || {
        db.dir().join("mdb.sock").exists().then_some(())
    });
    await_true(&db, "SELECT count(*) > 0 FROM trades");
    // Something to tell.
    put(&config, "[[feed]]\nsymbls = 1\n");
    await_configured(&db, "misconfigured", 1, Instant::now());
    let before = db.count("SELECT count(*) FROM trades");
    await_true(&db, &format!("SELECT count(*) > {before} FROM trades"));
    put(&config, &feed);
    await_configured(&db, "configured", 1, Instant::now());
    end(&db, live, Signal::TERM);
    market.close();
}

#[test]
#[expect(clippy::too_many_lines, reason = "one capture, edited again and again")]
fn edits_take_effect_beside_the_capture() {
    let (btc, eth) = (sample("BTCUSDT"), sample("ETHUSDT"));
    let market = Market::open(
        SPOT,
        &[("BTCUSDT", &btc), ("ETHUSDT", &eth)],
        &["--speed", "5"],
    );
    let db = Db::new();
    hurry(&db, SPOT);
    let config = db.dir().join("mdb.toml");
    put(&config, &market.feed(&["BTCUSDT"]));
    let mut command = db.command();
    command.arg("run");
    let live = Live::spawn(command);
    // Before that every look at the file would be in its way.
    wait("the capture to begin", || {
        db.dir().join("mdb.sock").exists().then_some(())
    });
    let trades = |symbol: &str, n: u64| {
        format!("SELECT count(*) > {n} FROM trades WHERE symbol = '{symbol}'")
    };
    await_true(&db, &trades("BTCUSDT", 20));

    // A symbol more.
    let edited = Instant::now();
    put(&config, &market.feed(&["BTCUSDT", "ETHUSDT"]));
    await_configured(&db, "configured", 1, edited);
    await_true(&db, &trades("ETHUSDT", 20));
    eprintln!(
        "20 trades of a symbol added after {:.0} ms",
        edited.elapsed().as_secs_f64() * 1e3
    );

    // How fresh it is to be; and what the process holds to as it began.
    let edited = Instant::now();
    let feed = market.feed(&["BTCUSDT", "ETHUSDT"]);
    let sla =
        "[[sla]]\ntable = \"trades\"\nfreshness = \"77 seconds\"\n[history]\nkeep = \"1 day\"\n";
    put(&config, &format!("{feed}\n{sla}"));
    await_configured(&db, "configured", 2, edited);
    assert_eq!(
        db.value("SELECT seconds::INTEGER FROM ops.slas WHERE said_in = 'mdb.toml' AND channel = 'trades'"),
        "77"
    );
    let later = "SELECT count(*) FROM feed_events WHERE detail LIKE '%; [history] in mdb.toml takes effect at the next start'";
    assert_eq!(db.count(later), 1);

    // A venue's SQL.
    let stock = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/venues/binance_spot/trades.sql");
    let stock = fs::read_to_string(stock).unwrap();
    let changed = stock.replace("['aggregate'], NULL) AS", "['aggregate'], ['edited']) AS");
    assert_ne!(changed, stock);
    let own = db.dir().join("sql/venues/binance_spot/trades.sql");
    let edited = Instant::now();
    put(&own, &changed);
    await_configured(&db, "configured", 3, edited);
    await_true(
        &db,
        "SELECT count(DISTINCT symbol) = 2 FROM trades WHERE conditions = ['edited']",
    );

    // Faulty edits: told, and nothing changes.
    for (n, (path, text, words)) in [
        (
            &config,
            "[[feed]]\nvenue = \"binance_spot\"\nsymbls = 1\n",
            "symbls",
        ),
        (
            &config,
            "[[sla]]\ntable = \"tades\"\nfreshness = \"1 minute\"\n",
            "tades",
        ),
        (&own, "-- Faulty.\nSELECT nonsense FROM raw", "nonsense"),
    ]
    .into_iter()
    .enumerate()
    {
        let good = fs::read_to_string(path).unwrap();
        let edited = Instant::now();
        put(path, text);
        await_configured(&db, "misconfigured", n as u64 + 1, edited);
        let status = status(&db);
        let problem = status["capture"]["configuration"].as_str().unwrap();
        assert!(problem.contains(words), "{problem}");
        let before = db.count("SELECT count(*) FROM trades");
        await_true(&db, &format!("SELECT count(*) > {before} FROM trades"));
        put(path, &good);
        await_configured(&db, "configured", n as u64 + 4, Instant::now());
        assert_eq!(
            crate::live_run::status(&db)["capture"]["configuration"],
            "good"
        );
    }

    // A symbol less.
    let edited = Instant::now();
    put(&config, &market.feed(&["ETHUSDT"]));
    await_configured(&db, "configured", 7, edited);
    await_true(
        &db,
        "SELECT (SELECT max(recv_ts) FROM trades WHERE symbol = 'ETHUSDT')
              > (SELECT max(recv_ts) FROM quotes WHERE symbol = 'BTCUSDT') + INTERVAL '500 ms'",
    );
    let status = status(&db);
    let feeds = status["feeds"].as_array().unwrap();
    assert!(
        feeds.len() == 1 && feeds[0]["reconnects"] == 0 && feeds[0]["topics"] == 3,
        "{feeds:#?}"
    );
    assert_eq!(
        db.count("SELECT count(*) FROM feed_events WHERE kind = 'disconnect'"),
        0
    );
    end(&db, live, Signal::TERM);
    assert_eq!(db.count("SELECT count(*) FROM dead_letters"), 0);
    market.close();
}

#[test]
fn a_file_dropped_into_the_inbox_is_loaded_beside_the_capture() {
    let btc = sample("BTCUSDT");
    let market = Market::open(SPOT, &[("BTCUSDT", &btc)], &["--speed", "20"]);
    let db = Db::new();
    hurry(&db, SPOT);
    put(&db.dir().join("mdb.toml"), &market.feed(&["BTCUSDT"]));
    let capture = synthetic::capture(91, 20_000);
    let inbox = db.dir().join("inbox");
    fs::create_dir_all(&inbox).unwrap();
    // One lies there before.
    fs::write(inbox.join("nonsense.gz"), b"x").unwrap();
    let mut command = db.command();
    command.arg("run");
    let live = Live::spawn(command);
    // Before that every look at the file would be in its way.
    wait("the capture to begin", || {
        db.dir().join("mdb.sock").exists().then_some(())
    });
    await_true(
        &db,
        "SELECT count(*) > 20 FROM trades WHERE symbol = 'BTCUSDT'",
    );

    let whole = gzip(&capture.bytes());
    for (name, bytes) in [
        ("binance_spot-CUTUSDT.gz", &whole[..whole.len() / 2]),
        ("no_such_venue-TESTUSDT.gz", &whole[..]),
    ] {
        let aside = db.write(name, bytes);
        fs::rename(aside, inbox.join(name)).unwrap();
    }
    // One is copied there, slowly: it is not taken before it is whole.
    let mut copy = File::create(inbox.join("binance_spot-TESTUSDT.gz")).unwrap();
    for part in whole.chunks(whole.len().div_ceil(8)) {
        copy.write_all(part).unwrap();
        thread::sleep(Duration::from_millis(300));
    }
    drop(copy);
    let done = inbox.join("done/binance_spot-TESTUSDT.gz");
    wait("the file to be loaded", || done.exists().then_some(()));
    for name in [
        "nonsense.gz",
        "binance_spot-CUTUSDT.gz",
        "no_such_venue-TESTUSDT.gz",
    ] {
        let failed = inbox.join("failed").join(name);
        wait(name, || failed.exists().then_some(()));
        let note = fs::read_to_string(inbox.join(format!("failed/{name}.error"))).unwrap();
        eprintln!("{name}: {}", note.trim());
        assert!(note.trim().len() > 10, "{name}: {note:?}");
    }
    let rows = ["trades", "quotes", "book_deltas"].map(|table| {
        db.count(&format!(
            "SELECT count(*) FROM {table} WHERE symbol = 'TESTUSDT'"
        ))
    });
    assert_eq!(rows, capture.rows());
    // One that has grown: what was there before is not taken again, nor is the file that it was in.
    let text = capture.bytes();
    let lines = || text.split_inclusive(|byte| *byte == b'\n');
    let begun: Vec<u8> = lines().take(700).flatten().copied().collect();
    let name = "binance_spot-GROWUSDT.gz";
    for (bytes, done) in [(&begun, name.to_owned()), (&text, format!("2-{name}"))] {
        let aside = db.write(name, &gzip(bytes));
        fs::rename(aside, inbox.join(name)).unwrap();
        let done = inbox.join("done").join(done);
        wait("the file to be loaded", || done.exists().then_some(()));
    }
    assert_eq!(
        db.count("SELECT count(*) FROM raw_messages WHERE symbol = 'GROWUSDT'"),
        lines().count() as u64
    );
    assert!(inbox.join("done").join(name).exists());
    let before = db.count("SELECT count(*) FROM trades WHERE symbol = 'BTCUSDT'");
    await_true(
        &db,
        &format!("SELECT count(*) > {before} FROM trades WHERE symbol = 'BTCUSDT'"),
    );
    end(&db, live, Signal::TERM);
    market.close();
}

#[test]
fn slow_readers_long_queries_a_seal_and_checkpoints_do_not_stop_the_capture() {
    let (btc, eth) = (sample("BTCUSDT"), sample("ETHUSDT"));
    let market = Market::open(
        SPOT,
        &[("BTCUSDT", &btc), ("ETHUSDT", &eth)],
        &["--speed", "2000/s"],
    );
    let db = Db::new();
    hurry(&db, SPOT);
    // Finished dates, which the start of `mdb run` seals beside the capture.
    let old = db.write("old.gz", &gzip(&synthetic::capture(92, 60_000).bytes()));
    synthetic::load(&db, &old).ok();
    put(
        &db.dir().join("mdb.toml"),
        &market.feed(&["BTCUSDT", "ETHUSDT"]),
    );
    let mut command = db.command();
    command.arg("run");
    let live = Live::spawn(command);
    // Before that every look at the file would be in its way.
    wait("the capture to begin", || {
        db.dir().join("mdb.sock").exists().then_some(())
    });
    await_true(
        &db,
        "SELECT count(*) > 100 FROM trades WHERE symbol = 'BTCUSDT'",
    );

    let ask = |query: &str| {
        let mut command = db.command();
        command.args(["sql", "--format", "csv", query]);
        command
    };
    // Nobody reads its output: a pipe that is full.
    let mut slow = ask("SELECT range, hash(range) FROM range(10000000)")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let long = Live::spawn(ask(
        "SELECT max(hash(a.range, b.range)) FROM range(1000000) a, range(1000000) b",
    ));
    // More raw than a checkpoint waits for.
    let bulk = synthetic::capture(93, 150_000);
    let aside = db.write("bulk.gz", &gzip(&bulk.bytes()));
    fs::rename(aside, db.dir().join("inbox/binance_spot-BULKUSDT.gz")).unwrap();

    let clean = |table: &str| format!("SELECT count(*) FROM {}", market.clean(table));
    let captured = |table: &str| {
        format!("SELECT count(*) FROM {table} WHERE symbol IN ('BTCUSDT', 'ETHUSDT')")
    };
    for table in ["trades", "quotes"] {
        await_true(&db, &format!("({}) = ({})", captured(table), clean(table)));
    }
    let done = db.dir().join("inbox/done/binance_spot-BULKUSDT.gz");
    wait("the file to be loaded", || done.exists().then_some(()));
    let status = status(&db);
    eprintln!(
        "{} commits, the slowest {} ms; at most {} MB",
        status["capture"]["commits"],
        status["capture"]["slowest_commit_ms"],
        live.peak_bytes().unwrap_or(0) >> 20
    );
    assert!(
        slow.try_wait().unwrap().is_none(),
        "the slow reader was cut off"
    );
    assert!(
        !db.lake().is_empty(),
        "the finished dates were not sealed meanwhile"
    );
    slow.kill().unwrap();
    slow.wait().unwrap();
    long.kill();
    end(&db, live, Signal::INT);
    // Each checkpoint made the capture turn to the other side of the tables.
    for side in ["hot", "hot_b"] {
        let rows = db.count(&format!("SELECT count(*) FROM {side}.raw_messages"));
        assert!(rows > 0, "nothing was captured into {side}");
    }
    market.close();
}

#[test]
fn a_feed_that_cannot_be_is_told_with_its_line() {
    let db = Db::new();
    let good = "[[feed]]\nvenue = \"okx\"\nsymbols = [\"A\"]\nwebsocket = \"ws://127.0.0.1:1\"\n";
    for (bad, what) in [
        ("\"nosuch\"\nsymbols = [\"A\"]", "unknown venue 'nosuch'"),
        ("\"kraken\"\nsymbols = []", "kraken: no symbols"),
        (
            "\"kraken\"\nsymbols = [\"A\"]\nchannels = [\"nope\"]",
            "no channel 'nope'",
        ),
        (
            "\"kraken\"\nsymbols = [\"A\"]\nredundancy = 9",
            "it may be 1 to 4",
        ),
    ] {
        put(
            &db.dir().join("mdb.toml"),
            &format!("{good}\n[[feed]]\nvenue = {bad}\n"),
        );
        db.run(["run"]).fails_naming(&["mdb.toml:6: ", what]);
    }
}
