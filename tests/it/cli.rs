//! What a person or a script sees of `mdb sql` and of the command line as a whole.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use arrow::ipc::reader::{FileReader, StreamReader};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::harness::{Db, Live, Run, poll};
use crate::synthetic;

const SMALL: &str = "SELECT * FROM (VALUES (1, 'x', 1.5::DOUBLE), (2, NULL, NULL), (3, 'a,\"b\"', 0.1::DOUBLE)) t(id, name, price)";

fn formatted(db: &Db, format: &str) -> String {
    let run = db.run(["sql", "--format", format, SMALL]).ok();
    assert_eq!(
        run.stderr, "",
        "data goes to stdout, and nothing else is to be said"
    );
    assert!(
        !run.stdout.contains('\x1b'),
        "no colour where there is no terminal: {:?}",
        run.stdout
    );
    run.stdout
}

/// JSON without the spaces that an encoder is free to put; no text of these tests holds one.
fn dense(json: &str) -> String {
    json.chars().filter(|c| !c.is_whitespace()).collect()
}

#[test]
fn csv_quotes_what_must_be_quoted_and_leaves_nulls_empty() {
    let db = Db::new();
    assert_eq!(
        formatted(&db, "csv"),
        "id,name,price\n1,x,1.5\n2,,\n3,\"a,\"\"b\"\"\",0.1\n"
    );
}

#[test]
fn json_is_one_array_of_objects() {
    let db = Db::new();
    assert_eq!(
        dense(&formatted(&db, "json")),
        r#"[{"id":1,"name":"x","price":1.5},{"id":2,"name":null,"price":null},{"id":3,"name":"a,\"b\"","price":0.1}]"#
    );
    let empty = db
        .run(["sql", "--format", "json", "SELECT 1 AS a WHERE false"])
        .ok();
    assert_eq!(dense(&empty.stdout), "[]");
}

#[test]
fn ndjson_is_one_object_a_line() {
    let db = Db::new();
    let lines: Vec<String> = formatted(&db, "ndjson").lines().map(dense).collect();
    assert_eq!(
        lines,
        [
            r#"{"id":1,"name":"x","price":1.5}"#,
            r#"{"id":2,"name":null,"price":null}"#,
            r#"{"id":3,"name":"a,\"b\"","price":0.1}"#,
        ]
    );
    let empty = db
        .run(["sql", "--format", "ndjson", "SELECT 1 AS a WHERE false"])
        .ok();
    assert_eq!(empty.stdout, "");
}

#[test]
fn markdown_is_a_table_that_renders() {
    let db = Db::new();
    let text = formatted(&db, "markdown");
    let cells = |line: &str| -> Vec<String> {
        let inner = line
            .strip_prefix('|')
            .and_then(|line| line.strip_suffix('|'));
        let inner = inner.unwrap_or_else(|| panic!("no table row: {line:?}"));
        inner
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert_eq!(cells(lines[0]), ["id", "name", "price"]);
    for rule in cells(lines[1]) {
        assert!(
            rule.contains("--") && rule.chars().all(|c| "-:".contains(c)),
            "no rule below the header: {text}"
        );
    }
    assert_eq!(cells(lines[2]), ["1", "x", "1.5"]);
    assert_eq!(cells(lines[4]), ["3", "a,\"b\"", "0.1"]);
    // A bar in a value must not make another column.
    let barred = db
        .run(["sql", "--format", "markdown", "SELECT 'a|b' AS c"])
        .ok();
    assert!(barred.stdout.contains(r"a\|b"), "{barred}");
}

#[test]
fn line_is_one_value_a_line() {
    let db = Db::new();
    let text = formatted(&db, "line");
    let pairs: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect();
    assert_eq!(pairs.len(), 9, "{text}");
    assert_eq!(pairs[..3], [("id", "1"), ("name", "x"), ("price", "1.5")]);
    assert_eq!(pairs[7], ("name", "a,\"b\""));
}

#[test]
fn table_shows_header_and_values() {
    let db = Db::new();
    let text = formatted(&db, "table");
    let header = text.lines().find(|line| line.contains("price")).unwrap();
    assert!(header.contains("id") && header.contains("name"), "{text}");
    for value in ["1.5", "x", "a,\"b\"", "0.1"] {
        assert!(text.contains(value), "{value} is missing:\n{text}");
    }
}

#[test]
fn arrow_and_parquet_files_are_read_back_by_their_own_libraries() {
    let db = Db::new();
    let query = "SELECT range AS n, 'row ' || range AS name, make_timestamp_ns(1723161600000000001 + range) AS ts FROM range(100000)";
    let file = |format: &str| {
        let path = db.beside(&format!("out.{format}"));
        let run = db
            .run([
                "sql",
                "--format",
                format,
                "-o",
                path.to_str().unwrap(),
                query,
            ])
            .ok();
        assert_eq!(run.stdout, "", "the data went to the file");
        path
    };
    let parquet = fs::File::open(file("parquet")).unwrap();
    let batches = ParquetRecordBatchReaderBuilder::try_new(parquet)
        .unwrap()
        .build()
        .unwrap();
    let rows: usize = batches.map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 100_000);

    let bytes = fs::read(file("arrow")).unwrap();
    let rows: usize = if bytes.starts_with(b"ARROW1") {
        let reader = FileReader::try_new(std::io::Cursor::new(bytes), None).unwrap();
        reader.map(|batch| batch.unwrap().num_rows()).sum()
    } else {
        let reader = StreamReader::try_new(&bytes[..], None).unwrap();
        reader.map(|batch| batch.unwrap().num_rows()).sum()
    };
    assert_eq!(rows, 100_000);
}

#[test]
fn times_keep_their_nanoseconds_in_every_text_format() {
    let db = Db::new();
    for format in ["csv", "json", "ndjson", "markdown", "line", "table"] {
        let query = "SELECT make_timestamp_ns(1723161253937085768) AS ts";
        let run = db.run(["sql", "--format", format, query]).ok();
        assert!(run.stdout.contains("23:54:13.937085768"), "{format}: {run}");
    }
}

/// The caret's line, and what stands above the caret.
fn assert_caret(run: &Run, word: &str) {
    let lines: Vec<&str> = run.stderr.lines().collect();
    let caret = lines.iter().position(|line| {
        line.contains('^')
            && line
                .chars()
                .all(|c| c == '^' || c == '~' || c.is_whitespace() || c == '|')
    });
    let Some(caret) = caret.filter(|at| *at > 0) else {
        panic!("no caret\n{run}");
    };
    let column = lines[caret].chars().position(|c| c == '^').unwrap();
    let above: String = lines[caret - 1].chars().skip(column).collect();
    assert!(
        above.starts_with(word),
        "the caret points at {above:?}, not {word:?}\n{run}"
    );
}

#[test]
fn an_error_has_a_caret_at_its_place() {
    let db = Db::new();
    let run = db.run(["sql", "SELECT price, sise FROM trades"]).exits(1);
    assert_eq!(run.stdout, "");
    assert_caret(&run, "sise");
    let run = db
        .run([
            "sql",
            "SELECT price\nFROM trades\nWHERE symbol == 'A' ORDER price",
        ])
        .exits(1);
    assert_caret(&run, "price");
    let run = db
        .run(["sql", "SELECT * FROM no_such_table"])
        .fails_naming(&["no_such_table"]);
    assert_caret(&run, "no_such_table");
    // Letters of several bytes before the place must not move the caret.
    let run = db
        .run(["sql", "SELECT 'äöü€' AS größe, sise FROM trades"])
        .exits(1);
    assert_caret(&run, "sise");
}

#[test]
fn columns_that_arrow_has_no_type_for_are_written_as_text() {
    let db = Db::new();
    let asked = "SELECT 1 AS one, {'b': 2}::VARIANT AS v, 'POINT(1 2)'::GEOMETRY AS g";
    let run = db.run(["sql", "--format", "csv", asked]).ok();
    assert_eq!(run.stdout, "one,v,g\n1,{'b': 2},POINT (1 2)\n");
}

#[test]
fn a_file_of_statements_runs_in_order_and_an_error_names_file_and_line() {
    let db = Db::new();
    let good = db.write(
        "good.sql",
        b"-- two answers; one comment\nSELECT 1 AS one;\n\nSELECT 'a;b' AS two;\n",
    );
    let run = db
        .run(["sql", "--format", "csv", "-f", good.to_str().unwrap()])
        .ok();
    let (first, second) = (run.stdout.find("one\n1"), run.stdout.find("two\na;b"));
    assert!(first.is_some() && first < second, "{run}");

    let bad = db.write(
        "bad.sql",
        b"SELECT 1 AS one;\n\nSELECT\n  nope\nFROM trades;\nSELECT 2 AS two;\n",
    );
    let run = db.run(["sql", "--format", "csv", "-f", bad.to_str().unwrap()]);
    let run = run.fails_naming(&["bad.sql:4", "nope"]);
    assert!(
        !run.stdout.contains("two"),
        "a script stops at its first error\n{run}"
    );

    let unreadable = db.write("unreadable.sql", b"SELECT 1;\nSELEC 2;\n");
    db.run(["sql", "-f", unreadable.to_str().unwrap()])
        .fails_naming(&["unreadable.sql:2"]);
    db.run(["sql", "-f", "no_such_file.sql"])
        .fails_naming(&["no_such_file.sql"]);
}

#[test]
fn statements_come_from_stdin_too() {
    use std::io::Write as _;
    let db = Db::new();
    let mut command = db.command();
    command.args(["sql", "--format", "csv"]);
    let (live, mut stdin) = Live::spawn_fed(command);
    stdin.write_all(b"SELECT 40 + 2 AS answer;\n").unwrap();
    drop(stdin);
    assert_eq!(live.finish().ok().stdout, "answer\n42\n");
}

#[test]
fn a_dash_is_standard_input_or_output_and_no_file() {
    use std::io::Write as _;
    let db = Db::new();
    let elsewhere = db.beside("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let kept = elsewhere.join("kept.csv");
    fs::write(&kept, "before\n").unwrap();
    for output in ["-", "/dev/stdout"] {
        let mut command = db.command();
        command.args(["sql", "--format", "csv", "-f", "-", "-o", output]);
        // As `>> kept.csv` of a shell.
        let end = fs::File::options().append(true).open(&kept).unwrap();
        let mut child = command
            .current_dir(&elsewhere)
            .stdin(Stdio::piped())
            .stdout(end)
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"SELECT 40 + 2 AS answer;\n").unwrap();
        drop(stdin);
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(
        fs::read_to_string(&kept).unwrap(),
        "before\nanswer\n42\nanswer\n42\n"
    );
    assert_eq!(elsewhere.read_dir().unwrap().count(), 1);
}

#[test]
fn writing_needs_to_be_asked_for() {
    let db = Db::new();
    let capture = synthetic::capture(41, 300);
    let file = db.write("few.txt", &capture.bytes());
    db.load(synthetic::VENUE, synthetic::SYMBOL, [&file]).ok();
    let before = db.checksums();
    for statement in [
        "INSERT INTO hot.trades SELECT * FROM hot.trades",
        "DELETE FROM hot.trades",
        "CREATE TABLE mine AS SELECT 1 AS a",
        "DROP VIEW trades",
        "WITH gone AS (DELETE FROM hot.trades RETURNING *) SELECT count(*) FROM gone",
    ] {
        db.run(["sql", statement]).exits(1).says(&["--write"]);
    }
    // COPY changes no database: it may write where the user says.
    let copy = db.beside("copy.csv");
    let statement = format!("COPY (SELECT 1 AS a) TO '{}'", copy.display());
    db.run(["sql", &statement]).ok();
    assert_eq!(std::fs::read_to_string(copy).unwrap(), "a\n1\n");
    assert_eq!(db.checksums(), before);

    db.run(["sql", "--write", "CREATE TABLE mine AS SELECT 7 AS a"])
        .ok();
    assert_eq!(db.value("SELECT a FROM mine"), "7");
}

#[test]
fn a_transaction_that_is_left_open_is_no_success() {
    let db = Db::new();
    let write = |script: &str| db.run(["sql", "--write", script]);
    write("CREATE TABLE mine (a INT)").ok();
    write("BEGIN; INSERT INTO mine VALUES (1)")
        .exits(1)
        .says(&["not committed", "COMMIT"]);
    assert_eq!(db.count("SELECT count(*) FROM mine"), 0);
    write("BEGIN; INSERT INTO mine VALUES (1); COMMIT").ok();
    write("BEGIN; DELETE FROM mine; ROLLBACK").ok();
    assert_eq!(db.count("SELECT count(*) FROM mine"), 1);
}

#[test]
fn a_failed_query_leaves_no_output_file() {
    let db = Db::new();
    let out = db.beside("out.csv");
    // Fails after many rows have been written.
    let query = "SELECT if(range = 3000000, error('boom'), 'row') AS a FROM range(4000000)";
    for format in ["csv", "parquet"] {
        let before = listing(db.dir().parent().unwrap());
        let run = db.run([
            "sql",
            "--format",
            format,
            "-o",
            out.to_str().unwrap(),
            query,
        ]);
        run.fails_naming(&["boom"]);
        assert!(!out.exists(), "{format}: half a file");
        let left: Vec<_> = listing(db.dir().parent().unwrap());
        let new: Vec<_> = left
            .iter()
            .filter(|name| !before.contains(name) && *name != "db")
            .collect();
        assert!(new.is_empty(), "{format}: left behind {new:?}");
    }
    fs::write(&out, "yesterday's answer").unwrap();
    db.run(["sql", "--format", "csv", "-o", out.to_str().unwrap(), query])
        .exits(1);
    assert_eq!(fs::read_to_string(&out).unwrap(), "yesterday's answer");
    db.run([
        "sql",
        "--format",
        "csv",
        "-o",
        out.to_str().unwrap(),
        "SELECT 1 AS a",
    ])
    .ok();
    assert_eq!(fs::read_to_string(&out).unwrap(), "a\n1\n");

    let nowhere = db.beside("no_such_directory/out.csv");
    db.run(["sql", "-o", nowhere.to_str().unwrap(), "SELECT 1"])
        .fails_naming(&["no_such_directory"]);
}

/// The names in a directory, without the state a shell would keep.
fn listing(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| name != "state" && name != "config")
        .collect()
}

/// Runs a command for a reader that is gone after the first line, as `head -1` is: it ends well, without a word. Returns
/// the line.
#[track_caller]
fn read_a_line_and_leave(mut command: Command) -> String {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    // The reader is gone with this statement.
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{command:?}");
    assert_eq!(output.status.code(), Some(0), "{command:?}");
    first
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let db = Db::new();
    for format in ["csv", "ndjson"] {
        let mut command = db.command();
        command.args(["sql", "--format", format, "SELECT * FROM range(1000000000)"]);
        let first = read_a_line_and_leave(command);
        assert!(first.contains("range"), "{first:?}");
    }
}

#[test]
fn a_reader_that_has_gone_is_no_error_of_any_command() {
    let db = Db::new();
    let file = db.write("capture.txt", &synthetic::capture(11, 500).bytes());
    let assert_quiet = |args: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = db.command();
        command.args(args).stdin(Stdio::null()).stdout(writer);
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
        assert_eq!(output.status.code(), Some(0), "{args:?}");
    };
    let twice = file.to_str().unwrap();
    let (venue, symbol) = (synthetic::VENUE, synthetic::SYMBOL);
    let load = [
        "load", "--as", "capture", "--venue", venue, "--symbol", symbol, twice, twice,
    ];
    for args in [
        &load[..],
        // Now each of the files has something to say.
        &load,
        &["build"],
        &["status"],
        &["status", "--format", "json"],
        &["tables"],
        &["models"],
        &["lineage"],
        &["history"],
        &["test"],
        &["sql", "--explain-model", "ohlcv_1m"],
        &["help"],
        &["help", "macros"],
        &["help", "ohlcv"],
        &["completions", "bash"],
        &["new", "view", "mine"],
        &["seal", "--all"],
        &["compact", "--all"],
        &["retain", "--table", "trades", "--keep", "30 days"],
        &["rebuild"],
        &["doctor"],
    ] {
        assert_quiet(args);
    }

    // One that goes after the first line, as `head -1` does.
    let mut command = db.command();
    command.arg("status");
    let first = read_a_line_and_leave(command);
    assert!(first.contains("no process"), "{first:?}");

    // What a process says of itself.
    let (live, stdin) = Live::spawn_fed(db.load_command(venue, symbol, ["-"]));
    poll("mdb.sock", || db.dir().join("mdb.sock").exists());
    assert_quiet(&["status"]);
    assert_quiet(&["status", "--format", "json"]);
    drop(stdin);
    live.finish().ok();
}

#[test]
fn a_file_holds_one_result_where_its_format_does() {
    let db = Db::new();
    let two = "SELECT 1 AS a; SELECT 2 AS b";
    let ask = |query: &str, name: &str| {
        let path = db.beside(name);
        db.run(["sql", query, "-o", path.to_str().unwrap()])
    };
    for ending in [
        "csv", "tsv", "json", "md", "html", "tex", "arrow", "parquet",
    ] {
        let name = format!("out.{ending}");
        ask(two, &name).fails_naming(&["one result"]);
        assert!(!db.beside(&name).exists(), "{name}");
        // What answers nothing is no result.
        ask("SET VARIABLE a = 1; SELECT 2 AS b", &name).ok();
    }
    for name in ["out.ndjson", "out.sql", "out.txt"] {
        ask(two, name).ok();
        let text = fs::read_to_string(db.beside(name)).unwrap();
        assert!(text.contains('1') && text.contains('2'), "{name}: {text}");
    }
    let run = db.run(["sql", "--format", "csv", two]).ok();
    assert_eq!(run.stdout, "a\n1\nb\n2\n");
}

#[test]
fn a_file_name_that_asks_for_no_format_is_refused() {
    let db = Db::new();
    let ask = |name: &str, more: &[&str]| {
        let path = db.beside(name);
        let mut args = vec!["sql", "SELECT 1 AS a", "-o", path.to_str().unwrap()];
        args.extend(more);
        db.run(args)
    };
    for name in ["out.csv.gz", "out.weird"] {
        ask(name, &[])
            .exits(2)
            .says(&[name, ".parquet", "--format"]);
        assert!(!db.beside(name).exists(), "{name}");
    }
    ask("out.csv.gz", &["--format", "csv"]).ok();
    assert_eq!(
        fs::read_to_string(db.beside("out.csv.gz")).unwrap(),
        "a\n1\n"
    );
    ask("out", &[]).ok();
    ask("out.txt", &[]).ok();
}

#[test]
fn values_of_types_that_arrow_lacks_reach_its_files() {
    let db = Db::new();
    let path = db.beside("out.parquet");
    let query = "SELECT 340282366920938463463374607431768211455::UHUGEINT AS n, '10:00:00+01'::TIMETZ AS t, \
                 '2020-01-01'::TIMESTAMP_S AS s";
    db.run(["sql", query, "-o", path.to_str().unwrap()]).ok();
    let file = path.display();
    let rows = db.sql(&format!(
        "SELECT n::VARCHAR, t::VARCHAR, s::VARCHAR, typeof(s) FROM '{file}'"
    ));
    let want = [[
        "340282366920938463463374607431768211455",
        "10:00:00+01",
        "2020-01-01 00:00:00",
        "TIMESTAMP",
    ]];
    assert_eq!(rows, want);
    let big = "SELECT 170141183460469231731687303715884105727::HUGEINT AS big";
    db.run(["sql", big, "-o", path.to_str().unwrap()])
        .fails_naming(&["\"big\"", "38 digits"]);
}

#[test]
fn an_interval_in_parquet_says_what_to_make_of_it() {
    let db = Db::new();
    let path = db.beside("out.parquet");
    let ask = |query: &str| db.run(["sql", query, "-o", path.to_str().unwrap()]);
    ask("SELECT INTERVAL 1 HOUR AS i").fails_naming(&["\"i\"", "INTERVAL", "VARCHAR", "epoch("]);
    assert!(!path.exists());
    ask("SELECT epoch(INTERVAL 1 HOUR) AS i").ok();
    let read = format!("FROM '{}'", path.display());
    assert_eq!(db.value(&read), "3600.0");
}

#[test]
fn an_interrupt_ends_a_query_soon() {
    let db = Db::new();
    db.sql("SELECT 1");
    let start = |query: &str| {
        let mut command = db.command();
        command.args(["sql", "--format", "csv", query]);
        Live::spawn(command)
    };
    // One that streams rows …
    let streaming = start("SELECT range, hash(range) AS h FROM range(100000000000)");
    streaming.await_output();
    let interrupted = std::time::Instant::now();
    streaming.interrupt();
    streaming.finish().exits(130);
    assert!(interrupted.elapsed().as_secs() < 5);
    // … and one that is still computing its only row.
    if !Path::new("/proc/self/stat").exists() {
        eprintln!("skipped: no /proc to see that a query is running");
        return;
    }
    let computing =
        start("SELECT max(hash(a.range, b.range)) FROM range(1000000) a, range(1000000) b");
    poll("the query to use the processor", || {
        computing.cpu_ticks() > 50
    });
    let interrupted = std::time::Instant::now();
    computing.interrupt();
    let run = computing.finish().exits(130);
    assert!(interrupted.elapsed().as_secs() < 5, "{run}");
    assert_eq!(run.stdout, "", "no half an answer");
    db.assert_sound();
}

#[test]
fn the_database_is_found_by_flag_variable_and_default() {
    let db = Db::new();
    let by_variable = |value: &str| {
        let mut command = db.bare_command();
        command
            .env("MDB_DB", value)
            .args(["sql", "--format", "csv", "SELECT 1 AS a"]);
        Live::spawn(command).finish().ok()
    };
    // It may be mistyped: who asks is told that nothing was there.
    let said = ["no database in from_variable", "an empty one was made"];
    by_variable("from_variable").says(&said);
    assert_eq!(by_variable("from_variable").stderr, "");
    assert!(db.beside("from_variable/market.duckdb").is_file());

    let mut command = db.bare_command();
    command.args(["sql", "--format", "csv", "SELECT 1 AS a"]);
    Live::spawn(command).finish().ok();
    assert!(
        db.beside("data/market.duckdb").is_file(),
        "./data by default"
    );

    // The flag stands before or after the subcommand, and beats the variable.
    for (name, before) in [("flag_before", true), ("flag_after", false)] {
        let mut command = db.bare_command();
        command.env("MDB_DB", "not_this_one");
        if before {
            command.args(["--db", name]);
        }
        command.args(["sql", "SELECT 1"]);
        if !before {
            command.args(["--db", name]);
        }
        Live::spawn(command).finish().ok();
        assert!(db.beside(&format!("{name}/market.duckdb")).is_file());
    }
    assert!(!db.beside("not_this_one").exists());
}

#[test]
fn what_keeps_or_looks_at_a_database_makes_none() {
    let db = Db::none();
    for args in [
        &["seal"][..],
        &["compact"],
        &["rebuild"],
        &["retain", "--table", "trades", "--keep", "1 day"],
        &["build"],
        &["doctor"],
        &["doctor", "--repair"],
        &["export", "trades", "trades.csv"],
        &["export", "trades", "trades", "--as", "tardis"],
        &["history"],
        &["lineage"],
        &["models"],
        &["replay", "binance_spot", "--listen", "127.0.0.1:0"],
        &["sql", "--explain-model", "ohlcv_1m"],
        &["test"],
    ] {
        db.run(args).exits(3).says(&["no database", "--db DIR"]);
        assert!(!db.dir().exists(), "{args:?}");
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let db = Db::none();
    for args in [
        &["no_such_command"][..],
        &["sql", "--no-such-flag", "SELECT 1"],
        &["sql", "--format", "papyrus", "SELECT 1"],
        &["load"],
    ] {
        db.run(args).exits(2);
    }
    assert!(!db.dir().exists(), "a usage error makes no database");
    let help = db.run(["--help"]).ok();
    for command in [
        "load", "seal", "compact", "retain", "sql", "tables", "status", "rebuild", "doctor", "demo",
    ] {
        assert!(
            help.stdout.contains(command),
            "--help does not name {command}\n{help}"
        );
    }
    let version = db.run(["--version"]).ok();
    assert!(
        version.stdout.contains(env!("CARGO_PKG_VERSION")),
        "{version}"
    );
}

#[test]
fn help_tells_of_commands_and_of_macros() {
    let db = Db::none();
    let help = |topic: &[&str]| db.run([&["help"], topic].concat()).ok().stdout;
    assert_eq!(help(&[]), db.run(["-h"]).ok().stdout);
    assert_eq!(help(&["seal"]), db.run(["seal", "--help"]).ok().stdout);
    let all = help(&["macros"]);
    for line in [
        "vwap(sym := NULL, \"from\" := NULL, \"to\" := NULL)\n",
        "    The volume-weighted average price of all trades in a time\n",
    ] {
        assert!(all.contains(line), "{line} is not in\n{all}");
    }
    let one = help(&["vwap"]);
    assert!(one.contains("\nExample: FROM vwap('BTCUSDT'"), "{one}");
    db.run(["help", "nothing"])
        .fails_naming(&["nothing", "mdb help macros"]);
    for (topic, meant) in [("ohlvc", "ohlcv"), ("stats", "status")] {
        db.run(["help", topic])
            .fails_naming(&[format!("did you mean {meant}?").as_str()]);
    }
    assert!(!db.dir().exists(), "it needs no database");
}

#[test]
fn load_ends_with_a_summary_of_stable_labels() {
    let db = Db::new();
    let capture = synthetic::capture(42, 3_000);
    let file = db.write("capture.txt", &capture.bytes());
    let run = db.load(synthetic::VENUE, synthetic::SYMBOL, [&file]).ok();
    let figure = |label: &str| {
        let line = run
            .stdout
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(label));
        let line = line.unwrap_or_else(|| panic!("no line {label:?}\n{run}"));
        let number = line.split_whitespace().next().unwrap_or_default();
        number.replace(',', "")
    };
    assert_eq!(figure("messages "), "3000");
    assert_eq!(figure("trades"), capture.trades.to_string());
    assert_eq!(figure("quotes"), capture.quotes.to_string());
    assert_eq!(figure("book_deltas"), capture.deltas.to_string());
    assert_eq!(figure("dead letters"), "0");
    assert_eq!(figure("gaps"), "0");
    assert!(figure("seconds").parse::<f64>().unwrap() > 0.0);
    assert!(figure("messages/s").parse::<f64>().unwrap() > 0.0);
}

#[test]
fn the_demo_shows_a_market_and_ends_where_no_terminal_is() {
    let db = Db::new();
    let run = db.run(["demo"]).ok();
    for word in ["trades", "spread"] {
        assert!(
            run.stdout.to_lowercase().contains(word),
            "the demo does not show {word}\n{run}"
        );
    }
    assert!(!run.stderr.contains("ERROR"), "{run}");
}

#[test]
fn casts_of_a_files_times_heed_their_offset() {
    let db = Db::new();
    let file = db.write("times.csv", b"ts,a\n2024-08-08T10:00:00+02:00,1\n");
    let cast = format!("SELECT ts::TIMESTAMP FROM read_csv('{}')", file.display());
    assert_eq!(db.value(&cast), "2024-08-08 08:00:00");
}
