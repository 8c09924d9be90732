//! Names of files that begin as a path does that is being typed.

use crate::shell::command;

/// Entries of a directory that are looked at.
const ENTRIES: usize = 5000;

/// Paths that `prefix` may become, directories with a `/` at their end. Hidden ones only if their dot was typed.
pub(in crate::shell) fn paths(prefix: &str) -> Vec<String> {
    let (directory, name) = match prefix.rfind('/') {
        Some(slash) => prefix.split_at(slash + 1),
        None => ("", prefix),
    };
    let place = command::at_home(if directory.is_empty() { "." } else { directory });
    let Ok(entries) = std::fs::read_dir(place) else {
        return Vec::new();
    };
    let mut paths: Vec<String> = entries
        .take(ENTRIES)
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let file = entry.file_name().into_string().ok()?;
            let shown = name.starts_with('.') || !file.starts_with('.');
            let end = if entry.path().is_dir() { "/" } else { "" };
            shown.then(|| format!("{directory}{file}{end}"))
        })
        .collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_and_files_are_listed_under_what_was_typed() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("lake")).unwrap();
        for name in ["last.csv", ".hidden", "other.parquet"] {
            std::fs::write(home.path().join(name), "").unwrap();
        }
        let typed = |name: &str| {
            let prefix = format!("{}/{name}", home.path().display());
            let strip = format!("{}/", home.path().display());
            let paths = paths(&prefix);
            let names = paths
                .iter()
                .map(|path| path.strip_prefix(&strip).unwrap().to_owned());
            names.collect::<Vec<_>>()
        };
        assert_eq!(typed("la"), ["lake/", "last.csv", "other.parquet"]);
        assert!(typed(".h").contains(&".hidden".to_owned()));
        assert!(paths("/no/such/place/x").is_empty());
    }
}
