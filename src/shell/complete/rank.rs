//! Which candidates fit what was typed, best first.

use std::collections::HashSet;

use nucleo_matcher::pattern::{Atom, AtomKind, CaseMatching, Normalization};
use nucleo_matcher::{Config, Matcher, Utf32Str};

use crate::query::nearest;

/// Something that may be put in place of the word before the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::shell) struct Candidate {
    /// What is typed to reach it.
    pub(super) key: String,
    /// What stands in the line afterwards.
    pub(in crate::shell) text: String,
    /// What a list of candidates shows.
    pub(in crate::shell) label: String,
}

impl Candidate {
    /// A candidate that is what it is called.
    pub(super) fn plain(name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            key: name.clone(),
            text: name.clone(),
            label: name,
        }
    }
}

impl rustyline::completion::Candidate for Candidate {
    fn display(&self) -> &str {
        &self.label
    }

    fn replacement(&self) -> &str {
        &self.text
    }
}

/// Candidates kept at most: more than anybody reads.
const KEPT: usize = 400;

/// Words shorter than this match only what begins with them: two letters are in everything.
const FUZZY_FROM: usize = 2;

/// Slips that are forgiven in a word of at least four letters.
const SLIPS: usize = 2;

/// The candidates that fit `word`, which stands in the line as `typed`, each once. Those that begin with it keep their
/// order; only if there are none, those that hold its letters in their order, the best match first; only if there are
/// none either, those one or two slips away.
///
/// A word that is itself a candidate is never made another one: what is left are the candidates that go on from it.
pub(super) fn fitting(
    mut candidates: Vec<Candidate>,
    word: &str,
    typed: &str,
    fuzzy: bool,
) -> Vec<Candidate> {
    let mut seen = HashSet::new();
    candidates.retain(|candidate| seen.insert(candidate.text.clone()));
    let begins = |candidate: &&Candidate| {
        let head = candidate.key.get(..word.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(word))
    };
    let mut fitting: Vec<Candidate> = candidates
        .iter()
        .filter(begins)
        .take(KEPT)
        .cloned()
        .collect();
    let exact = |candidate: &Candidate| candidate.key.eq_ignore_ascii_case(word);
    if !word.is_empty() && fitting.iter().any(exact) {
        let whole = fitting.iter().position(exact).map(|i| fitting.remove(i));
        fitting.retain(|candidate| !exact(candidate));
        if fitting.is_empty() {
            // Only what completing adds: the bracket of a call, a closing quote.
            return whole
                .filter(|whole| whole.text.len() > typed.len() && whole.text.starts_with(typed))
                .into_iter()
                .collect();
        }
        let whole = Candidate {
            key: word.to_owned(),
            text: typed.to_owned(),
            label: word.to_owned(),
        };
        fitting.insert(0, whole);
    }
    if !fitting.is_empty() || !fuzzy || word.chars().count() < FUZZY_FROM {
        return fitting;
    }
    let scored = scored(&candidates, word);
    if !scored.is_empty() {
        return scored;
    }
    near(&candidates, word)
}

fn scored(candidates: &[Candidate], word: &str) -> Vec<Candidate> {
    let mut matcher = Matcher::new(Config::DEFAULT);
    let atom = Atom::new(
        word,
        CaseMatching::Ignore,
        Normalization::Smart,
        AtomKind::Fuzzy,
        false,
    );
    let mut buffer = Vec::new();
    let mut scored: Vec<(u16, &Candidate)> = candidates
        .iter()
        .filter_map(|candidate| {
            let score = atom.score(Utf32Str::new(&candidate.key, &mut buffer), &mut matcher)?;
            Some((score, candidate))
        })
        .collect();
    // Stable: of equal scores the one that stands first is likelier.
    scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    // Letters strewn over a long name are no match beside one that holds them together.
    let best = scored.first().map_or(0, |(score, _)| *score);
    scored
        .into_iter()
        .take_while(|(score, _)| u32::from(*score) * 3 >= u32::from(best) * 2)
        .take(KEPT)
        .map(|(_, candidate)| candidate.clone())
        .collect()
}

fn near(candidates: &[Candidate], word: &str) -> Vec<Candidate> {
    if word.chars().count() < 4 {
        return Vec::new();
    }
    let keys = candidates.iter().map(|candidate| candidate.key.as_str());
    let near = nearest(word, keys, SLIPS);
    candidates
        .iter()
        .filter(|candidate| near.contains(&candidate.key.as_str()))
        .cloned()
        .collect()
}
