//! `mdb test`: the data tests that the SQL tree declares.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use anyhow::{Context, bail};
use jiff::Timestamp;

use super::progress::bar;
use super::{session, sql};
use crate::config::Settings;
use crate::engine::testing::{self, Verdict};
use crate::model::sql::literal;
use crate::output::Format;
use crate::query::Session;
use crate::sqltree::{Severity, SqlTree};
use crate::transform::checks::{self, Test};

/// Tests run at once.
const THREADS: usize = 4;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Tests stand in comment blocks of sql/tables, views and marts (`-- @test not_null price`) and in files of sql/tests, \
                  whose every row is a failure.\nOne that reads a mart which was never built is `not built`, and no failure: \
                  `mdb build`.\nExit code 1 if one fails that is no warning, or cannot be run.\nExample: mdb test ohlcv_1m trades"
)]
pub(super) struct Args {
    /// Only tests of these relations, and files that read them
    #[arg(value_name = "MODEL")]
    models: Vec<String>,
    /// How it is written
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

/// Runs `mdb test`.
pub(super) fn run(args: &Args, settings: &Settings) -> anyhow::Result<ExitCode> {
    let mut session = session::open_existing(settings)?;
    let tree = SqlTree::load(&settings.db)?;
    let now =
        Timestamp::try_from(SystemTime::now()).context("this machine's clock is out of range")?;
    let tests = wanted(&mut session, checks::all(&tree, now), &args.models)?;
    let unbuilt = testing::unbuilt(&mut session)?;
    let verdicts = run_all(&session, &tests, &unbuilt)?;
    let bad = |(test, verdict): &(&Test, &Verdict)| {
        // One that cannot be run has found nothing out.
        verdict.state == "broken" || verdict.is_bad() && test.severity == Severity::Error
    };
    let failed = tests.iter().zip(&verdicts).filter(bad).count();
    sql::print(&mut session, args.format, table(&tests, &verdicts))?;
    if failed == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        std::io::stderr(),
        "{failed} of {} tests failed",
        tests.len()
    )?;
    Ok(ExitCode::FAILURE)
}

/// The tests of the relations named, and those that read them.
fn wanted(session: &mut Session, tests: Vec<Test>, names: &[String]) -> anyhow::Result<Vec<Test>> {
    if names.is_empty() {
        return Ok(tests);
    }
    let reads = session
        .strings("SELECT lower(name), lower(upstream) FROM ops.lineage WHERE kind = 'test'")?;
    // As in SQL, capitals make no other name.
    let is_of = |test: &Test, name: &str| {
        let (of, name) = (test.of.to_lowercase(), name.to_lowercase());
        of == name
            || reads.iter().any(|row| {
                matches!(&row[..], [Some(file), Some(upstream)] if *file == of && *upstream == name)
            })
    };
    // One that is mistaken is not to pass for one whose tests do.
    let untested: Vec<&str> = names
        .iter()
        .filter(|name| !tests.iter().any(|test| is_of(test, name)))
        .map(String::as_str)
        .collect();
    if !untested.is_empty() {
        bail!("no test is declared of {}", untested.join(", "));
    }
    Ok(tests
        .into_iter()
        .filter(|test| names.iter().any(|name| is_of(test, name)))
        .collect())
}

/// Runs the tests, but those of what is `unbuilt`.
fn run_all(
    session: &Session,
    tests: &[Test],
    unbuilt: &BTreeSet<String>,
) -> anyhow::Result<Vec<Verdict>> {
    let bar = bar(
        Some(tests.len() as u64),
        "testing",
        "{msg} {wide_bar} {pos} of {len} tests",
    );
    let next = AtomicUsize::new(0);
    let sessions = (0..THREADS.min(tests.len()))
        .map(|_| session.try_clone())
        .collect::<Result<Vec<_>, _>>()?;
    for session in &sessions {
        session
            .interrupter()
            .on_ctrl_c()
            .context("cannot listen for Ctrl-C")?;
    }
    let mut verdicts: Vec<(usize, Verdict)> = std::thread::scope(|scope| {
        let workers: Vec<_> = sessions
            .into_iter()
            .map(|mut session| {
                let (next, bar) = (&next, &bar);
                scope.spawn(move || {
                    let mut done = Vec::new();
                    while let Some((at, test)) =
                        tests.get(next.load(Ordering::Relaxed)).and_then(|_| {
                            let at = next.fetch_add(1, Ordering::Relaxed);
                            Some((at, tests.get(at)?))
                        })
                    {
                        let verdict = if unbuilt.contains(&test.of.to_lowercase()) {
                            Verdict::not_built()
                        } else {
                            Verdict::of(test, &mut session)
                        };
                        done.push((at, verdict));
                        bar.inc(1);
                    }
                    done
                })
            })
            .collect();
        let done = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_default());
        done.flatten().collect()
    });
    bar.finish_and_clear();
    verdicts.sort_by_key(|(at, _)| *at);
    if verdicts.len() != tests.len() {
        bail!("internal: a test ended without an answer");
    }
    Ok(verdicts.into_iter().map(|(_, verdict)| verdict).collect())
}

/// The verdicts as a query, so that they come out in any format.
fn table(tests: &[Test], verdicts: &[Verdict]) -> String {
    let rows = tests.iter().zip(verdicts).map(|(test, verdict)| {
        let what = verdict
            .example
            .as_deref()
            .map_or("NULL".to_owned(), literal);
        format!(
            "({}, {}, {}, {}, {}::BIGINT, {:.3}, {}, {})",
            literal(&test.of),
            literal(&test.text),
            literal(verdict.state),
            literal(test.severity.name()),
            verdict
                .rows
                .map_or("NULL".to_owned(), |rows| rows.to_string()),
            verdict.took.as_secs_f64(),
            literal(&test.place()),
            what,
        )
    });
    format!(
        "FROM (VALUES {}) AS tests(of, test, state, severity, failing_rows, seconds, declared_in, example)",
        rows.collect::<Vec<_>>().join(", ")
    )
}
