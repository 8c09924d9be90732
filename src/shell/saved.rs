//! Queries kept under a name: files of SQL in their user's own directory, so that they outlive the database.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use super::history;

/// Where they are kept: `queries` beside the history; `None` without a home.
fn directory() -> Option<PathBuf> {
    Some(history::path()?.parent()?.join("queries"))
}

fn file(name: &str) -> io::Result<PathBuf> {
    let directory =
        directory().ok_or_else(|| io::Error::other("there is no home to keep it in"))?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&directory)?;
    Ok(directory.join(format!("{name}.sql")))
}

/// Keeps a query under a name, which is a plain one; where.
///
/// # Errors
/// If its file cannot be written.
pub(super) fn save(name: &str, query: &str) -> io::Result<PathBuf> {
    let file = file(name)?;
    std::fs::write(&file, format!("{}\n", query.trim_end()))?;
    Ok(file)
}

/// The query of a name; `None` if there is none.
///
/// # Errors
/// If its file cannot be read.
pub(super) fn load(name: &str) -> io::Result<Option<String>> {
    match std::fs::read_to_string(file(name)?) {
        Ok(query) => Ok(Some(query)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The names of all, in order.
pub(super) fn names() -> Vec<String> {
    let entries = directory().and_then(|directory| std::fs::read_dir(directory).ok());
    let mut names: Vec<String> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let is_query = path.extension()? == "sql";
            Some(path.file_stem()?.to_str()?.to_owned()).filter(|_| is_query)
        })
        .collect();
    names.sort();
    names
}
