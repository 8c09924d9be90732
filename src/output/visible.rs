//! What is shown on a terminal without an encoder that sees to it: no value in it may move the cursor, or paint.

use std::io::{self, Write};

use super::{Out, printable};

/// The first of the two bytes of a control character beyond ASCII; `U+009B` begins an escape sequence as `ESC [` does.
const LEAD: u8 = 0xc2;

/// Passes on lines of text, control characters in them as escapes. Tabs stay.
pub(super) struct Visible<'w> {
    out: Out<'w>,
    /// Whether the byte before may have begun a control character.
    led: bool,
}

impl<'w> Visible<'w> {
    pub(super) fn new(out: Out<'w>) -> Self {
        Self { out, led: false }
    }
}

impl Write for Visible<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut clean = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            let led = std::mem::replace(&mut self.led, byte == LEAD);
            let is_control = match byte {
                b'\n' | b'\t' => false,
                0x80..=0x9f => led,
                byte => byte.is_ascii_control(),
            };
            if is_control {
                write!(clean, "{}", char::from(byte).escape_default())?;
                continue;
            }
            if led {
                clean.push(LEAD);
            }
            if byte != LEAD {
                clean.push(byte);
            }
        }
        self.out.write_all(&clean)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Lines of text as a person may see them: control characters but for the ends of lines as escapes.
pub(crate) fn printable_lines(text: &str) -> String {
    let lines = text.split('\n').map(|line| printable(line.as_bytes()));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_however_the_text_is_cut() {
        let text = "a\u{1b}[31m\tb\r\u{7}\u{7f}\n£é日\u{9b}31m\u{a0}\u{c2}";
        let shown = "a\\u{1b}[31m\tb\\r\\u{7}\\u{7f}\n£é日\\u{9b}31m\u{a0}\u{c2}";
        for length in 1..=text.len() {
            let mut out = Vec::new();
            let mut visible = Visible::new(&mut out);
            for part in text.as_bytes().chunks(length) {
                visible.write_all(part).unwrap();
            }
            assert_eq!(String::from_utf8(out).unwrap(), shown, "{length}");
        }
    }

    #[test]
    fn signs_that_nobody_sees_are_shown_and_those_that_join_stay() {
        assert_eq!(
            printable("BTC\u{200b}USDT \u{202e}lles\u{2069}\u{feff}".as_bytes()),
            "BTC\\u{200b}USDT \\u{202e}lles\\u{2069}\\u{feff}"
        );
        for same in ["👨\u{200d}👩", "אבג", "e\u{301}", "日本"] {
            assert_eq!(printable(same.as_bytes()), same);
        }
    }

    #[test]
    fn the_lines_of_a_report_stay() {
        assert_eq!(
            printable_lines("error: x\u{1b}[31m\n  y\n"),
            "error: x\\u{1b}[31m\n  y\n"
        );
    }
}
