//! `mdb load job.toml`: the keys are the flags, and what is not understood names its line (issue 4, "mdb load").

use std::fs;

use crate::harness::{Db, join_lines};
use crate::synthetic::{self, SYMBOL, VENUE};

fn prices(db: &Db) {
    db.write("a.csv", b"Day;Close\n03.01.2024;1.239\n04.01.2024;2\n");
    db.write("b.csv", b"Day;Close\n05.01.2024;3\n");
}

#[test]
fn a_job_does_what_the_flags_do_and_several_stand_in_a_file() {
    let db = Db::new();
    prices(&db);
    db.write("trades.csv", b"when,what,p,q\n1723161600000,X,1.5,2\n");
    let capture = synthetic::capture(701, 200);
    db.write("capture.txt", &join_lines(&capture.lines));
    let job = db.write(
        "job.toml",
        format!(
            "# Prices, then trades, then what was captured.\n\
             [[load]]\nfiles = [\"a.csv\", \"b.csv\"]\ninto = \"my_prices\"\ndelimiter = \";\"\ncolumn-case = \"lower\"\n\
             cast = {{ day = \"DATE\", close = \"DOUBLE\" }}\ndate-format = \"%d.%m.%Y\"\ndecimals = 2\nmemory-limit = \"256MB\"\n\
             threads = 1\n\n\
             [[load]]\nfiles = [\"trades.csv\"]\nvenue = \"mine\"\nrename = {{ when = \"ts\", what = \"symbol\", p = \"price\", q = \"size\" }}\n\
             set = {{ trade_id = \"1\" }}\nmax-errors = 0\n\n\
             [[load]]\nfiles = [\"*.txt\"]\nas = \"capture\"\nvenue = \"{VENUE}\"\nsymbol = \"{SYMBOL}\"\n"
        )
        .replace("*.txt", "capture.txt")
        .as_bytes(),
    );
    // Files are looked for beside the job file, wherever it is run.
    let mut command = db.command();
    command.current_dir("/").args(["load"]).arg(&job);
    crate::harness::Live::spawn(command).finish().ok();
    assert_eq!(
        db.sql("SELECT * FROM my_prices ORDER BY day"),
        [
            ["2024-01-03", "1.24"],
            ["2024-01-04", "2.0"],
            ["2024-01-05", "3.0"]
        ]
    );
    assert_eq!(
        db.row("SELECT symbol, ts, price, size, trade_id FROM trades WHERE venue = 'mine'"),
        ["X", "2024-08-09 00:00:00", "1.5", "2.0", "1"]
    );
    assert_eq!(db.count("SELECT count(*) FROM raw_messages"), 200);
    // A second time there is nothing to do, as with flags.
    let sums = db.checksums();
    let run = db.run(["load", job.to_str().unwrap()]).ok();
    assert!(run.stdout.contains("already loaded"), "{run}");
    assert_eq!(db.checksums(), sums);
    let run = db.run(["load", "--explain", db.write("one.toml", b"[[load]]\nfiles = [\"trades.csv\"]\nvenue = \"mine\"\nrename = {when = \"ts\", what = \"symbol\", p = \"price\", q = \"size\"}\n").to_str().unwrap()]).ok();
    assert!(run.stdout.contains("estimate"), "{run}");
}

#[test]
fn a_job_in_yaml_has_the_same_keys() {
    let db = Db::new();
    prices(&db);
    let job = db.write(
        "job.yaml",
        b"# Prices, and a file that is not there.\nload:\n  - files: [a.csv, b.csv]\n    into: my_prices\n    delimiter: ';'\n    \
          column-case: lower\n    cast: {day: DATE, close: DOUBLE}\n    date-format: '%d.%m.%Y'\n    decimals: 2\n    \
          memory-limit: 256MB\n    threads: 1\n    date: 2024-01-03\n    symbol: 0700\n\n  - files: [nosuch.csv]\n    into: x\n",
    );
    db.run(["load", job.to_str().unwrap()])
        .fails_naming(&["job.yaml:15", "nosuch.csv"]);
    assert_eq!(
        db.sql("SELECT day, close FROM my_prices ORDER BY day"),
        [
            ["2024-01-03", "1.24"],
            ["2024-01-04", "2.0"],
            ["2024-01-05", "3.0"]
        ]
    );
    for (bad, named) in [
        ("load:\n  - files: [b.csv]\n    intoo: x\n", "line 3"),
        ("load:\n  - files: [b.csv]\n    threads: 0\n", "least"),
        (
            "load:\n  - files: [b.csv]\n    into: x\n    into: y\n",
            "line 4",
        ),
        ("load:\n  - files: []\n", "bad.yml:2"),
        ("load:\n  - files: [b.csv\n", "line 2"),
        ("load: []\n", "nothing to load"),
        ("", "line 1"),
    ] {
        let file = db.write("bad.yml", bad.as_bytes());
        db.run(["load", file.to_str().unwrap()])
            .fails_naming(&["bad.yml", named]);
    }
}

#[test]
fn what_is_not_understood_names_file_and_line_and_nothing_is_loaded() {
    let db = Db::none();
    prices(&db);
    let good = "[[load]]\nfiles = [\"a.csv\"]\ninto = \"my_prices\"\n";
    for (bad, named) in [
        ("[[load]]\nfiles = [\"b.csv\"]\nintoo = \"x\"\n", "intoo"),
        (
            "[[load]]\nfiles = [\"b.csv\"]\nif-exists = \"maybe\"\n",
            "maybe",
        ),
        (
            "[[load]]\nfiles = [\"b.csv\"]\nmemory-limit = \"much\"\n",
            "MB",
        ),
        ("[[load]]\nfiles = [\"b.csv\"]\nthreads = 0\n", "least"),
        ("[[load]]\nfiles = [\"b.csv\"]\ndate = \"soon\"\n", "soon"),
        ("[[load]]\nfiles = []\n", "none"),
        ("[[load]]\ninto = \"x\"\n", "files"),
        ("[[loads]]\nfiles = [\"b.csv\"]\n", "loads"),
    ] {
        let file = db.write("job.toml", format!("{good}{bad}").as_bytes());
        let run = db.run(["load", file.to_str().unwrap()]);
        run.fails_naming(&["job.toml", named]);
        let text = format!("{bad:?}");
        let error = db.run(["load", file.to_str().unwrap()]).stderr;
        assert!(
            ["line 4", "line 5", "line 6", ":4", "line 1"]
                .iter()
                .any(|line| error.contains(line)),
            "{text}: {error}"
        );
    }
    assert!(
        !db.dir().join("market.duckdb").exists(),
        "nothing was begun"
    );
    let file = db.write("job.toml", good.as_bytes());
    let file = file.to_str().unwrap();
    db.run(["load", file, "--venue", "x"])
        .fails_naming(&["no flag"]);
    db.run(["load", file, "--decimals", "2"])
        .fails_naming(&["no flag"]);
    let csv = db.beside("a.csv");
    db.run(["load", file, csv.to_str().unwrap()])
        .fails_naming(&["a.csv", "no job file"]);
    let empty = db.write("empty.toml", b"");
    db.run(["load", empty.to_str().unwrap()])
        .fails_naming(&["empty.toml"]);
}

#[test]
fn a_job_that_fails_is_told_with_its_place_and_the_others_are_done() {
    let db = Db::new();
    prices(&db);
    let file = db.write(
        "job.toml",
        b"[[load]]\nfiles = [\"nosuch.csv\"]\ninto = \"x\"\n\n[[load]]\nfiles = [\"b.csv\"]\ninto = \"my_prices\"\n",
    );
    db.run(["load", file.to_str().unwrap()])
        .fails_naming(&["job.toml:1", "nosuch.csv"]);
    assert_eq!(db.count("SELECT count(*) FROM my_prices"), 1);
    fs::remove_file(file).unwrap();
}
