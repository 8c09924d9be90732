//! The shell: `mdb` with no command. On a terminal it reads statements with an editor, reports errors and goes
//! on; without one it runs the script on standard input and stops at the first error.

mod bars;
mod book;
mod candles;
mod color;
mod command;
mod commands;
mod complete;
mod editor;
mod explain;
mod help;
mod highlight;
mod hint;
mod history;
mod init;
mod inspect;
mod last;
mod late;
mod outlet;
mod overview;
mod pager;
mod plot;
mod progress;
mod prompt;
mod queries;
mod range;
mod saved;
mod screen;
mod script;
mod session;
mod status;
mod tail;
mod terminal;
mod transfer;
mod usage;
mod watch;

use std::io::{self, IsTerminal, Read, Write};
use std::rc::Rc;
use std::sync::Arc;

use rustyline::EditMode;

use crate::output::{self, Format, Layout, Out};
use crate::query::{Pieces, Session, Source, Statement, first_word};
use color::Look;
use command::Command;
use outlet::{Outlet, Target};
use range::Focus;
use session::Own;
use tail::{Follower, Prompt};
use usage::Usage;

pub use color::Detection;
pub use command::is_plain_name;
pub use hint::improved;
pub use inspect::tables_query;
pub use overview::models_query;
pub use queries::set_parameter;
pub use script::{Failure, Outcome, Printer};
pub use session::Wanted;
pub use status::{VENUES, show as show_status};
pub use terminal::{layout, report_width, stdout};

/// Finds the venues that can be captured, each with what it is; or says why that cannot be.
pub type Venues = Rc<dyn Fn() -> Result<Vec<(String, String)>, String>>;

/// How the shell begins, and goes on.
#[derive(Default)]
pub struct Options<'a> {
    /// The lines shown above the first prompt of a terminal.
    pub banner: Option<String>,
    /// What the prompt calls the database.
    pub database: Option<String>,
    /// What the terminal says of its background.
    pub background: Option<Detection>,
    /// The venues that can be captured, each with what it is.
    pub venues: Option<Venues>,
    /// Opens a new session on the same database, for when the first is lost; or says why that cannot be.
    pub reopen: Option<&'a dyn Fn() -> Result<Session, String>>,
    /// Tells when the database file, if the session has it open, is to be let go at the prompt.
    pub wanted: Option<Wanted>,
}

/// Runs the shell until its input ends or `.quit`.
///
/// # Errors
/// On a terminal only what makes it useless: errors of statements are reported on standard error, and the
/// shell goes on. Without one, the script's first failure.
pub fn run(session: Session, options: &Options<'_>) -> Result<(), Failure> {
    let mut out = stdout().map_err(output_error)?;
    let interrupter = session.interrupter();
    if io::stdin().is_terminal() {
        interrupter.on_ctrl_c().map_err(output_error)?;
        let mut shell = Shell::new(session, &mut out);
        shell.reader = Reader::Person;
        shell.database.clone_from(&options.database);
        shell.venues.clone_from(&options.venues);
        shell.wanted.clone_from(&options.wanted);
        let ran = shell.interactive(options);
        return shell.close_outlet().and(ran);
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).map_err(|error| {
        Failure::Report(format!("error: cannot read standard input: {error}\n"))
    })?;
    // Only now, so that Ctrl-C still ends the wait for input.
    interrupter.on_ctrl_c().map_err(output_error)?;
    let mut out = io::BufWriter::with_capacity(1 << 16, out);
    let mut shell = Shell::new(session, &mut out);
    shell.venues.clone_from(&options.venues);
    let ran = shell.script(Some("<stdin>"), &text, 0).map(drop);
    shell.close_outlet().and(ran)
}

struct Shell<'w> {
    session: Session,
    printer: Printer<'w>,
    reader: Reader,
    timer: bool,
    look: Look,
    /// How lines are edited.
    keys: EditMode,
    database: Option<String>,
    venues: Option<Venues>,
    /// Tells when the database file is to be let go while a person is waited for.
    wanted: Option<Wanted>,
    focus: Focus,
    /// The last statement that was run.
    last_sql: Option<String>,
    /// Whether the last result is there as the relation `_`.
    offered: bool,
    /// Where results go instead of standard output.
    outlet: Option<Outlet>,
    once: Option<Target>,
    /// Where lines are typed, if that is at a terminal.
    prompt: Option<Arc<Prompt>>,
    /// Prints rows that come in.
    follower: Option<Follower>,
    /// Whether names in the database may have changed.
    changed: bool,
    /// What of the user's is in the session.
    own: Own,
}

/// Where lines come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// Somebody at a terminal.
    Person,
    /// A file or a pipe.
    Script,
}

/// Whether the shell goes on.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Go,
    Leave,
}

impl<'w> Shell<'w> {
    fn new(session: Session, out: Out<'w>) -> Self {
        Self {
            session,
            printer: Printer::new(Format::Table, layout(), out).keeping(),
            reader: Reader::Script,
            timer: false,
            look: Look::default(),
            keys: EditMode::Emacs,
            database: None,
            venues: None,
            wanted: None,
            focus: Focus::default(),
            last_sql: None,
            offered: false,
            outlet: None,
            once: None,
            prompt: None,
            follower: None,
            changed: false,
            own: Own::default(),
        }
    }

    /// Runs a script, up to its first error.
    fn script(&mut self, name: Option<&str>, text: &str, depth: usize) -> Result<Next, Failure> {
        self.script_past(name, text, depth, Err)
    }

    /// Runs a script, and goes on after an error if `past` says so.
    fn script_past(
        &mut self,
        name: Option<&str>,
        text: &str,
        depth: usize,
        mut past: impl FnMut(Failure) -> Result<(), Failure>,
    ) -> Result<Next, Failure> {
        let source = Source { name, text };
        let mut pieces = Pieces::new(text);
        loop {
            if let Some(command) = pieces.command() {
                match self.command(command.text, depth) {
                    Ok(Next::Go) => {}
                    Ok(Next::Leave) => return Ok(Next::Leave),
                    Err(failure) => past(match name {
                        Some(name) => failure.at(name, command.line),
                        None => failure,
                    })?,
                }
            } else if let Some(piece) = pieces.next() {
                if let Some(statement) = piece.statement
                    && let Err(failure) = self.statement(source, statement)
                {
                    past(failure)?;
                }
            } else {
                return Ok(Next::Go);
            }
        }
    }

    /// Runs what was typed or pasted; errors are shown. A `word` is a command without its dot.
    fn input(&mut self, input: &str, word: bool) -> Next {
        self.session.forget_interrupt();
        self.printer.layout = self.layout();
        let done = if word {
            self.command(input, 0)
        } else {
            self.script(None, input, 0)
        };
        done.or_else(tell).unwrap_or(Next::Leave)
    }

    /// How results are laid out now.
    fn layout(&self) -> Layout {
        let layout = layout();
        Layout {
            color: layout.width.is_some() && self.look.theme().is_some(),
            ..layout
        }
    }

    fn statement(&mut self, source: Source<'_>, statement: Statement<'_>) -> Result<(), Failure> {
        let outlet = self
            .offer_last(statement.text)
            .and_then(|()| self.refresh_focus(statement.text))
            .and_then(|()| self.once.take().map(open).transpose())
            .map_err(|failure| match source.name {
                Some(name) => failure.at(name, statement.line),
                None => failure,
            })?;
        let worker = self.session.attached_to().map(|process| process.pid);
        let usage = self.timer.then(|| Usage::start(worker));
        let result = self.redirected(outlet, |printer, session| {
            printer.statement(session, source, statement)
        });
        self.last_sql = Some(statement.text.to_owned());
        if self.session.in_transaction() || first_word(statement.text) == "rollback" {
            // What is made in a transaction may be gone after it.
            self.offered = false;
        }
        let outcome = result?;
        self.own.note(statement.text, outcome);
        let rows = match outcome {
            Outcome::Rows(rows) => Some(rows),
            Outcome::Changed(count) => u64::try_from(count).ok(),
            Outcome::Nothing => None,
        };
        match outcome {
            Outcome::Rows(_) => self.offered = false,
            Outcome::Nothing => self.changed = true,
            Outcome::Changed(count) => {
                self.changed = true;
                if self.printer.layout.width.is_some() {
                    let plural = if count == 1 { "" } else { "s" };
                    self.printer
                        .text(&format!("{count} row{plural} changed\n"))?;
                }
            }
        }
        if let Some(usage) = usage {
            say(&usage.spent(rows).line());
        }
        Ok(())
    }

    /// Prints to standard output, or to where `.once` or `.output` said; `once` is what the one opened.
    fn redirected(
        &mut self,
        once: Option<Outlet>,
        print: impl FnOnce(&mut Printer<'_>, &mut Session) -> Result<Outcome, Failure>,
    ) -> Result<Outcome, Failure> {
        let is_once = once.is_some();
        let Some(mut outlet) = once.or_else(|| self.outlet.take()) else {
            return print(&mut self.printer, &mut self.session);
        };
        let format = outlet.target.format().unwrap_or(self.printer.format);
        let layout = Layout {
            file: matches!(outlet.target, Target::File(_)),
            ..Layout::default()
        };
        let results = outlet.results;
        let mut printer = Printer::new(format, layout, outlet.writer())
            .after(results)
            .keeping();
        let outcome = print(&mut printer, &mut self.session);
        let last = printer.take_last();
        if let Some(last) = last {
            self.printer.set_last(last);
        }
        outlet.results += usize::from(matches!(outcome, Ok(Outcome::Rows(_))));
        outlet
            .ended(outcome.is_ok())
            .or_else(past_end)
            .map_err(output_error)?;
        // A command that has seen enough is no error.
        let gone = matches!(&outcome, Err(Failure::Output(error)) if error.is_broken_pipe());
        let rows = matches!(outcome, Ok(Outcome::Rows(_)));
        if is_once && !rows && !gone {
            // Not what was waited for.
            self.once = Some(outlet.target.clone());
        }
        if is_once || gone {
            outlet.close().map_err(output_error)?;
        } else {
            self.outlet = Some(outlet);
        }
        if gone { Ok(Outcome::Nothing) } else { outcome }
    }

    /// Refuses a file of which neither its name nor `.mode` says how it is to be written.
    fn must_be_clear(&self, target: &Target) -> Result<(), Failure> {
        if self.printer.format != Format::Table || !target.is_unclear() {
            return Ok(());
        }
        Err(Failure::Report(format!(
            "error: {} does not say by its name how it is to be written\n\
             hint: {}; or a .mode before says it\n",
            target.name(),
            Format::ENDINGS
        )))
    }

    fn close_outlet(&mut self) -> Result<(), Failure> {
        self.outlet
            .take()
            .map_or(Ok(()), |outlet| outlet.close().map_err(output_error))
    }

    /// Makes the last result the relation `_`, if `sql` reads that.
    fn offer_last(&mut self, sql: &str) -> Result<(), Failure> {
        if self.offered || !last::is_read_by(sql) {
            return Ok(());
        }
        let Some(last) = self.printer.last() else {
            return Ok(());
        };
        last.to_relation(&mut self.session)
            .map_err(|error| match error {
                last::Error::Query(crate::query::Error::Interrupted) => Failure::Interrupted,
                error => Failure::Report(format!("error: {error}\n")),
            })?;
        self.offered = true;
        self.changed = true;
        if let Some(note) = last.note() {
            say(&format!("note: _ holds {note}\n"));
        }
        Ok(())
    }

    fn command(&mut self, line: &str, depth: usize) -> Result<Next, Failure> {
        let command = command::parse(line)
            .map_err(|message| Failure::Report(format!("error: {message}\n")))?;
        match command {
            Command::Tables(pattern) => self.tables(pattern.as_deref())?,
            Command::Schema(table) => self.schema(table.as_deref())?,
            Command::Describe(what) => self.describe(what.as_deref())?,
            Command::Summarize(what) => self.summarize(what.as_deref())?,
            Command::Functions(pattern) => self.functions(pattern.as_deref())?,
            Command::Settings(pattern) => self.settings(pattern.as_deref())?,
            Command::Models => self.models()?,
            Command::Lineage(model) => self.lineage(model.as_deref())?,
            Command::Venues => self.venues()?,
            Command::Status => self.status()?,
            Command::Explain(query) => self.explain(&query)?,
            Command::Import { file, name } => self.import(&file, name.as_deref())?,
            Command::Export { file, source } => self.export(&file, source.as_deref())?,
            Command::Copy(format) => self.copy(format)?,
            Command::Mode(Some(format)) => self.printer.format = format,
            Command::Mode(None) => self
                .printer
                .text(&format!("{}\n", self.printer.format.name()))?,
            Command::Output(target) => {
                if let Some(target) = &target {
                    self.must_be_clear(target)?;
                }
                self.close_outlet()?;
                self.outlet = target.map(open).transpose()?;
            }
            Command::Once(target) => {
                self.must_be_clear(&target)?;
                self.once = Some(target);
            }
            Command::Last => self.show_last()?,
            Command::Plot(request) => self.plot(&request)?,
            Command::Watch { every, query } => self.watch(every, &query)?,
            Command::Tail(request) => self.tail(request.as_ref())?,
            Command::Book(request) => self.book(request)?,
            Command::Candles(request) => self.candles(&request)?,
            Command::Range(request) => self.range(request)?,
            Command::Symbol(symbol) => self.symbol(symbol)?,
            Command::Param(param) => self.param(&param)?,
            Command::Save { name, query } => self.save(&name, query)?,
            Command::Run(name) => return self.run_saved(name.as_deref(), depth),
            Command::Read(path) => return self.read(&path, depth),
            Command::Edit(query) => return self.edit(query, depth),
            Command::Timer(Some(on)) => self.timer = on,
            Command::Timer(None) => self
                .printer
                .text(if self.timer { "on\n" } else { "off\n" })?,
            Command::Color(Some(choice)) => {
                self.look.choice = choice;
                self.printer.layout = self.layout();
            }
            Command::Color(None) => self.printer.text(&format!("{}\n", self.look.told()))?,
            Command::Keys(Some(keys)) => self.keys = keys,
            Command::Keys(None) => self.printer.text(match self.keys {
                EditMode::Vi => "vi\n",
                _ => "emacs\n",
            })?,
            Command::Help(topic) => self.help(topic.as_deref())?,
            Command::Quit => return Ok(Next::Leave),
        }
        Ok(Next::Go)
    }

    /// The last result, whole: on a terminal in a pager.
    fn show_last(&mut self) -> Result<(), Failure> {
        let Some(last) = self.printer.last() else {
            return Err(no_result());
        };
        let layout = Layout {
            color: self.printer.layout.color,
            ..Layout::default()
        };
        let mut text = Vec::new();
        let batches = last.batches.iter().cloned().map(Ok::<_, output::Error>);
        output::encode(
            self.printer.format,
            layout,
            &last.schema,
            batches,
            &mut text,
        )?;
        if let Some(note) = last.note() {
            text.extend_from_slice(format!("{note}\n").as_bytes());
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        if self.reader == Reader::Person && io::stdout().is_terminal() {
            let mut out = stdout().map_err(output_error)?;
            return self
                .idle(|| pager::show(&text, &mut out))
                .map_err(output_error);
        }
        self.printer.text(&text)
    }

    /// Refuses what only makes sense before a person.
    fn needs_terminal(&self, command: &str) -> Result<(), Failure> {
        if self.reader == Reader::Person && io::stdout().is_terminal() {
            return Ok(());
        }
        Err(needs_terminal(command))
    }
}

fn needs_terminal(command: &str) -> Failure {
    Failure::Report(format!("error: {command} needs a terminal\n"))
}

fn open(target: Target) -> Result<Outlet, Failure> {
    let name = target.name();
    Outlet::open(target)
        .map_err(|error| Failure::Report(format!("error: cannot write to {name}: {error}\n")))
}

/// A command that has seen enough is no error.
fn past_end(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Ok(());
    }
    Err(error)
}

fn no_result() -> Failure {
    Failure::Report("error: there is no result yet\nhint: run a query first\n".to_owned())
}

/// Shows a failure after which the shell goes on; the failure itself if nobody is there to see it.
fn tell(failure: Failure) -> Result<Next, Failure> {
    match failure {
        Failure::Report(report) => say(&output::printable_lines(&report)),
        Failure::Interrupted => say("\ninterrupted\n"),
        Failure::Output(error) if error.is_broken_pipe() => return Err(Failure::Output(error)),
        Failure::Output(error) => say(&format!("error: {error}\n")),
    }
    Ok(Next::Go)
}

/// Writes to standard error. Should that fail there is nobody left to tell.
fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

fn output_error(error: io::Error) -> Failure {
    Failure::Output(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a script as if it stood on standard input; what it wrote and how it ended.
    fn script(text: &str) -> (String, Result<(), String>) {
        let session = Session::new(duckdb::Connection::open_in_memory().unwrap(), true);
        let mut out = Vec::new();
        let mut shell = Shell::new(session, &mut out);
        shell.printer.layout = crate::output::Layout::default();
        let end = shell
            .script(Some("<stdin>"), text, 0)
            .map(drop)
            .map_err(|failure| failure.to_string());
        (String::from_utf8(out).unwrap(), end)
    }

    #[test]
    fn a_script_mixes_sql_and_commands() {
        let (out, end) = script(
            "create table t (i int);\n\n.mode csv\ninsert into t values (1), (2); from t;\n.mode\nquit;\n",
        );
        assert_eq!(out, "i\n1\n2\ncsv\n");
        assert!(
            end.unwrap_err().contains("syntax error"),
            "only . begins a command in a script"
        );
        let (out, end) = script(
            "-- a comment\n.mode line\nselect 1 as a; /* and\nanother */\n.quit\nselect 2 as b;",
        );
        assert_eq!((out.as_str(), end), ("a = 1\n", Ok(())));
    }

    #[test]
    fn a_script_stops_at_its_first_error() {
        let (out, end) = script(".mode csv\nselect 1 as a;\n\nselect nope;\nselect 2;");
        assert_eq!(out, "a\n1\n");
        assert!(end.unwrap_err().contains("<stdin>:4:8:"));
        let (out, end) = script(".mode csv\nselect 1 as a;\n/* not closed\nselect 2 as b;");
        assert_eq!(out, "a\n1\n");
        assert!(end.unwrap_err().contains("unterminated"));
        let (out, end) = script("\n-- a comment\n.nope\nselect 2;");
        assert_eq!(out, "");
        let error = end.unwrap_err();
        assert!(error.contains(".help lists them") && error.contains("<stdin>:3:"));
    }

    #[test]
    fn a_file_of_no_known_format_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let once = |mode: &str, name: &str| {
            let path = home.path().join(name);
            let (_, end) = script(&format!(
                "{mode}\n.once '{}'\nselect 1 as a;",
                path.display()
            ));
            (end, std::fs::read_to_string(path).ok())
        };
        let (end, text) = once("", "x.csv.gz");
        let error = end.unwrap_err();
        assert!(
            error.contains("x.csv.gz does not say") && error.contains(".parquet"),
            "{error}"
        );
        assert_eq!(text, None);
        for (mode, name) in [(".mode csv", "x.csv.gz"), (".mode csv", "x"), ("", "y.csv")] {
            assert_eq!(once(mode, name), (Ok(()), Some("a\n1\n".to_owned())));
        }
        for name in ["plain", "plain.txt"] {
            let (end, text) = once("", name);
            assert_eq!(end, Ok(()), "{name}");
            assert!(text.unwrap().contains('│'), "{name}");
        }
        let (_, end) = script(".output x.weird");
        assert!(end.unwrap_err().contains(".mode"));
    }

    #[test]
    fn a_table_is_exported_and_told_of_by_its_quoted_name() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("a.csv");
        let (out, end) = script(&format!(
            "create table \"my t\" as select 1 as a;\n.mode csv\n.schema \"my t\"\n.export '{}' \"my t\"",
            file.display()
        ));
        assert_eq!(end, Ok(()));
        assert_eq!(out, "column,type,comment\na,INTEGER,\n");
        assert_eq!(std::fs::read_to_string(file).unwrap(), "a\n1\n");
    }

    #[test]
    fn what_plot_cannot_draw_says_what_it_takes() {
        for (asked, says) in [
            ("foo", "there is no table foo, nor a kind of picture"),
            ("candels", "did you mean candles? .plot takes"),
            ("tradez", "did you mean \"trades\"? .plot takes"),
            ("\"no such\"", "there is no table \"no such\""),
            ("pie trades", "pie trades is no table, query or kind"),
        ] {
            let (_, end) = script(&format!(
                "create table trades (price double);\n.plot {asked}"
            ));
            let error = end.unwrap_err();
            assert!(error.contains(says), "{asked}: {error}");
            assert!(
                error.contains("a KIND is line, candles") && error.contains("<stdin>:2:"),
                "{asked}: {error}"
            );
        }
        let (_, end) = script(".plot select nope");
        assert!(!end.unwrap_err().contains(".plot takes"));
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_told_with_its_place_in_the_script() {
        let (_, end) = script("select 1;\n.once /no/such/directory/x.csv\n\nselect 2;");
        let error = end.unwrap_err();
        assert!(
            error.starts_with("error: cannot write to") && error.contains("<stdin>:4:"),
            "{error}"
        );
        let (_, end) = script("select 1;\n.output /no/such/directory/x.csv");
        assert!(end.unwrap_err().contains("<stdin>:2:"));
    }

    #[test]
    fn the_query_of_a_command_may_go_over_lines() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("a.csv");
        let (out, end) = script(&format!(
            ".mode csv\n.export '{}' SELECT * FROM (\n  SELECT 1 AS a\n);\nselect 2 as b;",
            file.display()
        ));
        assert_eq!((out.as_str(), end), ("b\n2\n", Ok(())));
        assert_eq!(std::fs::read_to_string(file).unwrap(), "a\n1\n");
        let (_, end) = script("select 1;\n.plot SELECT max(\n  nope\n);");
        let error = end.unwrap_err();
        assert!(
            error.contains("nope") && error.contains("<stdin>:2:"),
            "{error}"
        );
    }

    #[test]
    fn a_parameter_may_be_named_like_a_word_of_sql() {
        let (out, end) = script(
            ".mode csv\n.param set limit 5\nselect $limit + 1 as more;\n.param clear limit\nselect $limit;",
        );
        assert_eq!(out, "more\n6\n");
        assert!(end.unwrap_err().contains("$limit has no value"));
    }

    #[test]
    fn a_plan_that_cannot_be_made_shows_what_was_typed() {
        let (_, end) = script(".explain select nosuch");
        let error = end.unwrap_err();
        assert!(
            error.ends_with("\n  select nosuch\n         ^^^^^^") && !error.contains("EXPLAIN"),
            "{error}"
        );
    }

    #[test]
    fn help_says_each_signature_of_a_function_once() {
        let (out, end) = script(".help arg_max");
        assert_eq!(end, Ok(()));
        let signatures: Vec<&str> = out
            .lines()
            .filter(|line| line.starts_with("arg_max("))
            .collect();
        let mut different = signatures.clone();
        different.sort_unstable();
        different.dedup();
        assert!(
            different.len() > 1 && different.len() == signatures.len(),
            "{out}"
        );
    }

    #[test]
    fn tables_and_their_definitions_are_listed() {
        let make = "create table trades (ts timestamp_ns); insert into trades values ('2024-08-08 01:00:00'), ('2024-08-08 02:00:00.9999999'); \
                    comment on table trades is 'each trade'; create view twice as from trades; \
                    create schema ops; create table ops.manifest \
                    (table_name varchar, rows ubigint, bytes ubigint, min_ts timestamp_ns, max_ts timestamp_ns); \
                    insert into ops.manifest values ('trades', 5, 700, '2024-08-07', '2024-08-07 12:00:00');";
        let (out, end) = script(&format!(
            "{make}\n.mode csv\n.tables\n.tables ops\n.schema trades\n.schema Main.trades\n.schema memory.main.\"trades\""
        ));
        assert_eq!(end, Ok(()));
        assert_eq!(
            out,
            "name,kind,rows,bytes,from,to,columns,comment\n\
             trades,table,7,700,2024-08-07 00:00:00,2024-08-08 02:00:00,1,each trade\n\
             twice,view,,,,,1,\n\
             name,kind,rows,bytes,from,to,columns,comment\n\
             ops.manifest,table,1,,,,5,\n\
             column,type,comment\nts,TIMESTAMP_NS,\n\
             column,type,comment\nts,TIMESTAMP_NS,\n\
             column,type,comment\nts,TIMESTAMP_NS,\n"
        );
        let (out, end) = script(&format!("{make}\n.help main.trades"));
        assert!(end.is_ok() && out.contains("each trade"), "{out}");
        let (out, end) = script("create macro twice(x) as 2 * x;\n.mode csv\n.help macros");
        assert_eq!(
            (out.as_str(), end),
            ("name,kind,parameters,what\ntwice,macro,x,\n", Ok(()))
        );
        assert!(
            script(".schema it's")
                .1
                .unwrap_err()
                .contains("no table or view it's")
        );
    }
}
