//! Matches of `feed.toml`: which of a venue's frames are meant. Most frames are market data and match nothing: they
//! are told by searching for words that every matching frame holds, and never parsed.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ops::Deref;

use memchr::memmem::Finder;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::template::{self, Names, Template};

/// A JSON pointer (RFC 6901): empty, or `/` before each step.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pointer(String);

impl Pointer {
    /// What it leads to, as a text: strings as they are, everything else as JSON writes it.
    pub fn text(&self, value: &Value) -> Option<String> {
        value
            .pointer(&self.0)
            .map(|found| text_of(found).into_owned())
    }
}

impl Deref for Pointer {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Pointer {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.is_empty() || text.starts_with('/') {
            return Ok(Self(text));
        }
        Err(format!("a JSON pointer starts with '/': write \"/{text}\""))
    }
}

impl<'de> Deserialize<'de> for Pointer {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::try_from(String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

/// A value as a match compares it: strings as they are, everything else as JSON writes it.
pub fn text_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

/// Pointers and the texts that must stand there, `*` for any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    fields: Vec<(Pointer, Template)>,
}

impl Match {
    /// The texts, which may use names.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.fields.iter().map(|(_, template)| template)
    }

    /// Whether one of the texts uses this name.
    pub fn uses(&self, name: &str) -> bool {
        self.templates()
            .any(|template| template.names().contains(name))
    }

    /// Fills the names in.
    pub fn compile(&self, names: &Names) -> Result<Matcher, template::Error> {
        let fields = self
            .fields
            .iter()
            .map(|(pointer, template)| {
                let any = template.source() == "*";
                let text = template.render(names)?;
                Ok((pointer.clone(), (!any).then_some(text)))
            })
            .collect::<Result<_, template::Error>>()?;
        Ok(Matcher::new(fields))
    }

    /// The match with any value where a text uses names other than secrets: what a frame looks like that may match
    /// for some values of the names.
    pub fn shape(&self, names: &Names) -> Result<Matcher, template::Error> {
        let fields = self
            .fields
            .iter()
            .map(|(pointer, template)| {
                let open =
                    template.source() == "*" || template.names().iter().any(|n| n != "secret");
                let text = (!open).then(|| template.render(names)).transpose()?;
                Ok((pointer.clone(), text))
            })
            .collect::<Result<_, template::Error>>()?;
        Ok(Matcher::new(fields))
    }
}

impl<'de> Deserialize<'de> for Match {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let fields = BTreeMap::<Pointer, Template>::deserialize(from)?;
        if fields.is_empty() {
            return Err(serde::de::Error::custom(
                "a match needs at least one pointer, e.g. { \"/event\" = \"error\" }",
            ));
        }
        Ok(Self {
            fields: fields.into_iter().collect(),
        })
    }
}

/// A match whose names are filled in.
#[derive(Debug, Clone)]
pub struct Matcher {
    /// Pointer and text; any value if `None`.
    fields: Vec<(Pointer, Option<String>)>,
    /// What every matching frame holds, the rarest-looking first.
    words: Vec<Finder<'static>>,
}

impl Matcher {
    fn new(fields: Vec<(Pointer, Option<String>)>) -> Self {
        let mut words: Vec<String> = fields
            .iter()
            .flat_map(|(pointer, text)| {
                let steps = pointer.split('/').skip(1).filter_map(key_word);
                let value = text.as_deref().and_then(value_word);
                // A whole frame may be a bare word.
                let bare = |word: String| word.trim_matches('"').to_owned();
                steps.chain(if pointer.is_empty() {
                    value.map(bare)
                } else {
                    value
                })
            })
            .collect();
        words.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        words.dedup();
        let words = words
            .iter()
            .map(|word| Finder::new(word.as_bytes()).into_owned())
            .collect();
        Self { fields, words }
    }

    /// Whether the frame matches; of an array, whether one of its elements does.
    pub fn matches(&self, frame: &Inbound<'_>) -> bool {
        self.find(frame).next().is_some()
    }

    /// The frame if it matches; of an array, each element that does.
    pub fn find<'f>(&'f self, frame: &'f Inbound<'_>) -> impl Iterator<Item = &'f Value> {
        let value = self.may_match(frame).then(|| frame.value());
        let elements = match value {
            Some(Value::Array(elements)) => elements.as_slice(),
            Some(value) => std::slice::from_ref(value),
            None => &[],
        };
        elements.iter().filter(|element| self.is(element))
    }

    /// False for frames that cannot match, told without parsing them.
    fn may_match(&self, frame: &Inbound<'_>) -> bool {
        // A backslash may hide a word's letters.
        frame.escaped
            || self
                .words
                .iter()
                .all(|w| w.find(frame.text.as_bytes()).is_some())
    }

    /// Whether one element of a frame matches.
    pub fn is(&self, value: &Value) -> bool {
        self.fields.iter().all(|(pointer, expected)| {
            let found = value.pointer(pointer);
            match (found, expected) {
                (None, _) => false,
                (Some(_), None) => true,
                (Some(found), Some(expected)) => text_of(found) == *expected,
            }
        })
    }
}

/// A key that a pointer's step names, as it stands in a text; a number may be a place in an array.
fn key_word(step: &str) -> Option<String> {
    let number = step.bytes().all(|b| b.is_ascii_digit());
    (!number && !step.contains('~') && is_word(step)).then(|| format!("\"{step}\""))
}

/// A value as it stands in a text, where there is only one way to write it: a word in quotes, or a whole number, or
/// one of JSON's three words.
fn value_word(text: &str) -> Option<String> {
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic()) && is_word(text);
    let number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if number || ["true", "false", "null"].contains(&text) {
        Some(text.to_owned())
    } else {
        word.then(|| format!("\"{text}\""))
    }
}

/// Whether JSON writes it as it is, but for escapes that nobody needs and that show by their backslash.
fn is_word(text: &str) -> bool {
    text.bytes()
        .all(|b| (b' '..0x7f).contains(&b) && b != b'"' && b != b'\\')
}

/// A frame as it came; parsed at most once, and only if a match needs it.
pub struct Inbound<'t> {
    text: &'t str,
    escaped: bool,
    value: OnceCell<Value>,
}

impl<'t> Inbound<'t> {
    /// Looks at nothing but whether there is an escape in it.
    pub fn new(text: &'t str) -> Self {
        Self {
            text,
            escaped: memchr::memchr(b'\\', text.as_bytes()).is_some(),
            value: OnceCell::new(),
        }
    }

    /// As it came.
    pub fn text(&self) -> &'t str {
        self.text
    }

    /// Its JSON. A frame that is no JSON counts as a string, so that the pointer "" matches a bare word.
    fn value(&self) -> &Value {
        self.value.get_or_init(|| {
            serde_json::from_str(self.text).unwrap_or_else(|_| Value::from(self.text))
        })
    }

    /// Whether a match has needed its JSON.
    #[cfg(test)]
    fn is_parsed(&self) -> bool {
        self.value.get().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::secrets::Secrets;

    fn compile(toml: &str) -> Matcher {
        #[derive(Deserialize)]
        struct Held {
            m: Match,
        }
        let held: Held = toml::from_str(&format!("m = {toml}")).unwrap();
        let names = Names::new(&Secrets::default())
            .with("id", 7u64)
            .with("symbol", "ABC/DEF");
        held.m.compile(&names).unwrap()
    }

    fn check(toml: &str, frame: &str, expected: bool) {
        let matcher = compile(toml);
        assert_eq!(
            matcher.matches(&Inbound::new(frame)),
            expected,
            "{toml} on {frame}"
        );
    }

    #[test]
    fn every_pointer_must_lead_to_its_text() {
        let both = r#"{ "/event" = "error", "/code" = "*" }"#;
        check(both, r#"{"event":"error","code":17}"#, true);
        check(both, r#"{"event":"error","code":null}"#, true);
        check(both, r#"{"event":"error"}"#, false);
        check(both, r#"{"event":"fine","code":17}"#, false);
        check(
            r#"{ "/result" = "null", "/id" = "{{ id }}" }"#,
            r#"{"result":null,"id":7}"#,
            true,
        );
        check(r#"{ "/id" = "{{ id }}" }"#, r#"{"id":"7"}"#, true);
        check(r#"{ "/id" = "{{ id }}" }"#, r#"{"id":70}"#, false);
        check(r#"{ "/a/b/0" = "x" }"#, r#"{"a":{"b":["x","y"]}}"#, true);
        check(r#"{ "/a" = "{\"b\":1}" }"#, r#"{"a": {"b": 1}}"#, true);
        check(r#"{ "/ok" = "true" }"#, r#"{"ok":true}"#, true);
    }

    #[test]
    fn of_an_array_one_element_must_match_as_a_whole() {
        let both = r#"{ "/ev" = "status", "/status" = "good" }"#;
        check(
            both,
            r#"[{"ev":"T"},{"ev":"status","status":"good"}]"#,
            true,
        );
        check(
            both,
            r#"[{"ev":"status","status":"bad"},{"ev":"T","status":"good"}]"#,
            false,
        );
        check(both, "[]", false);
        let matcher = compile(r#"{ "/ev" = "status" }"#);
        let frame = Inbound::new(r#"[{"ev":"status","n":1},{"ev":"T"},{"ev":"status","n":2}]"#);
        let found: Vec<_> = matcher.find(&frame).map(|v| v["n"].clone()).collect();
        assert_eq!(found, [1, 2]);
    }

    #[test]
    fn escapes_and_bare_words_match_too() {
        check(
            r#"{ "/pair" = "{{ symbol }}" }"#,
            r#"{"pair":"ABC\/DEF"}"#,
            true,
        );
        check(
            r#"{ "/event" = "error" }"#,
            r#"{"ev\u0065nt":"\u0065rror"}"#,
            true,
        );
        check(r#"{ "/m" = "say \"no\"" }"#, r#"{"m":"say \"no\""}"#, true);
        check(r#"{ "" = "ping" }"#, "ping", true);
        check(r#"{ "" = "ping" }"#, "[\"ping\"]", true);
        check(r#"{ "" = "ping" }"#, "{\"ping\":1", false);
        check(r#"{ "/a~1b" = "x" }"#, r#"{"a/b":"x"}"#, true);
    }

    #[test]
    fn market_data_is_not_parsed() {
        let matcher = compile(r#"{ "/event" = "error" }"#);
        for text in [
            r#"{"e":"trade","s":"ABC","p":"1.5"}"#,
            r#"{"event":"trade","p":"1.5"}"#,
        ] {
            let frame = Inbound::new(text);
            assert!(!matcher.matches(&frame) && !frame.is_parsed(), "{text}");
        }
    }

    #[test]
    fn a_pointer_without_a_slash_and_an_empty_match_are_errors() {
        #[derive(Debug, Deserialize)]
        struct Held {
            #[expect(dead_code, reason = "it does not get that far")]
            m: Match,
        }
        let error = |toml: &str| toml::from_str::<Held>(toml).unwrap_err().to_string();
        assert!(error("m = { event = \"x\" }").contains("\"/event\""));
        assert!(error("m = { }").contains("at least one"));
    }

    proptest::proptest! {
        /// Searching for words first never hides a frame that the whole comparison would find.
        #[test]
        fn the_words_decide_nothing_alone(
            key in "[a-z0-9/~\"\\\\ é]{0,4}",
            text in "[a-z0-9./\"\\\\ é]{0,5}",
            other in "[a-z]{1,3}",
        ) {
            let pointer = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
            let matcher = Matcher::new(vec![(Pointer(pointer), Some(text.clone()))]);
            let frame = serde_json::json!([{ "x": 1 }, { key: text, other: 2 }]).to_string();
            let found = Inbound::new(&frame);
            let parsed: Value = serde_json::from_str(&frame).unwrap();
            let expected = parsed.as_array().unwrap().iter().any(|element| matcher.is(element));
            proptest::prop_assert_eq!(matcher.matches(&found), expected);
        }
    }
}
