//! Completion of the shell's own commands and of what they are given.

use super::rank::{self, Candidate};
use super::{Completion, Names, ValuesOf};
use crate::shell::commands::{Argument, commands, entry};
use crate::shell::{command, plot};

/// Completes a line that begins with a dot.
pub(super) fn complete(text: &str, cursor: usize, names: &Names<'_>) -> Completion {
    let before = &text[..cursor];
    let begin = before.len() - before.trim_start().len();
    let Some(space) = before[begin..].find(char::is_whitespace) else {
        let word = &before[begin..];
        let commands = commands().map(|entry| Candidate {
            label: format!("{} {}", entry.name, entry.arguments)
                .trim_end()
                .to_owned(),
            ..Candidate::plain(entry.name)
        });
        return Completion {
            start: begin,
            candidates: rank::fitting(commands.collect(), word, word, true),
            ..Completion::default()
        };
    };
    let name = &before[begin..begin + space];
    let arguments = begin + space + 1;
    let nothing = Completion {
        start: cursor,
        ..Completion::default()
    };
    let Some(command) = entry(name) else {
        return nothing;
    };
    let given: Vec<&str> = before[arguments..].split_whitespace().collect();
    let complete = usize::from(!before.ends_with(char::is_whitespace));
    let index = given.len().saturating_sub(complete);
    let is_relations =
        |argument: &Argument| matches!(argument, Argument::Relations | Argument::Picture);
    let relations = command.takes.iter().position(is_relations).unwrap_or(0);
    let is_query = |argument: &&Argument| is_relations(argument) || **argument == Argument::Query;
    let last = command.takes.last().filter(is_query);
    match command.takes.get(index).or(last) {
        None => nothing,
        Some(Argument::Query) => {
            // From the query's first word on: a time before it may be left out.
            let mut start = arguments;
            for (word, argument) in given.iter().zip(command.takes) {
                let skipped = match argument {
                    Argument::Query => false,
                    Argument::Text => word.starts_with(|c: char| c.is_ascii_digit()),
                    _ => true,
                };
                if !skipped {
                    break;
                }
                start += before[start..].find(word).unwrap_or(0) + word.len();
            }
            of_query(text, cursor, start, names)
        }
        Some(Argument::Relations | Argument::Picture) if index > relations => {
            let mut start = arguments;
            for word in given.iter().take(relations) {
                start += before[start..].find(word).unwrap_or(0) + word.len();
            }
            of_query(text, cursor, start, names)
        }
        Some(argument) => {
            let start = before.rfind(char::is_whitespace).map_or(0, |i| {
                i + before[i..].chars().next().map_or(1, char::len_utf8)
            });
            let word = &before[start..];
            let (candidates, values) = candidates(*argument, word, names);
            Completion {
                start,
                candidates: rank::fitting(candidates, word, word, true),
                describe: Vec::new(),
                values,
            }
        }
    }
}

/// Completes the SQL that begins at byte `start`.
fn of_query(text: &str, cursor: usize, start: usize, names: &Names<'_>) -> Completion {
    let completion = super::complete(&text[start..], cursor - start, names);
    Completion {
        start: completion.start + start,
        ..completion
    }
}

fn candidates(
    argument: Argument,
    word: &str,
    names: &Names<'_>,
) -> (Vec<Candidate>, Option<ValuesOf>) {
    let catalog = names.catalog;
    let plain = |words: Vec<&str>| words.into_iter().map(Candidate::plain).collect();
    let candidates = match argument {
        Argument::Relation => plain(catalog.names().collect()),
        Argument::Word(words) => plain(words.to_vec()),
        Argument::Format => command::formats().map(Candidate::plain).collect(),
        Argument::File => (names.files)(word)
            .into_iter()
            .map(Candidate::plain)
            .collect(),
        Argument::Parameter => catalog.parameters.iter().map(Candidate::plain).collect(),
        Argument::Saved => catalog.saved.iter().map(Candidate::plain).collect(),
        Argument::Setting => catalog.settings.iter().map(Candidate::plain).collect(),
        Argument::Function => catalog.functions.keys().map(Candidate::plain).collect(),
        Argument::Topic => {
            let (own, built_in): (Vec<_>, Vec<_>) =
                catalog.functions.iter().partition(|(_, f)| f.own);
            let commands = commands().map(|entry| entry.name);
            let functions = own
                .into_iter()
                .chain(built_in)
                .map(|(name, _)| name.as_str());
            plain(commands.chain(functions).collect())
        }
        Argument::Symbol | Argument::Venue => {
            let column = if argument == Argument::Symbol {
                "symbol"
            } else {
                "venue"
            };
            let of = ValuesOf {
                relation: None,
                column: column.to_owned(),
            };
            let values = catalog
                .values(&of)
                .unwrap_or_default()
                .iter()
                .map(Candidate::plain);
            let option = (argument == Argument::Venue).then(|| Candidate::plain("--at"));
            return (values.chain(option).collect(), Some(of));
        }
        Argument::Relations => {
            let words = ["from", "select", "with"];
            plain(catalog.names().chain(words).collect())
        }
        Argument::Picture => {
            let kinds = plot::kinds().chain(["--as", "--to"].map(str::to_owned));
            let words = ["from", "select", "with"];
            let names = catalog.names().chain(words).map(Candidate::plain);
            names.chain(kinds.map(Candidate::plain)).collect()
        }
        Argument::Text | Argument::Query => Vec::new(),
    };
    (candidates, None)
}
