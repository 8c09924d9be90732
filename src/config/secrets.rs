//! Secrets: keys of venues, from the environment or from the database's `secrets.toml`. Nothing prints one: not
//! `Debug`, not an error, not what is stored.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memchr::memmem::Finder;

/// Stands in place of a secret wherever one would show.
pub const REDACTED: &str = "***";
/// What is shorter occurs in market data by chance, and could not be kept out of what is stored without
/// damaging it.
const SHORTEST: usize = 8;

/// A text that nothing prints.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: for the wire, and for nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// Why a venue's secrets are not at hand. Names variables and files, never values.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither the environment nor the file has it.
    #[error(
        "the secret {name} is missing: set the environment variable {name}, or write {name} = \"…\" into {path} (mode 0600)"
    )]
    Missing {
        /// The variable.
        name: String,
        /// Where else it may stand.
        path: PathBuf,
    },
    /// It would be redacted out of ordinary data.
    #[error(
        "the secret {name} is shorter than {SHORTEST} characters, too short to be told from market data"
    )]
    Short {
        /// The variable.
        name: String,
    },
    /// The variable holds bytes that are no text.
    #[error("the environment variable {name} holds no UTF-8 text")]
    NoText {
        /// The variable.
        name: String,
    },
    /// Others can read the file.
    #[error("{path} may be read by others (mode {mode:04o}): chmod 600 {path}")]
    Readable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is there but cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is no list of `name = "text"`. The parser's own message would quote the line, and so the secret.
    #[error("{path}, line {line}: not of the form NAME = \"text\"")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
    },
}

/// A venue's secrets by their names in templates. Cheap to clone.
#[derive(Clone, Default)]
pub struct Secrets {
    known: Arc<Known>,
}

#[derive(Default)]
struct Known {
    by_name: BTreeMap<String, Secret>,
    /// Each way a secret may stand in a text, longest first.
    forms: Vec<Finder<'static>>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.known.by_name).finish()
    }
}

impl PartialEq for Secrets {
    fn eq(&self, other: &Self) -> bool {
        self.known.by_name == other.known.by_name
    }
}

impl Secrets {
    /// Secrets whose values are at hand, by their names in templates.
    pub fn new(by_name: impl IntoIterator<Item = (String, Secret)>) -> Self {
        let by_name: BTreeMap<String, Secret> = by_name.into_iter().collect();
        let mut forms: Vec<String> = by_name.values().flat_map(|s| forms(s.expose())).collect();
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        forms.dedup();
        let forms = forms
            .iter()
            .map(|form| Finder::new(form.as_bytes()).into_owned())
            .collect();
        Self {
            known: Arc::new(Known { by_name, forms }),
        }
    }

    /// Finds what `wanted` (name in templates → variable) asks for: in the environment first, then in
    /// `<db>/secrets.toml`.
    pub fn load(db: &Path, wanted: &BTreeMap<String, String>) -> Result<Self, Error> {
        Self::resolve(db, wanted, |name| std::env::var_os(name))
    }

    fn resolve(
        db: &Path,
        wanted: &BTreeMap<String, String>,
        environment: impl Fn(&str) -> Option<std::ffi::OsString>,
    ) -> Result<Self, Error> {
        let path = db.join("secrets.toml");
        let mut file = None;
        let mut found = Vec::with_capacity(wanted.len());
        for (name, variable) in wanted {
            let outside = environment(variable).filter(|text| !text.is_empty());
            let text = if let Some(text) = outside {
                text.into_string().map_err(|_| Error::NoText {
                    name: variable.clone(),
                })?
            } else {
                if file.is_none() {
                    file = Some(read(&path)?);
                }
                let held = file.as_ref().and_then(|file| file.get(variable));
                held.cloned().ok_or_else(|| Error::Missing {
                    name: variable.clone(),
                    path: path.clone(),
                })?
            };
            if text.chars().count() < SHORTEST {
                return Err(Error::Short {
                    name: variable.clone(),
                });
            }
            found.push((name.clone(), Secret(text)));
        }
        Ok(Self::new(found))
    }

    /// Name in templates and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.known.by_name.iter().map(|(n, s)| (n.as_str(), s))
    }

    /// The text without any secret, `None` if it held none: the usual case, which costs one search a secret.
    pub fn redacted(&self, text: &str) -> Option<String> {
        if self
            .known
            .forms
            .iter()
            .all(|form| form.find(text.as_bytes()).is_none())
        {
            return None;
        }
        let mut text = text.to_owned();
        for form in &self.known.forms {
            // A form is valid UTF-8, being made from a `String`.
            if let Ok(form) = std::str::from_utf8(form.needle()) {
                text = text.replace(form, REDACTED);
            }
        }
        Some(text)
    }

    /// The text, without any secret.
    pub fn redact(&self, text: String) -> String {
        self.redacted(&text).unwrap_or(text)
    }
}

/// A secret as it is, as JSON writes it (two ways), and as addresses do: all that is special as `%XX`, in either case, or only
/// what may not stand in a query, which is what an address with the bare secret in it becomes.
fn forms(secret: &str) -> Vec<String> {
    let json = |text: &str| {
        let json = serde_json::Value::from(text).to_string();
        json[1..json.len() - 1].to_owned()
    };
    let url = percent_encoded(secret, |byte| {
        byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
    });
    let query = percent_encoded(secret, |byte| {
        byte.is_ascii_graphic() && !b"\"#<>'".contains(&byte)
    });
    let slashes = json(secret).replace('/', "\\/");
    let mut lower = url.clone();
    // The digits alone are of either case.
    for (at, _) in url.match_indices('%') {
        lower[at + 1..at + 3].make_ascii_lowercase();
    }
    vec![
        secret.to_owned(),
        json(secret),
        slashes,
        url,
        lower,
        json(&query),
        query,
    ]
}

/// The text with all bytes but those to `keep` as `%XX`.
fn percent_encoded(text: &str, keep: impl Fn(u8) -> bool) -> String {
    use fmt::Write as _;
    let mut encoded = String::new();
    for byte in text.bytes() {
        if keep(byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn read(path: &Path) -> Result<BTreeMap<String, String>, Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let text = match std::fs::metadata(path) {
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(source) => return Err(failed(source)),
        Ok(meta) => {
            refuse_readable(path, &meta)?;
            std::fs::read_to_string(path).map_err(failed)?
        }
    };
    toml::from_str(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        Error::Parse {
            path: path.to_owned(),
            line: text
                .get(..at)
                .map_or(1, |before| before.matches('\n').count() + 1),
        }
    })
}

#[cfg(unix)]
fn refuse_readable(path: &Path, meta: &std::fs::Metadata) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = meta.permissions().mode() & 0o7777;
    let others = mode & 0o077;
    if others > 0 {
        let path = path.to_owned();
        return Err(Error::Readable { path, mode });
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_readable(_: &Path, _: &std::fs::Metadata) -> Result<(), Error> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> BTreeMap<String, String> {
        BTreeMap::from([("key".to_owned(), "VENUE_KEY".to_owned())])
    }

    fn write(db: &Path, text: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = db.join("secrets.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_environment_comes_before_the_file() {
        let db = tempfile::tempdir().unwrap();
        write(db.path(), "VENUE_KEY = \"from-the-file\"\n", 0o600);
        let value = |secrets: Secrets| secrets.iter().next().unwrap().1.expose().to_owned();
        let both = Secrets::resolve(db.path(), &wanted(), |_| Some("from-outside".into()));
        assert_eq!(value(both.unwrap()), "from-outside");
        let file = Secrets::resolve(db.path(), &wanted(), |_| None);
        assert_eq!(value(file.unwrap()), "from-the-file");
    }

    #[test]
    fn errors_name_variable_and_file_and_no_value() {
        let db = tempfile::tempdir().unwrap();
        let error = |wanted: &BTreeMap<String, String>| {
            Secrets::resolve(db.path(), wanted, |_| None)
                .unwrap_err()
                .to_string()
        };
        let missing = error(&wanted());
        assert!(missing.contains("VENUE_KEY") && missing.contains("secrets.toml"));
        write(db.path(), "VENUE_KEY = \"from-the-file\"\n", 0o640);
        let readable = error(&wanted());
        assert!(
            readable.contains("0640") && readable.contains("chmod 600"),
            "{readable}"
        );
        write(
            db.path(),
            "OTHER = \"x\"\nVENUE_KEY = from-the-file\n",
            0o600,
        );
        let broken = error(&wanted());
        assert!(
            broken.contains("line 2") && !broken.contains("from-the-file"),
            "{broken}"
        );
        write(db.path(), "VENUE_KEY = \"s3cr3t\"\n", 0o600);
        let short = error(&wanted());
        assert!(
            short.contains("VENUE_KEY") && !short.contains("s3cr3t"),
            "{short}"
        );
        assert!(Secrets::resolve(db.path(), &BTreeMap::new(), |_| None).is_ok());
    }

    #[test]
    fn a_secret_is_found_in_every_form_it_is_written_in() {
        let secrets = Secrets::new([
            ("key".to_owned(), Secret::new("a/b\"c+d-123")),
            ("longer".to_owned(), Secret::new("a/b\"c+d-123-and-more")),
        ]);
        assert_eq!(secrets.redacted("nothing here"), None);
        for (text, clean) in [
            ("<a/b\"c+d-123>", "<***>"),
            (r#"{"k":"a/b\"c+d-123"}"#, r#"{"k":"***"}"#),
            (r#"{"k":"a\/b\"c+d-123"}"#, r#"{"k":"***"}"#),
            ("?k=a%2Fb%22c%2Bd-123&x", "?k=***&x"),
            ("<a/b\"c+d-123-and-more>", "<***>"),
        ] {
            assert_eq!(secrets.redacted(text).as_deref(), Some(clean), "{text}");
        }
        assert_eq!(format!("{secrets:?}"), r#"{"key": ***, "longer": ***}"#);
    }
}
