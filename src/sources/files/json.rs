//! Whether JSON's brackets are closed at a file's end.

use std::io::{self, Write};

/// Follows JSON text that is written to it.
#[derive(Default)]
pub(super) struct Nesting {
    depth: u64,
    quoted: bool,
    /// After a backslash in a string.
    escaped: bool,
    /// Whether the text begins with `[`; not known before its first bracket.
    array: Option<bool>,
}

impl Nesting {
    /// Whether the text so far is an array that is not closed.
    pub(super) fn is_cut_array(&self) -> bool {
        self.array == Some(true) && self.depth > 0
    }

    fn take(&mut self, byte: u8) {
        if self.quoted {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.quoted = false,
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.quoted = true,
            b'[' | b'{' => {
                self.array.get_or_insert(byte == b'[');
                self.depth += 1;
            }
            b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

impl Write for Nesting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for &byte in bytes {
            self.take(byte);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_that_is_not_closed_is_cut() {
        for (text, cut) in [
            (r#"[{"a":1},"#, true),
            (r#"[{"a":1}"#, true),
            ("[[1,2],[3,4]", true),
            (r#"[{"a":"]"}"#, true),
            ("\u{feff} [", true),
            ("[]\n", false),
            (r#"[{"a":"[\"{"}] "#, false),
            ("\u{feff}\n[[1,2],[3,4]]\n", false),
            ("{\"a\":[1]}\n{\"a\":[2]}\n", false),
        ] {
            let mut nesting = Nesting::default();
            nesting.write_all(text.as_bytes()).unwrap();
            assert_eq!(nesting.is_cut_array(), cut, "{text}");
        }
    }
}
