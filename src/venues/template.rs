//! Templates of `feed.toml`: texts with names in them. They are checked when the file is read, so that a faulty
//! one is an error there, with its line, and not in the middle of the night.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::{Deserialize, Deserializer};

use crate::config::secrets::Secrets;

pub use minijinja::Value;

/// The name that holds the secrets.
const SECRET: &str = "secret";

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    // The built-in one writes for HTML pages: spaces after commas, and no apostrophes.
    environment.add_filter("tojson", |value: &Value| {
        serde_json::to_string(value).map_err(|error| {
            minijinja::Error::new(minijinja::ErrorKind::BadSerialization, error.to_string())
        })
    });
    environment
});

/// A template that cannot be used. The message holds no secret.
#[derive(Debug, thiserror::Error)]
#[error("{message} (in the template {source_text:?})")]
pub struct Error {
    message: String,
    source_text: String,
}

/// A text with names in it, in minijinja's syntax.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    source: String,
    /// Nothing is to be filled in.
    plain: bool,
    names: BTreeSet<String>,
    secrets: BTreeSet<String>,
}

impl Template {
    /// Checks the syntax.
    pub fn parse(source: &str) -> Result<Self, Error> {
        let failed = |message: String| Error {
            message,
            source_text: source.to_owned(),
        };
        let template = ENVIRONMENT
            .template_from_str(source)
            .map_err(|error| failed(describe(&error)))?;
        let globals: BTreeSet<&str> = ENVIRONMENT.globals().map(|(name, _)| name).collect();
        let names = template
            .undeclared_variables(false)
            .into_iter()
            .filter(|name| !globals.contains(name.as_str()))
            .collect();
        let secrets = template
            .undeclared_variables(true)
            .iter()
            .filter_map(|name| name.strip_prefix("secret."))
            .map(str::to_owned)
            .collect();
        Ok(Self {
            source: source.to_owned(),
            plain: !["{{", "{%", "{#"].iter().any(|mark| source.contains(mark)),
            names,
            secrets,
        })
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The names it uses, `secret` among them.
    pub fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    /// The secrets it uses by name, i.e. `key` of `secret.key`.
    pub fn secrets(&self) -> &BTreeSet<String> {
        &self.secrets
    }

    /// Fills the names in only to see that it can be done, and that what begins like JSON is JSON.
    pub fn rehearse(&self, names: &Names) -> Result<(), Error> {
        let text = self.render(names)?;
        if !text.starts_with(['{', '[']) {
            return Ok(());
        }
        match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
            Ok(_) => Ok(()),
            Err(error) => Err(Error {
                message: names
                    .secrets
                    .redact(format!("makes no JSON: {error}: {text}")),
                source_text: self.source.clone(),
            }),
        }
    }

    /// Fills the names in. What comes out may hold secrets; the error never does.
    pub fn render(&self, names: &Names) -> Result<String, Error> {
        if self.plain {
            return Ok(self.source.clone());
        }
        ENVIRONMENT
            .template_from_str(&self.source)
            .and_then(|template| template.render(names.context()))
            .map_err(|error| Error {
                message: names.secrets.redact(describe(&error)),
                source_text: self.source.clone(),
            })
    }
}

/// The error without the place that minijinja adds: the template has no file of its own.
fn describe(error: &minijinja::Error) -> String {
    error.detail().map_or_else(
        || error.kind().to_string(),
        |detail| format!("{}: {detail}", error.kind()),
    )
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let source = String::deserialize(from)?;
        Self::parse(&source).map_err(serde::de::Error::custom)
    }
}

/// What stands for the names of a template.
#[derive(Clone)]
pub struct Names {
    secrets: Secrets,
    values: BTreeMap<&'static str, Value>,
}

impl Names {
    /// Only the secrets.
    pub fn new(secrets: &Secrets) -> Self {
        let by_name: BTreeMap<String, String> = secrets
            .iter()
            .map(|(name, secret)| (name.to_owned(), secret.expose().to_owned()))
            .collect();
        Self {
            secrets: secrets.clone(),
            values: BTreeMap::from([(SECRET, Value::from(by_name))]),
        }
    }

    /// One name more, or another value for one: a text, a number, a list or a map.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.values.insert(name, value.into());
        self
    }

    fn context(&self) -> Value {
        Value::from(self.values.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::secrets::Secret;

    fn names() -> Names {
        let secret = ("key".to_owned(), Secret::new("abc-def-ghi"));
        Names::new(&Secrets::new([secret]))
            .with("symbol", "ABC/DEF")
            .with("topics", vec!["t.A".to_owned(), "t.B".to_owned()])
            .with("id", 7u64)
            .with(
                "by_channel",
                BTreeMap::from([
                    ("quotes".to_owned(), vec!["A".to_owned()]),
                    ("trades".to_owned(), vec!["A".to_owned(), "B".to_owned()]),
                ]),
            )
    }

    fn render(source: &str) -> Result<String, String> {
        let template = Template::parse(source).map_err(|e| e.to_string())?;
        template.render(&names()).map_err(|e| e.to_string())
    }

    #[test]
    fn names_are_filled_in() {
        for (source, expected) in [
            ("plain {\"a\":[1]}", "plain {\"a\":[1]}"),
            (
                "{{ symbol|lower|replace(\"/\", \"\") }}@trade",
                "abcdef@trade",
            ),
            (
                r#"{"op":"sub","args":{{ topics|tojson }},"id":{{ id }}}"#,
                r#"{"op":"sub","args":["t.A","t.B"],"id":7}"#,
            ),
            ("{{ topics|join(\",\") }}", "t.A,t.B"),
            (
                r#"{"action":"s"{% for c, s in by_channel|items %},"{{ c }}":{{ s|tojson }}{% endfor %}}"#,
                r#"{"action":"s","quotes":["A"],"trades":["A","B"]}"#,
            ),
            ("<{{ secret.key }}>", "<abc-def-ghi>"),
            ("{{ \"it's <a>\"|tojson }}'&<>\"", "\"it's <a>\"'&<>\""),
        ] {
            assert_eq!(render(source).as_deref(), Ok(expected), "{source}");
        }
    }

    #[test]
    fn what_is_not_given_or_no_template_is_an_error() {
        for source in [
            "{{ symbl }}",
            "{{ secret.kye }}",
            "{% if nothing %}x{% endif %}",
            "{{ symbol",
            "{{ symbol|nofilter }}",
        ] {
            let error = render(source).unwrap_err();
            assert!(error.contains("template"), "{error}");
        }
    }

    #[test]
    fn what_begins_like_json_is_rehearsed_as_json() {
        let rehearsed = |source: &str| {
            let template = Template::parse(source).unwrap();
            template.rehearse(&names()).map_err(|e| e.to_string())
        };
        for source in [
            "{\"id\":{{ none|tojson }}}",
            "[{{ id }}]",
            "pong {{ none }}",
        ] {
            assert_eq!(rehearsed(source), Ok(()), "{source}");
        }
        let error = rehearsed("{\"id\":{{ none }}}").unwrap_err();
        assert!(
            error.contains("makes no JSON") && error.contains("template"),
            "{error}"
        );
        let error = rehearsed("{\"key\":{{ secret.key }}}").unwrap_err();
        assert!(!error.contains("abc-def-ghi"), "{error}");
    }

    #[test]
    fn an_error_tells_no_secret() {
        for source in [
            "{{ secret.key|int }}",
            "{{ secret.key / 2 }}",
            "{{ secret.key|nosuch }}",
            "{{ secret.key.x.y }}",
            "{{ [][secret.key] }}",
            "{{ secret.key|items }}",
            "{{ range(secret.key) }}",
        ] {
            let error = render(source).unwrap_err();
            assert!(!error.contains("abc-def-ghi"), "{error}");
        }
    }

    #[test]
    fn the_names_a_template_uses_are_known_beforehand() {
        let template = Template::parse(
            "{% for s in range(3) %}{{ s }}{{ symbol }}{{ secret.key }}{% endfor %}",
        )
        .unwrap();
        assert_eq!(
            template.names().iter().collect::<Vec<_>>(),
            ["secret", "symbol"]
        );
        assert_eq!(template.secrets().iter().collect::<Vec<_>>(), ["key"]);
    }
}
