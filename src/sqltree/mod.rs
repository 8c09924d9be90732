//! The SQL tree: what mdb is, apart from its engine. The built-in files stand in the binary; the
//! database's own `sql/` adds to them or, under the same relative path, takes their place.

pub mod check;
mod header;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};
use strsim::osa_distance;

pub use check::{Check, Severity};
pub use header::{Contract, Header, Materialize};

use crate::model::statements::without_end;

static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/sql");

/// Folders whose files may declare tests of their rows.
const TESTED: [&str; 3] = ["tables", "views", "marts"];

/// Folders that hold files, …
const OF_FILES: [&str; 5] = ["tables", "views", "marts", "macros", "tests"];
/// … and those that hold a folder of files for each of their subjects.
const OF_FOLDERS: [&str; 3] = ["venues", "files", "exports"];

/// The byte order mark.
const MARK: char = '\u{feff}';

/// What was wrong with a file of the tree.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder of the database's own `sql/` cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A comment block says something mdb does not understand.
    #[error("{file}:{line}: {message}")]
    Header {
        /// The file, as the user knows it.
        file: String,
        /// Line in it, from 1.
        line: usize,
        /// What is wrong and what is allowed.
        message: String,
    },
    /// A file of the database's own `sql/` stands where nobody reads it.
    #[error("{file}: nobody reads it there: {message}")]
    Misplaced {
        /// The file.
        file: PathBuf,
        /// Where it may be meant to stand.
        message: String,
    },
}

/// One file of the tree.
#[derive(Debug, Clone)]
pub struct SqlFile {
    /// Where it stands, for messages: `sql/views/ticks.sql`, or the full path of a user's own file.
    pub origin: String,
    /// The file's stem: the name of the object that it defines.
    pub name: String,
    /// The whole text.
    pub text: String,
    /// What its comment block says.
    pub header: Header,
}

impl SqlFile {
    /// Its statement, without what ends that: mdb puts it into statements of its own.
    pub fn select(&self) -> &str {
        without_end(&self.text)
    }
}

/// All SQL and TOML files by their path below `sql/`, and a hash that changes whenever one of them does.
#[derive(Debug, Clone)]
pub struct SqlTree {
    sql: BTreeMap<String, SqlFile>,
    toml: BTreeMap<String, (String, String)>,
    hash: String,
}

impl SqlTree {
    /// Reads the built-in files and then `<db>/sql`, if it is there.
    pub fn load(db: &Path) -> Result<Self, Error> {
        let own = db.join("sql");
        let mut texts = Texts::new();
        if own.is_dir() {
            collect_own(&own, &own, &mut texts)?;
        }
        Self::with_own(texts)
    }

    /// The built-in files and these of the user's own: path below `sql/`, origin and text.
    pub(crate) fn with_own(own: Texts) -> Result<Self, Error> {
        let mut texts = Texts::new();
        collect_built_in(&BUILT_IN, &mut texts);
        texts.extend(own);
        let mut hasher = blake3::Hasher::new();
        hasher.update(env!("CARGO_PKG_VERSION").as_bytes());
        let mut tree = Self {
            sql: BTreeMap::new(),
            toml: BTreeMap::new(),
            hash: String::new(),
        };
        for (path, (origin, text)) in texts {
            let file = Path::new(&path);
            let extension = file.extension().and_then(|e| e.to_str());
            if !matches!(extension, Some("sql" | "toml")) {
                continue;
            }
            for part in [&path, &text] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part.as_bytes());
            }
            if extension == Some("toml") {
                tree.toml.insert(path, (origin, text));
                continue;
            }
            let stem = file.file_stem().unwrap_or_default();
            let header = header::parse(&origin, &text)?;
            let folder = path.split('/').next().unwrap_or_default();
            let declared = header.checks.first();
            if let Some(check) = declared.filter(|_| !TESTED.contains(&folder)) {
                return Err(Error::Header {
                    file: origin,
                    line: check.line,
                    message: format!(
                        "@test is of the rows of tables, views and marts, and nobody runs it in {folder}/; a file of tests/ is \
                         itself one test, of the rows that its SELECT returns"
                    ),
                });
            }
            let file = SqlFile {
                name: stem.to_string_lossy().into_owned(),
                header,
                origin,
                text,
            };
            tree.sql.insert(path, file);
        }
        tree.hash = hasher.finalize().to_hex().to_string();
        Ok(tree)
    }

    /// Path below `sql/`, origin and text of the user's own files.
    pub(crate) fn own(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        let sql = self.sql.iter();
        let sql = sql.map(|(path, file)| (path.as_str(), file.origin.as_str(), file.text.as_str()));
        let toml = self.toml.iter();
        let toml =
            toml.map(|(path, (origin, text))| (path.as_str(), origin.as_str(), text.as_str()));
        sql.chain(toml)
            .filter(|(path, origin, _)| origin.strip_prefix("sql/") != Some(path))
    }

    /// Changes whenever a file, or mdb's version, does.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The SQL files directly in `folder` (e.g. `views` or `venues/<venue>`), by name.
    pub fn folder(&self, folder: &str) -> impl Iterator<Item = &SqlFile> {
        self.sql.iter().filter_map(move |(path, file)| {
            let (parent, _) = path.rsplit_once('/')?;
            (parent == folder).then_some(file)
        })
    }

    /// Whether the files directly in `folder` are the same in another tree.
    pub fn same_folder(&self, other: &Self, folder: &str) -> bool {
        let prefix = format!("{folder}/");
        let sql = |tree: &Self| -> Vec<(String, String)> {
            let sql = tree.sql.iter().map(|(path, file)| (path, &file.text));
            let toml = tree.toml.iter().map(|(path, (_, text))| (path, text));
            sql.chain(toml)
                .filter(|(path, _)| path.starts_with(&prefix))
                .map(|(path, text)| (path.clone(), text.clone()))
                .collect()
        };
        sql(self) == sql(other)
    }

    /// The names of the folders directly below `parent` that hold at least one file.
    pub fn subfolders(&self, parent: &str) -> Vec<String> {
        let mut names: Vec<String> = self
            .sql
            .keys()
            .chain(self.toml.keys())
            .filter_map(|path| {
                path.strip_prefix(parent)?
                    .strip_prefix('/')?
                    .split_once('/')
            })
            .map(|(name, _)| name.to_owned())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// Origin and text of a TOML file of the tree.
    pub fn toml(&self, path: &str) -> Option<(&str, &str)> {
        self.toml
            .get(path)
            .map(|(origin, text)| (origin.as_str(), text.as_str()))
    }
}

/// Built-in files, by their path below `sql/`, and their texts: the one of that path, or those directly in that folder.
pub fn built_in(path: &str) -> Vec<(&'static str, &'static str)> {
    let mut files = Vec::new();
    if let Some(file) = BUILT_IN.get_file(path) {
        files.push(file);
    } else if let Some(folder) = BUILT_IN.get_dir(path) {
        files.extend(folder.files());
    }
    let texts = files.into_iter();
    texts
        .filter_map(|file| Some((file.path().to_str()?, file.contents_utf8()?)))
        .collect()
}

/// Origin and text of files, by their path below `sql/`.
pub(crate) type Texts = BTreeMap<String, (String, String)>;

fn collect_built_in(dir: &Dir<'_>, texts: &mut Texts) {
    for file in dir.files() {
        if let (Some(path), Some(text)) = (file.path().to_str(), file.contents_utf8()) {
            texts.insert(
                path.replace('\\', "/"),
                (format!("sql/{path}"), text.to_owned()),
            );
        }
    }
    for sub in dir.dirs() {
        collect_built_in(sub, texts);
    }
}

fn collect_own(root: &Path, dir: &Path, texts: &mut Texts) -> Result<(), Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Read { path, source }
    };
    for entry in std::fs::read_dir(dir).map_err(failed(dir))? {
        let path = entry.map_err(failed(dir))?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if path.is_dir() {
            collect_own(root, &path, texts)?;
        } else if path.extension().is_some_and(|e| {
            ["sql", "toml"]
                .iter()
                .any(|known| e.eq_ignore_ascii_case(known))
        }) {
            let relative = path
                .strip_prefix(root)
                .unwrap_or(&path)
                .to_string_lossy()
                .replace('\\', "/");
            if let Some(message) = misplaced(&relative) {
                return Err(Error::Misplaced {
                    file: path,
                    message,
                });
            }
            let mut text = std::fs::read_to_string(&path).map_err(failed(&path))?;
            // Some editors begin a file with a mark of its encoding.
            if text.starts_with(MARK) {
                text.replace_range(..MARK.len_utf8(), "");
            }
            texts.insert(relative, (path.display().to_string(), text));
        }
    }
    Ok(())
}

/// Where a file is meant to stand that seems to be meant for mdb, and that it would pass over in silence. What is in folders
/// of other names, or in none, is the user's own business.
fn misplaced(path: &str) -> Option<String> {
    let (folder, inner) = path.split_once('/')?;
    let depth = path.matches('/').count();
    let lower = folder.to_lowercase();
    let mut known = OF_FILES.iter().chain(&OF_FOLDERS);
    let meant = known.find(|known| osa_distance(known, &lower) <= 1)?;
    let (stem, ending) = path.rsplit_once('.')?;
    if *meant != folder {
        Some(format!("is sql/{meant}/{inner} meant?"))
    } else if ending != ending.to_lowercase() {
        let ending = ending.to_lowercase();
        Some(format!("is sql/{stem}.{ending} meant?"))
    } else if OF_FILES.contains(meant) && depth != 1 {
        Some(format!(
            "files stand in sql/{meant} itself, in no folder of it"
        ))
    } else if OF_FOLDERS.contains(meant) && depth != 2 && BUILT_IN.get_file(path).is_none() {
        Some(format!(
            "files stand in sql/{meant}/NAME, by what they are of"
        ))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_files_add_and_replace_by_name_and_change_the_hash() {
        let db = tempfile::tempdir().unwrap();
        let plain = SqlTree::load(db.path()).unwrap();
        assert!(plain.folder("views").any(|f| f.name == "ticks"));

        let views = db.path().join("sql/views");
        std::fs::create_dir_all(&views).unwrap();
        std::fs::write(views.join("README.md"), "Notes.\n").unwrap();
        assert_eq!(plain.hash(), SqlTree::load(db.path()).unwrap().hash());
        std::fs::write(views.join("ticks.sql"), "-- Mine.\nSELECT 1;\n").unwrap();
        std::fs::write(views.join("other.sql"), "-- Mine.\nSELECT 2;\n").unwrap();
        std::fs::write(views.join(".ticks.sql.swp"), [0xff, 0xfe]).unwrap();
        let own = SqlTree::load(db.path()).unwrap();
        assert_ne!(plain.hash(), own.hash());
        assert_eq!(
            own.folder("views").count(),
            plain.folder("views").count() + 1
        );
        let ticks = own.folder("views").find(|f| f.name == "ticks").unwrap();
        assert!(ticks.text.contains("SELECT 1") && ticks.origin.ends_with("sql/views/ticks.sql"));
    }

    #[test]
    fn a_test_that_nobody_would_run_is_refused_with_its_line() {
        let db = tempfile::tempdir().unwrap();
        let text = "-- Mine.\n-- @test row_count > 0\nSELECT 1 AS a";
        for (folder, is_run) in [("views", true), ("tests", false), ("macros", false)] {
            let file = db.path().join("sql").join(folder).join("mine.sql");
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, text).unwrap();
            let loaded = SqlTree::load(db.path()).map_err(|error| error.to_string());
            assert_eq!(loaded.is_ok(), is_run, "{folder}");
            if let Err(error) = loaded {
                assert!(
                    error.contains("mine.sql:2: @test is of the rows of"),
                    "{error}"
                );
            }
            std::fs::remove_file(file).unwrap();
        }
    }

    #[test]
    fn a_byte_order_mark_and_what_stands_behind_the_statement_are_no_part_of_it() {
        let db = tempfile::tempdir().unwrap();
        let file = db.path().join("sql/views/mine.sql");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "\u{feff}-- Mine.\nSELECT 1; -- the end\n").unwrap();
        let tree = SqlTree::load(db.path()).unwrap();
        let mine = tree.folder("views").find(|f| f.name == "mine").unwrap();
        assert_eq!(mine.header.description, "Mine.");
        assert_eq!(mine.select(), "-- Mine.\nSELECT 1");
    }

    #[test]
    fn a_file_that_is_meant_for_mdb_is_not_passed_over_in_silence() {
        for (path, says) in [
            ("mart/a.sql", "is sql/marts/a.sql meant?"),
            ("Views/a.sql", "is sql/views/a.sql meant?"),
            ("views/a.SQL", "is sql/views/a.sql meant?"),
            ("views/mine/a.sql", "in sql/views itself"),
            ("venue/v/feed.toml", "is sql/venues/v/feed.toml meant?"),
            ("venues/feed.toml", "in sql/venues/NAME"),
            ("files/d/x/trades.sql", "in sql/files/NAME"),
        ] {
            let db = tempfile::tempdir().unwrap();
            let file = db.path().join("sql").join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, "-- Mine.\nSELECT 1 AS a").unwrap();
            let error = SqlTree::load(db.path()).unwrap_err().to_string();
            let file = file.display().to_string();
            assert!(error.starts_with(&file) && error.contains(says), "{error}");
        }
        for path in [
            "views/a.sql",
            "files/auto.toml",
            "venues/v/feed.toml",
            "scratch/2024/a.sql",
            "a.sql",
        ] {
            assert_eq!(misplaced(path), None, "{path}");
        }
    }

    #[test]
    fn built_in_files_are_found_alone_and_by_folder() {
        let one = built_in("views/ticks.sql");
        assert_eq!(
            one,
            [("views/ticks.sql", include_str!("../../sql/views/ticks.sql"))]
        );
        let names: Vec<&str> = built_in("views").iter().map(|(path, _)| *path).collect();
        assert!(names.contains(&"views/ticks.sql") && names.contains(&"views/latest.sql"));
        assert!(built_in("views/nothing.sql").is_empty() && built_in("nothing").is_empty());
    }
}
