//! Raw captures: one message a line, `<receive time, ns since 1970 UTC> <message as received>`, plain,
//! gzip or zstd.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow::array::{StringArray, StringBuilder};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::lines::{Line, Lines};
use super::{Error, unpack};

/// A batch ends once it holds this many lines …
const BATCH_LINES: usize = 16_384;
/// … or this many bytes of payload, so that memory is bounded whatever the messages are.
const BATCH_BYTES: usize = 4 << 20;
/// The first batch is smaller, and each next one twice as large, so that all threads have work soon.
const FIRST_BATCH_BYTES: usize = 1 << 20;
/// Receive times that a timestamp can hold, with room on both sides: the years 1678 to 2261.
const RECEIVE_TIMES_NS: std::ops::Range<i64> =
    -9_214_560_000_000_000_000..9_214_646_400_000_000_000;
/// The years 2001 to 2100, in s since 1970.
const THIS_CENTURY_S: std::ops::Range<i64> = 978_307_200..4_133_980_800;
/// How often a pipe that brings nothing is asked whether to go on waiting.
const WAIT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};
/// Of a line that is no message this much is kept; the rest stands in the file.
const REJECTED_BYTES: usize = 4096;

/// Messages of a capture, in the file's order.
#[derive(Debug)]
pub struct Batch {
    /// Receive time of each message, ns since 1970 UTC.
    pub recv_ns: Vec<i64>,
    /// Each message, verbatim.
    pub payloads: StringArray,
    /// The line each message stands on, from 1.
    pub message_lines: Vec<u64>,
    /// Lines that are no message.
    pub rejected: Vec<Rejected>,
    /// Lines read from the file up to the end of this batch.
    pub lines: u64,
    /// Hash of the (decompressed) file up to the end of this batch: what tells known content.
    pub mark: String,
}

/// A line that is no message.
#[derive(Debug)]
pub struct Rejected {
    /// Its number in the file, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
    /// Its beginning; bytes that are no UTF-8 are replaced.
    pub text: String,
}

/// Reads a capture batch by batch.
pub struct Capture {
    path: PathBuf,
    lines: Lines<Box<dyn Read + Send>>,
    line: u64,
    batch_bytes: usize,
    /// Numbers of lines after which a batch ends in any case, rising.
    cuts: VecDeque<u64>,
    /// Found while a batch was under way: reported after it.
    broken: Option<io::Error>,
    done: bool,
    read: Arc<AtomicU64>,
    bytes: Option<u64>,
    stop: Arc<AtomicBool>,
}

impl Capture {
    /// Opens a file; `-` is standard input. The compression is told from the content.
    ///
    /// # Errors
    /// If it cannot be opened, or its first bytes not be read.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_until(path, &Arc::default())
    }

    /// The same, of standard input only until `stop` is set: then it ends with its last whole line.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_until(path: &Path, stop: &Arc<AtomicBool>) -> Result<Self, Error> {
        let failed = |source| Error::Open {
            path: path.to_owned(),
            source,
        };
        let read = Arc::new(AtomicU64::new(0));
        let (input, bytes): (Box<dyn Read + Send>, _) = if path == Path::new("-") {
            let stdin = Stdin {
                stop: Arc::clone(stop),
            };
            (Box::new(stdin), None)
        } else {
            let file = File::open(path).map_err(failed)?;
            let meta = file.metadata().map_err(failed)?;
            if meta.is_dir() {
                return Err(failed(io::Error::other(
                    "it is a directory; name the files in it",
                )));
            }
            (Box::new(file), meta.is_file().then_some(meta.len()))
        };
        let counted = Counted {
            input,
            read: Arc::clone(&read),
        };
        let reader = unpack::reader(counted).or_else(|error| {
            if stop.load(Ordering::Relaxed) {
                return Ok(Box::new(io::empty()) as Box<dyn Read + Send>);
            }
            Err(failed(error))
        })?;
        Ok(Self {
            path: path.to_owned(),
            lines: Lines::new(reader),
            line: 0,
            batch_bytes: FIRST_BATCH_BYTES,
            cuts: VecDeque::new(),
            broken: None,
            done: false,
            read,
            bytes,
            stop: Arc::clone(stop),
        })
    }

    /// Size of the file in bytes, if known.
    pub fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    /// Counts the bytes of the file that have been read; may be kept and watched.
    pub fn progress(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }

    /// Ends batches after these numbers of lines too: where earlier loads ended, so that the content up to there
    /// is known again in a file that has grown.
    pub fn cut_at(&mut self, lines: impl IntoIterator<Item = u64>) {
        self.cuts = lines.into_iter().collect();
        self.cuts.make_contiguous().sort_unstable();
    }

    /// The next batch, `None` at the end.
    ///
    /// # Errors
    /// When the file breaks off. All whole lines before that have been handed out.
    pub fn next_batch(&mut self) -> Result<Option<Batch>, Error> {
        if self.done {
            return self.broken.take().map_or(Ok(None), |source| {
                Err(Error::Read {
                    path: self.path.clone(),
                    line: self.line,
                    source,
                })
            });
        }
        let mut recv_ns = Vec::with_capacity(BATCH_LINES);
        let mut payloads =
            StringBuilder::with_capacity(BATCH_LINES, self.batch_bytes + (self.batch_bytes >> 2));
        let mut message_lines = Vec::with_capacity(BATCH_LINES);
        let mut rejected = Vec::new();
        let mut bytes = 0;
        let first = self.line;
        while (self.line - first) < BATCH_LINES as u64 && bytes < self.batch_bytes {
            let line = match self.lines.next_line() {
                Ok(Some(line)) => line,
                Ok(None) => {
                    self.done = true;
                    break;
                }
                Err(source) => {
                    // What is left of a stream that someone stopped is no error, and no line.
                    self.broken = Some(source).filter(|_| !self.stop.load(Ordering::Relaxed));
                    self.done = true;
                    break;
                }
            };
            self.line += 1;
            while self.cuts.front().is_some_and(|&cut| cut < self.line) {
                self.cuts.pop_front();
            }
            let cut = self.cuts.front() == Some(&self.line);
            match parse(&line, self.line == 1) {
                Ok(Some((ns, payload))) => {
                    bytes += payload.len();
                    recv_ns.push(ns);
                    message_lines.push(self.line);
                    payloads.append_value(payload);
                }
                Ok(None) => {}
                Err((reason, text)) => {
                    let text = String::from_utf8_lossy(&text[..text.len().min(REJECTED_BYTES)])
                        .into_owned();
                    bytes += text.len();
                    rejected.push(Rejected {
                        line: self.line,
                        reason,
                        text,
                    });
                }
            }
            if cut {
                break;
            }
        }
        if self.line == first {
            return self.next_batch();
        }
        self.batch_bytes = (self.batch_bytes * 2).min(BATCH_BYTES);
        let mark = self.lines.hash().to_hex().to_string();
        Ok(Some(Batch {
            recv_ns,
            payloads: payloads.finish(),
            message_lines,
            rejected,
            lines: self.line,
            mark,
        }))
    }
}

/// Receive time and text.
type Message<'a> = (i64, &'a str);
/// Why not, and what stands there.
type Refused<'a> = (String, &'a [u8]);

/// The message of a line; `None` for an empty one. Before the `first` one may stand a byte order mark.
fn parse<'a>(line: &'a Line<'a>, first: bool) -> Result<Option<Message<'a>>, Refused<'a>> {
    let bytes = match *line {
        Line::Whole(bytes) => bytes,
        Line::TooLong { head, bytes } => {
            let limit = super::MAX_LINE_BYTES;
            return Err((
                format!("a line of {bytes} bytes; a message has at most {limit}"),
                head,
            ));
        }
    };
    if bytes.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(bytes).map_err(|e| {
        (
            format!("not UTF-8 from byte {} of the line on", e.valid_up_to()),
            bytes,
        )
    })?;
    let text = text
        .strip_prefix('\u{feff}')
        .filter(|_| first)
        .unwrap_or(text);
    let (time, payload) = text.split_once(' ').ok_or_else(|| {
        (
            "no '<receive time, ns> ' before the message".to_owned(),
            bytes,
        )
    })?;
    let ns = time
        .parse::<i64>()
        .ok()
        .filter(|ns| RECEIVE_TIMES_NS.contains(ns))
        .ok_or_else(|| {
            (
                format!("'{}' is no receive time in ns", abridged(time)),
                bytes,
            )
        })?;
    if let Some(unit) = other_unit(ns) {
        let reason = format!("'{time}' is a receive time in {unit}, where ns are expected");
        return Err((reason, bytes));
    }
    Ok(Some((ns, payload)))
}

/// The unit of a time that is of this century in it, and in ns would be one of the first weeks of 1970.
fn other_unit(time: i64) -> Option<&'static str> {
    let units = [(1, "s"), (1_000, "ms"), (1_000_000, "µs")];
    let of = |&(a_second, _): &(i64, _)| THIS_CENTURY_S.contains(&(time / a_second));
    units.iter().find(|unit| of(unit)).map(|(_, name)| *name)
}

fn abridged(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Standard input. It fails once someone asks to stop, even while a pipe brings nothing.
struct Stdin {
    stop: Arc<AtomicBool>,
}

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let stdin = io::stdin();
        while !self.stop.load(Ordering::Relaxed) {
            let mut ready = [PollFd::new(&stdin, PollFlags::IN)];
            match poll(&mut ready, Some(&WAIT)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => match rustix::io::read(&stdin, &mut *buffer) {
                    Err(Errno::INTR) => {}
                    read => return Ok(read?),
                },
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::Error::other("stopped"))
    }
}

/// Counts what is read through it.
struct Counted<R> {
    input: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.input.read(buffer)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Array;
    use std::fmt::Write as _;
    use std::io::Write as _;

    fn capture(bytes: &[u8]) -> Capture {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c");
        std::fs::write(&path, bytes).unwrap();
        Capture::open(&path).unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn plain_gzip_and_zstd_are_one_content() {
        let text = b"1 {\"a\":1}\n2 {\"b\":2}\nnonsense\n\n3 x y";
        let zstd = zstd::encode_all(&text[..], 1).unwrap();
        let marks: Vec<String> = [text.to_vec(), gzip(text), zstd]
            .iter()
            .map(|bytes| {
                let mut capture = capture(bytes);
                let batch = capture.next_batch().unwrap().unwrap();
                assert_eq!(batch.recv_ns, [1, 2, 3]);
                assert_eq!(batch.payloads.value(2), "x y");
                assert_eq!(batch.rejected.len(), 1);
                assert_eq!(batch.rejected[0].line, 3);
                assert_eq!(batch.lines, 5);
                assert!(capture.next_batch().unwrap().is_none());
                batch.mark
            })
            .collect();
        assert!(marks.iter().all(|m| *m == marks[0]));
    }

    #[test]
    fn times_in_another_unit_are_no_receive_times_and_a_byte_order_mark_is_no_part_of_one() {
        let lines = "\u{feff}1723161253937000000 a\n1723161253937000 b\n1723161253937 c\n1723161253 d\n7 e\n";
        let batch = capture(lines.as_bytes()).next_batch().unwrap().unwrap();
        assert_eq!(batch.recv_ns, [1_723_161_253_937_000_000, 7]);
        let reasons: Vec<&str> = batch.rejected.iter().map(|r| r.reason.as_str()).collect();
        for (reason, unit) in reasons.iter().zip(["µs", "ms", "s"]) {
            assert!(reason.contains(&format!("time in {unit},")), "{reason}");
        }
        assert_eq!(reasons.len(), 3);
    }

    #[test]
    fn a_truncated_gzip_gives_its_whole_lines_and_then_the_error() {
        let mut text = String::new();
        for i in 0..50_000 {
            writeln!(text, "{i} message {}", i * 7919 % 1000).unwrap();
        }
        let mut bytes = gzip(text.as_bytes());
        bytes.truncate(bytes.len() / 2);
        let mut capture = capture(&bytes);
        let mut messages = 0;
        let error = loop {
            match capture.next_batch() {
                Ok(Some(batch)) => messages += batch.payloads.len(),
                Ok(None) => panic!("no error"),
                Err(e) => break e,
            }
        };
        assert!(messages > 10_000 && messages < 50_000);
        assert!(
            error
                .to_string()
                .contains(&format!("after line {messages}:")),
            "{error}"
        );
        assert!(capture.next_batch().unwrap().is_none());
    }
}
