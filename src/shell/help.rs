//! `.help`: the list of commands; and of one command, function, macro or table all there is to say, with examples.

use std::fmt::Write as _;

use super::command;
use super::commands::{Argument, Entry, SECTIONS, commands, entry};
use super::inspect::is_called;
use super::{Failure, Shell};
use crate::model::sql::literal;
use crate::query::meant;

/// Columns that text is broken at, if the terminal has as many.
const WIDTH: usize = 96;

/// Overloads of a function that are shown.
const OVERLOADS: usize = 8;

/// From so many columns on there is room for what commands take.
const WIDE: usize = 110;

/// The list of commands.
fn list(width: usize) -> String {
    let mut text = String::from(
        "SQL runs when a ; ends it. Ctrl-C stops a query or clears the line.\n\
         Tab completes tables, columns, symbols, files. _ is the last result: FROM _;\n",
    );
    let usage = |entry: &Entry| match width {
        WIDE.. => format!("{} {}", entry.name, entry.arguments),
        _ => entry.name.to_owned(),
    };
    let column = commands()
        .map(|entry| usage(entry).chars().count())
        .max()
        .unwrap_or(0);
    for (title, entries) in &SECTIONS {
        let _ = writeln!(text, "{title}");
        for entry in *entries {
            let _ = writeln!(text, "  {:<column$}  {}", usage(entry), entry.help);
        }
    }
    text.push_str(".help NAME says all of a command, function, macro or table.\n");
    text
}

impl Shell<'_> {
    pub(super) fn help(&mut self, topic: Option<&str>) -> Result<(), Failure> {
        let Some(topic) = topic.map(|topic| command::unquoted(topic.trim_end_matches(['(', ')'])))
        else {
            let width = self.printer.layout.width.unwrap_or(WIDE);
            return self.printer.text(&list(width));
        };
        if let Some(text) = of_command(topic, self.text_width()) {
            return self.printer.text(&text);
        }
        if let Some(text) = self.of_function(topic)? {
            return self.printer.text(&text);
        }
        if let Some(text) = self.of_table(topic)? {
            self.printer.text(&text)?;
            return self.schema(Some(topic));
        }
        if topic.eq_ignore_ascii_case("macros") {
            // What `mdb help macros` tells of all, here in a table.
            return self.functions(None);
        }
        let names = "SELECT DISTINCT function_name FROM duckdb_functions() WHERE schema_name <> 'ops' \
                     UNION SELECT table_name FROM duckdb_columns() WHERE schema_name <> 'ops'";
        let names: Vec<String> = self.ask(names)?.into_iter().flatten().flatten().collect();
        let commands = commands().map(|entry| entry.name);
        let hint = meant(topic, commands.chain(names.iter().map(String::as_str))).map_or(
            ".help lists the commands, .functions PATTERN functions".to_owned(),
            |meant| format!("did you mean {meant}?"),
        );
        Err(Failure::Report(format!(
            "error: there is no command, function or table {topic}\nhint: {hint}\n"
        )))
    }

    fn text_width(&self) -> usize {
        self.printer
            .layout
            .width
            .map_or(WIDTH, |width| width.min(WIDTH))
    }

    /// What DuckDB's catalogue, or a macro's own file, says.
    fn of_function(&mut self, name: &str) -> Result<Option<String>, Failure> {
        let rows = self.ask(&format!(
            "SELECT function_type, array_to_string(parameters, ', '), coalesce(return_type, ''), \
                    coalesce(description, ''), coalesce(comment, ''), array_to_string(coalesce(examples, []), chr(31)) \
             FROM duckdb_functions() WHERE lower(function_name) = lower({}) AND function_type <> 'pragma' ORDER BY len(parameters)",
            literal(name)
        ))?;
        let rows: Vec<Vec<String>> = rows
            .into_iter()
            .map(|row| row.into_iter().map(Option::unwrap_or_default).collect())
            .collect();
        let name = name.to_ascii_lowercase();
        let Some([kind, parameters, _, description, comment, _]) = rows.first().map(Vec::as_slice)
        else {
            return Ok(None);
        };
        let mut text = String::new();
        if !comment.is_empty() {
            let _ = writeln!(text, "{name}({parameters})   {}", kind.replace('_', " "));
            text.push_str(&sections(comment, self.text_width()));
            return Ok(Some(text));
        }
        let mut signatures: Vec<String> = Vec::new();
        for row in &rows {
            if let [_, parameters, returns, ..] = row.as_slice() {
                let mut parameters = parameters.as_str();
                let cut = parameters.match_indices(", ").nth(7).map(|(i, _)| i);
                let more = if let Some(cut) = cut {
                    parameters = &parameters[..cut];
                    ", …"
                } else {
                    ""
                };
                let arrow = if returns.is_empty() {
                    String::new()
                } else {
                    format!(" -> {returns}")
                };
                let signature = format!("{name}({parameters}{more}){arrow}");
                // Those that differ only in types of parameters read the same.
                if !signatures.contains(&signature) {
                    signatures.push(signature);
                }
            }
        }
        let hidden = signatures.len().saturating_sub(OVERLOADS);
        for signature in signatures.iter().take(OVERLOADS) {
            let _ = writeln!(text, "{signature}");
        }
        if hidden > 0 {
            let _ = writeln!(text, "… and for {hidden} more types");
        }
        let kind = kind.replace('_', " ");
        let _ = write!(
            text,
            "{}",
            wrapped(
                &format!("{kind} function. {description}"),
                "",
                self.text_width()
            )
        );
        let examples: Vec<&str> = rows
            .iter()
            .filter_map(|row| row.get(5))
            .flat_map(|all| all.split('\u{1f}'))
            .collect();
        let mut shown: Vec<&str> = Vec::new();
        for example in examples.into_iter().filter(|example| !example.is_empty()) {
            if !shown.contains(&example) {
                shown.push(example);
            }
        }
        for example in shown.iter().take(OVERLOADS) {
            let _ = writeln!(text, "  SELECT {example};");
        }
        Ok(Some(text))
    }

    /// What its file says of a table or view.
    fn of_table(&mut self, name: &str) -> Result<Option<String>, Failure> {
        let rows = self.ask(&format!(
            "SELECT comment FROM (SELECT database_name, schema_name, table_name, comment FROM duckdb_tables() \
                    UNION ALL SELECT database_name, schema_name, view_name, comment FROM duckdb_views()) \
             WHERE {}",
            is_called(name)
        ))?;
        let width = self.text_width();
        let comment = rows
            .into_iter()
            .next()
            .map(|row| row.into_iter().flatten().next());
        Ok(comment.map(|comment| {
            comment.map_or_else(String::new, |comment| wrapped(&comment, "", width))
        }))
    }
}

fn of_command(topic: &str, width: usize) -> Option<String> {
    let entry = entry(topic)?;
    // `.schema` and `schema` are the command, `read_csv` is a function.
    let mut text = format!("{} {}", entry.name, entry.arguments);
    text.truncate(text.trim_end().len());
    let _ = write!(text, "\n{}\n", entry.help);
    if !entry.more.is_empty() {
        text.push_str(&wrapped(entry.more, "", width));
    }
    if entry.takes.contains(&Argument::Format) {
        let formats: Vec<String> = command::formats().collect();
        let _ = writeln!(text, "Formats: {}", formats.join(", "));
    }
    for example in entry.examples {
        let _ = writeln!(text, "  {example}");
    }
    Some(text)
}

/// A macro's comment, its parts each in a paragraph: what it is, arguments, result, example.
fn sections(comment: &str, width: usize) -> String {
    let mut text = String::new();
    let mut rest = comment;
    let mut label = "";
    loop {
        let next = ["Arguments: ", "Result: ", "Example: "]
            .iter()
            .filter_map(|word| Some((rest.find(word)?, *word)))
            .min();
        let part = next.map_or(rest, |(at, _)| &rest[..at]).trim();
        if !part.is_empty() {
            match label {
                "" => text.push_str(&wrapped(part, "", width)),
                "Example: " => {
                    let _ = writeln!(text, "  {part}");
                }
                label => text.push_str(&wrapped(&format!("{label}{part}"), "  ", width)),
            }
        }
        let Some((at, word)) = next else {
            return text;
        };
        label = word;
        rest = &rest[at + word.len()..];
    }
}

/// Text in lines; those after the first begin with `indent`.
fn wrapped(text: &str, indent: &str, width: usize) -> String {
    let mut wrapped = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.trim().is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            wrapped.push_str(line.trim_end());
            wrapped.push('\n');
            indent.clone_into(&mut line);
        }
        if !line.trim().is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    wrapped.push_str(line.trim_end());
    wrapped.push('\n');
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_macros_comment_is_shown_in_parts() {
        let comment = "Bars. Arguments: sym (symbol), bucket. Result: ts, open. Example: FROM ohlcv('A', '1 minute');";
        assert_eq!(
            sections(comment, WIDTH),
            "Bars.\nArguments: sym (symbol), bucket.\nResult: ts, open.\n  FROM ohlcv('A', '1 minute');\n"
        );
    }

    #[test]
    fn every_command_is_in_the_list_and_has_its_own_page() {
        for entry in commands() {
            assert!(list(80).contains(entry.name), "{}", entry.name);
            assert!(of_command(entry.name, WIDTH).is_some_and(|text| text.contains(entry.help)));
        }
        for width in [80, 140] {
            let list = list(width);
            let longest = list.lines().map(|line| line.chars().count()).max();
            assert!(
                longest <= Some(width),
                "{longest:?}
{list}"
            );
        }
    }
}
