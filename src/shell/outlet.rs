//! Where results go instead of the terminal: a file, or another command's input.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::command::{at_home, path};
use crate::output::{Format, WholeFile};

/// Bytes gathered for one write.
const BUFFER_BYTES: usize = 1 << 16;

/// What `.output` and `.once` name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A file, which is made anew.
    File(PathBuf),
    /// A command for the shell of the system.
    Command(String),
}

impl Target {
    /// `|command`, or else a file.
    ///
    /// # Errors
    /// If more stands behind the file.
    pub(super) fn of(text: &str) -> Result<Self, String> {
        if let Some(command) = text.strip_prefix('|') {
            return Ok(Self::Command(command.trim().to_owned()));
        }
        match path(text) {
            (file, "") => Ok(Self::File(at_home(file))),
            (file, more) => Err(format!(
                "results go to one file, {file}, and not to {more} besides\n\
                 hint: a path with spaces stands in quotes, and a command behind |"
            )),
        }
    }

    /// The format that a file's name asks for.
    pub(super) fn format(&self) -> Option<Format> {
        match self {
            Self::File(path) => Format::of_path(path),
            Self::Command(_) => None,
        }
    }

    /// Whether it is a file whose name ends as if it asked for a format, and asks for none.
    pub(super) fn is_unclear(&self) -> bool {
        matches!(self, Self::File(path) if Format::is_unclear(path))
    }

    /// How an error names it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Command(command) => format!("|{command}"),
        }
    }
}

/// An open target.
pub(super) struct Outlet {
    pub(super) target: Target,
    writer: BufWriter<Sink>,
    child: Option<Child>,
    /// Results it has got.
    pub(super) results: usize,
}

enum Sink {
    File(WholeFile),
    Command(ChildStdin),
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Command(stdin) => stdin.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Command(stdin) => stdin.flush(),
        }
    }
}

impl Outlet {
    /// Begins the file, or starts the command.
    pub(super) fn open(target: Target) -> io::Result<Self> {
        let (sink, child) = match &target {
            Target::File(path) => (Sink::File(WholeFile::create(path)?), None),
            Target::Command(command) => {
                let mut child = Command::new("sh")
                    .arg("-c")
                    .arg(command)
                    .stdin(Stdio::piped())
                    .spawn()?;
                let stdin = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
                (Sink::Command(stdin), Some(child))
            }
        };
        Ok(Self {
            target,
            writer: BufWriter::with_capacity(BUFFER_BYTES, sink),
            child,
            results: 0,
        })
    }

    /// Where results are written.
    pub(super) fn writer(&mut self) -> &mut (dyn Write + Send) {
        &mut self.writer
    }

    /// A result is over. Only what ended well is seen in a file.
    pub(super) fn ended(&mut self, well: bool) -> io::Result<()> {
        self.writer.flush()?;
        match self.writer.get_mut() {
            Sink::File(file) if well => file.keep(),
            Sink::File(file) => file.undo(),
            Sink::Command(_) => Ok(()),
        }
    }

    /// Bytes of a regular file that are there to be seen.
    pub(super) fn bytes(&self) -> Option<u64> {
        match self.writer.get_ref() {
            Sink::File(file) => file.bytes(),
            Sink::Command(_) => None,
        }
    }

    /// Waits until the command has ended. A command that has seen enough is no error.
    pub(super) fn close(mut self) -> io::Result<()> {
        let flushed = self.writer.flush();
        // The command's input ends here.
        let (writer, _) = self.writer.into_parts();
        drop(writer);
        if let Some(mut child) = self.child {
            child.wait()?;
        }
        match flushed {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            flushed => flushed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_begins_a_command_and_quotes_are_no_part_of_a_path() {
        let of = |text| Target::of(text).unwrap();
        assert_eq!(of("| wc -l"), Target::Command("wc -l".into()));
        assert_eq!(of("'a b.csv'"), Target::File("a b.csv".into()));
        assert_eq!(of("a.csv").format(), Some(Format::Csv));
        assert_eq!(of("|cat > a.csv").format(), None);
        for text in ["a.csv b", "'a.csv' b", "a b.csv"] {
            assert!(Target::of(text).unwrap_err().contains("quotes"), "{text}");
        }
    }

    #[test]
    fn a_command_gets_all_that_is_written_and_may_stop_reading() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("out");
        let mut outlet =
            Outlet::open(Target::Command(format!("cat > {}", path.display()))).unwrap();
        outlet.writer().write_all(b"one\ntwo\n").unwrap();
        outlet.close().unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "one\ntwo\n");
        let mut early = Outlet::open(Target::Command("true".into())).unwrap();
        let _ = early.writer().write_all(b"x");
        early.close().unwrap();
    }
}
