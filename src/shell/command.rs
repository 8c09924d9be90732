//! The shell's own commands. One list drives parsing, help and completion.

use std::fmt::Write as _;

use clap::ValueEnum;

use crate::output::Format;

/// What a line that is no SQL asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Tables(Option<String>),
    Schema(Option<String>),
    Mode(Option<Format>),
    Timer(Option<bool>),
    Help,
    Quit,
}

pub(super) struct Entry {
    pub(super) name: &'static str,
    arguments: &'static str,
    help: &'static str,
}

pub(super) const COMMANDS: [Entry; 6] = [
    Entry {
        name: ".tables",
        arguments: "[PATTERN]",
        help: "tables and views, or those like PATTERN",
    },
    Entry {
        name: ".schema",
        arguments: "[TABLE]",
        help: "a table's columns with their comments, or how all are defined",
    },
    Entry {
        name: ".mode",
        arguments: "[FORMAT]",
        help: "how results are written",
    },
    Entry {
        name: ".timer",
        arguments: "[on|off]",
        help: "whether the time of each query is shown",
    },
    Entry {
        name: ".help",
        arguments: "",
        help: "this list",
    },
    Entry {
        name: ".quit",
        arguments: "",
        help: "leave, as does Ctrl-D",
    },
];

/// Whether a line at the start of a statement is a command rather than SQL.
pub(super) fn is_command(line: &str) -> bool {
    let line = line.trim();
    line.starts_with('.') || matches!(bare(line).as_str(), "help" | "exit" | "quit")
}

fn bare(line: &str) -> String {
    line.trim_end_matches([';', ' ']).to_ascii_lowercase()
}

/// Reads a command.
///
/// # Errors
/// What is wrong with it, and what it takes.
pub(super) fn parse(line: &str) -> Result<Command, String> {
    let line = line.trim().trim_end_matches(';').trim_end();
    let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let argument = Some(argument.trim()).filter(|argument| !argument.is_empty());
    let name = name.trim_start_matches('.').to_ascii_lowercase();
    let wrong = |expected: &str| {
        Err(format!(
            ".{name} takes {expected}, not {}",
            argument.unwrap_or_default()
        ))
    };
    match (name.as_str(), argument) {
        ("tables", pattern) => Ok(Command::Tables(pattern.map(str::to_owned))),
        ("schema", table) => Ok(Command::Schema(table.map(str::to_owned))),
        ("mode", None) => Ok(Command::Mode(None)),
        ("mode", Some(format)) => match Format::from_str(format, true) {
            Ok(format) if !format.is_binary() => Ok(Command::Mode(Some(format))),
            Ok(_) => Err(format!(
                "{format} is not for a terminal; mdb sql --format {format} -o FILE writes it"
            )),
            Err(_) => wrong(&format!(
                "one of {}",
                formats().collect::<Vec<_>>().join(", ")
            )),
        },
        ("timer", None) => Ok(Command::Timer(None)),
        ("timer", Some("on")) => Ok(Command::Timer(Some(true))),
        ("timer", Some("off")) => Ok(Command::Timer(Some(false))),
        ("timer", Some(_)) => wrong("on or off"),
        ("help", _) => Ok(Command::Help),
        ("quit" | "exit" | "q", None) => Ok(Command::Quit),
        ("quit" | "exit" | "q", Some(_)) => wrong("nothing"),
        _ => Err(format!("there is no command .{name}; .help lists them")),
    }
}

/// The formats that make sense on a terminal.
pub(super) fn formats() -> impl Iterator<Item = String> {
    Format::value_variants()
        .iter()
        .filter(|format| !format.is_binary())
        .map(|format| format.name())
}

pub(super) fn help() -> String {
    let mut text = String::from(
        "SQL runs when a ; ends it. Ctrl-C stops a query or clears the line, Tab completes.\n\n",
    );
    for Entry {
        name,
        arguments,
        help,
    } in &COMMANDS
    {
        let _ = writeln!(text, "  {:<20}{help}", format!("{name} {arguments}"));
    }
    let _ = writeln!(
        text,
        "\nFormats: {}",
        formats().collect::<Vec<_>>().join(", ")
    );
    text
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
        assert_eq!(parse("HELP"), Ok(Command::Help));
    }

    #[test]
    fn every_listed_command_is_known_and_a_wrong_one_is_explained() {
        for entry in &COMMANDS {
            assert!(parse(entry.name).is_ok(), "{}", entry.name);
        }
        assert_eq!(
            parse(".foo"),
            Err("there is no command .foo; .help lists them".into())
        );
        assert_eq!(
            parse(".timer maybe"),
            Err(".timer takes on or off, not maybe".into())
        );
        assert!(parse(".mode parquet").unwrap_err().contains("-o FILE"));
        assert!(parse(".mode x").unwrap_err().contains("one of table, csv"));
    }

    #[test]
    fn words_of_sql_are_no_commands() {
        for line in ["select 1", "help me", "exit from", ""] {
            assert!(!is_command(line), "{line}");
        }
        for line in [".tables", " .x", "exit", "quit;", "Help"] {
            assert!(is_command(line), "{line}");
        }
    }
}
