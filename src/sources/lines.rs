//! Lines of a byte stream in constant memory, whatever the stream holds, with a running hash of it.

use std::io::{self, Read};

use memchr::memchr;

/// A longer line is not a message: it is passed over and reported.
pub const MAX_LINE_BYTES: usize = 16 << 20;

/// Of a line that is too long this much is kept.
const HEAD_BYTES: usize = 4096;
const READ_BYTES: usize = 256 << 10;

/// One line, without its line break.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Whole(&'a [u8]),
    /// Longer than [`MAX_LINE_BYTES`]; only its beginning is kept.
    TooLong {
        head: &'a [u8],
        bytes: u64,
    },
}

pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Bytes before this are behind us and in the hash.
    hashed: usize,
    /// The next line starts here.
    start: usize,
    /// No line break stands between `start` and here.
    searched: usize,
    /// Bytes read end here.
    end: usize,
    hasher: blake3::Hasher,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            hashed: 0,
            start: 0,
            searched: 0,
            end: 0,
            hasher: blake3::Hasher::new(),
        }
    }

    /// Hash of everything up to the end of the last line handed out.
    pub(super) fn hash(&mut self) -> blake3::Hash {
        self.hash_consumed();
        self.hasher.finalize()
    }

    /// The next line, or `None` at the end. A last line without a line break is a line.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            if let Some(at) = memchr(b'\n', &self.buffer[self.searched..self.end]) {
                let line_end = self.searched + at;
                return Ok(Some(self.take(line_end, line_end + 1)));
            }
            self.searched = self.end;
            if self.end - self.start > MAX_LINE_BYTES {
                return self.pass_over().map(Some);
            }
            if self.fill()? == 0 {
                return Ok((self.end > self.start).then(|| self.take(self.end, self.end)));
            }
        }
    }

    fn take(&mut self, line_end: usize, next: usize) -> Line<'_> {
        let line = self.start..line_end;
        self.start = next;
        self.searched = next;
        let line = &self.buffer[line];
        if line.len() > MAX_LINE_BYTES {
            return Line::TooLong {
                head: &line[..HEAD_BYTES],
                bytes: line.len() as u64,
            };
        }
        Line::Whole(line.strip_suffix(b"\r").unwrap_or(line))
    }

    fn hash_consumed(&mut self) {
        self.hasher.update(&self.buffer[self.hashed..self.start]);
        self.hashed = self.start;
    }

    /// Reads on, after making room by dropping what is behind us.
    fn fill(&mut self) -> io::Result<usize> {
        if self.buffer.len() - self.end < READ_BYTES {
            self.hash_consumed();
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.searched -= self.start;
            (self.start, self.hashed) = (0, 0);
            if self.buffer.len() - self.end < READ_BYTES {
                self.buffer
                    .resize((self.buffer.len() * 2).max(4 * READ_BYTES), 0);
            }
        }
        let read = loop {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.end += read;
        Ok(read)
    }

    /// Reads to the end of a line that is too long, keeping its beginning only.
    fn pass_over(&mut self) -> io::Result<Line<'_>> {
        let head_end = self.start + HEAD_BYTES;
        let mut bytes = (self.end - self.start) as u64;
        let head = self.buffer[self.start..head_end].to_vec();
        self.start = self.end;
        loop {
            self.hash_consumed();
            (self.start, self.hashed, self.searched, self.end) = (0, 0, 0, 0);
            let read = self.fill()?;
            let found = memchr(b'\n', &self.buffer[..self.end]);
            bytes += found.unwrap_or(read) as u64;
            self.start = found.map_or(self.end, |at| at + 1);
            self.searched = self.start;
            if found.is_some() || read == 0 {
                break;
            }
        }
        // What follows the line must survive: the head goes in front of it.
        self.hash_consumed();
        let rest = self.buffer[self.start..self.end].to_vec();
        self.buffer.clear();
        self.buffer.extend_from_slice(&head);
        self.buffer.extend_from_slice(&rest);
        (self.start, self.hashed, self.searched) = (head.len(), head.len(), head.len());
        self.end = self.buffer.len();
        Ok(Line::TooLong {
            head: &self.buffer[..head.len()],
            bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Hands out its bytes in pieces of odd sizes.
    struct Dribble<'a>(&'a [u8], usize);
    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = self.1 % 7919 + 13;
            let n = self.1.min(self.0.len()).min(buffer.len());
            buffer[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn all(bytes: &[u8]) -> (Vec<Result<Vec<u8>, u64>>, blake3::Hash) {
        let mut lines = Lines::new(Dribble(bytes, 1));
        let mut out = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            out.push(match line {
                Line::Whole(l) => Ok(l.to_vec()),
                Line::TooLong { bytes, .. } => Err(bytes),
            });
        }
        (out, lines.hash())
    }

    #[test]
    fn a_line_too_long_is_passed_over_and_the_next_one_stands() {
        for over in [MAX_LINE_BYTES + 1, 70_000_000] {
            let mut bytes = b"one\n".to_vec();
            bytes.resize(4 + over, b'x');
            bytes.extend_from_slice(b"\ntwo\nthree");
            let (lines, hash) = all(&bytes);
            assert_eq!(
                lines,
                [
                    Ok(b"one".to_vec()),
                    Err(over as u64),
                    Ok(b"two".to_vec()),
                    Ok(b"three".to_vec())
                ]
            );
            assert_eq!(hash, blake3::hash(&bytes));
        }
    }

    proptest! {
        #[test]
        fn lines_are_the_streams_own_and_the_hash_is_of_all_bytes(text in "([a-c]{0,40}\r?\n){0,300}[a-c]{0,9}") {
            let (lines, hash) = all(text.as_bytes());
            let lines: Vec<_> = lines.into_iter().map(Result::unwrap).collect();
            let expected: Vec<_> = text.lines().map(|l| l.as_bytes().to_vec()).collect();
            prop_assert_eq!(lines, expected);
            prop_assert_eq!(hash, blake3::hash(text.as_bytes()));
        }
    }
}
