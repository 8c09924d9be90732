//! A second process on a database that another has open: through `mdb.sock` it sees what it would see in the
//! file, and it can neither stop nor harm the first (issue 3, "The one process" and item 7).

use std::fs;
use std::io::{Cursor, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::ipc::reader::{FileReader, StreamReader};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Db, Live, Run, join_lines, poll};
use crate::synthetic::{self, SYMBOL, VENUE, keyed_rows, load};

/// A load whose input is still open.
struct Holder {
    live: Live,
    stdin: ChildStdin,
}

impl Holder {
    /// Starts a load that waits for input, and waits until it answers.
    fn of(db: &Db) -> Self {
        let (live, stdin) = Live::spawn_fed(db.load_command(VENUE, SYMBOL, ["-"]));
        poll("mdb.sock", || socket(db).exists());
        Self { live, stdin }
    }

    /// Ends its input and waits for its end.
    fn finish(self) -> Run {
        drop(self.stdin);
        self.live.finish()
    }
}

fn socket(db: &Db) -> PathBuf {
    db.dir().join("mdb.sock")
}

/// A database with a little in it.
fn filled(seed: u64) -> Db {
    let db = Db::new();
    let file = db.write("capture.txt", &synthetic::capture(seed, 3_000).bytes());
    load(&db, &file).ok();
    db
}

/// What a person sees of a run.
fn seen(run: &Run) -> (Option<i32>, &str, &str) {
    (run.code, &run.stdout, &run.stderr)
}

/// What the process that has the database open says of itself.
fn status(db: &Db) -> serde_json::Value {
    let run = db.run(["status", "--format", "json"]).ok();
    serde_json::from_str(&run.stdout).unwrap()
}

/// Waits until nobody but the asker itself has a session.
fn await_no_sessions(db: &Db) {
    poll("the sessions to end", || {
        status(db)["process"]["sessions"] == 0
    });
}

/// Asserts that `live` uses no processor time, over a while in which it could.
fn assert_at_rest(live: &Live) {
    let mut before = live.cpu_ticks();
    poll("the process to come to rest", || {
        std::thread::sleep(Duration::from_millis(100));
        let now = live.cpu_ticks();
        let rest = now - before <= 2;
        before = now;
        rest
    });
}

/// Asserts that `run` ended within a second, or longer where other tests take the processors.
fn soon(since: Instant, run: &Run) {
    let elapsed = since.elapsed();
    eprintln!("stopped within {:.3} s", elapsed.as_secs_f64());
    assert!(elapsed < Duration::from_secs(5), "{run}");
}

const ENDLESS: &str = "SELECT max(hash(a.range, b.range)) FROM range(1000000) a, range(1000000) b";

#[test]
fn answers_are_those_of_the_file_in_every_format() {
    let db = filled(71);
    let queries = [
        "FROM test_all_types()",
        // All that has a place in an Arrow file.
        "SELECT * EXCLUDE (hugeint) FROM test_all_types()",
        "SELECT * FROM trades ORDER BY seq",
        "SELECT * FROM trades WHERE false",
        "SELECT i::VARCHAR::ENUM ('0', '1', '2') AS e, [i, NULL] AS l, {'a': i, 'b': 'x'} AS s, MAP {i: 'v'} AS m, \
                CASE WHEN i % 2 = 0 THEN NULL ELSE i END AS n FROM (SELECT range % 3 AS i FROM range(5000))",
        "SELECT 1 AS a, 2 AS a, 'x' AS \"\"",
        "SELECT at_zone(ts, 'Asia/Tokyo') AS t, zone_offset(ts, 'Asia/Tokyo') AS o, session(ts, 'XNYS') AS s \
         FROM in_session('trades', '24x7') ORDER BY seq",
        "SHOW TABLES",
        "EXPLAIN SELECT 1",
        "SELECT 1 AS one; SELECT 'two' AS two; CREATE TEMP TABLE t AS SELECT 3; FROM t",
    ];
    let formats = [
        "table", "csv", "json", "ndjson", "markdown", "line", "arrow", "parquet",
    ];
    let ask = |format: &str, query: &str, file: &Path| {
        let path = file.to_str().unwrap();
        let to_file = db.run(["sql", "--format", format, "-o", path, query]);
        let content = content(format, file);
        let _ = fs::remove_file(file);
        let run = db.run(["sql", "--format", format, query]);
        // What a format for programs looks like is seen in the file.
        let stdout = content.is_err().then_some(run.stdout);
        (stdout, run.code, run.stderr, content, to_file.stderr)
    };
    let all = |db: &Db| {
        let file = db.beside("out");
        let pairs = formats
            .iter()
            .flat_map(|format| queries.map(|query| (*format, query)));
        pairs
            .map(|(format, query)| ((format, query), ask(format, query, &file)))
            .collect::<Vec<_>>()
    };
    let alone = all(&db);
    let holder = Holder::of(&db);
    for (attached, alone) in all(&db).into_iter().zip(alone) {
        let (what, attached) = attached;
        assert_eq!((what, attached), alone);
    }
    holder.finish().ok();
}

/// Rows of a file that a program reads; its text otherwise.
fn content(format: &str, file: &Path) -> Result<Vec<RecordBatch>, String> {
    let Ok(bytes) = fs::read(file) else {
        return Err("no file".to_owned());
    };
    match format {
        "arrow" => {
            let reader = FileReader::try_new(Cursor::new(bytes), None).unwrap();
            Ok(reader.map(Result::unwrap).collect())
        }
        "parquet" => {
            let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(file).unwrap());
            let reader = reader.unwrap().build().unwrap();
            Ok(reader.map(Result::unwrap).collect())
        }
        _ => Err(String::from_utf8(bytes).unwrap()),
    }
}

#[test]
fn errors_are_those_of_the_file() {
    let db = filled(72);
    let statements = [
        "SELECT price, sise FROM trades",
        "SELECT price\nFROM trades\nWHERE symbol == 'A' ORDER price",
        "SELECT 'äöü€' AS größe, sise FROM trades",
        "selct 1",
        "SELECT * FROM trade",
        "SELECT bit_count('a', 2)",
        "SELECT if(range = 3000000, error('boom'), 'row') AS a FROM range(4000000)",
        "SELECT 1;\n\nSELECT nope;\nSELECT 2",
        "INSERT INTO hot.trades SELECT * FROM hot.trades",
        "DELETE FROM hot.trades",
        "CREATE TABLE mine AS SELECT 1 AS a",
        "DROP VIEW trades",
        "WITH gone AS (DELETE FROM hot.trades RETURNING *) SELECT count(*) FROM gone",
        "BEGIN; DELETE FROM hot.trades; COMMIT",
        "BEGIN TRANSACTION READ WRITE; CREATE TABLE mine (i INT)",
        "PREPARE p AS CREATE TABLE mine (i INT); EXECUTE p",
        "COMMENT ON TABLE hot.trades IS 'mine'",
        "COMMIT",
        "SELECT at_zone(ts, 'Europe/Lundon') FROM trades",
        "SELECT session(ts, 'XMOON') FROM trades",
        "SET no_such_setting = 1",
        "SELECT 'a' || chr(0)",
        "COPY (SELECT 1) TO 'no_such_directory/x.csv'",
        "FROM 'no_such_file.csv'",
    ];
    let ask = || {
        statements.map(|statement| {
            let run = db.run(["sql", "--format", "csv", statement]);
            (statement, run.code, run.stderr)
        })
    };
    let before = db.checksums();
    let alone = ask();
    let holder = Holder::of(&db);
    for (attached, alone) in ask().into_iter().zip(alone) {
        assert_eq!(attached, alone);
    }
    assert_eq!(db.checksums(), before);
    holder.finish().ok();
    assert_eq!(db.checksums(), before);
    db.assert_sound();
}

#[test]
fn a_session_keeps_its_settings_tables_and_transaction_and_nobody_else_sees_them() {
    let db = filled(73);
    let script = "CREATE TEMP TABLE mine AS SELECT 2 AS a UNION ALL SELECT 1;\n\
        SET default_order = 'desc';\n\
        FROM mine ORDER BY a;\n\
        BEGIN;\n\
        CREATE TEMP TABLE gone (i INT);\n\
        INSERT INTO mine VALUES (3);\n\
        SELECT count(*) AS inside FROM mine;\n\
        ROLLBACK;\n\
        SELECT count(*) AS outside FROM mine;\n\
        UPDATE mine SET a = a + 10;\n\
        PREPARE p AS SELECT sum(a) AS total FROM mine WHERE a > $1;\n\
        EXECUTE p(0);\n\
        SET VARIABLE v = 7;\n\
        SELECT getvariable('v') AS v;\n\
        CREATE TEMP MACRO twice(x) AS x * 2;\n\
        SELECT twice(4) AS eight;\n\
        USE memory; USE market;\n\
        SELECT current_setting('default_order') AS o;\n";
    let script = script.replace("USE memory; ", "");
    let run_script = |command: Command| {
        let (live, mut stdin) = Live::spawn_fed(command);
        stdin.write_all(script.as_bytes()).unwrap();
        drop(stdin);
        live.finish().ok()
    };
    let as_sql = || {
        let mut command = db.command();
        command.args(["sql", "--format", "csv"]);
        run_script(command)
    };
    // Without a subcommand it is the shell, reading a script.
    let as_shell = || run_script(db.command());
    let (sql, shell) = (as_sql(), as_shell());
    let holder = Holder::of(&db);
    assert_eq!(seen(&as_sql()), seen(&sql));
    assert_eq!(seen(&as_shell()), seen(&shell));

    // Two at once, each with its own `mine`.
    let mut command = db.command();
    command.args(["sql", "--format", "csv"]);
    let (other, mut input) = Live::spawn_fed(command);
    assert_eq!(seen(&as_sql()), seen(&sql));
    input
        .write_all(b"SELECT current_setting('default_order') AS o; FROM mine;")
        .unwrap();
    drop(input);
    let other = other.finish().fails_naming(&["mine does not exist"]);
    assert!(!other.stdout.to_lowercase().contains("desc"), "{other}");
    await_no_sessions(&db);
    holder.finish().ok();
}

#[test]
fn the_shells_commands_work_through_the_socket() {
    let db = filled(74);
    let script = b".tables\n.tables ops\n.schema trades\n.schema\n.mode csv\nSELECT count(*) FROM trades;\n.quit\n";
    let ask = || {
        let (live, mut stdin) = Live::spawn_fed(db.command());
        stdin.write_all(script).unwrap();
        drop(stdin);
        live.finish().ok()
    };
    let alone = ask();
    let holder = Holder::of(&db);
    assert_eq!(seen(&ask()), seen(&alone));
    holder.finish().ok();
}

#[test]
fn a_writer_may_have_tables_of_its_own_and_the_load_goes_on() {
    let capture = synthetic::capture(75, 40_000);
    let (first, second) = capture.lines.split_at(20_000);
    let clean = Db::new();
    let file = clean.write("all.txt", &capture.bytes());
    load(&clean, &file).ok();

    let db = Db::new();
    let mut holder = Holder::of(&db);
    holder.stdin.write_all(&join_lines(first)).unwrap();
    poll("the first rows", || {
        db.count("SELECT count(*) FROM trades") > 0
    });
    db.run(["sql", "--write", "CREATE TABLE mine AS SELECT 7 AS a"])
        .ok();
    db.run([
        "sql",
        "--write",
        "BEGIN; INSERT INTO mine VALUES (8); COMMIT; CREATE VIEW v AS SELECT * FROM hot.trades",
    ])
    .ok();
    db.run(["sql", "INSERT INTO mine VALUES (9)"])
        .exits(1)
        .says(&["--write"]);
    for statement in [
        "DELETE FROM hot.trades",
        "UPDATE ops.progress SET seq = 0",
        "DROP SCHEMA hot CASCADE",
        "ALTER TABLE hot.trades ADD COLUMN x INT",
        "CHECKPOINT",
        "ATTACH 'x.db'",
        "SET GLOBAL threads = 1",
        "SET memory_limit = '1MB'",
    ] {
        let run = db.run(["sql", "--write", statement]).exits(1);
        run.says(&["process that has the database open", "hint:"]);
    }
    // One that goes away in the middle of a transaction.
    let mut command = db.command();
    command.args(["sql", "--write", "--format", "csv"]);
    command.arg(format!(
        "BEGIN; INSERT INTO mine VALUES (10); SELECT 1 AS begun; {ENDLESS}"
    ));
    let abandoned = Live::spawn(command);
    poll("the query to run", || {
        status(&db)["process"]["sessions"] == 1 && holder.live.cpu_ticks() > 20
    });
    abandoned.kill();
    await_no_sessions(&db);

    holder.stdin.write_all(&join_lines(second)).unwrap();
    holder.finish().ok();
    assert_eq!(db.checksums(), clean.checksums());
    assert_eq!(db.sql("FROM mine ORDER BY a"), [["7"], ["8"]]);
    db.assert_sound();
}

#[test]
fn an_interrupt_ends_a_query_of_another_process_within_a_second() {
    let db = filled(76);
    let holder = Holder::of(&db);
    let streaming = "SELECT range, hash(range) AS h FROM range(100000000000)";
    for (query, signal) in [
        (ENDLESS, Signal::INT),
        (streaming, Signal::INT),
        (ENDLESS, Signal::KILL),
        (streaming, Signal::KILL),
    ] {
        let mut command = db.command();
        command.args(["sql", "--format", "csv", query]);
        let before = holder.live.cpu_ticks();
        let client = Live::spawn(command);
        if query == streaming {
            client.await_output();
        }
        poll("the query to run", || holder.live.cpu_ticks() > before + 20);
        let interrupted = Instant::now();
        if signal == Signal::KILL {
            client.kill();
        } else {
            client.interrupt();
            let run = client.finish().exits(130);
            assert!(run.stderr.contains("interrupted"), "{run}");
            soon(interrupted, &run);
        }
        await_no_sessions(&db);
        assert_at_rest(&holder.live);
    }
    // More interrupts than statements run at once: none of them holds a place.
    for _ in 0..10 {
        let mut command = db.command();
        command.args(["sql", ENDLESS]);
        let before = holder.live.cpu_ticks();
        let client = Live::spawn(command);
        poll("the query to run", || holder.live.cpu_ticks() > before + 5);
        client.interrupt();
        client.finish().exits(130);
    }
    assert_eq!(db.value("SELECT 1"), "1");
    holder.finish().ok();
    db.assert_sound();
}

#[test]
fn a_socket_that_a_killed_process_left_is_no_hindrance() {
    let db = filled(77);
    let rows = db.checksums();
    let holder = Holder::of(&db);
    let Holder { live, stdin } = holder;
    live.kill();
    drop(stdin);
    assert!(socket(&db).exists(), "SIGKILL leaves no time to clear up");
    assert_eq!(db.checksums(), rows);
    assert_eq!(
        status(&db)["process"],
        serde_json::Value::Null,
        "nobody has it open"
    );
    let (live, stdin) = Live::spawn_fed(db.load_command(VENUE, SYMBOL, ["-"]));
    db.await_lock();
    poll("an answer", || !status(&db)["process"].is_null());
    assert_eq!(db.checksums(), rows);
    Holder { live, stdin }.finish().ok();
    assert!(!socket(&db).exists());
    let left: Vec<_> = fs::read_dir(db.dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["market.duckdb"], "nothing else is left");
}

#[test]
fn a_process_that_is_killed_leaves_its_clients_with_an_error() {
    let db = filled(78);
    let holder = Holder::of(&db);
    let out = db.beside("out.csv");
    let query = "SELECT range, hash(range) AS h FROM range(100000000000)";
    let start = |args: &[&str]| {
        let mut command = db.command();
        command.arg("sql").args(args).arg(query);
        Live::spawn(command)
    };
    let to_stdout = start(&["--format", "csv"]);
    let to_file = start(&["-o", out.to_str().unwrap()]);
    to_stdout.await_output();
    poll("both", || status(&db)["process"]["sessions"] == 2);
    // Who has seen nothing of the answer goes on with the file.
    poll("a part of the file", || {
        let beside = fs::read_dir(out.parent().unwrap()).unwrap();
        let mut files = beside.map(|entry| entry.unwrap());
        files.any(|file| {
            let partial = file.file_name().to_string_lossy().starts_with(".mdb-");
            partial && file.metadata().is_ok_and(|file| file.len() > 0)
        })
    });
    holder.live.kill();
    for client in [to_stdout, to_file] {
        client.finish().exits(3).says(&["has ended"]);
    }
    assert!(!out.exists(), "half an answer");
}

#[test]
fn a_process_that_ends_does_not_wait_for_its_clients_for_ever() {
    let db = filled(85);
    let holder = Holder::of(&db);
    let mut command = db.command();
    command.args(["sql", ENDLESS]);
    let before = holder.live.cpu_ticks();
    let busy = Live::spawn(command);
    poll("the query to run", || holder.live.cpu_ticks() > before + 5);
    // And one that has changed something, and sits there.
    let mut idle = Http::connect(&db);
    idle.post("/session", r#"{"protocol":1,"write":true}"#);
    for statement in [
        "BEGIN",
        "CREATE TABLE never (i INT)",
        "INSERT INTO never VALUES (1)",
    ] {
        let (status, _) = idle.post("/query", statement);
        assert_eq!(status, 200);
    }
    let ending = Instant::now();
    holder.finish().ok();
    assert!(ending.elapsed() < Duration::from_mins(1));
    // Nothing of its answer was seen: it goes on with the file.
    poll("the query to run again", || busy.cpu_ticks() > 20);
    busy.interrupt();
    busy.finish().exits(130);
    db.try_sql("FROM never").exits(1);
    db.assert_sound();
}

/// A client that is no mdb: HTTP by hand, one request after the other.
struct Http(UnixStream);

impl Http {
    fn connect(db: &Db) -> Self {
        Self(UnixStream::connect(socket(db)).unwrap())
    }

    /// The status and the body of the answer, which comes in chunks or with its length.
    fn post(&mut self, path: &str, body: &str) -> (u16, Vec<u8>) {
        let length = body.len();
        write!(
            self.0,
            "POST {path} HTTP/1.1\r\nhost: mdb\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head.push(char::from(self.bytes(1)[0]));
        }
        let status = head[9..12].parse().unwrap();
        let head = head.to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        if let Some(length) = length {
            return (status, self.bytes(length.parse().unwrap()));
        }
        let mut answer = Vec::new();
        loop {
            let mut length = String::new();
            while !length.ends_with("\r\n") {
                length.push(char::from(self.bytes(1)[0]));
            }
            let length = usize::from_str_radix(length.trim(), 16).unwrap();
            answer.extend(self.bytes(length));
            self.bytes(2);
            if length == 0 {
                return (status, answer);
            }
        }
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }
}

#[test]
fn any_arrow_reader_understands_an_answer_and_no_broken_one() {
    let db = filled(86);
    let holder = Holder::of(&db);
    let mut http = Http::connect(&db);
    let (code, body) = http.post("/query", "SELECT range AS n FROM range(10000)");
    assert_eq!(code, 200);
    let reader = StreamReader::try_new(&body[..], None).unwrap();
    let rows: usize = reader.map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 10_000);

    // Fails when rows have been sent already.
    let sql = "SELECT if(range = 900000, error('boom'), range) AS n FROM range(1000000)";
    let (code, body) = http.post("/query", sql);
    assert_eq!(code, 200);
    let reader = StreamReader::try_new(&body[..], None).unwrap();
    let batches: Vec<_> = reader.collect();
    assert!(batches.len() > 1 && batches.iter().any(Result::is_err));
    assert!(body.ends_with(b"}}") && String::from_utf8_lossy(&body).contains("boom"));

    // Who did not ask for the right to write has none.
    let (code, body) = http.post("/query", "CREATE TABLE t (i INT)");
    assert_eq!(code, 400);
    assert!(String::from_utf8(body).unwrap().contains("reading only"));
    // Several statements in one are no way around it.
    let (code, _) = http.post("/query", "COMMIT; CREATE TABLE t (i INT)");
    assert_eq!(code, 400);
    db.try_sql("FROM t").exits(1);
    let (code, _) = Http::connect(&db).post("/session", r#"{"protocol":0,"write":false}"#);
    assert_eq!(code, 409);
    holder.finish().ok();
}

#[test]
fn a_client_that_stops_reading_holds_up_nobody() {
    let capture = synthetic::capture(79, 60_000);
    let db = Db::new();
    let mut holder = Holder::of(&db);
    // More of them than statements run at once.
    let mut stalled: Vec<_> = (0..10)
        .map(|_| {
            let mut command = db.command();
            command.args(["sql", "--format", "csv"]);
            command.arg("SELECT range, repeat('x', 1000) AS x FROM range(100000000)");
            command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for client in &mut stalled {
        let mut first = [0; 100];
        client
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut first)
            .unwrap();
    }
    assert_at_rest(&holder.live);
    let before = holder.live.peak_bytes();

    holder.stdin.write_all(&capture.bytes()).unwrap();
    poll("rows", || db.count("SELECT count(*) FROM trades") > 0);
    assert_eq!(db.value("SELECT 1"), "1");
    if let (Some(before), Some(after)) = (before, holder.live.peak_bytes()) {
        // A load has its own memory; the answers that wait add little to it.
        assert!(after < 500 << 20, "{before} bytes grew to {after}");
    }
    for client in &mut stalled {
        client.kill().unwrap();
        client.wait().unwrap();
    }
    await_no_sessions(&db);
    holder.finish().ok();
    assert_eq!(keyed_rows(&db), capture.rows());
    db.assert_sound();
}

#[test]
fn a_long_answer_takes_no_more_memory_than_a_short_one() {
    let db = filled(80);
    let holder = Holder::of(&db);
    let peak = |rows: u64| {
        let mut command = db.command();
        command.args(["sql", "--format", "csv"]);
        command.arg(format!(
            "SELECT range AS n, 'row ' || range AS name, hash(range) AS h FROM range({rows})"
        ));
        let mut client = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = client.stdout.take().unwrap();
        let mut chunk = vec![0; 1 << 16];
        let (mut lines, mut peak) = (0, 0);
        while let Ok(n @ 1..) = out.read(&mut chunk) {
            lines += memchr::memchr_iter(b'\n', &chunk[..n]).count() as u64;
            let status = fs::read_to_string(format!("/proc/{}/status", client.id()));
            let line = status.unwrap_or_default();
            let line = line.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            peak = peak.max(kilobytes.unwrap_or(0_u64));
        }
        assert!(client.wait().unwrap().success());
        assert_eq!(lines, rows + 1);
        (peak << 10, holder.live.peak_bytes().unwrap_or(0))
    };
    let short = peak(100_000);
    let long = peak(5_000_000);
    eprintln!(
        "peak bytes of client and server: {short:?} for 100,000 rows, {long:?} for 5,000,000"
    );
    // A growth of 200 MB would be a fifth of the rows.
    assert!(long.0 < short.0 + (40 << 20), "{short:?} {long:?}");
    assert!(long.1 < short.1 + (40 << 20), "{short:?} {long:?}");
    holder.finish().ok();
}

#[test]
fn the_socket_is_its_owners_alone_however_deep_the_database_lies() {
    let db = Db::none();
    let deep = Db::at(db.beside(&format!("{}/{}", "d".repeat(100), "e".repeat(100))));
    fs::create_dir_all(deep.dir()).unwrap();
    for db in [&db, &deep] {
        let holder = Holder::of(db);
        let metadata = fs::symlink_metadata(socket(db)).unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert_eq!(db.value("SELECT 42"), "42");
        assert_eq!(status(db)["process"]["command"], "load");
        holder.finish().ok();
        assert_eq!(db.value("SELECT 42"), "42");
    }
}

#[test]
fn paths_in_a_statement_are_those_of_who_wrote_it() {
    let db = filled(81);
    let holder = Holder::of(&db);
    let elsewhere = db.beside("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let ask = |query: &str| {
        let mut command = db.command();
        command.current_dir(&elsewhere);
        command.args(["sql", "--format", "csv", query]);
        Live::spawn(command).finish()
    };
    ask("COPY (SELECT 5 AS a) TO 'five.csv'").ok();
    assert_eq!(
        fs::read_to_string(elsewhere.join("five.csv")).unwrap(),
        "a\n5\n"
    );
    assert!(!db.beside("five.csv").exists());
    assert_eq!(ask("FROM 'five.csv'").ok().stdout, "a\n5\n");
    for query in [
        "FROM read_csv(['five.csv'])",
        "FROM \"five.csv\"",
        "FROM read_csv('five' || '.csv')",
        "FROM read_csv(['fi' || 've.csv'])",
        "FROM read_csv(list_transform(['five'], lambda name: name || '.csv'))",
        "SET VARIABLE f = 'five.csv'; FROM read_csv($f)",
    ] {
        assert_eq!(ask(query).ok().stdout, "a\n5\n", "{query}");
    }
    ask("COPY (SELECT 6 AS a) TO ('comp' || 'uted.csv')").ok();
    assert!(elsewhere.join("computed.csv").exists());
    assert!(!db.beside("computed.csv").exists());
    ask("FROM read_csv('five' || nosuch)").fails_naming(&["nosuch"]);
    for (query, holds) in [
        ("DESCRIBE 'five.csv'", "a,BIGINT"),
        ("SUMMARIZE 'five.csv'", "a,BIGINT,5,5"),
        ("PIVOT 'five.csv' ON a", "5"),
        ("TABLE 'five.csv'", "5"),
    ] {
        let said = ask(query).ok().stdout;
        assert!(said.contains(holds), "{query}: {said}");
    }
    let run = ask("COPY (SELECT 5 AS a) TO 'six.csv' (nonsense 1)").exits(1);
    let alone = {
        holder.finish().ok();
        ask("COPY (SELECT 5 AS a) TO 'six.csv' (nonsense 1)").exits(1)
    };
    assert_eq!(run.stderr, alone.stderr);
}

#[test]
fn a_pattern_is_looked_for_in_the_directory_of_who_wrote_it() {
    let db = filled(84);
    let mine = db.beside("mine");
    fs::create_dir(&mine).unwrap();
    fs::write(mine.join("five.csv"), "a\n5\n").unwrap();
    let ask = |query: &str| db.run(["sql", "--format", "csv", query]).ok().stdout;
    let is_found = || {
        assert_eq!(ask("FROM 'mine/*.csv'"), "a\n5\n");
        assert_eq!(ask("FROM read_csv(['mine/f*.csv'])"), "a\n5\n");
        let files = ask("SELECT count(*) AS n FROM glob('*') WHERE file LIKE '%.duckdb'");
        assert_eq!(files, "n\n0\n");
    };
    is_found();
    // Its directory is the same.
    let holder = Holder::of(&db);
    is_found();
    holder.finish().ok();
}

#[test]
fn reading_the_database_file_as_bytes_does_not_unlock_it() {
    let db = filled(82);
    let holder = Holder::of(&db);
    let glob = format!("{}/market.duck*", db.dir().display());
    db.run([
        "sql",
        &format!("SELECT size FROM read_blob('{glob}') WHERE size > 0"),
    ]);
    db.run(["sql", "SELECT 1"]).ok();
    db.run(["doctor"]).exits(3).says_one_of(&["in use", "lock"]);
    holder.finish().ok();
    db.assert_sound();
}

#[test]
fn status_tells_of_the_process_and_without_one_of_the_database() {
    let none = Db::none();
    none.run(["status"]).exits(3).says(&["no database"]);
    assert!(!none.dir().exists(), "asking makes no database");
    let db = filled(83);
    let run = db.run(["status"]).ok();
    assert!(run.stdout.contains("no process"), "{run}");
    assert!(
        run.stdout.contains(VENUE) && run.stdout.contains("3000"),
        "{run}"
    );
    let idle = status(&db);
    assert_eq!(idle["process"], serde_json::Value::Null);
    assert_eq!(idle["venues"][0]["venue"], VENUE);
    assert_eq!(idle["venues"][0]["messages"], 3000);
    assert_eq!(idle["venues"][0]["gaps"], 0);

    let holder = Holder::of(&db);
    let busy = status(&db);
    assert_eq!(busy["process"]["pid"], holder.live.pid());
    assert_eq!(busy["process"]["command"], "load");
    let run = db.run(["status"]).ok();
    assert!(run.stdout.contains("load"), "{run}");
    holder.finish().ok();
}

#[test]
fn a_load_that_waits_for_input_ends_when_asked_to() {
    for signal in [Signal::INT, Signal::TERM] {
        let db = Db::new();
        let capture = synthetic::capture(84, 1_000);
        for lines in [0, 500] {
            let mut holder = Holder::of(&db);
            let mut bytes = join_lines(&capture.lines[..lines]);
            if lines > 0 {
                // And half a line more.
                bytes.extend_from_slice(&capture.lines[lines].as_bytes()[..40]);
            }
            holder.stdin.write_all(&bytes).unwrap();
            holder.stdin.flush().unwrap();
            let pid = Pid::from_raw(holder.live.pid().cast_signed()).unwrap();
            kill_process(pid, signal).unwrap();
            let asked = Instant::now();
            holder.live.finish().exits(130);
            assert!(asked.elapsed() < Duration::from_secs(2));
        }
        assert_eq!(db.count("SELECT count(*) FROM dead_letters"), 0);
        let file = db.write("all.txt", &capture.bytes());
        load(&db, &file).ok();
        assert_eq!(keyed_rows(&db), capture.rows());
        db.assert_sound();
    }
}
