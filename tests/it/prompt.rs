//! What a person types at the prompt, waits for and looks at, in a pseudo-terminal.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::harness::{Db, Live, poll};
use crate::pty::Terminal;
use crate::synthetic::{SYMBOL, VENUE, load, trade_line};
use crate::terminal::{WIDTHS, filled};

const UP: &str = "\x1b[A";

fn seen(terminal: &Terminal, name: &str, columns: u16) {
    insta::assert_snapshot!(format!("{name}-{columns}"), terminal.text());
}

/// A capture of a trade that [`filled`] has not.
fn one_trade_more(db: &Db) -> PathBuf {
    let trade = trade_line(
        "1723161700000000000",
        "999001",
        "100.0",
        "1.0",
        "1723161700000",
    );
    db.write("more.txt", trade.as_bytes())
}

#[test]
fn history_is_of_whole_statements_across_sessions_and_can_be_searched() {
    let db = filled();
    let mut terminal = Terminal::shell(&db, 80);
    terminal.keys("select 40\r");
    terminal.awaits("->");
    terminal.keys("  + 2 as answer;\r");
    terminal.awaits("│      42 │");
    terminal.line("select 7 as seven;");
    terminal.line("select 'a' as password;");
    terminal.line("create temp secret s (type http, bearer_token 'hush');");
    terminal.leave();
    let kept = fs::read_to_string(db.beside("state/mdb/history")).unwrap();
    assert!(kept.contains("seven") && !kept.contains("hush") && !kept.contains("password"));

    for columns in WIDTHS {
        let mut terminal = Terminal::shell(&db, columns);
        terminal.keys(UP);
        terminal.awaits("select 7 as seven;");
        terminal.keys("\x15");
        terminal.clear();
        // Ctrl-R finds the one of two lines.
        terminal.keys("\x12");
        terminal.keys("answer");
        terminal.awaits("+ 2 as answer;");
        terminal.keys("\r");
        terminal.awaits("│      42 │");
        // The newest again, for the next one.
        terminal.line("select 7 as seven;");
        terminal.leave();
    }
}

#[test]
fn ctrl_c_clears_what_was_typed_and_twice_leaves_nothing_half_done() {
    let db = filled();
    let mut terminal = Terminal::shell(&db, 80);
    terminal.keys("select (1,\r");
    terminal.awaits("(>");
    terminal.keys("2");
    terminal.keys("\x03");
    terminal.awaits_screen("an empty prompt", |text| text.ends_with("mdb db>"));
    terminal.keys("\x03\x03");
    terminal.line("select 1 as one;");
    terminal.clear();
    terminal
        .keys("create temp table big as select a.range from range(1000000) a, range(1000000) b;\r");
    terminal.awaits("Ctrl-C stops it");
    terminal.interrupt();
    terminal.interrupt();
    terminal.awaits("interrupted");
    terminal.awaits_screen("the prompt", |text| text.ends_with("mdb db>"));
    assert!(!terminal.text().contains("Ctrl-C"), "{}", terminal.text());
    terminal.line("from big;");
    terminal.awaits("Table with name big does not exist");
    terminal.leave();
}

#[test]
fn more_candidates_than_the_screen_holds_ask_nothing_and_ctrl_c_goes_on() {
    let db = filled();
    let mut terminal = Terminal::shell(&db, 80);
    // Every function could follow.
    terminal.keys(".functions \t\t");
    terminal.awaits("… more");
    let text = terminal.text();
    assert!(
        !text.contains("possibilities") && !text.contains("--More--"),
        "{text}"
    );
    terminal.keys("\x03");
    terminal.awaits_screen("an empty prompt", |text| text.ends_with("mdb db>"));
    terminal.line("select 40 + 2 as answer;");
    terminal.awaits("│      42 │");
    terminal.leave();
}

#[test]
fn the_query_of_a_command_goes_on_while_a_bracket_is_open() {
    let db = filled();
    let mut terminal = Terminal::shell(&db, 80);
    terminal.keys(".export one.csv SELECT count(\r");
    terminal.awaits("(>");
    terminal.keys("  *) AS n FROM range(7);\r");
    terminal.awaits("1 row");
    terminal.leave();
    assert_eq!(fs::read_to_string(db.beside("one.csv")).unwrap(), "n\n7\n");
}

#[test]
fn a_long_query_shows_how_far_it_is_here_and_in_another_process() {
    const ASK: &str = "select count(*) as n from t, range(4000) b where hash(t.i + b.range) = 1;";
    let db = filled();
    let far = |terminal: &mut Terminal| {
        terminal.line("create temp table t as select range as i from range(2000000);");
        terminal.keys(ASK);
        terminal.keys("\r");
        terminal.awaits_screen("percent, rate and time left", |text| {
            let line = text.lines().last().unwrap_or_default();
            [" s · ", " %", "rows/s", " left"]
                .iter()
                .all(|part| line.contains(part))
        });
        terminal.interrupt();
        terminal.awaits("interrupted");
        // Before there is a prompt the terminal itself would take Ctrl-D.
        terminal.awaits_screen("a clean screen and a prompt", |text| {
            !text.contains("rows/s") && text.trim_end().ends_with('>')
        });
    };
    let mut terminal = Terminal::shell(&db, 80);
    far(&mut terminal);
    terminal.leave();
    let (live, stdin) = Live::spawn_fed(db.load_command(VENUE, SYMBOL, ["-"]));
    poll("mdb.sock", || db.dir().join("mdb.sock").exists());
    let mut terminal = Terminal::start(db.command(), 140);
    terminal.awaits("mdb db attached>");
    far(&mut terminal);
    terminal.leave();
    drop(stdin);
    live.finish().ok();
}

#[test]
fn what_there_is_can_be_looked_up_and_scripts_be_read() {
    let db = filled();
    db.write("two.sql", b"select 1 as one;\n\nselect nope;\n");
    for columns in WIDTHS {
        let mut terminal = Terminal::shell(&db, columns);
        terminal.line(".tables quot");
        terminal.line(".describe select 1 as a, 'x' as b");
        terminal.line(".summarize select range % 7 as i from range(100)");
        terminal.line(".functions book_");
        terminal.line(".read two.sql");
        seen(&terminal, "looked_up", columns);
        terminal.clear();
        terminal.line(".schema quotes");
        seen(&terminal, "schema", columns);
        terminal.clear();
        terminal.line(".settings threads");
        terminal.awaits("worker_threads");
        terminal.line(".timer on");
        terminal.line("select 1 as one;");
        let text = terminal.text();
        let timer = text.lines().rev().nth(1).unwrap_or_default();
        for part in [
            " s · user ",
            " · system ",
            " · 1 row · read ",
            " · peak memory ",
        ] {
            assert!(timer.contains(part), "{part}\n{text}");
        }
        terminal.leave();
    }
}

#[test]
fn values_stand_as_they_are_in_every_mode() {
    const ASK: &str = "select range as n, if(range = 1, null, '中文') as wide, 1.5::decimal(9, 2) as d, 'nan'::double as nan from range(2);";
    let db = filled();
    for columns in WIDTHS {
        let mut terminal = Terminal::shell(&db, columns);
        for mode in [
            "table", "csv", "json", "ndjson", "markdown", "line", "tsv", "insert",
        ] {
            terminal.line(&format!(".mode {mode}"));
            terminal.line(ASK);
        }
        seen(&terminal, "modes", columns);
        terminal.clear();
        for mode in ["html", "latex", "box"] {
            terminal.line(&format!(".mode {mode}"));
            terminal.line("select 'a & b' as a;");
        }
        terminal.line(".mode parquet");
        terminal.line(".mode chart");
        terminal.line("select 'no' as picture;");
        seen(&terminal, "modes_of_documents", columns);
        terminal.clear();
        terminal.line("select range as x, range * range as y from range(40);");
        seen(&terminal, "mode_chart", columns);
        terminal.leave();
    }
}

#[test]
fn the_last_result_is_paged_without_a_pager() {
    let db = filled();
    for columns in WIDTHS {
        let mut terminal = Terminal::start_with(db.command(), columns, &[("PATH", "")]);
        terminal.awaits("mdb db>");
        terminal.line("select range as i from range(60);");
        terminal.clear();
        terminal.keys(".last\r");
        terminal.awaits("-- 39 of 65 lines; space goes on, q ends --");
        terminal.keys(" ");
        terminal.awaits("59 │");
        terminal.awaits_screen("the prompt", |text| text.ends_with("mdb db>"));
        assert!(
            !terminal.text().contains("space goes on"),
            "{}",
            terminal.text()
        );
        terminal.leave();
    }
}

#[test]
fn a_picture_that_is_looked_at_follows_the_keys_and_the_window() {
    let db = filled();
    db.run(["build"]).ok();
    for columns in WIDTHS {
        let mut terminal = Terminal::shell(&db, columns);
        terminal.keys(&format!(".candles {SYMBOL} 5s\r"));
        terminal.awaits("q ends");
        let whole = terminal.text();
        terminal.keys(UP);
        terminal.awaits_screen("fewer bars", |text| {
            *text != whole && text.contains("q ends")
        });
        terminal.resize(60, 30);
        terminal.awaits_screen("a smaller picture", |text| {
            text.contains("q ends")
                && text.lines().all(|line| line.chars().count() <= 60)
                && text.starts_with(SYMBOL)
        });
        terminal.resize(columns, 40);
        terminal.keys("q");
        terminal.awaits_screen("the range in the prompt", |text| text.ends_with('>'));
        // The bars are those of the trades, though a mart gave them.
        terminal.line(&format!(
            "select count(*) as wrong from (select ts, open, high, low, close, trades from _ except select ts, open, high, low, close, trades from ohlcv('{SYMBOL}', '5 seconds'));"
        ));
        terminal.awaits("│      0 │");
        terminal.leave();
    }
}

#[test]
fn a_bar_holds_trades_that_no_mart_has_read_yet() {
    let db = filled();
    db.run(["build"]).ok();
    // One in the middle of what was read, one after it.
    let (early, late) = ("1723161570500", "1723161700000");
    let lines = [("999001", early), ("999002", late)]
        .map(|(id, at)| trade_line("1723161700000000000", id, "100.0", "1.0", at));
    let file = db.write("more.txt", lines.join("\n").as_bytes());
    load(&db, &file).ok();
    let mut terminal = Terminal::shell(&db, 80);
    for length in ["1s", "1m", "1h"] {
        terminal.keys(&format!(".candles {SYMBOL} {length}\r"));
        terminal.awaits("q ends");
        terminal.keys("q");
        terminal.awaits_screen("the prompt", |text| text.ends_with("mdb db>"));
        terminal.line("select sum(trades) = (select count(*) from trades) as every from _;");
        terminal.awaits("│ true");
        terminal.clear();
    }
    terminal.leave();
}

#[test]
fn rows_come_in_above_what_is_typed() {
    let db = filled();
    let change = |sql: &str| db.run(["sql", "--write", sql]).ok();
    change("CREATE TABLE mine AS FROM trades LIMIT 0");
    // A load that waits for its input has the database open.
    let (live, stdin) = Live::spawn_fed(db.load_command(VENUE, SYMBOL, ["-"]));
    poll("mdb.sock", || db.dir().join("mdb.sock").exists());
    let trade = |id: &str| {
        change(&format!(
            "INSERT INTO mine BY NAME SELECT * REPLACE ({id} AS seq, '{id}' AS trade_id) FROM trades
             WHERE symbol = '{SYMBOL}' LIMIT 1"
        ));
    };
    let mut terminal = Terminal::start(db.command(), 80);
    terminal.awaits("mdb db attached>");
    terminal.line(&format!(".tail mine {SYMBOL}"));
    terminal.clear();
    terminal.keys("select 40 +");
    trade("999001");
    terminal.awaits("999001");
    terminal.awaits_screen("what was typed", |text| {
        text.ends_with("mdb db attached> select 40 +")
    });
    terminal.keys(" 2 as answer;\r");
    terminal.awaits("│      42 │");
    terminal.line(".tail off");
    trade("999002");
    terminal.line("select 1 as one;");
    assert!(!terminal.text().contains("999002"), "{}", terminal.text());
    terminal.line(&format!(".tail mine {SYMBOL}"));
    // When the process ends that it asks, it says that it has, and how there is more.
    drop(stdin);
    live.finish().ok();
    terminal.awaits(&format!(".tail mine {SYMBOL} begins again"));
    terminal.leave();
}

#[test]
fn rows_are_followed_of_the_sessions_venue_and_range() {
    let db = filled();
    let mut terminal = Terminal::shell(&db, 80);
    terminal.line(&format!(".symbol {SYMBOL} nowhere"));
    terminal.line(".tail trades");
    assert_eq!(
        terminal.text().matches(VENUE).count(),
        0,
        "{}",
        terminal.text()
    );
    terminal.clear();
    terminal.keys(&format!(".symbol {SYMBOL} {VENUE}\r"));
    terminal.awaits_screen("the symbol in the prompt", |text| {
        text.ends_with(&format!("{VENUE}>"))
    });
    terminal.line(".range ..2024-08-08 23:59:40");
    terminal.clear();
    terminal.line(".tail trades");
    let text = terminal.text();
    assert_eq!(text.matches("23:59:3").count(), 10, "{text}");
    terminal.clear();
    terminal.line(".tail trades OTHER");
    assert_eq!(
        terminal.text().matches("23:59:3").count(),
        0,
        "{}",
        terminal.text()
    );
    terminal.leave();
}

#[test]
fn a_file_that_cannot_be_opened_again_is_told_of_once() {
    let db = filled();
    let mut terminal = Terminal::shell(&db, 140);
    // What another process wants to write, the shell lets go of.
    db.run(["sql", "--write", "create table mine (i integer)"])
        .ok();
    let (file, aside) = (db.dir().join("market.duckdb"), db.dir().join("aside"));
    fs::rename(&file, &aside).unwrap();
    fs::write(&file, "no database").unwrap();
    terminal.line("select 1 as one;");
    terminal.awaits("was let go");
    let text = terminal.text();
    assert_eq!(text.matches("cannot open").count(), 1, "{text}");
    fs::rename(&aside, &file).unwrap();
    terminal.line("select 40 + 2 as answer;");
    terminal.awaits("│      42 │");
    terminal.leave();
}

#[test]
fn an_idle_shell_lets_go_of_the_file_for_who_writes() {
    let db = filled();
    let before = db.count("SELECT count(*) FROM trades");
    let mut terminal = Terminal::shell(&db, 80);
    terminal.line("set default_null_order = 'nulls_first';");
    terminal.line(&format!(".symbol {SYMBOL}"));
    // What a shell holds for its user it does not give up.
    terminal.line("create temp table kept as select 1 as one;");
    db.run(["seal"]).exits(3);
    terminal.leave();

    let mut terminal = Terminal::shell(&db, 80);
    terminal.line("set default_null_order = 'nulls_first';");
    terminal.line(&format!(".symbol {SYMBOL}"));
    let file = one_trade_more(&db);
    load(&db, &file).ok();
    let whole = before + 1;
    terminal.line("select count(*) as n, $symbol as s, current_setting('default_null_order') as o from trades;");
    let text = terminal.text();
    let row = text
        .lines()
        .find(|line| line.contains(SYMBOL) && line.contains("NULLS_FIRST"));
    assert!(
        row.is_some_and(|row| row.contains(&format!("{whole}"))),
        "{text}"
    );

    // A process that goes on with the file is asked for what it has; when it ends, the file is.
    let (live, stdin) = Live::spawn_fed(db.load_command(VENUE, SYMBOL, ["-"]));
    poll("mdb.sock", || db.dir().join("mdb.sock").exists());
    terminal.line("select 'there' as place;");
    terminal.awaits("attached to mdb load");
    terminal.completes("select count(*) from trades where ven", "venue");
    terminal.keys("\x03");
    drop(stdin);
    live.finish().ok();
    terminal.line("select 'here' as place;");
    terminal.awaits("the database file is open now");
    terminal.awaits("│ here    │");
    load(&db, &file).ok();
    terminal.leave();
    assert!(!db.dir().join(".wanted").exists());
}

#[test]
fn a_shell_that_only_shows_something_lets_go_of_the_file_for_who_writes() {
    let db = filled();
    let file = one_trade_more(&db);
    let note = db.write("note.txt", b"paged\n");
    let fifo = db.beside("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    // A pager that shows something, and ends when it is told to.
    let pager = format!("cat '{}' '{}'", note.display(), fifo.display());
    let mut terminal = Terminal::start_with(db.command(), 80, &[("PAGER", &pager)]);
    terminal.awaits("mdb db>");
    for (command, shows) in [
        (format!(".book {SYMBOL}"), "left and right step"),
        (format!(".candles {SYMBOL} 5s"), "left and right move"),
        (".watch 100ms select 1 as one".to_owned(), "run 2"),
    ] {
        terminal.keys(&format!("{command}\r"));
        terminal.awaits(shows);
        load(&db, &file).ok();
        terminal.awaits("for another mdb to write");
        terminal.clear();
    }
    terminal.line("select 1 as one;");
    terminal.keys(".last\r");
    terminal.awaits("paged");
    load(&db, &file).ok();
    fs::write(&fifo, "").unwrap();
    terminal.line("select 40 + 2 as answer;");
    terminal.awaits("│      42 │");
    terminal.leave();
}

#[test]
fn what_is_typed_ahead_or_pasted_without_brackets_is_not_lost() {
    let db = filled();
    let mut terminal = Terminal::shell(&db, 80);
    terminal.keys("select 1 as a;\rselect 2 as b;\rselect 41 + 1 as c;\r");
    terminal.awaits("│      42 │");
    terminal.awaits_screen("three answers", |text| text.matches("1 row").count() == 3);
    terminal.keys("select count(*) as far from range(300000000) where hash(range) = 1;\rselect 7 * 6 as answer;\r");
    terminal.awaits("answer");
    terminal.awaits_screen("both", |text| text.matches("1 row").count() == 5);
    terminal.leave();
}

#[test]
fn a_typo_costs_a_transaction_nothing() {
    let db = filled();
    let mut terminal = Terminal::shell(&db, 80);
    terminal.line("begin;");
    terminal.line("create temp table kept as select 42 as answer;");
    terminal.line("select anwser from kept;");
    terminal.line("select from kept;");
    terminal.line("from kept;");
    terminal.awaits("│      42 │");
    terminal.line("commit;");
    terminal.clear();
    terminal.line("from kept;");
    terminal.awaits("│      42 │");
    terminal.leave();
}
