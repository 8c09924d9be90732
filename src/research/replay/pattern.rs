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

/// Fills a template with marks in place of all secrets and of `names`, or with the number that `number` has for one.
fn marks_for(
    template: &Template,
    names: &[&'static str],
    number: impl Fn(&str) -> Option<i64>,
) -> Result<Marked, Error> {
    let mut marks: Vec<(String, String)> = Vec::new();
    let secrets = Secrets::new(template.secrets().iter().map(|name| {
        marks.push((format!("{SECRET}{name}"), mark(&format!("secret{name}"))));
        (name.clone(), Secret::new(mark(&format!("secret{name}"))))
    }));
    let mut given = Names::new(&secrets);
    for name in names {
        marks.push(((*name).to_owned(), mark(name)));
        given = match number(name) {
            Some(number) => given.with(name, number),
            None => given.with(name, mark(name)),
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
        let marked = marks_for(template, names, |_| None)?;
        if let Some(shape) = whole(&marked) {
            return Ok(shape);
        }
        // A name without quotes around it, such as a counter, is a number.
        let numbers = marks_for(template, names, |_| Some(0)).ok();
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
    query: Vec<(String, Parameter)>,
}

/// What stands in a parameter of a request.
#[derive(Debug, Clone)]
enum Parameter {
    Text(Pattern),
    Number(Line),
}

/// A number that a template calculates from one of its names: multiplied, divided, shifted.
#[derive(Debug, Clone)]
struct Line {
    name: &'static str,
    /// What it is where the name is 0.
    start: i128,
    /// By how much it is more where the name is [`FAR`].
    rise: i128,
}

/// Far enough for what is lost in a division not to matter.
const FAR: i64 = 1_000_000_000_000;

impl Line {
    fn new(name: &'static str, at_zero: &str, far: &str) -> Option<Self> {
        let start: i128 = at_zero.parse().ok()?;
        let rise = far.parse::<i128>().ok()?.checked_sub(start)?;
        (rise != 0).then_some(Self { name, start, rise })
    }

    /// What the name is where the number is this one.
    fn read(&self, number: &str) -> Option<String> {
        let above = number.parse::<i128>().ok()?.checked_sub(self.start)?;
        let name = above.checked_mul(i128::from(FAR))?.checked_div(self.rise)?;
        Some(name.max(0).to_string())
    }
}

/// The names that a request's path may use, but `token`.
const REQUEST_NAMES: [&str; 9] = [
    "symbol",
    "from_id",
    "from_ms",
    "from_ns",
    "from_time",
    "to_ms",
    "to_ns",
    "to_time",
    "interval",
];
/// Those of them that are numbers, with which parameters may be calculated.
const NUMBERS: [&str; 5] = ["from_id", "from_ms", "from_ns", "to_ms", "to_ns"];

/// The path and the parameters of a request.
fn path_and_query(request: &str) -> (&str, Vec<(&str, &str)>) {
    let (path, query) = request.split_once('?').unwrap_or((request, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    (path, pairs.collect())
}

impl Address {
    /// With `tokens`, of a page that is not the first.
    ///
    /// # Errors
    /// If the template wants other names, or calculates with them otherwise than in a parameter of their own.
    pub(super) fn new(template: &Template, tokens: bool) -> Result<Self, Error> {
        let mut names = REQUEST_NAMES.to_vec();
        if tokens {
            names.push("token");
        }
        let with_far = |far: &str| {
            marks_for(template, &names, |name| {
                let number = if name == far { FAR } else { 0 };
                NUMBERS.contains(&name).then_some(number)
            })
        };
        let at_zero = with_far("")?;
        let (path, query) = path_and_query(&at_zero.text);
        let mut calculated: Vec<Option<Line>> = vec![None; query.len()];
        let mut in_texts = Vec::new();
        for name in NUMBERS {
            let far = with_far(name)?;
            let (far_path, far_query) = path_and_query(&far.text);
            let mut in_text = far_path != path;
            let values = query.iter().zip(&far_query);
            for (line, ((_, value), (_, far))) in calculated.iter_mut().zip(values) {
                if value != far {
                    *line = Line::new(name, value, far);
                    in_text |= line.is_none();
                }
            }
            if in_text {
                in_texts.push(name);
            }
        }
        // What is not calculated with can be anywhere.
        let texts = marks_for(template, &names, |name| {
            (NUMBERS.contains(&name) && !in_texts.contains(&name)).then_some(0)
        })?;
        let (path, query) = path_and_query(&texts.text);
        let query = query.into_iter().zip(calculated);
        Ok(Self {
            path: Pattern::new(path, &texts.marks),
            query: query
                .map(|((key, value), line)| {
                    let text = || Parameter::Text(Pattern::new(value, &texts.marks));
                    (key.to_owned(), line.map_or_else(text, Parameter::Number))
                })
                .collect(),
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
        for (key, parameter) in &self.query {
            let given = query.iter().find(|(k, _)| k == key);
            match (given, parameter) {
                (Some((_, value)), Parameter::Text(pattern)) => {
                    filled.extend(pattern.read(value)?);
                }
                (Some((_, value)), Parameter::Number(line)) => {
                    filled.insert(line.name.to_owned(), line.read(value)?);
                }
                // What tells this request from others of the same path has to be there.
                (None, Parameter::Text(pattern)) if pattern.rest.is_empty() => return None,
                (None, _) => {}
            }
        }
        Some(filled)
    }

    /// The names of parameters that hold secrets.
    pub(super) fn secret_parameters(&self) -> impl Iterator<Item = &str> {
        let secret = |pattern: &Pattern| pattern.rest.iter().any(|(n, _)| n.starts_with(SECRET));
        self.query
            .iter()
            .filter(
                move |(_, parameter)| matches!(parameter, Parameter::Text(text) if secret(text)),
            )
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
        let filled = Address::new(&template(source), true)
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
        let calculated = template("/a/{{ from_ms // 1000 }}");
        assert!(Address::new(&calculated, true).is_err());
    }

    #[test]
    fn what_a_parameter_was_calculated_from_is_read_back() {
        for (source, uri, expected) in [
            ("/a?t={{ from_ms // 1000 }}", "/a?t=17", "from_ms=17000"),
            ("/a?t={{ from_ms * 1000 }}", "/a?t=17000", "from_ms=17"),
            (
                "/a?s={{ symbol }}&before={{ from_ms - 1 }}&after={{ from_ms + 300 * 60000 }}",
                "/a?s=X&before=16&after=18000017",
                "from_ms=17 symbol=X",
            ),
            (
                "/a?n=5{% if from_id is defined %}&after={{ from_id + 100 }}{% endif %}",
                "/a?n=5",
                "",
            ),
            ("/a?after={{ from_id + 100 }}", "/a?after=7", "from_id=0"),
            (
                "/a/{{ from_ms }}?to={{ to_ms // 1000 }}&at=s{{ to_ns }}",
                "/a/5?to=7&at=s9",
                "from_ms=5 to_ms=7000 to_ns=9",
            ),
        ] {
            assert_eq!(address(source, uri).as_deref(), Some(expected), "{source}");
        }
        assert_eq!(address("/a?t={{ from_ms // 1000 }}", "/a?t=x"), None);
    }

    #[test]
    fn without_tokens_a_page_is_asked_for_as_the_first_is() {
        let path = template("/a?since={{ token if token is defined else from_ns }}");
        let query = [("since".to_owned(), "17".to_owned())];
        let read = |tokens| Address::new(&path, tokens).unwrap().read("/a", &query);
        assert_eq!(read(true).unwrap()["token"], "17");
        assert_eq!(read(false).unwrap()["from_ns"], "17");
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
