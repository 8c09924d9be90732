//! Text a screen at a time: in `$PAGER`, else `less`, else here.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use crossterm::event::{Event, KeyCode, KeyModifiers, read};

use super::screen::Raw;

/// Shows a text.
///
/// # Errors
/// If the terminal fails.
pub(super) fn show(text: &str, out: &mut dyn Write) -> io::Result<()> {
    let set = std::env::var("PAGER")
        .ok()
        .filter(|pager| !pager.trim().is_empty());
    let own = set.is_some();
    // Chops long lines, shows colours, ends if all fits, and leaves the screen as it was.
    let pager = set.unwrap_or_else(|| "less -SRFX".to_owned());
    let started = Command::new("sh")
        .arg("-c")
        .arg(format!("exec {pager}"))
        .stdin(Stdio::piped())
        .spawn();
    if let Ok(mut child) = started {
        if let Some(mut stdin) = child.stdin.take() {
            // Closed early by a reader who has seen enough.
            let _ = stdin.write_all(text.as_bytes());
        }
        let ended = child.wait()?;
        // 127: the system's shell found no such command.
        if own || ended.code() != Some(127) {
            return Ok(());
        }
    }
    page(text, out)
}

fn page(text: &str, out: &mut dyn Write) -> io::Result<()> {
    let height = crossterm::terminal::size().map_or(24, |(_, height)| usize::from(height.max(2)));
    let lines: Vec<&str> = text.lines().collect();
    let mut shown = 0;
    while shown < lines.len() {
        let end = (shown + height - 1).min(lines.len());
        for line in &lines[shown..end] {
            writeln!(out, "{line}")?;
        }
        shown = end;
        if shown == lines.len() {
            break;
        }
        write!(
            out,
            "-- {} of {} lines; space goes on, q ends --",
            shown,
            lines.len()
        )?;
        out.flush()?;
        let go = {
            let _raw = Raw::enter()?;
            wants_more()?
        };
        write!(out, "\r\x1b[K")?;
        if !go {
            break;
        }
    }
    out.flush()
}

fn wants_more() -> io::Result<bool> {
    loop {
        if let Event::Key(key) = read()? {
            let stops =
                key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            match key.code {
                _ if stops => return Ok(false),
                KeyCode::Char('q') | KeyCode::Esc => return Ok(false),
                KeyCode::Char(_) | KeyCode::Enter | KeyCode::Down | KeyCode::PageDown => {
                    return Ok(true);
                }
                _ => {}
            }
        }
    }
}
