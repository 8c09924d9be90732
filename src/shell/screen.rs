//! The terminal while a command paints on it: keys come at once, and what is painted is put back.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use crossterm::event::{Event, KeyCode, KeyModifiers, poll, read};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};

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
    /// Puts `text` in the place of what was painted last: no more lines than the screen has.
    ///
    /// # Errors
    /// If the terminal fails.
    pub(super) fn paint(&mut self, text: &str, out: &mut dyn Write) -> io::Result<()> {
        let height =
            crossterm::terminal::size().map_or(24, |(_, height)| usize::from(height.max(2)));
        let lines: Vec<&str> = text.lines().take(height - 1).collect();
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
