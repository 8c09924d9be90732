//! A file that is complete or not there at all: written beside its place, and put there once it is whole.

use std::fs::{File, Permissions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempPath;

/// Such a file. What is no regular file, such as `/dev/null` or a named pipe, is written to directly.
pub struct WholeFile {
    file: File,
    target: PathBuf,
    /// Where it is until it is whole.
    beside: Option<TempPath>,
    /// Bytes that are whole, of a regular file.
    whole: Option<u64>,
}

impl WholeFile {
    /// Begins a file. One that is there already stays until [`keep`](Self::keep).
    ///
    /// # Errors
    /// If it is a directory, there is no directory for it, or it cannot be written.
    pub fn create(path: &Path) -> io::Result<Self> {
        // A link's target is replaced, not the link.
        let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let known = target.metadata().ok();
        if known.as_ref().is_some_and(std::fs::Metadata::is_dir) {
            return Err(io::Error::other("it is a directory"));
        }
        if known.as_ref().is_some_and(|metadata| !metadata.is_file()) {
            return Ok(Self {
                file: File::options().write(true).open(&target)?,
                target,
                beside: None,
                whole: None,
            });
        }
        let directory = target
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        if !directory.is_dir() {
            return Err(io::Error::other(format!(
                "there is no directory {}",
                directory.display()
            )));
        }
        // What a new file would get, less the umask, unless there is one to take the place of.
        let permissions = known.map_or(Permissions::from_mode(0o666), |metadata| {
            metadata.permissions()
        });
        let (file, beside) = tempfile::Builder::new()
            .prefix(".mdb-")
            .permissions(permissions)
            .tempfile_in(directory)?
            .into_parts();
        Ok(Self {
            file,
            target,
            beside: Some(beside),
            whole: Some(0),
        })
    }

    /// What was written is whole: it takes its place. More may follow.
    ///
    /// # Errors
    /// If it cannot.
    pub fn keep(&mut self) -> io::Result<()> {
        if let Some(beside) = self.beside.take() {
            beside.persist(&self.target)?;
        }
        if let Some(whole) = &mut self.whole {
            *whole = self.file.stream_position()?;
        }
        Ok(())
    }

    /// Takes back what was written since it was whole.
    ///
    /// # Errors
    /// If the file cannot be cut.
    pub fn undo(&mut self) -> io::Result<()> {
        if let Some(whole) = self.whole {
            self.file.set_len(whole)?;
            self.file.seek(SeekFrom::Start(whole))?;
        }
        Ok(())
    }

    /// Bytes that are whole; `None` of what is no regular file.
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        self.whole
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_its_place_only_when_it_is_whole() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.csv");
        std::fs::write(&path, "old").unwrap();
        let read = || std::fs::read_to_string(&path).unwrap();
        let mut file = WholeFile::create(&path).unwrap();
        file.write_all(b"one\n").unwrap();
        assert_eq!(read(), "old");
        drop(file);
        assert_eq!(read(), "old");
        let mut file = WholeFile::create(&path).unwrap();
        file.write_all(b"one\n").unwrap();
        file.keep().unwrap();
        assert_eq!(read(), "one\n");
        file.write_all(b"two, broken off").unwrap();
        file.undo().unwrap();
        file.write_all(b"three\n").unwrap();
        file.keep().unwrap();
        assert_eq!((read().as_str(), file.bytes()), ("one\nthree\n", Some(10)));
        drop(file);
        assert_eq!(home.path().read_dir().unwrap().count(), 1);
        let no = WholeFile::create(&home.path().join("no/a.csv")).err();
        assert!(no.unwrap().to_string().contains("there is no directory"));
        assert!(WholeFile::create(home.path()).is_err());
    }
}
