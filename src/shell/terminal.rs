//! What is known of the terminal on standard output.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use crate::output::Layout;

/// Rows of a result that a terminal is shown at most, and at least, however low it is.
const ROWS: std::ops::RangeInclusive<usize> = 10..=40;

/// Lines that a result takes beside its rows: borders, header, count, and the prompts around it.
const OTHER_LINES: usize = 9;

/// How results are laid out on standard output, as it is now: fitted to a terminal, whole for a pipe.
#[must_use]
pub fn layout() -> Layout {
    if !io::stdout().is_terminal() {
        return Layout::default();
    }
    let (width, height) = size();
    Layout {
        width: Some(width),
        rows: Some(
            height
                .saturating_sub(OTHER_LINES)
                .clamp(*ROWS.start(), *ROWS.end()),
        ),
        color: color(),
        file: false,
    }
}

/// Columns for reports of errors: those of standard error, if that is a terminal.
#[must_use]
pub fn report_width() -> Option<usize> {
    io::stderr().is_terminal().then(|| size().0)
}

/// Columns and lines of the terminal.
fn size() -> (usize, usize) {
    let (width, height) =
        crossterm::terminal::size().map_or((80, 24), |(w, h)| (usize::from(w), usize::from(h)));
    // A terminal that claims no width at all has not been told its size.
    (if width == 0 { 80 } else { width }, height)
}

/// Standard output without the line buffering of [`io::Stdout`], which costs a search through every block.
///
/// # Errors
/// If the descriptor cannot be duplicated.
pub fn stdout() -> io::Result<File> {
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

/// Whether escape codes may be used, as far as the environment says.
pub(super) fn color() -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_some_and(|term| term != "dumb")
}
