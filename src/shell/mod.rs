//! The shell: `mdb` with no command. On a terminal it reads statements with an editor, reports errors and goes
//! on; without one it runs the script on standard input and stops at the first error.

mod command;
mod complete;
mod history;
mod script;
mod terminal;

use std::cell::RefCell;
use std::io::{self, IsTerminal, Read, Write};
use std::time::Instant;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use crate::output::{Format, Out};
use crate::query::{Open, Pieces, Session, Source, Statement, open_at_end};
use command::Command;
use complete::Names;

pub use script::{Failure, Outcome, Printer};
pub use terminal::{layout, stdout};

/// How the shell begins, and goes on.
#[derive(Default)]
pub struct Options<'a> {
    /// The lines shown above the first prompt of a terminal.
    pub banner: Option<String>,
    /// Opens a new session on the same database, for when the first is lost; or says why that cannot be.
    pub reopen: Option<&'a dyn Fn() -> Result<Session, String>>,
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
        return Shell::new(session, &mut out).interactive(options);
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).map_err(|error| {
        Failure::Report(format!("error: cannot read standard input: {error}\n"))
    })?;
    // Only now, so that Ctrl-C still ends the wait for input.
    interrupter.on_ctrl_c().map_err(output_error)?;
    let mut out = io::BufWriter::with_capacity(1 << 16, out);
    Shell::new(session, &mut out).script(&text)
}

struct Shell<'w> {
    session: Session,
    printer: Printer<'w>,
    timer: bool,
}

/// Whether the shell goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Go,
    Leave,
}

impl<'w> Shell<'w> {
    fn new(session: Session, out: Out<'w>) -> Self {
        Self {
            session,
            printer: Printer::new(Format::Table, layout(), out),
            timer: false,
        }
    }

    fn script(&mut self, text: &str) -> Result<(), Failure> {
        let source = Source {
            name: Some("<stdin>"),
            text,
        };
        let mut pieces = Pieces::new(text);
        loop {
            let rest = &text[pieces.position()..];
            if rest.trim_start().starts_with('.') {
                let line = pieces.skip_line();
                if !line.trim().is_empty() && self.command(line)? == Next::Leave {
                    return Ok(());
                }
            } else if let Some(piece) = pieces.next() {
                if let Some(statement) = piece.statement {
                    self.statement(source, statement)?;
                }
            } else {
                return Ok(());
            }
        }
    }

    fn interactive(&mut self, options: &Options<'_>) -> Result<(), Failure> {
        let mut editor = self.editor()?;
        let history = history::path().filter(|path| match history::prepare(path) {
            Ok(()) => true,
            Err(error) => {
                say(&format!(
                    "history is not kept: {}: {error}\n",
                    path.display()
                ));
                false
            }
        });
        if let Some(path) = &history {
            // An unreadable history is no reason not to start; appending to it says what is wrong.
            let _ = editor.load_history(path);
        }
        if let Some(banner) = &options.banner {
            say(&format!("{banner}\n"));
        }
        let mut typed = String::new();
        loop {
            if let Some(helper) = editor.helper_mut() {
                helper.typed.clone_from(&typed);
            }
            match editor.readline(&prompt(&typed, self.session.attached_to().is_some())) {
                Ok(line) => {
                    let command = typed.trim().is_empty() && command::is_command(&line);
                    typed.push_str(&line);
                    if !command && open_at_end(&typed).is_some() {
                        typed.push('\n');
                        continue;
                    }
                    let input = std::mem::take(&mut typed);
                    if input.trim().is_empty() {
                        continue;
                    }
                    if history::may_keep(&input)
                        && editor.add_history_entry(input.trim_end()).unwrap_or(false)
                    {
                        // The same: what was typed is run whether or not it can be kept.
                        let _ = history.as_ref().map(|path| editor.append_history(path));
                    }
                    if self.input(&input, command) == Next::Leave {
                        return Ok(());
                    }
                    let moved = self.session.is_lost() && self.reopen(options);
                    if let Some(helper) = editor.helper_mut() {
                        helper.names.take();
                        let lost = moved || helper.session.borrow().is_lost();
                        if let (true, Ok(session)) = (lost, self.session.try_clone()) {
                            helper.session = RefCell::new(session);
                        }
                    }
                }
                Err(ReadlineError::Interrupted) => typed.clear(),
                Err(ReadlineError::Eof) => return Ok(()),
                Err(ReadlineError::Io(error)) => return Err(output_error(error)),
                Err(error) => {
                    return Err(Failure::Report(format!(
                        "error: the terminal failed: {error}\n"
                    )));
                }
            }
        }
    }

    /// Runs what was typed; errors are shown.
    fn input(&mut self, input: &str, command: bool) -> Next {
        self.session.forget_interrupt();
        self.printer.layout = layout();
        let done = if command {
            self.command(input)
        } else {
            let source = Source {
                name: None,
                text: input,
            };
            let mut statements = crate::query::statements(input);
            statements
                .try_for_each(|statement| self.statement(source, statement))
                .map(|()| Next::Go)
        };
        done.unwrap_or_else(|failure| {
            match failure {
                Failure::Report(report) => say(&report),
                Failure::Interrupted => say("\ninterrupted\n"),
                Failure::Output(error) if error.is_broken_pipe() => return Next::Leave,
                Failure::Output(error) => say(&format!("error: {error}\n")),
            }
            Next::Go
        })
    }

    /// Takes the place of a session that is lost; false if that cannot be now.
    fn reopen(&mut self, options: &Options<'_>) -> bool {
        let Some(reopen) = options.reopen else {
            return false;
        };
        match reopen() {
            Ok(session) => {
                let to = session.attached_to().map_or_else(
                    || "the database file is open now".to_owned(),
                    |process| {
                        format!(
                            "attached to mdb {} (PID {}) now",
                            process.command, process.pid
                        )
                    },
                );
                self.session.move_to(session);
                say(&format!(
                    "{to}; settings and temporary tables of before are gone\n"
                ));
                true
            }
            Err(why) => {
                say(&format!("error: {why}\n"));
                false
            }
        }
    }

    fn statement(&mut self, source: Source<'_>, statement: Statement<'_>) -> Result<(), Failure> {
        let start = Instant::now();
        let outcome = self
            .printer
            .statement(&mut self.session, source, statement)?;
        if let Outcome::Changed(count) = outcome
            && self.printer.layout.width.is_some()
        {
            self.printer.text(&format!(
                "{count} row{} changed\n",
                if count == 1 { "" } else { "s" }
            ))?;
        }
        if self.timer {
            say(&format!("{:.3} s\n", start.elapsed().as_secs_f64()));
        }
        Ok(())
    }

    fn command(&mut self, line: &str) -> Result<Next, Failure> {
        match command::parse(line)
            .map_err(|message| Failure::Report(format!("error: {message}\n")))?
        {
            Command::Tables(pattern) => self.tables(pattern.as_deref())?,
            Command::Schema(table) => self.schema(table.as_deref())?,
            Command::Mode(Some(format)) => self.printer.format = format,
            Command::Mode(None) => self
                .printer
                .text(&format!("{}\n", self.printer.format.name()))?,
            Command::Timer(Some(on)) => self.timer = on,
            Command::Timer(None) => self
                .printer
                .text(if self.timer { "on\n" } else { "off\n" })?,
            Command::Help => self.printer.text(&command::help())?,
            Command::Quit => return Ok(Next::Leave),
        }
        Ok(Next::Go)
    }

    fn tables(&mut self, pattern: Option<&str>) -> Result<(), Failure> {
        let wanted = pattern.map_or_else(
            // mdb's own schemas are shown only to those who ask for them.
            || "schema_name = current_schema()".to_owned(),
            |pattern| format!("name ILIKE {}", literal(&format!("%{pattern}%"))),
        );
        let sql = format!(
            "SELECT name, kind, columns, comment FROM ({RELATIONS}) WHERE {wanted} ORDER BY name"
        );
        let source = Source {
            name: None,
            text: &sql,
        };
        self.statement(
            source,
            Statement {
                text: &sql,
                offset: 0,
                line: 1,
            },
        )
    }

    fn schema(&mut self, table: Option<&str>) -> Result<(), Failure> {
        let wanted = table.map_or_else(
            || "schema_name = current_schema()".to_owned(),
            |table| format!("lower(name) = lower({})", literal(table)),
        );
        let sql = format!("SELECT sql FROM ({RELATIONS}) WHERE {wanted} ORDER BY name");
        let rows = self
            .session
            .strings(&sql)
            .map_err(|error| Failure::Report(format!("error: {error}\n")))?;
        if let (Some(table), true) = (table, rows.is_empty()) {
            return Err(Failure::Report(format!(
                "error: there is no table or view {table}\nhint: .tables lists them\n"
            )));
        }
        if let Some(table) = table {
            return self.columns(table);
        }
        for definition in rows.into_iter().flatten().flatten() {
            self.printer.text(&format!("{}\n", definition.trim_end()))?;
        }
        Ok(())
    }

    /// A relation's columns: what a person wants to know of it, view or table.
    fn columns(&mut self, table: &str) -> Result<(), Failure> {
        let sql = format!(
            "SELECT column_name AS \"column\", data_type AS type, comment FROM duckdb_columns() \
             WHERE lower(if(schema_name = current_schema(), '', schema_name || '.') || table_name) = lower({}) \
             ORDER BY schema_name, column_index",
            literal(table)
        );
        let source = Source {
            name: None,
            text: &sql,
        };
        self.printer.script(&mut self.session, source)
    }

    fn editor(&self) -> Result<Editor<Assistant, DefaultHistory>, Failure> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .max_history_size(10_000)
            .and_then(|config| config.history_ignore_dups(true))
            .map(rustyline::config::Builder::build)
            .and_then(Editor::with_config);
        let mut editor = config.map_err(|error| {
            Failure::Report(format!("error: no editor on this terminal: {error}\n"))
        })?;
        let session = self
            .session
            .try_clone()
            .map_err(|error| Failure::Report(format!("error: {error}\n")))?;
        editor.set_helper(Some(Assistant {
            session: RefCell::new(session),
            names: RefCell::default(),
            typed: String::new(),
        }));
        Ok(editor)
    }
}

/// Tables and views under the names by which one reaches them.
const RELATIONS: &str = "\
    SELECT schema_name, if(schema_name = current_schema(), '', schema_name || '.') || table_name AS name, \
           'table' AS kind, column_count AS columns, comment, sql FROM duckdb_tables() WHERE NOT internal \
    UNION ALL \
    SELECT schema_name, if(schema_name = current_schema(), '', schema_name || '.') || view_name, \
           'view', column_count, comment, sql FROM duckdb_views() WHERE NOT internal";

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The prompt after what was typed so far: the first line's shows whether another process answers, the second's what
/// is still open.
fn prompt(typed: &str, attached: bool) -> String {
    let first = if attached { "mdb attached> " } else { "mdb> " };
    if typed.trim().is_empty() {
        return first.to_owned();
    }
    let open = match open_at_end(typed) {
        Some(Open::Quote) => "'> ",
        Some(Open::Name) => "\"> ",
        Some(Open::Dollar) => "$$> ",
        Some(Open::Comment) => "/*> ",
        Some(Open::Bracket('[')) => "[> ",
        Some(Open::Bracket('{')) => "{> ",
        Some(Open::Bracket(_)) => "(> ",
        Some(Open::Statement) | None => "-> ",
    };
    format!("{open:>width$}", width = first.len())
}

/// Writes to standard error. Should that fail there is nobody left to tell.
fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

fn output_error(error: io::Error) -> Failure {
    Failure::Output(error.into())
}

/// What the editor asks while a line is typed.
struct Assistant {
    session: RefCell<Session>,
    /// Asked for at the first Tab after each input.
    names: RefCell<Option<Names>>,
    /// The lines before this one.
    typed: String,
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let mut names = self.names.borrow_mut();
        let names = names.get_or_insert_with(|| Names::load(&mut self.session.borrow_mut()));
        let (start, candidates) =
            names.complete(&format!("{}{}", self.typed, &line[..at]), &line[at..]);
        Ok((start.saturating_sub(self.typed.len()), candidates))
    }
}

impl Hinter for Assistant {
    type Hint = String;
}

impl Highlighter for Assistant {}

impl Validator for Assistant {}

impl Helper for Assistant {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a script as if it stood on standard input; what it wrote and how it ended.
    fn script(text: &str) -> (String, Result<(), String>) {
        let session = Session::new(duckdb::Connection::open_in_memory().unwrap(), true);
        let mut out = Vec::new();
        let mut shell = Shell::new(session, &mut out);
        shell.printer.layout = crate::output::Layout::default();
        let end = shell.script(text).map_err(|failure| failure.to_string());
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
        let (out, end) = script(".mode line\nselect 1 as a;\n.quit\nselect 2 as b;");
        assert_eq!((out.as_str(), end), ("a = 1\n", Ok(())));
    }

    #[test]
    fn a_script_stops_at_its_first_error() {
        let (out, end) = script(".mode csv\nselect 1 as a;\n\nselect nope;\nselect 2;");
        assert_eq!(out, "a\n1\n");
        assert!(end.unwrap_err().contains("<stdin>:4:8:"));
        let (out, end) = script(".nope\nselect 2;");
        assert_eq!(out, "");
        assert!(end.unwrap_err().contains(".help lists them"));
    }

    #[test]
    fn tables_and_their_definitions_are_listed() {
        let make = "create table trades (i int); comment on table trades is 'each trade'; create schema ops; create table ops.x (i int);";
        let (out, end) = script(&format!(
            "{make}\n.mode csv\n.tables\n.tables ops\n.schema trades"
        ));
        assert_eq!(end, Ok(()));
        assert_eq!(
            out,
            "name,kind,columns,comment\ntrades,table,1,each trade\nname,kind,columns,comment\nops.x,table,1,\ncolumn,type,comment\ni,INTEGER,\n"
        );
        assert!(
            script(".schema it's")
                .1
                .unwrap_err()
                .contains("no table or view it's")
        );
    }

    #[test]
    fn the_prompt_shows_what_is_open() {
        for (typed, expected) in [
            ("", "mdb> "),
            ("select\n", "  -> "),
            ("select (\n", "  (> "),
            ("select 'x\n", "  '> "),
            ("select \"x\n", "  \"> "),
            ("select $$\n", " $$> "),
            ("/* \n", " /*> "),
            ("select [\n", "  [> "),
        ] {
            assert_eq!(prompt(typed, false), expected, "{typed:?}");
        }
        assert_eq!(prompt("", true), "mdb attached> ");
        assert_eq!(prompt("select\n", true), "           -> ");
    }
}
