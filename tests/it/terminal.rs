//! The shell as a person sees it: in a pseudo-terminal, 80 and 140 columns wide.

use std::fs;

use crate::harness::{Db, Live, poll};
use crate::pty::Terminal;
use crate::synthetic::{self, SYMBOL, VENUE, load};

pub(crate) const WIDTHS: [u16; 2] = [80, 140];

/// A database with a little in it.
pub(crate) fn filled() -> Db {
    let db = Db::new();
    let file = db.write("capture.txt", &synthetic::capture(7, 3_000).bytes());
    load(&db, &file).ok();
    db
}

/// Compares the screen with its snapshot.
fn seen(terminal: &Terminal, name: &str, columns: u16) {
    insta::assert_snapshot!(format!("{name}-{columns}"), terminal.text());
}

#[test]
fn tab_completes_tables_columns_values_and_calls() {
    let db = filled();
    for columns in WIDTHS {
        let mut terminal = Terminal::shell(&db, columns);
        // Each Tab alone: the line then holds the whole word.
        terminal.completes("from trades select pric", "select price");
        terminal.completes(", si", "side");
        terminal.completes("z", "price, size");
        terminal.completes(" where symb", "where symbol");
        terminal.completes(" = 'TES", "= 'TESTUSDT'");
        terminal.keys(" order by seq limit 2;\r");
        terminal.awaits("2 rows");
        terminal.line("with x as (select 1 as one) select * from x;");
        terminal.keys("from ohlcv(");
        terminal.completes("'TES", "ohlcv('TESTUSDT'");
        terminal.completes(", '1 mi", "'1 minute'");
        terminal.completes(") where vw", "where vwap");
        terminal.keys("\x03");
        terminal.awaits_screen("an empty prompt", |text| text.ends_with('>'));
        terminal.line(".timer of\t");
        terminal.line(".timer");
        seen(&terminal, "completion", columns);
        terminal.leave();
    }
}

#[test]
fn an_error_names_its_place_and_what_was_meant() {
    let db = filled();
    for columns in WIDTHS {
        let mut terminal = Terminal::shell(&db, columns);
        for line in [
            "select prise from trades;",
            "from trade;",
            "from ohlcv;",
            "from trades where symbol = TESTUSDT;",
            "select arg_maxx(1, 2);",
            ".tabels",
            ".help ohlvc",
            "from _;",
        ] {
            terminal.line(line);
        }
        seen(&terminal, "errors", columns);
        terminal.leave();
    }
}

#[test]
fn the_last_result_parameters_and_saved_queries_serve_the_next() {
    let db = filled();
    for columns in WIDTHS {
        let mut terminal = Terminal::shell(&db, columns);
        terminal.line("select side, count(*) as n from trades group by all order by side;");
        terminal.line("select sum(n) as n from _;");
        terminal.line("select n + 1 as more from _;");
        terminal.line(&format!(".param set sym {SYMBOL}"));
        terminal.line("select distinct symbol from trades where symbol = $sym;");
        terminal.line(".param");
        terminal.line(".mode csv");
        terminal.line(".once one.csv");
        terminal.line("select 1 as a;");
        terminal.line(".once |tr a-z A-Z");
        terminal.line("select 'loud' as word;");
        terminal.line(".run nothing");
        terminal.line(".describe");
        seen(&terminal, "last", columns);
        // What was exported is the last result, too.
        terminal.line(".export two.csv select 2 as b");
        terminal.line("select b + 40 as sum from _;");
        terminal.awaits("sum\n42\n");
        terminal.line("select 41 + 1 as answer;");
        terminal.line(".save answer");
        terminal.line(".run answer");
        terminal.awaits("answer\n42\n");
        // A command is waited for, also on leaving.
        terminal.line(".output |cat > late.csv; sleep 0.5; echo done >> late.csv");
        terminal.line("select 3 as c;");
        terminal.leave();
        for (file, text) in [
            ("one.csv", "a\n1\n"),
            ("two.csv", "b\n2\n"),
            ("late.csv", "c\n3\ndone\n"),
        ] {
            assert_eq!(fs::read_to_string(db.beside(file)).unwrap(), text);
        }
    }
}

#[test]
fn pictures_fill_the_terminal() {
    let db = filled();
    for columns in WIDTHS {
        let mut terminal = Terminal::shell(&db, columns);
        terminal.line(".plot select ts, price from trades order by ts");
        terminal.awaits("UTC");
        seen(&terminal, "plot_line", columns);
        terminal.clear();
        terminal.line(&format!(
            ".plot from ohlcv('{SYMBOL}', '5 seconds') order by ts"
        ));
        seen(&terminal, "plot_candles", columns);
        terminal.clear();
        terminal.line("select spark([1, 5, 22, 13, 53, null, 2]) as spark;");
        terminal.line(".plot select 'x' as nothing");
        terminal
            .line(".plot --to spread.svg select ts, ask_price - bid_price as spread from quotes");
        seen(&terminal, "plot_svg", columns);
        terminal.leave();
        assert!(
            fs::read_to_string(db.beside("spread.svg"))
                .unwrap()
                .starts_with("<svg ")
        );
    }
}

#[test]
fn help_tells_of_commands_functions_macros_and_tables() {
    let db = filled();
    for columns in WIDTHS {
        let mut terminal = Terminal::shell(&db, columns);
        terminal.line("help");
        seen(&terminal, "help", columns);
        terminal.clear();
        terminal.line(".help .plot");
        terminal.line("help spark");
        terminal.line(".help time_bucket");
        seen(&terminal, "help_of", columns);
        terminal.keys("exit\r");
        terminal.leave_when_done();
    }
}

#[test]
fn the_prompt_shows_an_open_transaction_and_what_is_open() {
    let db = filled();
    let mut terminal = Terminal::shell(&db, 80);
    terminal.keys("begin;\r");
    terminal.awaits("mdb db*>");
    terminal.keys("select (1,\r");
    terminal.awaits("(>");
    terminal.keys("2) as pair;\r");
    terminal.awaits("(1, 2)");
    terminal.keys("rollback;\r");
    terminal.awaits_screen("the plain prompt", |text| text.ends_with("mdb db>"));
    seen(&terminal, "transaction", 80);
    terminal.leave();
}

#[test]
fn a_transaction_that_an_error_has_spoilt_says_so_at_its_end_here_and_in_another_process() {
    let db = filled();
    let spoil = |terminal: &mut Terminal| {
        for line in [
            "create temp table mine (i int not null);",
            "begin;",
            "insert into mine values (7);",
            "insert into mine values (null);",
        ] {
            terminal.line(line);
        }
        terminal.keys("commit;\r");
        terminal.awaits("error: nothing was committed");
        terminal.awaits_screen("the plain prompt", |text| {
            text.ends_with('>') && !text.ends_with("*>")
        });
        terminal.line("select count(*) || ' left' as mine from mine;");
        terminal.awaits("0 left");
    };
    let mut terminal = Terminal::shell(&db, 140);
    spoil(&mut terminal);
    terminal.leave();
    let (live, stdin) = Live::spawn_fed(db.load_command(VENUE, SYMBOL, ["-"]));
    poll("mdb.sock", || db.dir().join("mdb.sock").exists());
    let mut terminal = Terminal::start(db.command(), 140);
    terminal.awaits("mdb db attached>");
    spoil(&mut terminal);
    terminal.leave();
    drop(stdin);
    live.finish().ok();
}

#[test]
fn a_result_fits_the_window_it_has_now() {
    let db = filled();
    let mut terminal = Terminal::shell(&db, 140);
    terminal.line("from trades order by seq limit 1;");
    assert!(
        terminal.text().contains("1 of 10 columns not shown"),
        "{}",
        terminal.text()
    );
    terminal.resize(60, 40);
    terminal.clear();
    terminal.line("from trades order by seq limit 1;");
    let text = terminal.text();
    assert!(
        text.contains("columns not shown") && !text.contains("1 of 10"),
        "{text}"
    );
    let table = text
        .lines()
        .filter(|line| line.starts_with(['│', '┌', '└']));
    assert!(
        table.clone().count() > 3 && table.clone().all(|line| line.chars().count() <= 60),
        "{text}"
    );
    terminal.leave();
}

#[test]
fn a_script_of_500_lines_can_be_pasted() {
    let db = filled();
    let mut terminal = Terminal::shell(&db, 80);
    let mut lines: Vec<String> = (0..500).map(|i| format!("select {i} as line;")).collect();
    lines.insert(0, ".mode csv".to_owned());
    lines.extend([
        "-- now the last".to_owned(),
        ".mode line".to_owned(),
        "select 500 as line;".to_owned(),
    ]);
    // As terminals paste.
    terminal.keys(&format!("\x1b[200~{}\x1b[201~\r", lines.join("\r")));
    terminal.awaits("\n499\nline = 500\n");
    terminal.leave();
}

#[test]
fn a_query_stops_at_ctrl_c_and_the_shell_goes_on() {
    let db = filled();
    let mut terminal = Terminal::shell(&db, 80);
    terminal.keys("select max(hash(a.range, b.range)) from range(1000000) a, range(1000000) b;\r");
    // The line has been taken once the cursor stands below it.
    std::thread::sleep(std::time::Duration::from_millis(300));
    terminal.interrupt();
    terminal.awaits("interrupted");
    terminal.line("select 42 as answer;");
    terminal.awaits("42");
    terminal.leave();
}

#[test]
fn watching_repaints_in_place_until_q() {
    let db = filled();
    let mut terminal = Terminal::shell(&db, 80);
    terminal.keys(".watch 100ms select 'a' as name, nextval('s') as n\r");
    terminal.awaits("does not exist");
    terminal.line("create temp sequence s;");
    terminal.clear();
    terminal.keys(".watch 100ms select 'a' as name, nextval('s') as n\r");
    terminal.awaits("run 5");
    let text = terminal.text();
    assert_eq!(
        text.matches("name").count(),
        2,
        "one table, painted over:\n{text}"
    );
    assert!(text.contains('*') && text.contains("1 changed"), "{text}");
    terminal.keys("q");
    terminal.awaits_screen("the prompt", |text| text.ends_with("mdb db>"));
    terminal.leave();
}

#[test]
fn attached_to_a_capture_rows_and_books_are_followed() {
    let db = filled();
    let (live, stdin) = Live::spawn_fed(db.load_command(VENUE, SYMBOL, ["-"]));
    poll("mdb.sock", || db.dir().join("mdb.sock").exists());
    for columns in WIDTHS {
        let mut terminal = Terminal::start(db.command(), columns);
        terminal.awaits("mdb db attached>");
        terminal.completes("from trades where symbol = 'TES", "'TESTUSDT'");
        terminal.keys("\x03");
        terminal.awaits_screen("an empty prompt", |text| text.ends_with('>'));
        terminal.clear();
        terminal.line("select count(*) > 0 as yes from trades;");
        terminal.line("select not yes as no from _;");
        terminal.line(&format!(".param set sym {SYMBOL}"));
        terminal.line("select count(*) > 0 as yes from trades where symbol = $sym;");
        seen(&terminal, "attached", columns);
        terminal.clear();
        terminal.keys(&format!(".book {SYMBOL}\r"));
        terminal.awaits("live · q ends");
        seen(&terminal, "book", columns);
        terminal.keys("q");
        terminal.awaits_screen("the prompt", |text| text.ends_with("mdb db attached>"));
        terminal.clear();
        terminal.line(&format!(".tail trades {SYMBOL}"));
        let text = terminal.text();
        assert!(
            text.contains("trade_id") && text.matches(SYMBOL).count() > 10,
            "{text}"
        );
        terminal.leave();
    }
    drop(stdin);
    live.finish().ok();
}

#[test]
fn the_book_of_a_moment_is_stepped_through() {
    let db = filled();
    let mut terminal = Terminal::shell(&db, 80);
    terminal.keys(&format!(".book {SYMBOL} --at '2024-08-09 00:00:30'\r"));
    terminal.awaits("step a second");
    let before = terminal.text();
    terminal.keys("\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D");
    terminal.awaits_screen("another moment", |text| {
        *text != before && text.contains("step a second")
    });
    terminal.keys("q");
    terminal.awaits_screen("the prompt", |text| text.ends_with("mdb db>"));
    terminal.line(".book TESTUSD");
    terminal.awaits("did you mean TESTUSDT?");
    terminal.leave();
}

#[test]
fn a_book_is_repainted_in_its_place_where_its_lines_are_wider_than_the_window() {
    let db = filled();
    let mut terminal = Terminal::shell(&db, 40);
    terminal.keys(&format!(".book {SYMBOL} --at '2024-08-09 00:00:30'\r"));
    terminal.awaits("q ends");
    let before = terminal.text();
    terminal.keys("\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D");
    terminal.awaits_screen("another moment", |text| {
        *text != before && text.contains("q ends")
    });
    let text = terminal.text();
    assert_eq!(text.matches(&format!("{SYMBOL} · ")).count(), 1, "{text}");
    terminal.keys("q");
    terminal.awaits_screen("the prompt", |text| text.ends_with("mdb db>"));
    terminal.leave();
}

#[test]
fn a_book_has_the_time_of_the_last_message_in_it_and_not_of_its_snapshots_receipt() {
    let db = Db::new();
    let file = db.write("capture.txt", &synthetic::capture(7, 60).bytes());
    load(&db, &file).ok();
    // As where what was recorded is played back: updates have the venue's times, a snapshot that of its receipt.
    let later = "UPDATE hot.book_deltas SET ts = ts + INTERVAL 1 hour WHERE is_snapshot";
    db.run(["sql", "--write", later]).ok();
    let book = format!("FROM book_at('{SYMBOL}', '2262-01-01', NULL)");
    let last = db.value(&format!("SELECT arg_max(ts, seq)::VARCHAR {book}"));
    assert_ne!(
        db.value(&format!("SELECT max(ts)::VARCHAR {book}")),
        last,
        "the snapshot has the latest time"
    );
    let mut terminal = Terminal::shell(&db, 80);
    terminal.keys(&format!(".book {SYMBOL}\r"));
    terminal.awaits("q ends");
    let header = format!("{SYMBOL} · {VENUE} · {last} UTC");
    assert!(terminal.text().contains(&header), "{}", terminal.text());
    terminal.keys("q");
    terminal.awaits_screen("the prompt", |text| text.ends_with("mdb db>"));
    terminal.leave();
}

#[test]
fn an_error_is_underlined_in_a_narrow_window() {
    let db = filled();
    let mut terminal = Terminal::shell(&db, 60);
    terminal.line(&format!("select '{}', nope;", "x".repeat(90)));
    let text = terminal.text();
    let lines: Vec<&str> = text.lines().collect();
    let under = lines.iter().position(|line| line.trim() == "^^^^").unwrap();
    // What goes past the edge would be one longer line here.
    let (shown, carets) = (lines[under - 1], lines[under]);
    assert!(
        shown.chars().count() <= 60 && carets.chars().count() <= 60,
        "{text}"
    );
    let place = carets.chars().take_while(|c| *c == ' ').count();
    let marked: String = shown.chars().skip(place).collect();
    assert_eq!(marked, "nope;", "{text}");
    terminal.leave();
}

#[test]
fn an_editor_changes_the_last_query_and_a_pager_shows_the_last_result() {
    use std::os::unix::fs::PermissionsExt;
    let db = filled();
    let editor = db.write("editor.sh", b"#!/bin/sh\nsed -i 's/40/41/' \"$1\"\n");
    fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).unwrap();
    let scratch = db.beside("scratch");
    fs::create_dir(&scratch).unwrap();
    let scratch = scratch.to_str().unwrap();
    let set = [
        ("EDITOR", editor.to_str().unwrap()),
        ("PAGER", "cat"),
        ("TMPDIR", scratch),
    ];
    let mut terminal = Terminal::start_with(db.command(), 80, &set);
    terminal.awaits("mdb db>");
    terminal.clear();
    terminal.line("select 40 + 1 as sum;");
    terminal.line(".edit");
    terminal.awaits("42");
    // While it runs, the file that was edited is gone.
    terminal.line(&format!(
        ".edit select 'left: ' || (40 + count(*)) as files from glob('{scratch}/*');"
    ));
    terminal.awaits("left: 41");
    terminal.line("select 'x' || range as wide from range(100);");
    terminal.awaits("… 69 rows");
    terminal.line(".last");
    terminal.awaits("x68");
    terminal.leave();
}

#[test]
fn completions_for_the_systems_shells_are_printed() {
    let db = Db::none();
    for shell in ["bash", "zsh", "fish"] {
        let run = db.run(["completions", shell]).ok();
        for word in ["compact", "rebuild", "--format"] {
            assert!(
                run.stdout.contains(word.trim_start_matches('-')),
                "{shell}: no {word}"
            );
        }
    }
    assert!(!db.dir().exists(), "it needs no database");
    let help = db.run(["--help"]).ok().stdout;
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // What is indented further goes on with the line above.
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        let help = db.run([command, "--help"]).ok().stdout;
        assert!(
            help.contains("Example"),
            "mdb {command} --help has no example\n{help}"
        );
    }
}

#[test]
fn parameters_are_given_on_the_command_line() {
    let db = filled();
    let run = db.run([
        "sql",
        "--format",
        "csv",
        "--param",
        "sym=TESTUSDT",
        "--param",
        "n=2",
        "SELECT DISTINCT symbol, $n + 1 FROM trades WHERE symbol = $sym",
    ]);
    assert_eq!(run.ok().stdout, "symbol,($n + 1)\nTESTUSDT,3\n");
    // Words of SQL, and values that would be SQL without quotes.
    let run = db.run([
        "sql",
        "--format",
        "csv",
        "--param",
        "from=2024-08-08",
        "--param",
        "order=-inf",
        "--param",
        "end='a'; DROP TABLE mine; --'",
        "SELECT $from AS a, $order AS b, $end AS c",
    ]);
    assert_eq!(
        run.ok().stdout,
        "a,b,c\n2024-08-08,-inf,'a'; DROP TABLE mine; --'\n"
    );
    db.run(["sql", "--param", "1x=2", "SELECT 1"]).exits(2);
    db.run(["sql", "SELECT $nothing"])
        .fails_naming(&["nothing"]);
    // The same through a process that has the database open.
    let (live, stdin) = Live::spawn_fed(db.load_command(VENUE, SYMBOL, ["-"]));
    poll("mdb.sock", || db.dir().join("mdb.sock").exists());
    let run = db.run([
        "sql",
        "--format",
        "csv",
        "--param",
        "word=it's",
        "SELECT $word AS word",
    ]);
    assert_eq!(run.ok().stdout, "word\nit's\n");
    drop(stdin);
    live.finish().ok();
}
