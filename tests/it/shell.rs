//! The shell's own commands as a person sees them, in a pseudo-terminal: colours, keys, what every shell begins with,
//! and what there is to be told of a database.

use std::fs;

use rustix::process::Signal;

use crate::harness::{Db, Live, poll};
use crate::live_run::{Market, SPOT, await_true, end, hurry, sample};
use crate::pty::Terminal;
use crate::synthetic::{SYMBOL, VENUE};
use crate::terminal::{WIDTHS, filled};

/// Colours wanted, and nothing of the person running the tests.
const COLORS: [(&str, &str); 5] = [
    ("NO_COLOR", ""),
    ("MDB_COLOR", ""),
    ("COLORFGBG", ""),
    ("SSH_CONNECTION", ""),
    ("SSH_TTY", ""),
];

fn seen(terminal: &Terminal, name: &str, columns: u16) {
    insta::assert_snapshot!(format!("{name}-{columns}"), terminal.text());
}

#[test]
fn what_is_typed_has_colours_by_the_background() {
    let db = filled();
    for (background, told, keyword) in [
        ("1e1e/1e1e/1e1e", "dark, as the terminal says", "94"),
        ("ffff/ffff/ffff", "light, as the terminal says", "34"),
    ] {
        let start = || {
            let started = Terminal::start_answering(db.command(), 80, &COLORS, Some(background));
            started.awaits("mdb db>");
            started
        };
        let mut terminal = start();
        for _ in 0..5 {
            terminal.line(".color");
            if !terminal.text().contains("has not told") {
                break;
            }
            // On a busy machine it may answer when nobody waits any more.
            terminal = start();
        }
        terminal.line(".color");
        terminal.awaits(told);
        // The keywords are there as soon as a word of them is completed.
        terminal.completes("select pric", "select price");
        terminal.keys(" from trades where symbol = 'x' and (1");
        for part in [
            format!("\x1b[{keyword}mselect\x1b[0m price \x1b[{keyword}mfrom\x1b[0m trades"),
            "\x1b[32m'x'\x1b[0m".to_owned(),
            "\x1b[1;4m(\x1b[0m".to_owned(),
        ] {
            terminal.awaits_written(part.as_bytes());
        }
        terminal.keys("\x03");
        terminal.awaits_screen("an empty prompt", |text| text.ends_with('>'));
        terminal.line(".color off");
        terminal.line(".color");
        terminal.awaits("\noff\n");
        terminal.leave();
    }
}

#[test]
fn a_mute_terminal_is_not_waited_for_and_gets_no_answer_typed_in() {
    let db = filled();
    let mut terminal = Terminal::start_with(db.command(), 80, &COLORS);
    terminal.awaits("mdb db>");
    terminal.line(".color");
    terminal.awaits("dark; the terminal has not told its background");
    terminal.leave();
    // One that answers when nobody waits any more, in the middle of what is typed.
    let mut terminal = Terminal::start_with(db.command(), 80, &COLORS);
    terminal.awaits("mdb db>");
    terminal.keys("sel\x1b]11;rgb:1e1e/1e1e/1e1e\x1b\\\x1b[?62;22cect 40 + 2 as answer;\r");
    terminal.awaits("│      42 │");
    let text = terminal.text();
    assert!(!text.contains("11;") && !text.contains("rgb"), "{text}");
    terminal.leave();
    // Nor is a terminal asked where no colours are wanted.
    for set in [("NO_COLOR", "1"), ("TERM", "dumb"), ("MDB_COLOR", "off")] {
        let mut all = COLORS.to_vec();
        all.push(set);
        let mut terminal =
            Terminal::start_answering(db.command(), 80, &all, Some("ffff/ffff/ffff"));
        terminal.awaits("mdb db>");
        terminal.keys(".color\r");
        terminal.awaits("off");
        terminal.leave();
    }
}

#[test]
fn lines_are_edited_as_vi_does() {
    let db = filled();
    let mut terminal = Terminal::shell(&db, 80);
    terminal.line(".keys vi");
    terminal.line(".keys");
    terminal.awaits("\nvi\n");
    terminal.keys("elect 42 as answer;");
    terminal.awaits("elect 42 as answer;");
    let end = terminal.cursor();
    terminal.keys("\x1b");
    terminal.awaits_screen("the mode of commands", |_| terminal.cursor() == end - 1);
    terminal.keys("0is");
    terminal.awaits("> select 42");
    terminal.keys("\r");
    terminal.awaits("│      42 │");
    terminal.line(".keys emacs");
    terminal.leave();
}

#[test]
fn every_shell_begins_with_the_users_own_file_and_no_script_does() {
    let db = filled();
    let directory = db.beside("config/mdb");
    fs::create_dir_all(&directory).unwrap();
    let file = "-- mine\n.mode csv\n.timer of\nselect 1,\n  nope;\n.run nothing\nselect 40 + 2 as answer;\n";
    fs::write(directory.join("init.sql"), file).unwrap();
    for columns in WIDTHS {
        let mut terminal = Terminal::start(db.command(), columns);
        terminal.awaits("mdb db>");
        let text = terminal.text();
        for part in [
            "init.sql:3:\n",
            "init.sql:5:3:\n",
            "init.sql:6:\n",
            "answer\n42\n",
        ] {
            assert!(
                text.replace(&db.beside("").display().to_string(), "")
                    .contains(part),
                "{part}\n{text}"
            );
        }
        terminal.line("select 1 as one;");
        terminal.awaits("one\n1\n");
        terminal.leave();
    }
    let run = db.run(["sql", "select 1 as one"]).ok();
    assert!(run.stdout.contains('│'), "{}", run.stdout);
}

#[test]
fn models_venues_and_lineage_are_told() {
    let db = filled();
    for columns in WIDTHS {
        let mut terminal = Terminal::shell(&db, columns);
        terminal.line(".models");
        seen(&terminal, "models", columns);
        terminal.clear();
        terminal.line(".venues");
        terminal.line(".status");
        seen(&terminal, "venues", columns);
        terminal.clear();
        terminal.line(".lineage ohlcv_1m");
        terminal.line(".lineage ohlvc_1m");
        seen(&terminal, "lineage", columns);
        terminal.leave();
    }
}

#[test]
fn a_plan_shows_times_rows_and_files_of_the_lake() {
    let db = filled();
    db.run(["seal", "--all"]).ok();
    for columns in WIDTHS {
        let mut terminal = Terminal::shell(&db, columns);
        terminal.line(".explain select side, max(price) from trades group by all;");
        let text = terminal.text();
        for part in ["time", "rows", "group by", " ms", "2 files", "bytes read"] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(
            text.lines()
                .all(|line| line.chars().count() <= usize::from(columns))
        );
        terminal.line(".explain select nope from trades");
        terminal.awaits("Referenced column");
        terminal.leave();
    }
}

#[test]
fn rows_go_out_to_files_and_the_clipboard_and_come_in() {
    let db = filled();
    for columns in WIDTHS {
        let mut terminal = Terminal::shell(&db, columns);
        terminal.line("select 1 as a, 'x' as b;");
        terminal.line(".copy");
        terminal.awaits_written(b"\x1b]52;c;YQliCjEJeAo=");
        terminal.line(".export one.csv");
        terminal.line(".export trades.parquet trades");
        terminal.line(".export wrong.csv select nope");
        terminal.line(".export trades.doc trades");
        terminal.line(".import one.csv");
        terminal.line("select a + 1 as more, b from one;");
        terminal.line(".import one.csv trades");
        terminal.line("select repeat('x', 60000) as long;");
        terminal.line(".copy csv");
        terminal.clear();
        terminal.line(".copy csv");
        terminal.line(".import nothing.csv");
        seen(&terminal, "transfer", columns);
        terminal.leave();
        assert_eq!(
            fs::read_to_string(db.beside("one.csv")).unwrap(),
            "a,b\n1,x\n"
        );
        assert!(!db.beside("wrong.csv").exists());
        assert_eq!(
            db.count(&format!(
                "SELECT count(*) FROM '{}'",
                db.beside("trades.parquet").display()
            )),
            db.count("SELECT count(*) FROM trades")
        );
    }
}

#[test]
fn a_file_is_there_once_its_query_has_run() {
    let db = filled();
    let file = db.write("kept.csv", b"of before\n");
    let read = || fs::read_to_string(&file).unwrap();
    let mut terminal = Terminal::shell(&db, 80);
    terminal.line(".mode csv");
    terminal.line(".once kept.csv");
    terminal.line("select if(range = 9000, error('stop'), range) as i from range(10000);");
    assert_eq!(read(), "of before\n");
    terminal.line("select 1 as a;");
    assert_eq!(read(), "a\n1\n");
    terminal.line(".output kept.csv");
    assert_eq!(read(), "a\n1\n");
    terminal.line("select 2 as b;");
    assert_eq!(read(), "b\n2\n");
    terminal.line("select if(range = 9000, error('stop'), range) as i from range(10000);");
    assert_eq!(read(), "b\n2\n");
    terminal.line("select 3 as b;");
    terminal.line(".output");
    assert_eq!(read(), "b\n2\nb\n3\n");
    terminal.leave();
}

#[test]
fn attached_the_same_is_told() {
    let db = filled();
    let (live, stdin) = Live::spawn_fed(db.load_command(VENUE, SYMBOL, ["-"]));
    poll("mdb.sock", || db.dir().join("mdb.sock").exists());
    let mut terminal = Terminal::start(db.command(), 140);
    terminal.awaits("mdb db attached>");
    terminal.clear();
    terminal.line(".status");
    terminal.awaits("load");
    terminal.line(".venues");
    terminal.awaits(VENUE);
    terminal.line(".models");
    terminal.awaits("ohlcv_1m");
    terminal.line(".lineage ohlcv_1m");
    terminal.awaits("ohlcv_1s");
    terminal.clear();
    terminal.line(".explain select max(price) from hot.trades");
    terminal.awaits("from the tables' statistics");
    terminal.line(".explain select side, max(price) from trades group by all");
    terminal.awaits("bytes read");
    terminal.line("select 1 as a;");
    terminal.line(".export one.csv");
    terminal.line(".import one.csv");
    terminal.line("select a + 41 as answer from one;");
    terminal.awaits("│     42 │");
    terminal.leave();
    drop(stdin);
    live.finish().ok();
}

#[test]
fn a_range_and_a_symbol_are_what_commands_and_queries_are_of() {
    let db = filled();
    for columns in WIDTHS {
        let mut terminal = Terminal::shell(&db, columns);
        terminal.line(".symbol");
        terminal.line(".book");
        terminal.line(".candles");
        terminal.keys(&format!(".symbol {SYMBOL}\r"));
        terminal.awaits(&format!("mdb db {SYMBOL}>"));
        terminal.line(".range 2024-08-08 23:59:30..00:00:10");
        terminal.line(
            "select count(*) > 0 as some, min(ts) >= $from and max(ts) < $to as within from trades where symbol = $symbol and ts >= $from and ts < $to;",
        );
        terminal.line(".range in");
        terminal.line(".range right");
        terminal.line(".range");
        terminal.line(".range yesterday");
        terminal.line(".range last 30s");
        terminal.line(".range");
        seen(&terminal, "range", columns);
        terminal.clear();
        terminal.line(".symbol clear");
        terminal.keys(".range ..\r");
        terminal.awaits_screen("the plain prompt", |text| text.ends_with("mdb db>"));
        terminal.leave();
    }
}

#[test]
fn a_symbol_without_rows_is_doubted() {
    let db = filled();
    let mut terminal = Terminal::shell(&db, 80);
    // What symbols there are has been found out.
    terminal.completes("from trades where symbol = 'TES", "'TESTUSDT'");
    terminal.keys("\x03");
    terminal.awaits_screen("an empty prompt", |text| text.ends_with('>'));
    terminal.clear();
    terminal.keys(".symbol TESTUSD\r");
    terminal.awaits("note: no recent row is of TESTUSD; did you mean TESTUSDT?");
    terminal.awaits("mdb db TESTUSD>");
    terminal.keys(&format!(".symbol {SYMBOL}\r"));
    terminal.awaits(&format!("mdb db {SYMBOL}>"));
    assert_eq!(terminal.text().matches("note:").count(), 1);
    terminal.leave();
}

#[test]
fn candles_and_tables_are_drawn_in_the_range() {
    let db = filled();
    for columns in WIDTHS {
        let mut terminal = Terminal::shell(&db, columns);
        terminal.keys(&format!(".candles {SYMBOL} 5s\r"));
        terminal.awaits("q ends");
        seen(&terminal, "candles", columns);
        terminal.keys("q");
        terminal.awaits_screen("the prompt", |text| text.ends_with("mdb db>"));
        terminal.clear();
        terminal.line(".candles TESTUSD");
        terminal.awaits("did you mean TESTUSDT?");
        terminal.line(&format!(".symbol {SYMBOL} {VENUE}"));
        terminal.line(".range 2024-08-08 23:59:30..23:59:50");
        terminal.clear();
        terminal.keys(".candles\r");
        terminal.awaits("q ends");
        terminal.awaits("23:59:30");
        terminal.keys("q");
        terminal.awaits_screen("the prompt", |text| text.ends_with('>'));
        terminal.line("select min(ts) >= '2024-08-08 23:59:30' and max(ts) < '2024-08-08 23:59:50' as within from _;");
        terminal.awaits("true");
        terminal.clear();
        terminal.line(".plot trades");
        terminal.awaits("23:59:4");
        terminal.clear();
        terminal.line(".plot --as heat select range % 24 as hour, range // 24 as day, (range * 7) % 31 as n from range(168)");
        seen(&terminal, "heat", columns);
        terminal.line(".plot --to day.html trades");
        terminal.line(".plot --to day.png trades");
        terminal.awaits("written to day.png");
        terminal.line(".plot --to day.gif trades");
        terminal.awaits("written as PNG, SVG or HTML");
        terminal.leave();
        let page = fs::read_to_string(db.beside("day.html")).unwrap();
        assert!(page.starts_with("<!doctype html>") && page.contains("</svg>"));
        let picture = fs::read(db.beside("day.png")).unwrap();
        assert!(picture.starts_with(b"\x89PNG\r\n") && picture.ends_with(b"IEND\xaeB`\x82"));
    }
}

#[test]
fn a_capture_is_seen_in_the_prompt_and_its_bars_are_followed() {
    let btc = sample("BTCUSDT");
    let market = Market::open(SPOT, &[("BTCUSDT", &btc)], &["--speed", "8"]);
    let db = Db::new();
    hurry(&db, SPOT);
    let live = market.stream(&db, "BTCUSDT", "trades");
    await_true(&db, "SELECT count(*) > 20 FROM trades");
    for columns in WIDTHS {
        let mut terminal = Terminal::start(db.command(), columns);
        terminal.awaits_screen("how fresh it is", |text| {
            let prompt = text.lines().last().unwrap_or_default();
            prompt.starts_with("mdb db attached ") && prompt.ends_with("s>")
        });
        terminal.keys(".status\r");
        terminal.awaits("messages_per_s");
        terminal.keys(".candles BTCUSDT 1s\r");
        terminal.awaits("live · left and right");
        terminal.awaits("BTCUSDT · binance_spot · 1s");
        terminal.keys("\x1b[A");
        terminal.keys("q");
        terminal.awaits_screen("the range in the prompt", |text| {
            let prompt = text.lines().last().unwrap_or_default();
            prompt.contains("..") && prompt.ends_with('>')
        });
        terminal.leave();
    }
    end(&db, live, Signal::INT);
    market.close();
}
