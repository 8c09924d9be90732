//! Completion: a text, the place of the cursor in it and a snapshot of the database's names give candidates.
//!
//! Nothing here asks the database: what a completion lacks (values of a column, the columns of a call) is said, and the
//! [`Librarian`] finds it out.

mod around;
mod catalog;
mod clause;
mod commands;
mod files;
mod librarian;
mod page;
mod place;
mod rank;
mod scope;
mod select;
#[cfg(test)]
mod tests;
mod text;
mod word;
mod words;

use crate::query::{Open, Pieces, open_at_end};

use around::Around;
use place::Place;
use scope::Scope;
use text::Text;
use word::{Word, in_line_comment, last_statement, statement_end};

#[cfg(test)]
pub(super) use catalog::Function;
pub(super) use catalog::{Catalog, ValuesOf, relations};
pub(super) use files::paths;
pub(super) use librarian::Librarian;
pub(super) use page::page;
pub(super) use rank::Candidate;

/// What there is to complete with.
pub(super) struct Names<'a> {
    /// The database's names.
    pub(super) catalog: &'a Catalog,
    /// Paths that a beginning may become.
    pub(super) files: &'a dyn Fn(&str) -> Vec<String>,
}

/// What may stand in place of the word before the cursor.
#[derive(Debug, Default)]
pub(super) struct Completion {
    /// Where that word begins.
    pub(super) start: usize,
    /// What may stand there, best first.
    pub(super) candidates: Vec<Candidate>,
    /// Sources whose columns would help.
    pub(super) describe: Vec<String>,
    /// The column whose values are, or would be, candidates.
    pub(super) values: Option<ValuesOf>,
}

/// Values that are offered where a value may stand but nothing of it is typed.
const VALUES_UNASKED: usize = 20;

/// Completes the word that ends at byte `cursor` of `text`.
pub(super) fn complete(text: &str, cursor: usize, names: &Names<'_>) -> Completion {
    let (before, after) = text.split_at(cursor);
    if is_in_command(before) {
        return commands::complete(text, cursor, names);
    }
    let start = last_statement(before);
    let head = &before[start..];
    let open = open_at_end(before);
    let nothing = Completion {
        start: cursor,
        ..Completion::default()
    };
    if matches!(open, Some(Open::Dollar | Open::Comment)) || in_line_comment(head) {
        return nothing;
    }
    let quote = match open {
        Some(Open::Quote) => Some('\''),
        Some(Open::Name) => Some('"'),
        _ => None,
    };
    let Some(word) = Word::of(head, after, quote) else {
        return nothing;
    };
    let before_word = &head[..word.start];
    let mark = if quote == Some('\'') { "''" } else { "" };
    let flat = format!("{before_word}{mark} {}", statement_end(word.tail));
    let around = Around::new(&flat, word.start);
    let scope = scope::scope(&around, names.catalog);
    let mut job = Job {
        around: &around,
        scope: &scope,
        names,
        word: &word,
        values: None,
    };
    let (candidates, fuzzy) = job.candidates();
    let typed = &head[word.start..];
    let mut is_whole = candidates.iter().map(|candidate| candidate.key.as_str());
    let is_whole = is_whole.any(|key| key.eq_ignore_ascii_case(word.text));
    let mut fitting = rank::fitting(candidates, word.text, typed, fuzzy);
    if fitting.is_empty() && quote.is_none() && !word.text.is_empty() && !is_whole {
        fitting = rank::fitting(job.rare_words(), word.text, typed, false);
    }
    if word.tail.starts_with('(') {
        for candidate in &mut fitting {
            candidate
                .text
                .truncate(candidate.text.trim_end_matches('(').len());
        }
    }
    // Of a word that goes on behind the cursor only what stands before it is put in.
    if !word.rest.is_empty() {
        fitting = fitting
            .into_iter()
            .filter_map(|c| without_end(c, word.rest))
            .collect();
    }
    Completion {
        start: start + word.start,
        candidates: fitting,
        describe: scope.wants.clone(),
        values: job.values,
    }
}

/// Whether a text ends in the command that it begins with, which may go over several lines.
fn is_in_command(before: &str) -> bool {
    let command = Pieces::new(before).command();
    let end = command.map(|command| command.offset + command.text.len());
    before.trim_start().starts_with('.') && end == Some(before.trim_end().len())
}

fn without_end(candidate: Candidate, rest: &str) -> Option<Candidate> {
    let text = candidate.text.strip_suffix(rest)?.to_owned();
    Some(Candidate { text, ..candidate })
}

/// One completion inside of a statement.
struct Job<'a> {
    around: &'a Around<'a>,
    scope: &'a Scope,
    names: &'a Names<'a>,
    word: &'a Word<'a>,
    values: Option<ValuesOf>,
}

impl Job<'_> {
    /// What may stand at the cursor, and whether it may be matched loosely.
    fn candidates(&mut self) -> (Vec<Candidate>, bool) {
        if self.word.quote == Some('\'') {
            return (self.texts(), true);
        }
        match place::place(self.around) {
            Place::Nothing => (Vec::new(), false),
            Place::Statement => {
                let mut words = self.words(&words::STATEMENTS);
                if self.around.tokens().is_empty() {
                    words.extend(["help", "exit", "quit"].map(Candidate::plain));
                }
                (words, true)
            }
            Place::Relation { query } => (self.relations(query), true),
            Place::Member(parts) => (self.members(&parts), true),
            Place::Operand => (self.operands(), true),
            Place::Columns => (self.columns(), true),
            Place::Joined => (self.shared_columns(), true),
            // What is typed there is mostly a name being made up, so it is not bent into a word.
            Place::Clause(words) => (self.words(words), false),
            Place::Setting => {
                let settings = self.names.catalog.settings.iter();
                let variable = (!self.around.is(0, "pragma")).then_some("variable");
                let words = variable.into_iter().map(Candidate::plain);
                (settings.map(Candidate::plain).chain(words).collect(), true)
            }
            Place::Type => {
                let types = self.names.catalog.types.iter();
                (types.map(Candidate::plain).collect(), true)
            }
            Place::Parameter => {
                let parameters = self.names.catalog.parameters.iter();
                (parameters.map(Candidate::plain).collect(), true)
            }
            Place::Function => {
                let functions = self.names.catalog.functions.iter();
                let own = functions.filter(|(_, function)| function.own);
                (own.map(|(name, _)| self.name(name)).collect(), true)
            }
        }
    }

    /// What a text in quotes may be.
    fn texts(&mut self) -> Vec<Candidate> {
        match text::text(self.around, self.scope, self.names.catalog) {
            Text::Anything => Vec::new(),
            Text::Path => {
                let files = (self.names.files)(self.word.text).into_iter();
                // A directory is gone on from; a file is done.
                files
                    .map(|path| Candidate {
                        text: if path.ends_with('/') {
                            format!("'{}", path.replace('\'', "''"))
                        } else {
                            self.quoted(&path)
                        },
                        label: path.clone(),
                        key: path,
                    })
                    .collect()
            }
            text => self.values(text, usize::MAX),
        }
    }

    /// Values, quoted.
    fn values(&mut self, text: Text, limit: usize) -> Vec<Candidate> {
        let quoted = |value: &str| Candidate {
            key: value.to_owned(),
            text: self.quoted(value),
            label: value.to_owned(),
        };
        match text {
            Text::OneOf(words) => words.iter().map(|word| quoted(word)).collect(),
            Text::Value(of) => {
                let known = self.names.catalog.values(&of).unwrap_or_default();
                let values = known
                    .iter()
                    .take(limit)
                    .map(|value| quoted(value))
                    .collect();
                self.values = Some(of);
                values
            }
            Text::Anything | Text::Path => Vec::new(),
        }
    }

    /// A text as SQL has it, less the quote that is there already.
    fn quoted(&self, text: &str) -> String {
        let end = if self.word.closed { "" } else { "'" };
        format!("'{}{end}", text.replace('\'', "''"))
    }

    /// A name, in quotes if it needs or has them.
    fn name(&self, name: &str) -> Candidate {
        let quoted = || {
            let end = if self.word.closed { "" } else { "\"" };
            format!("\"{}{end}", name.replace('"', "\"\""))
        };
        let text = if self.word.quote.is_some() || self.names.catalog.needs_quotes(name) {
            quoted()
        } else {
            name.to_owned()
        };
        Candidate {
            key: name.to_owned(),
            text,
            label: name.to_owned(),
        }
    }

    /// A name of several parts, `ops.manifest`, each in quotes if it needs them.
    fn path(&self, name: &str) -> Candidate {
        if self.word.quote.is_some() || !name.contains('.') {
            return self.name(name);
        }
        let parts = name.split('.').map(|part| self.name(part).text);
        Candidate {
            text: parts.collect::<Vec<_>>().join("."),
            ..Candidate::plain(name)
        }
    }

    /// Keywords, in capitals if what is typed is.
    fn words(&self, words: &[&str]) -> Vec<Candidate> {
        if self.word.quote.is_some() {
            return Vec::new();
        }
        let typed = self.word.text;
        let upper = !typed.is_empty() && typed.chars().all(char::is_uppercase);
        let case = |word: &&str| {
            Candidate::plain(if upper {
                word.to_uppercase()
            } else {
                (*word).to_owned()
            })
        };
        words.iter().map(case).collect()
    }

    /// Keywords that nobody expects, for words that nothing else fits.
    fn rare_words(&self) -> Vec<Candidate> {
        if !matches!(place::place(self.around), Place::Operand | Place::Statement) {
            return Vec::new();
        }
        let words = self.names.catalog.keywords.iter();
        let words: Vec<&str> = words.map(|(word, _)| word.as_str()).collect();
        self.words(&words)
    }

    fn functions(&self, which: impl Fn(&catalog::Function) -> bool) -> Vec<Candidate> {
        if self.word.quote.is_some() {
            return Vec::new();
        }
        let functions = self.names.catalog.functions.iter();
        functions
            .filter(|(_, function)| which(function))
            .map(|(name, function)| Candidate {
                key: name.clone(),
                text: format!("{name}("),
                label: function.signature(name),
            })
            .collect()
    }

    fn relations(&self, query: bool) -> Vec<Candidate> {
        let ctes = self.scope.ctes.iter().rev();
        let mut all: Vec<Candidate> = ctes.map(|cte| self.name(&cte.name)).collect();
        let (far, near): (Vec<&str>, Vec<&str>) = self
            .names
            .catalog
            .names()
            .partition(|name| name.contains('.'));
        all.extend(near.into_iter().map(|name| self.name(name)));
        all.extend(self.functions(|function| function.table && function.own));
        if query {
            all.extend(self.words(&["select", "from", "with"]));
        }
        all.extend(far.into_iter().map(|name| self.path(name)));
        if !self.word.text.is_empty() {
            all.extend(self.functions(|function| function.table && !function.own));
            all.extend(self.words(&["lateral"]));
        }
        all
    }

    /// What may stand behind `a.b.`.
    fn members(&self, parts: &[String]) -> Vec<Candidate> {
        if let [name] = parts
            && let Some(source) = self.scope.source(name)
            && !source.columns.is_empty()
        {
            return source
                .columns
                .iter()
                .map(|column| self.name(column))
                .collect();
        }
        let whole = parts.join(".");
        if let Some(columns) = self.names.catalog.columns(&whole) {
            return columns.iter().map(|column| self.name(column)).collect();
        }
        if whole.eq_ignore_ascii_case(catalog::MAIN) {
            let relations = self.names.catalog.relations.keys();
            let mut all: Vec<Candidate> = relations
                .filter(|name| !name.contains('.'))
                .map(|name| self.name(name))
                .collect();
            all.extend(self.functions(|function| function.table && function.own));
            return all;
        }
        let prefix = format!("{whole}.");
        let inside = self.names.catalog.names().filter_map(|name| {
            let head = name.get(..prefix.len())?;
            head.eq_ignore_ascii_case(&prefix)
                .then(|| &name[prefix.len()..])
        });
        inside.map(|name| self.path(name)).collect()
    }

    fn columns(&self) -> Vec<Candidate> {
        let columns = self.scope.sources.iter().flat_map(|source| &source.columns);
        columns.map(|column| self.name(column)).collect()
    }

    /// Columns of two of the tables in scope.
    fn shared_columns(&self) -> Vec<Candidate> {
        let sources = &self.scope.sources;
        let has = |column: &String| {
            sources
                .iter()
                .filter(|s| s.columns.contains(column))
                .count()
        };
        let columns = sources.iter().flat_map(|source| &source.columns);
        columns
            .filter(|column| has(column) > 1)
            .map(|column| self.name(column))
            .collect()
    }

    fn operands(&mut self) -> Vec<Candidate> {
        let mut all = Vec::new();
        if self.word.quote.is_none() {
            let limit = if self.word.text.is_empty() {
                VALUES_UNASKED
            } else {
                usize::MAX
            };
            let text = text::text(self.around, self.scope, self.names.catalog);
            all.extend(self.values(text, limit));
        }
        all.extend(self.arguments(true));
        all.extend(self.columns());
        all.extend(self.scope.outputs.iter().map(|name| self.name(name)));
        all.extend(
            self.scope
                .sources
                .iter()
                .filter(|s| !s.name.is_empty())
                .map(|s| self.name(&s.name)),
        );
        all.extend(self.arguments(false));
        let typed = !self.word.text.is_empty();
        let bracket = self.around.back(1).is_some_and(|token| token.is_sign("("));
        if typed && self.scope.sources.is_empty() {
            // FROM comes later: any column may be meant, those of the plain names first.
            let catalog = self.names.catalog;
            let mut relations: Vec<_> =
                catalog.temporary.iter().chain(&catalog.relations).collect();
            relations.sort_by_key(|(name, _)| name.contains('.'));
            all.extend(
                relations
                    .into_iter()
                    .flat_map(|(_, columns)| columns)
                    .map(|column| self.name(column)),
            );
        }
        if typed || bracket {
            all.extend(self.words(&["select"]).into_iter().filter(|_| bracket));
        }
        if typed {
            all.extend(self.functions(|function| !function.table && function.own));
            all.extend(self.words(&[
                "case", "cast", "not", "null", "true", "false", "distinct", "exists", "interval",
                "else", "when", "end",
            ]));
            all.extend(self.functions(|function| !function.table && !function.own));
            all.extend(self.words(&["from"]));
        }
        all
    }

    /// Arguments of the call around the cursor by their names: a macro's, or else a table function's many options.
    fn arguments(&self, own: bool) -> Vec<Candidate> {
        if self.word.quote.is_some() {
            return Vec::new();
        }
        let parameters = text::parameters(self.around, self.names.catalog);
        let called = self
            .around
            .openers()
            .last()
            .and_then(|&opener| self.around.get(opener.checked_sub(1)?)?.name());
        let is_own = called
            .and_then(|name| self.names.catalog.functions.get(&name))
            .is_some_and(|function| function.own);
        if is_own != own {
            return Vec::new();
        }
        let named = parameters.into_iter().map(|parameter| {
            let name = self.name(parameter);
            Candidate {
                text: format!("{} := ", name.text),
                label: format!("{parameter} :="),
                key: name.key,
            }
        });
        named.collect()
    }
}
