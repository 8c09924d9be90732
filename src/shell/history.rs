//! Where the shell keeps what was typed: a file of its user's alone, never in the working directory.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// `$XDG_STATE_HOME/mdb/history`, by default `~/.local/state/mdb/history`; `None` without a home.
pub(super) fn path() -> Option<PathBuf> {
    Some(directory("XDG_STATE_HOME", ".local/state")?.join("history"))
}

/// mdb's directory of its user: below that of a variable, or below the home.
pub(super) fn directory(variable: &str, below_home: &str) -> Option<PathBuf> {
    // The specification has relative paths ignored.
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base = absolute(variable).or_else(|| Some(absolute("HOME")?.join(below_home)))?;
    Some(base.join("mdb"))
}

/// Makes sure the file is there and nobody else can read it.
pub(super) fn prepare(path: &Path) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    Ok(())
}

/// Whether a statement may be kept. `CREATE SECRET` and its like hold passwords; a leading space asks for it.
pub(super) fn may_keep(statement: &str) -> bool {
    let lower = statement.to_ascii_lowercase();
    let words = ["secret", "password", "api_key", "apikey"];
    !statement.starts_with(' ') && !words.iter().any(|word| lower.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_file_is_its_users_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("state/mdb/history");
        prepare(&path).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        std::fs::write(&path, "kept").unwrap();
        prepare(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept");
    }

    #[test]
    fn secrets_are_not_kept() {
        assert!(may_keep("select 1;"));
        assert!(!may_keep("CREATE SECRET s (TYPE s3, SECRET 'x');"));
        assert!(!may_keep(" select 1;"));
    }
}
