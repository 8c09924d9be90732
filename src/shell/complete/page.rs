//! As many candidates as fit on the screen.
//!
//! The editor would ask whether to show more, and where to go on, and takes no Ctrl-C meanwhile.

use unicode_width::UnicodeWidthStr;

use super::Candidate;
use crate::output::cut;

/// Columns that the editor leaves between two candidates.
const BETWEEN: usize = 2;

/// Lines that are not for candidates: the prompt's, and the one above the list.
const OTHER_LINES: usize = 2;

/// What stands in the list's last place if there are more. How many is not said: those that were found are not all, either.
const MORE: &str = "… more";

/// The first candidates, as many as a screen of so many columns and lines holds; then one that says that there are more.
/// That one stands for the beginning all candidates have in common, which is what the editor puts in the line.
pub(in crate::shell) fn page(
    mut candidates: Vec<Candidate>,
    (columns, lines): (usize, usize),
) -> Vec<Candidate> {
    for candidate in &mut candidates {
        // One that is wider would take two lines.
        candidate.label = cut(&candidate.label, columns.saturating_sub(BETWEEN));
    }
    let widths = candidates.iter().map(|candidate| candidate.label.width());
    let widest = widths.max().unwrap_or(0).max(MORE.width()) + BETWEEN;
    let side_by_side = (columns / widest).max(1);
    let room = side_by_side * lines.saturating_sub(OTHER_LINES).max(1);
    if candidates.len() <= room {
        return candidates;
    }
    let more = Candidate {
        key: String::new(),
        text: common(&candidates),
        label: MORE.to_owned(),
    };
    candidates.truncate(room - 1);
    candidates.push(more);
    candidates
}

/// The longest beginning of all texts.
fn common(candidates: &[Candidate]) -> String {
    let Some((first, others)) = candidates.split_first() else {
        return String::new();
    };
    let length = |text: &str| {
        let pairs = first.text.char_indices().zip(text.chars());
        let same = pairs.take_while(|((_, a), b)| a == b);
        same.last().map_or(0, |((at, c), _)| at + c.len_utf8())
    };
    let shortest = others.iter().map(|other| length(&other.text)).min();
    first.text[..shortest.unwrap_or(first.text.len())].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(count: usize) -> Vec<Candidate> {
        let names = (0..count).map(|i| format!("column_{i:03}"));
        names.map(Candidate::plain).collect()
    }

    #[test]
    fn what_fits_is_shown_whole_and_of_more_it_is_said_that_there_is_more() {
        // Six side by side, on twenty lines.
        let screen = (80, 22);
        assert_eq!(page(candidates(120), screen), candidates(120));
        let cut = page(candidates(121), screen);
        assert_eq!(cut.len(), 120);
        assert_eq!(cut[118].label, "column_118");
        assert_eq!(cut[119].label, "… more");
        assert_eq!(page(candidates(3), (5, 1)).len(), 1);
        assert!(page(Vec::new(), screen).is_empty());
        let long = vec![Candidate::plain("x".repeat(200))];
        let cut = page(long, screen);
        assert_eq!((cut[0].label.width(), cut[0].text.len()), (78, 200));
    }

    #[test]
    fn what_is_put_in_the_line_is_common_to_those_not_shown_too() {
        let mut names = candidates(250);
        names.push(Candidate::plain("cöl"));
        let cut = page(names, (80, 22));
        assert_eq!(cut.last().unwrap().text, "c");
        let cut = page(candidates(250), (80, 22));
        assert_eq!(cut.last().unwrap().text, "column_");
        let none = [Candidate::plain("é"), Candidate::plain("è")];
        assert_eq!(common(&none), "");
        assert_eq!(common(&none[..1]), "é");
    }
}
