//! Templates backwards: a text that a client made from a template of `feed.toml`, read into what its names were.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::secrets::{Secret, Secrets};
use crate::venues::template::{Error, Names, Template};

/// What the names of a template were in a text that it made.
pub(super) type Filled = BTreeMap<String, String>;

/// What the names of secrets begin with.
const SECRET: &str = "secret.";

/// Stands in a template's output for a name; filters such as `upper` leave it recognisable.
fn mark(name: &str) -> String {
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("zqx{letters}xqz")
}

/// Fills a template with marks in place of all secrets and of `names`, or numbers in place of those.
fn marks_for(template: &Template, names: &[&'static str], numbers: bool) -> Result<Marked, Error> {
    let mut marks: Vec<(String, String)> = Vec::new();
    let secrets = Secrets::new(template.secrets().iter().map(|name| {
        marks.push((format!("{SECRET}{name}"), mark(&format!("secret{name}"))));
        (name.clone(), Secret::new(mark(&format!("secret{name}"))))
    }));
    let mut given = Names::new(&secrets);
    for name in names {
        marks.push(((*name).to_owned(), mark(name)));
        given = if numbers {
            given.with(name, 0u64)
        } else {
            given.with(name, mark(name))
        };
    }
    Ok(Marked {
        text: template.render(&given)?,
        marks,
    })
}

struct Marked {
    text: String,
    marks: Vec<(String, String)>,
}

/// A text with names in it: `literal name literal …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    head: String,
    /// A name, and the literal that follows it.
    rest: Vec<(String, String)>,
}

impl Pattern {
    fn new(text: &str, marks: &[(String, String)]) -> Self {
        let lower = text.to_ascii_lowercase();
        let mut found: Vec<(usize, usize, &str)> = marks
            .iter()
            .flat_map(|(name, mark)| {
                let at = lower.match_indices(mark.as_str());
                at.map(move |(at, _)| (at, at + mark.len(), name.as_str()))
            })
            .collect();
        found.sort_unstable();
        let mut pattern = Self {
            head: text[..found.first().map_or(text.len(), |f| f.0)].to_owned(),
            rest: Vec::new(),
        };
        for (i, &(_, end, name)) in found.iter().enumerate() {
            let next = found.get(i + 1).map_or(text.len(), |f| f.0);
            pattern
                .rest
                .push((name.to_owned(), text[end..next].to_owned()));
        }
        pattern
    }

    /// What the names are in `text`; `None` if the pattern did not make it. A name takes as little as it can.
    fn read(&self, text: &str) -> Option<Filled> {
        let mut left = text.strip_prefix(self.head.as_str())?;
        let mut filled = Filled::new();
        for (i, (name, literal)) in self.rest.iter().enumerate() {
            let end = if literal.is_empty() || i + 1 == self.rest.len() {
                left.len().checked_sub(literal.len())?
            } else {
                left.find(literal.as_str())?
            };
            let value = left.get(..end)?;
            left = left.get(end..)?.strip_prefix(literal.as_str())?;
            filled.insert(name.clone(), value.to_owned());
        }
        left.is_empty().then_some(filled)
    }
}

/// A frame that a client makes from a template: of JSON the shape counts, of other text the text.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// JSON whose strings are patterns.
    Json(Value, Vec<(String, String)>),
    /// Any other text.
    Text(Pattern),
}

impl Shape {
    /// # Errors
    /// If the template wants more than `names` and secrets.
    pub(super) fn new(template: &Template, names: &[&'static str]) -> Result<Self, Error> {
        let whole = |marked: &Marked| match serde_json::from_str(&marked.text) {
            Ok(value @ (Value::Object(_) | Value::Array(_))) => {
                Some(Self::Json(value, marked.marks.clone()))
            }
            _ => None,
        };
        let marked = marks_for(template, names, false)?;
        if let Some(shape) = whole(&marked) {
            return Ok(shape);
        }
        // A name without quotes around it, such as a counter, is a number.
        let numbers = marks_for(template, names, true).ok();
        Ok(numbers
            .and_then(|numbers| whole(&numbers))
            .unwrap_or_else(|| Self::Text(Pattern::new(&marked.text, &marked.marks))))
    }

    /// What the names are in a frame; `None` if it is not of this shape. `value` is the frame's JSON, if it is any.
    pub(super) fn read(&self, text: &str, value: Option<&Value>) -> Option<Filled> {
        match self {
            Self::Text(pattern) => pattern.read(text),
            Self::Json(shape, marks) => {
                let mut filled = Filled::new();
                read_value(shape, value?, marks, &mut filled).then_some(filled)
            }
        }
    }
}

fn read_value(
    shape: &Value,
    value: &Value,
    marks: &[(String, String)],
    filled: &mut Filled,
) -> bool {
    match (shape, value) {
        (Value::Object(shape), Value::Object(value)) => shape.iter().all(|(key, inner)| {
            value
                .get(key)
                .is_some_and(|v| read_value(inner, v, marks, filled))
        }),
        (Value::Array(shape), Value::Array(value)) => {
            shape.len() == value.len()
                && shape
                    .iter()
                    .zip(value)
                    .all(|(s, v)| read_value(s, v, marks, filled))
        }
        (Value::String(shape), Value::String(value)) => {
            match Pattern::new(shape, marks).read(value) {
                Some(more) => {
                    filled.extend(more);
                    true
                }
                None => false,
            }
        }
        // A number may be a counter or a time.
        (Value::Number(_), Value::Number(_)) => true,
        (Value::String(shape), Value::Number(value)) => Pattern::new(shape, marks)
            .read(&value.to_string())
            .is_some(),
        (shape, value) => shape == value,
    }
}

/// An HTTP request that a client makes from a request's path template.
#[derive(Debug, Clone)]
pub(super) struct Address {
    path: Pattern,
    query: Vec<(String, Pattern)>,
}

/// The names that a request's path may use.
const REQUEST_NAMES: [&str; 10] = [
    "symbol",
    "from_id",
    "from_ms",
    "from_ns",
    "from_time",
    "to_ms",
    "to_ns",
    "to_time",
    "interval",
    "token",
];

impl Address {
    /// # Errors
    /// If the template wants other names, or calculates with them.
    pub(super) fn new(template: &Template) -> Result<Self, Error> {
        let Marked { text, marks } = marks_for(template, &REQUEST_NAMES, false)?;
        let (path, query) = text.split_once('?').unwrap_or((&text, ""));
        let query = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                (key.to_owned(), Pattern::new(value, &marks))
            })
            .collect();
        Ok(Self {
            path: Pattern::new(path, &marks),
            query,
        })
    }

    /// What the names are in a request; `None` if it is another one. A client may have put anything before the path.
    pub(super) fn read(&self, path: &str, query: &[(String, String)]) -> Option<Filled> {
        let slashes = path.match_indices('/').map(|(at, _)| at);
        let mut filled = slashes.chain([path.len()]).find_map(|at| {
            let filled = self.path.read(&path[at..])?;
            filled.values().all(|v| !v.contains('/')).then_some(filled)
        })?;
        for value in filled.values_mut() {
            *value = percent_decoded(value);
        }
        for (key, pattern) in &self.query {
            let given = query.iter().find(|(k, _)| k == key);
            match (given, pattern.rest.is_empty()) {
                (Some((_, value)), _) => filled.extend(pattern.read(value)?),
                // What tells this request from others of the same path has to be there.
                (None, true) => return None,
                (None, false) => {}
            }
        }
        Some(filled)
    }

    /// The names of parameters that hold secrets.
    pub(super) fn secret_parameters(&self) -> impl Iterator<Item = &str> {
        let secret = |pattern: &Pattern| pattern.rest.iter().any(|(n, _)| n.starts_with(SECRET));
        self.query
            .iter()
            .filter(move |(_, pattern)| secret(pattern))
            .map(|(name, _)| name.as_str())
    }
}

/// `%2F` and the like as what they stand for; what is no such thing, or no UTF-8 then, stays.
pub(super) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut left = text.as_bytes();
    while let Some((&byte, rest)) = left.split_first() {
        let hex = rest.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let code = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let (b'%', Some(code)) = (byte, code) {
            bytes.push(code);
            left = &rest[2..];
        } else {
            bytes.push(byte);
            left = rest;
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(source: &str) -> Template {
        Template::parse(source).unwrap()
    }

    fn address(source: &str, uri: &str) -> Option<String> {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let query: Vec<(String, String)> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
        let filled = Address::new(&template(source))
            .unwrap()
            .read(path, &query)?;
        let words: Vec<String> = filled.iter().map(|(k, v)| format!("{k}={v}")).collect();
        Some(words.join(" "))
    }

    #[test]
    fn requests_are_read_back() {
        let depth = "/api/depth?symbol={{ symbol|upper }}&limit=5000";
        for (source, uri, expected) in [
            (
                depth,
                "/api/depth?limit=5000&symbol=ABC",
                Some("symbol=ABC"),
            ),
            (
                depth,
                "/before/api/depth?symbol=ABC&limit=5000",
                Some("symbol=ABC"),
            ),
            (depth, "/api/depth?symbol=ABC&limit=100", None),
            (depth, "/api/trades?symbol=ABC&limit=5000", None),
            (
                "/v3/{{ symbol }}/trades?from={{ from_ns }}&key={{ secret.key }}",
                "/v3/A-B/trades?from=17&key=abc",
                Some("from_ns=17 secret.key=abc symbol=A-B"),
            ),
            (
                "/v3/{{ symbol }}/trades?from={{ from_ns }}",
                "/v3/A%2fB/trades",
                Some("symbol=A/B"),
            ),
            ("/{{ symbol }}/trades", "/api/v3/A/trades", Some("symbol=A")),
            (
                "/a?at={{ from_ms }}{% if token is defined %}&page={{ token }}{% endif %}",
                "/a?at=5&page=x",
                Some("from_ms=5 token=x"),
            ),
        ] {
            assert_eq!(address(source, uri).as_deref(), expected, "{source} {uri}");
        }
        assert!(Address::new(&template("/a?t={{ from_ms // 1000 }}")).is_err());
    }

    #[test]
    fn frames_are_read_back() {
        let shape = Shape::new(
            &template(r#"{"action":"auth","key":"{{ secret.key }}","params":["k:{{ secret.pass }}"],"id":1}"#),
            &["id"],
        )
        .unwrap();
        let read = |text: &str| {
            let value = serde_json::from_str(text).ok();
            shape.read(text, value.as_ref()).map(|filled| {
                let values: Vec<String> = filled.into_values().collect();
                values.join(" ")
            })
        };
        let good = r#"{"id":7,"key":"a b","action":"auth","params":["k:c"]}"#;
        assert_eq!(read(good).as_deref(), Some("a b c"));
        assert_eq!(read(&good.replace("auth", "other")), None);
        assert_eq!(read(&good.replace("k:", "")), None);
        assert_eq!(read("ping"), None);

        let ping = Shape::new(&template(r#"{"op":"ping","id":{{ id }}}"#), &["id"]).unwrap();
        let said = serde_json::json!({"id": 5, "op": "ping"});
        assert!(ping.read("", Some(&said)).is_some() && ping.read("ping", None).is_none());
        let ping = Shape::new(&template("ping"), &["id"]).unwrap();
        assert!(ping.read("ping", None).is_some() && ping.read("pong", None).is_none());
    }
}
