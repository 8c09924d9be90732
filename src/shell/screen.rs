//! The terminal while a command paints on it: keys come at once, and what is painted is put back.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use crossterm::event::{Event, KeyCode, KeyModifiers, poll, read};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Keys come one by one and unseen for as long as this lives.
pub(super) struct Raw;

impl Raw {
    pub(super) fn enter() -> io::Result<Self> {
        enable_raw_mode()?;
        Ok(Self)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = disable_raw_mode();
    }
}

/// What the user did while something was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// Nothing, for as long as was to be waited.
    None,
    /// Enough of it.
    Stop,
    /// The window has another size.
    Resized,
    Left,
    Right,
    Up,
    Down,
}

/// Waits for a key, no longer than `wait`.
///
/// # Errors
/// If the terminal fails.
pub(super) fn key(wait: Duration) -> io::Result<Key> {
    let start = Instant::now();
    loop {
        if !poll(wait.saturating_sub(start.elapsed()))? {
            return Ok(Key::None);
        }
        match read()? {
            Event::Resize(_, _) => return Ok(Key::Resized),
            Event::Key(key) => {
                let control = key.modifiers.contains(KeyModifiers::CONTROL);
                match key.code {
                    KeyCode::Char('q') | KeyCode::Esc => return Ok(Key::Stop),
                    KeyCode::Char('c' | 'd') if control => return Ok(Key::Stop),
                    KeyCode::Left => return Ok(Key::Left),
                    KeyCode::Right => return Ok(Key::Right),
                    KeyCode::Up => return Ok(Key::Up),
                    KeyCode::Down => return Ok(Key::Down),
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

/// A block of lines at the bottom of the terminal that is painted over again and again.
#[derive(Default)]
pub(super) struct Block {
    lines: usize,
}

impl Block {
    /// Puts `text` in the place of what was painted last: no more lines than the screen has, and none wider than it.
    ///
    /// # Errors
    /// If the terminal fails.
    pub(super) fn paint(&mut self, text: &str, out: &mut dyn Write) -> io::Result<()> {
        let (width, height) = crossterm::terminal::size().unwrap_or((80, 24));
        let lines = fitting(text, usize::from(width), usize::from(height.max(2)) - 1);
        // Begun and ended as one change, where the terminal knows how, so that nothing flickers.
        let mut frame = String::from("\x1b[?2026h\r");
        if self.lines > 0 {
            let _ = write!(frame, "\x1b[{}A", self.lines);
        }
        for line in &lines {
            frame.push_str(line);
            frame.push_str("\x1b[K\r\n");
        }
        frame.push_str("\x1b[J\x1b[?2026l");
        self.lines = lines.len();
        out.write_all(frame.as_bytes())?;
        out.flush()
    }

    /// Forgets what was painted, as after the window has changed.
    pub(super) fn forget(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.lines = 0;
        out.write_all(b"\x1b[2J\x1b[H")
    }
}

/// The first lines of a text, as many as there is room for. One that is too wide is cut, for its rest would take a line
/// more; of the last one, which says what keys there are, only how to leave is left then.
fn fitting(text: &str, width: usize, height: usize) -> Vec<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    if let Some(keys) = lines.last_mut()
        && keys.width() > width
    {
        *keys = keys.rsplit(" · ").next().unwrap_or_default();
    }
    let shown = lines.iter().take(height);
    shown.map(|line| cut(line, width)).collect()
}

/// As much of a line as fits into so many columns. Escape sequences for colours take none, and all stay.
fn cut(line: &str, width: usize) -> String {
    let (mut used, mut escape) = (0, false);
    let mut kept = String::with_capacity(line.len());
    for c in line.chars() {
        if escape || c == '\x1b' {
            escape = c != 'm';
            kept.push(c);
            continue;
        }
        used += c.width().unwrap_or(0);
        if used <= width {
            kept.push(c);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_the_screen() {
        let text = "12.5  \x1b[31m████\x1b[0m\n日本x\nlive · left and right step · q ends\n";
        assert_eq!(
            fitting(text, 8, 24),
            ["12.5  \x1b[31m██\x1b[0m", "日本x", "q ends"]
        );
        assert_eq!(fitting(text, 3, 2), ["12.\x1b[31m\x1b[0m", "日"]);
        assert_eq!(fitting(text, 80, 24).concat(), text.replace('\n', ""));
    }
}
