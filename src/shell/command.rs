//! The shell's own commands: what a line asks for.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use rustyline::EditMode;

use super::color::Choice;
use super::commands::{commands, entry};
use super::outlet::Target;
use super::{candles, plot, range};
use crate::output::Format;
use crate::query::{self, TokenKind};

/// What a line that is no SQL asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Command {
    Tables(Option<String>),
    Schema(Option<String>),
    Describe(Option<String>),
    Summarize(Option<String>),
    Functions(Option<String>),
    Settings(Option<String>),
    Models,
    Lineage(Option<String>),
    Venues,
    Status,
    Explain(String),
    Import {
        file: PathBuf,
        name: Option<String>,
    },
    Export {
        file: PathBuf,
        source: Option<String>,
    },
    Copy(Option<Format>),
    Mode(Option<Format>),
    Output(Option<Target>),
    Once(Target),
    Last,
    Plot(plot::Request),
    Watch {
        every: Duration,
        query: String,
    },
    Tail(Option<Tail>),
    Book(Book),
    Candles(candles::Request),
    Range(range::Request),
    Symbol(Symbol),
    Param(Param),
    Save {
        name: String,
        query: Option<String>,
    },
    Run(Option<String>),
    Read(PathBuf),
    Edit(Option<String>),
    Timer(Option<bool>),
    Color(Option<Choice>),
    Keys(Option<EditMode>),
    Help(Option<String>),
    Quit,
}

/// The rows that are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) table: String,
    /// The session's, if it is not told.
    pub(super) symbol: Option<String>,
    pub(super) venue: Option<String>,
}

/// The order book that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Book {
    /// The session's, if it is not told.
    pub(super) symbol: Option<String>,
    pub(super) venue: Option<String>,
    /// The moment; `None` for the newest.
    pub(super) at: Option<String>,
}

/// What is done with the session's symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Symbol {
    Show,
    Clear,
    /// Of a venue, if one is told.
    Set(String, Option<String>),
}

/// What is done with parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Param {
    List,
    Set(String, String),
    Clear(Option<String>),
}

/// Whether a line at the start of a statement is a command rather than SQL.
pub(super) fn is_command(line: &str) -> bool {
    line.trim_start().starts_with('.') || is_word(line)
}

/// Whether a line is one of the words that work without a dot.
pub(super) fn is_word(line: &str) -> bool {
    let line = line
        .trim()
        .trim_end_matches([';', ' '])
        .to_ascii_lowercase();
    let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
    match word {
        "exit" | "quit" => rest.is_empty(),
        // `help trades`, but no more: no statement of SQL begins with it.
        "help" => !rest.trim().contains(char::is_whitespace),
        _ => false,
    }
}

/// Whether there is a command of that name, which begins with its dot.
pub(super) fn is_known(name: &str) -> bool {
    entry(name).is_some() || matches!(name, ".exit" | ".q")
}

/// Reads a command.
///
/// # Errors
/// What is wrong with it, and what it takes; ends without a line break.
pub(super) fn parse(line: &str) -> Result<Command, String> {
    let line = line.trim().trim_end_matches(';').trim_end();
    let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let argument = Some(argument.trim()).filter(|argument| !argument.is_empty());
    let owned = argument.map(str::to_owned);
    let unquoted_name = argument.map(bare);
    let name = name.trim_start_matches('.').to_ascii_lowercase();
    let nothing = |command| match argument {
        None => Ok(command),
        Some(argument) => Err(format!(".{name} takes nothing, not {argument}")),
    };
    match name.as_str() {
        "tables" => Ok(Command::Tables(unquoted_name)),
        "schema" => Ok(Command::Schema(unquoted_name)),
        "describe" => Ok(Command::Describe(owned)),
        "summarize" => Ok(Command::Summarize(owned)),
        "functions" => Ok(Command::Functions(unquoted_name)),
        "settings" => Ok(Command::Settings(unquoted_name)),
        "models" => nothing(Command::Models),
        "lineage" => Ok(Command::Lineage(unquoted_name)),
        "venues" => nothing(Command::Venues),
        "status" => nothing(Command::Status),
        "explain" => Ok(Command::Explain(needed(&name, argument)?.to_owned())),
        "import" => {
            let (file, table) = path(needed(&name, argument)?);
            Ok(Command::Import {
                file: at_home(file),
                name: Some(unquoted(table).to_owned()).filter(|table| !table.is_empty()),
            })
        }
        "export" => {
            let (file, source) = path(needed(&name, argument)?);
            Ok(Command::Export {
                file: at_home(file),
                source: Some(source.to_owned()).filter(|source| !source.is_empty()),
            })
        }
        "copy" => copy(argument),
        "mode" => mode(argument),
        "output" => Ok(Command::Output(argument.map(Target::of).transpose()?)),
        "once" => Ok(Command::Once(Target::of(needed(&name, argument)?)?)),
        "last" => nothing(Command::Last),
        "plot" => plot::Request::parse(argument.unwrap_or_default()).map(Command::Plot),
        "watch" => watch(needed(&name, argument)?),
        "tail" => tail(needed(&name, argument)?),
        "book" => book(argument.unwrap_or_default()),
        "candles" => candles::Request::parse(argument.unwrap_or_default()).map(Command::Candles),
        "range" => range::Request::parse(argument).map(Command::Range),
        "symbol" => symbol(argument),
        "param" => param(argument).map(Command::Param),
        "save" => save(needed(&name, argument)?),
        "run" => Ok(Command::Run(owned)),
        "read" => Ok(Command::Read(at_home(unquoted(needed(&name, argument)?)))),
        "edit" => Ok(Command::Edit(owned)),
        "timer" => match argument {
            None => Ok(Command::Timer(None)),
            Some("on") => Ok(Command::Timer(Some(true))),
            Some("off") => Ok(Command::Timer(Some(false))),
            Some(other) => Err(format!(".timer takes on or off, not {other}")),
        },
        "color" => match argument.map(Choice::parse).transpose() {
            Ok(choice) => Ok(Command::Color(choice)),
            Err(wrong) => Err(format!(".color {wrong}")),
        },
        "keys" => match argument {
            None => Ok(Command::Keys(None)),
            Some("vi") => Ok(Command::Keys(Some(EditMode::Vi))),
            Some("emacs") => Ok(Command::Keys(Some(EditMode::Emacs))),
            Some(other) => Err(format!(".keys takes emacs or vi, not {other}")),
        },
        "help" => Ok(Command::Help(owned)),
        "quit" | "exit" | "q" => nothing(Command::Quit),
        _ => Err(unknown(&name)),
    }
}

fn unknown(name: &str) -> String {
    let names = commands().map(|entry| &entry.name[1..]);
    let hint = query::meant(name, names).map_or(".help lists them".to_owned(), |meant| {
        format!("did you mean .{meant}? .help lists all")
    });
    format!("there is no command .{name}\nhint: {hint}")
}

/// The argument of a command that needs one.
fn needed<'a>(name: &str, argument: Option<&'a str>) -> Result<&'a str, String> {
    argument.ok_or_else(|| {
        let takes = entry(name).map_or("", |entry| entry.arguments);
        let example = entry(name).and_then(|entry| entry.examples.first());
        let hint = example.map(|example| format!("\nhint: for example {example}"));
        format!(".{name} takes {takes}{}", hint.unwrap_or_default())
    })
}

/// A text without the quotes around it.
pub(super) fn unquoted(text: &str) -> &str {
    let inner = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    inner('\'').or_else(|| inner('"')).unwrap_or(text)
}

/// The parts of a name as SQL has them, `trades`, `"trades"` or `ops."manifest"`, without quotes; `None` if a text is no
/// such name.
pub(super) fn name_parts(text: &str) -> Option<Vec<String>> {
    let tokens = query::tokens(text);
    if tokens.len().is_multiple_of(2) {
        return None;
    }
    let mut parts = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::Sign if i % 2 == 1 && token.text == "." => {}
            TokenKind::Word if i % 2 == 0 && is_plain_name(token.text) => {
                parts.push(token.text.to_owned());
            }
            TokenKind::Name if i % 2 == 0 => {
                let inner = token.text.strip_prefix('"')?.strip_suffix('"')?;
                parts.push(inner.replace("\"\"", "\""));
            }
            _ => return None,
        }
    }
    Some(parts)
}

/// A name without its quotes; what is no name stays as it is.
fn bare(text: &str) -> String {
    name_parts(text).map_or_else(|| text.to_owned(), |parts| parts.join("."))
}

/// A name as a statement may have it, without quotes where it needs none.
fn without_needless_quotes(text: &str) -> String {
    let name = bare(text);
    if name.split('.').all(is_plain_name) {
        name
    } else {
        text.to_owned()
    }
}

/// A path, in quotes or up to the next space, and what stands behind it.
pub(super) fn path(text: &str) -> (&str, &str) {
    for quote in ['\'', '"'] {
        if let Some(inner) = text.strip_prefix(quote)
            && let Some((path, after)) = inner.split_once(quote)
        {
            return (path, after.trim_start());
        }
    }
    let (path, after) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (path, after.trim_start())
}

/// A path as it was typed: `~/` is the user's home.
pub(super) fn at_home(path: &str) -> PathBuf {
    let home = || std::env::var_os("HOME").map(PathBuf::from);
    path.strip_prefix("~/")
        .and_then(|rest| Some(home()?.join(rest)))
        .unwrap_or_else(|| path.into())
}

fn copy(argument: Option<&str>) -> Result<Command, String> {
    let Some(word) = argument else {
        return Ok(Command::Copy(None));
    };
    match Format::from_str(word, true) {
        Ok(format) if !format.is_binary() => Ok(Command::Copy(Some(format))),
        _ => Err(format!(
            ".copy takes one of {}, not {word}",
            formats().collect::<Vec<_>>().join(", ")
        )),
    }
}

fn mode(argument: Option<&str>) -> Result<Command, String> {
    let Some(word) = argument else {
        return Ok(Command::Mode(None));
    };
    match Format::from_str(word, true) {
        Ok(format) if !format.is_binary() => Ok(Command::Mode(Some(format))),
        Ok(_) => Err(format!(
            "{word} is not for a terminal\nhint: .once FILE.{word} writes the next result so"
        )),
        Err(_) => {
            let all: Vec<String> = formats().collect();
            let meant = query::meant(word, all.iter().map(String::as_str));
            let hint = meant.map(|meant| format!("\nhint: did you mean {meant}?"));
            Err(format!(
                ".mode takes one of {}, not {word}{}",
                all.join(", "),
                hint.unwrap_or_default()
            ))
        }
    }
}

fn watch(argument: &str) -> Result<Command, String> {
    let (first, rest) = argument
        .split_once(char::is_whitespace)
        .unwrap_or((argument, ""));
    let (every, query) = match duration(first) {
        Some(every) => (every, rest.trim()),
        None => (Duration::from_secs(1), argument),
    };
    if query.is_empty() {
        return Err(
            ".watch takes [SECONDS] QUERY\nhint: for example .watch 1s FROM latest".to_owned(),
        );
    }
    if every < Duration::from_millis(50) {
        return Err(format!(
            ".watch repaints every 50ms at most, not every {first}"
        ));
    }
    Ok(Command::Watch {
        every,
        query: query.to_owned(),
    })
}

/// `2`, `2s`, `500ms` or `1m`; `None` if it is none.
fn duration(text: &str) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_hours(1);
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let seconds = match &text[digits..] {
        "" | "s" => number,
        "ms" => number / 1e3,
        "m" => number * 60.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|every| *every <= LONGEST)
}

fn tail(argument: &str) -> Result<Command, String> {
    let words: Vec<&str> = argument.split_whitespace().collect();
    match words.as_slice() {
        ["off"] => Ok(Command::Tail(None)),
        [table, rest @ ..] if rest.len() <= 2 => {
            let mut rest = rest.iter().map(|word| unquoted(word).to_owned());
            Ok(Command::Tail(Some(Tail {
                table: without_needless_quotes(table),
                symbol: rest.next(),
                venue: rest.next(),
            })))
        }
        _ => Err(format!(
            ".tail takes TABLE [SYMBOL] [VENUE], or off; not {argument}"
        )),
    }
}

fn book(argument: &str) -> Result<Command, String> {
    let wrong = || format!(".book takes SYMBOL [VENUE] [--at TIME], not {argument}");
    let (names, at) = match argument.split_once("--at") {
        Some((names, at)) => (names, Some(unquoted(at.trim()).to_owned())),
        None => (argument, None),
    };
    if at.as_deref() == Some("") {
        return Err(wrong());
    }
    let names: Vec<&str> = names.split_whitespace().map(unquoted).collect();
    let (symbol, venue) = match names.as_slice() {
        [] => (None, None),
        [symbol] => (Some((*symbol).to_owned()), None),
        [symbol, venue] => (Some((*symbol).to_owned()), Some((*venue).to_owned())),
        _ => return Err(wrong()),
    };
    Ok(Command::Book(Book { symbol, venue, at }))
}

fn symbol(argument: Option<&str>) -> Result<Command, String> {
    let words: Vec<&str> = argument
        .unwrap_or_default()
        .split_whitespace()
        .map(unquoted)
        .collect();
    Ok(Command::Symbol(match words.as_slice() {
        [] => Symbol::Show,
        ["clear"] => Symbol::Clear,
        [symbol] => Symbol::Set((*symbol).to_owned(), None),
        [symbol, venue] => Symbol::Set((*symbol).to_owned(), Some((*venue).to_owned())),
        _ => {
            return Err(format!(
                ".symbol takes SYMBOL [VENUE], clear, or nothing; not {}",
                words.join(" ")
            ));
        }
    }))
}

fn param(argument: Option<&str>) -> Result<Param, String> {
    let Some(argument) = argument else {
        return Ok(Param::List);
    };
    let (verb, rest) = argument
        .split_once(char::is_whitespace)
        .unwrap_or((argument, ""));
    let rest = rest.trim();
    match (verb, rest.split_once(char::is_whitespace)) {
        ("set", Some((name, value))) if is_plain_name(name) => {
            Ok(Param::Set(name.to_owned(), value.trim().to_owned()))
        }
        ("clear", None) => Ok(Param::Clear(
            Some(rest.to_owned()).filter(|name| !name.is_empty()),
        )),
        _ => Err(format!(
            ".param takes set NAME VALUE, clear NAME, or nothing; not {argument}"
        )),
    }
}

/// Whether a name needs no quotes and leads to no other directory.
#[must_use]
pub fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn save(argument: &str) -> Result<Command, String> {
    let (name, query) = argument
        .split_once(char::is_whitespace)
        .unwrap_or((argument, ""));
    if !is_plain_name(name) {
        return Err(format!(
            "a query's name is made of letters, digits and _, unlike {name}"
        ));
    }
    Ok(Command::Save {
        name: name.to_owned(),
        query: Some(query.trim().to_owned()).filter(|query| !query.is_empty()),
    })
}

/// The formats that make sense on a terminal.
pub(super) fn formats() -> impl Iterator<Item = String> {
    Format::value_variants()
        .iter()
        .filter(|format| !format.is_binary())
        .map(|format| format.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read() {
        assert_eq!(parse(".tables"), Ok(Command::Tables(None)));
        assert_eq!(
            parse("  .schema  trades ;"),
            Ok(Command::Schema(Some("trades".into())))
        );
        assert_eq!(parse(".MODE Json"), Ok(Command::Mode(Some(Format::Json))));
        assert_eq!(parse(".timer on"), Ok(Command::Timer(Some(true))));
        assert_eq!(parse("exit;"), Ok(Command::Quit));
        assert_eq!(parse("HELP"), Ok(Command::Help(None)));
        assert_eq!(parse("help ohlcv"), Ok(Command::Help(Some("ohlcv".into()))));
        assert_eq!(
            parse(".watch 500ms FROM latest;"),
            Ok(Command::Watch {
                every: Duration::from_millis(500),
                query: "FROM latest".into()
            })
        );
        assert_eq!(
            parse(".book BTCUSDT --at '2024-08-08 23:55'"),
            Ok(Command::Book(Book {
                symbol: Some("BTCUSDT".into()),
                venue: None,
                at: Some("2024-08-08 23:55".into())
            }))
        );
        assert_eq!(
            parse(".param set day 2024-08-08"),
            Ok(Command::Param(Param::Set(
                "day".into(),
                "2024-08-08".into()
            )))
        );
        assert_eq!(
            parse(".save s select 1"),
            Ok(Command::Save {
                name: "s".into(),
                query: Some("select 1".into())
            })
        );
        let home = PathBuf::from(std::env::var_os("HOME").unwrap());
        for (line, name) in [
            (".read ~/a.sql", "a.sql"),
            (".read '~/my a.sql'", "my a.sql"),
        ] {
            assert_eq!(parse(line), Ok(Command::Read(home.join(name))));
        }
        let target = Target::File(home.join("a.csv"));
        assert_eq!(parse(".once ~/a.csv"), Ok(Command::Once(target.clone())));
        assert_eq!(parse(".output ~/a.csv"), Ok(Command::Output(Some(target))));
        assert_eq!(
            parse(".export ~/a.csv trades"),
            Ok(Command::Export {
                file: home.join("a.csv"),
                source: Some("trades".into())
            })
        );
        let picture = home.join("a.svg").display().to_string();
        assert_eq!(
            parse(".plot --to ~/a.svg trades"),
            parse(&format!(".plot --to {picture} trades"))
        );
        assert!(parse(".save ../s").is_err());
        assert!(parse(".watch 1ms FROM latest").is_err());
    }

    #[test]
    fn names_may_stand_in_double_quotes() {
        for (line, same) in [
            (".schema \"trades\"", ".schema trades"),
            (".schema ops.\"manifest\"", ".schema ops.manifest"),
            (".tables \"trades\"", ".tables trades"),
            (".lineage \"ohlcv_1m\";", ".lineage ohlcv_1m"),
            (".tail \"trades\" BTCUSDT", ".tail trades BTCUSDT"),
            (".import a.csv \"mine\"", ".import a.csv mine"),
        ] {
            assert_eq!(parse(line), parse(same), "{line}");
        }
        let parts = |text: &str| name_parts(text).map(|parts| parts.join("|"));
        assert_eq!(
            parts("\"my \"\"own\"\" t\"").as_deref(),
            Some("my \"own\" t")
        );
        assert_eq!(parts("ops . \"a.b\"").as_deref(), Some("ops|a.b"));
        for none in ["", "from t", "a.", "\"open", "1", "'text'", "a b c", "f()"] {
            assert_eq!(parts(none), None, "{none}");
        }
    }

    #[test]
    fn every_listed_command_and_example_is_known() {
        for entry in commands() {
            for example in entry
                .examples
                .iter()
                .filter(|example| example.starts_with('.'))
            {
                assert!(parse(example).is_ok(), "{example}: {:?}", parse(example));
            }
            let named = parse(entry.name)
                .map_or_else(|message| !message.contains("there is no command"), |_| true);
            assert!(named, "{}", entry.name);
        }
    }

    #[test]
    fn a_wrong_command_is_explained() {
        assert_eq!(
            parse(".foo"),
            Err("there is no command .foo\nhint: .help lists them".into())
        );
        assert!(
            parse(".tabels")
                .unwrap_err()
                .contains("did you mean .tables?")
        );
        assert_eq!(
            parse(".timer maybe"),
            Err(".timer takes on or off, not maybe".into())
        );
        assert!(parse(".mode parquet").unwrap_err().contains(".once FILE"));
        assert!(
            parse(".mode x")
                .unwrap_err()
                .contains("one of table, box, csv")
        );
        assert!(
            parse(".mode tabel")
                .unwrap_err()
                .contains("did you mean table?")
        );
        assert!(parse(".tail").unwrap_err().contains("TABLE [SYMBOL]"));
    }

    #[test]
    fn words_of_sql_are_no_commands() {
        for line in ["select 1", "help me please", "exit from", ""] {
            assert!(!is_command(line), "{line}");
        }
        for line in [".tables", " .x", "exit", "quit;", "Help", "help ohlcv"] {
            assert!(is_command(line), "{line}");
        }
    }
}
