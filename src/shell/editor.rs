//! The shell on a terminal: an editor for statements of several lines, with history and completion.

use std::borrow::Cow;
use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustyline::completion::Completer;
use rustyline::config::Configurer;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{ColorMode, CompletionType, Config, Context, Editor, Event, EventHandler, Helper};

use super::color::{Choice, Detection, Theme};
use super::complete::{self, Candidate, Completion, Librarian, Names};
use super::late::Answers;
use super::prompt::prompt;
use super::tail::Prompt;
use super::{Failure, Next, Options, Shell, command, highlight, history, output_error, saved, say};
use crate::query::{meant, open_at_end};

/// How long Tab waits for the names of a database that has just been opened.
const NAMES_WAIT: Duration = Duration::from_secs(3);

/// How long it waits for values, and for the columns of a call or file.
const VALUES_WAIT: Duration = Duration::from_millis(250);

/// A terminal that does not say how large it is.
const SCREEN: (u16, u16) = (80, 24);

impl Shell<'_> {
    /// Reads and runs statements until the user leaves.
    pub(super) fn interactive(&mut self, options: &Options<'_>) -> Result<(), Failure> {
        let mut editor = self.editor()?;
        // A terminal that cannot be edited on has nothing above its prompt either.
        let printer = editor.create_external_printer().ok();
        self.prompt = printer.map(|printer| Arc::new(Prompt::new(printer)));
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
        match Choice::of_environment() {
            Ok(choice) => self.look.choice = choice,
            Err(wrong) => say(&format!("error: {wrong}\n")),
        }
        self.look.found = options.background.as_ref().and_then(Detection::theme);
        if options.background.as_ref().is_some_and(Detection::is_asked) {
            editor.bind_sequence(
                Event::Any,
                EventHandler::Conditional(Box::new(Answers::default())),
            );
        }
        if self.init()? == Next::Leave {
            return Ok(());
        }
        let mut typed = String::new();
        let mut first = String::new();
        loop {
            let theme = self.look.theme();
            if let Some(helper) = editor.helper_mut() {
                helper.typed.clone_from(&typed);
                helper.theme = theme;
            }
            editor.set_color_mode(theme.map_or(ColorMode::Disabled, |_| ColorMode::Forced));
            editor.set_edit_mode(self.keys);
            if typed.trim().is_empty() {
                first = self.first_prompt();
            }
            let line = self.line(|| editor.readline(&prompt(&typed, &first)));
            match line {
                Ok(line) => {
                    // By now the terminal has answered, if it does at all.
                    editor.unbind_sequence(Event::Any);
                    let word = typed.trim().is_empty() && command::is_word(&line);
                    typed.push_str(&line);
                    if !word && open_at_end(&typed).is_some() {
                        typed.push('\n');
                        continue;
                    }
                    let input = std::mem::take(&mut typed);
                    if input.trim().is_empty() {
                        continue;
                    }
                    remember(&mut editor, &input, history.as_ref());
                    let is_back = self.come_back(editor.helper(), options);
                    let symbol = self.focus.symbol.clone();
                    if self.input(&input, word) == Next::Leave {
                        return Ok(());
                    }
                    if self.focus.symbol != symbol {
                        self.doubt_symbol(editor.helper());
                    }
                    // Where that has just failed it would again, and say so twice.
                    let moved = is_back && self.session.is_lost() && self.reopen(options);
                    self.tell(editor.helper(), moved);
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

    /// Has a session again, if the file was let go or the process that had it has ended; false if that cannot be, which
    /// has been said then.
    fn come_back(&mut self, helper: Option<&Assistant>, options: &Options<'_>) -> bool {
        if self.session.in_transaction() {
            // That is over, and a statement must not run without it.
            return true;
        }
        self.session.look();
        if !self.session.is_lost() {
            return true;
        }
        if let Some(helper) = helper {
            // While its session lived, the file would be open twice, and closing it once drop the lock on it.
            helper.librarian.borrow_mut().leave();
        }
        let is_back = self.reopen(options);
        if is_back {
            self.tell(helper, true);
        }
        is_back
    }

    /// Says so if the session's symbol is none that completion knows: it may be mistyped, or have no rows yet.
    fn doubt_symbol(&self, helper: Option<&Assistant>) {
        let (Some(symbol), Some(helper)) = (&self.focus.symbol, helper) else {
            return;
        };
        let mut librarian = helper.librarian.borrow_mut();
        let Some(known) = librarian.symbols().filter(|known| !known.contains(symbol)) else {
            return;
        };
        let hint = meant(symbol, known.iter().map(String::as_str))
            .map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
        say(&format!("note: no recent row is of {symbol}{hint}\n"));
    }

    /// Tells completion what has changed.
    fn tell(&mut self, helper: Option<&Assistant>, moved: bool) {
        let Some(helper) = helper else {
            return;
        };
        let mut librarian = helper.librarian.borrow_mut();
        librarian.catalog_mut().saved = saved::names();
        if (moved || librarian.has_left())
            && let Ok(session) = self.session.try_clone()
        {
            librarian.go_on(session, self.wanted());
        }
        if !std::mem::take(&mut self.changed) && !moved {
            return;
        }
        librarian.refresh();
        // A question of the shell's own has no business in a transaction of the user's.
        if !self.session.in_transaction() && !self.session.is_lost() {
            let temporary = complete::relations(&mut self.session, "database_name = 'temp'");
            librarian.set_temporary(temporary.unwrap_or_default());
            let variables = self
                .session
                .strings("SELECT name FROM duckdb_variables() ORDER BY 1");
            librarian.catalog_mut().parameters = variables
                .unwrap_or_default()
                .into_iter()
                .flatten()
                .flatten()
                .collect();
        }
    }

    fn editor(&self) -> Result<Editor<Assistant, DefaultHistory>, Failure> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .completion_show_all_if_ambiguous(true)
            // No more are offered than fit on the screen: while it asks, the editor takes no Ctrl-C.
            .completion_prompt_limit(usize::MAX)
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
        let mut librarian = Librarian::new(session, self.wanted());
        librarian.catalog_mut().saved = saved::names();
        editor.set_helper(Some(Assistant {
            librarian: RefCell::new(librarian),
            typed: String::new(),
            theme: None,
        }));
        Ok(editor)
    }
}

/// Adds what was typed to the history, if it may be kept.
fn remember(
    editor: &mut Editor<Assistant, DefaultHistory>,
    input: &str,
    history: Option<&PathBuf>,
) {
    if history::may_keep(input) && editor.add_history_entry(input.trim_end()).unwrap_or(false) {
        // What was typed is run whether or not it can be kept.
        let _ = history.map(|path| editor.append_history(path));
    }
}

/// What the editor asks while a line is typed.
struct Assistant {
    librarian: RefCell<Librarian>,
    /// The lines before this one.
    typed: String,
    /// In which colours what is typed is shown.
    theme: Option<Theme>,
}

impl Completer for Assistant {
    type Candidate = Candidate;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Candidate>)> {
        let text = format!("{}{line}", self.typed);
        let cursor = self.typed.len() + at;
        let mut librarian = self.librarian.borrow_mut();
        librarian.names(NAMES_WAIT);
        let complete = |librarian: &Librarian| {
            let names = Names {
                catalog: librarian.catalog(),
                files: &complete::paths,
            };
            complete::complete(&text, cursor, &names)
        };
        let mut completion = complete(&librarian);
        let Completion {
            describe, values, ..
        } = &completion;
        let lacks = !describe.is_empty() || values.is_some();
        for source in describe {
            librarian.columns(source, VALUES_WAIT);
        }
        if let Some(of) = values {
            librarian.values(of, VALUES_WAIT);
        }
        if lacks {
            completion = complete(&librarian);
        }
        // A word of an earlier line cannot be changed any more.
        let Some(start) = completion.start.checked_sub(self.typed.len()) else {
            return Ok((at, Vec::new()));
        };
        let (columns, lines) = crossterm::terminal::size().unwrap_or(SCREEN);
        let screen = (usize::from(columns), usize::from(lines));
        Ok((start, complete::page(completion.candidates, screen)))
    }
}

impl Hinter for Assistant {
    type Hint = String;
}

impl Highlighter for Assistant {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        let Some(theme) = self.theme else {
            return Cow::Borrowed(line);
        };
        let mut librarian = self.librarian.borrow_mut();
        librarian.listen();
        highlight::painted(&self.typed, line, librarian.catalog(), theme).into()
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        match self.theme {
            Some(_) => format!("\x1b[1m{prompt}\x1b[0m").into(),
            None => Cow::Borrowed(prompt),
        }
    }

    fn highlight_char(&self, _: &str, _: usize, kind: CmdKind) -> bool {
        // A sign may change what all others are.
        self.theme.is_some() && kind != CmdKind::MoveCursor
    }
}

impl Validator for Assistant {}

impl Helper for Assistant {}
