//! Pages: what a body holds, and how the next one is asked for.

use std::collections::HashSet;

use serde_json::Value;

use super::Query;
use crate::venues::feed::Page;
use crate::venues::matching::Pointer;

/// What is remembered of the pages so far.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// How the page under way was asked for; nothing for the first one.
    pub(super) token: Option<String>,
    pub(super) from_id: Option<u64>,
    pub(super) from_ns: Option<i64>,
    /// Nothing after them is wanted.
    pub(super) to_id: Option<u64>,
    pub(super) to_ns: Option<i64>,
    /// Hashes of all addresses and tokens so far: one that comes again would be a loop.
    seen: HashSet<blake3::Hash>,
}

/// What a page held, and what comes after it.
#[derive(Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) records: u64,
    pub(super) last_id: Option<u64>,
    pub(super) last_ns: Option<i64>,
    pub(super) next: Next,
}

/// What comes after a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It was the last one.
    End,
    /// The same request again, with what the cursor holds now.
    Again,
    /// The page at this address.
    Url(String),
}

impl Cursor {
    /// For a request's first page.
    pub(super) fn new(query: &Query) -> Self {
        Self {
            from_id: query.from_id,
            from_ns: query.from_ns,
            to_id: query.to_id,
            to_ns: query.to_ns,
            ..Self::default()
        }
    }

    /// Takes the page that was fetched and moves on.
    ///
    /// # Errors
    /// In words, when the pages do not get on.
    pub(super) fn advance(&mut self, page: &Page, body: &Value) -> Result<Seen, String> {
        let records = records(page, body)?;
        let last = records.last();
        let at = |pointer: &Option<Pointer>| last?.pointer(pointer.as_deref()?);
        let (id, time) = (at(&page.id), at(&page.time));
        let mut seen = Seen {
            records: records.len() as u64,
            // Some venues send the newest record first.
            last_id: highest(&records, page.id.as_deref(), id_of),
            last_ns: highest(&records, page.time.as_deref(), ns_of),
            next: Next::End,
        };
        if let Some(until) = self.until_ns(page).filter(|_| page.window.is_some()) {
            // Few records, or none: the next window may hold more.
            seen.last_ns = Some(until);
            if self.to_ns.is_some_and(|to| until < to) {
                self.from_ns = Some(until);
                seen.next = Next::Again;
            }
            return Ok(seen);
        }
        let short = page.full.is_some_and(|full| records.len() < full);
        if let Some(pointer) = &page.next_url {
            if let Some(url) = text_at(body, pointer) {
                self.first_time(&url, "the next page's address")?;
                seen.next = Next::Url(url);
            }
        } else if let Some(pointer) = &page.token {
            // A venue that answers with the token it was asked for has no more.
            if let Some(token) = text_at(body, pointer).filter(|t| self.token.as_ref() != Some(t)) {
                self.first_time(&token, "the next page's token")?;
                self.token = Some(token);
                seen.next = Next::Again;
            }
        } else if last.is_none() || short {
            // Fewer records than a page may hold: there is no more.
        } else if let Some(pointer) = &page.id {
            let last = seen.last_id.ok_or_else(|| missing(pointer, "an id", id))?;
            let next = last.saturating_add(1);
            let over = self.to_id.is_some_and(|to| last >= to)
                // The next page would be the same.
                || self.from_id.is_some_and(|from| next <= from);
            if !over {
                self.from_id = Some(next);
                seen.next = Next::Again;
            }
        } else if let Some(pointer) = &page.time {
            let last = seen
                .last_ns
                .ok_or_else(|| missing(pointer, "a time", time))?;
            seen.next = self.after_time(page, last)?;
        }
        Ok(seen)
    }

    /// Up to when the page under way is asked for.
    pub(super) fn until_ns(&self, page: &Page) -> Option<i64> {
        let window = page.window.zip(self.from_ns);
        let end = window.map(|(window, from)| {
            from.saturating_add(i64::try_from(window.as_nanos()).unwrap_or(i64::MAX))
        });
        match (end, self.to_ns) {
            (Some(end), Some(to)) => Some(end.min(to)),
            (end, to) => end.or(to),
        }
    }

    fn after_time(&mut self, page: &Page, last: i64) -> Result<Next, String> {
        if self.to_ns.is_some_and(|to| last >= to) {
            return Ok(Next::End);
        }
        match self.from_ns {
            Some(from) if last <= from => {
                if page.full.is_none() {
                    // The page begins with the record that the one before ended with, and there is no other.
                    return Ok(Next::End);
                }
                Err("a full page ends at the time it begins with, so the next one would be the same".to_owned())
            }
            _ => {
                self.from_ns = Some(last);
                Ok(Next::Again)
            }
        }
    }

    fn first_time(&mut self, text: &str, what: &str) -> Result<(), String> {
        if self.seen.insert(blake3::hash(text.as_bytes())) {
            Ok(())
        } else {
            Err(format!("{what} is one that was fetched already"))
        }
    }
}

fn highest<T: Ord>(
    records: &[&Value],
    pointer: Option<&str>,
    read: impl Fn(&Value) -> Option<T>,
) -> Option<T> {
    let pointer = pointer?;
    let found = records.iter().filter_map(|record| record.pointer(pointer));
    found.filter_map(read).max()
}

fn missing(pointer: &str, what: &str, found: Option<&Value>) -> String {
    let found = found.map_or("nothing", kind);
    format!("its last record has {found} at {pointer}, where {what} is expected")
}

/// What a value is; not the value itself, which may be anything.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "another number",
        Value::String(_) => "another text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The page's records; a page that lacks the array, or has null there, has none. Where an address or a token says how it
/// goes on, they may stand in several arrays, one for each instrument, as the members of an object.
fn records<'a>(page: &Page, body: &'a Value) -> Result<Vec<&'a Value>, String> {
    let by_cursor = page.next_url.is_some() || page.token.is_some();
    match body.pointer(&page.records) {
        Some(Value::Array(records)) => Ok(records.iter().collect()),
        Some(Value::Object(members)) if by_cursor => {
            let arrays = members.values().filter_map(Value::as_array);
            Ok(arrays.flatten().collect())
        }
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(other) => Err(format!(
            "it has {} at \"{}\", where the array of records is expected",
            kind(other),
            &*page.records
        )),
    }
}

/// A text or number that says something; null and the empty text do not.
fn text_at(body: &Value, pointer: &str) -> Option<String> {
    match body.pointer(pointer)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn id_of(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// A time in ns: RFC 3339, or a number since 1970 whose size tells its unit.
pub(super) fn ns_of(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number
            .as_i64()
            .and_then(ns_of_integer)
            .or_else(|| ns_of_seconds(number.as_f64()?)),
        Value::String(text) => {
            if let Ok(integer) = text.parse() {
                return ns_of_integer(integer);
            }
            if let Ok(seconds) = text.parse() {
                return ns_of_seconds(seconds);
            }
            let at: jiff::Timestamp = text.parse().ok()?;
            i64::try_from(at.as_nanosecond()).ok()
        }
        _ => None,
    }
}

/// Seconds up to the year 5138, ms from 1973 on, and so forth.
fn ns_of_integer(number: i64) -> Option<i64> {
    let unit_ns = match number.unsigned_abs() {
        0..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    number.checked_mul(unit_ns)
}

fn ns_of_seconds(seconds: f64) -> Option<i64> {
    (seconds.abs() < 9e9).then_some((seconds * 1e9) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn page(toml: &str) -> Page {
        toml::from_str(toml).unwrap()
    }

    /// What follows from each body in turn: the cursor, or the error.
    fn walk(page: &Page, mut cursor: Cursor, bodies: &[Value]) -> Vec<String> {
        bodies
            .iter()
            .map(|body| match cursor.advance(page, body) {
                Err(error) => error,
                Ok(Seen {
                    next: Next::End, ..
                }) => "end".to_owned(),
                Ok(Seen {
                    next: Next::Url(url),
                    ..
                }) => url,
                Ok(_) => match (&cursor.token, cursor.from_id, cursor.from_ns) {
                    (Some(token), ..) => token.clone(),
                    (_, Some(id), _) => id.to_string(),
                    (.., ns) => ns.unwrap_or_default().to_string(),
                },
            })
            .collect()
    }

    #[test]
    fn addresses_and_tokens_end_with_null_or_nothing_and_never_repeat() {
        let by_url = page("next_url = '/next'\nrecords = '/results'");
        let bodies = [
            json!({"results": [1], "next": "u1"}),
            json!({"results": [], "next": "u2"}),
            json!({"results": [1], "next": "u1"}),
        ];
        let said = walk(&by_url, Cursor::default(), &bodies);
        assert_eq!(said[..2], ["u1", "u2"]);
        assert!(said[2].contains("fetched already"), "{}", said[2]);
        let by_token = page("token = '/token'\nrecords = '/trades'");
        for end in [
            json!({"token": null}),
            json!({"trades": null}),
            json!({"token": ""}),
        ] {
            let said = walk(&by_token, Cursor::default(), &[json!({"token": "a"}), end]);
            assert_eq!(said, ["a", "end"]);
        }
    }

    #[test]
    fn records_may_stand_in_an_array_for_each_instrument() {
        let by_token = page("token = '/result/last'\nrecords = '/result'");
        let body = |last: &str| json!({"error": [], "result": {"XXBTZUSD": [["1.5"], ["1.6"]], "last": last}});
        let mut cursor = Cursor::default();
        let seen = cursor.advance(&by_token, &body("7")).unwrap();
        assert_eq!((seen.records, seen.next), (2, Next::Again));
        let seen = cursor.advance(&by_token, &body("7")).unwrap();
        assert_eq!((seen.records, seen.next), (2, Next::End));
        let two = page("next_url = '/next'\nrecords = '/trades'");
        let body =
            json!({"trades": {"AAPL": [{"i": 1}], "MSFT": [{"i": 2}, {"i": 3}]}, "next": null});
        let seen = Cursor::default().advance(&two, &body).unwrap();
        assert_eq!((seen.records, seen.next), (3, Next::End));
    }

    #[test]
    fn ids_go_on_after_the_last_one() {
        let by_id = page("id = '/id'\nfull = 2");
        let two = |a: u64, b: u64| json!([{"id": a}, {"id": b.to_string()}]);
        let start = || Cursor {
            from_id: Some(5),
            ..Cursor::default()
        };
        let bodies = [two(5, 6), two(7, 8), json!([{"id": 9}])];
        assert_eq!(walk(&by_id, start(), &bodies), ["7", "9", "end"]);
        assert_eq!(walk(&by_id, start(), &[json!([])]), ["end"]);
        let newest_first = [two(6, 5), two(6, 5)];
        assert_eq!(walk(&by_id, start(), &newest_first), ["7", "end"]);
        let up_to_7 = Cursor {
            to_id: Some(7),
            ..start()
        };
        assert_eq!(walk(&by_id, up_to_7, &bodies[..2]), ["7", "end"]);
        let none = walk(&by_id, start(), &[json!([{}, {}])]);
        assert!(none[0].contains("nothing at /id"), "{}", none[0]);
        let no_array = walk(&by_id, start(), &[json!({"code": 1})]);
        assert!(no_array[0].contains("array of records"), "{}", no_array[0]);
    }

    #[test]
    fn times_go_on_at_the_last_one_until_the_end_asked_for() {
        let by_time = page("time = '/t'\nfull = 2");
        let two = |a: &str, b: &str| json!([{"t": a}, {"t": b}]);
        let start = || Cursor {
            to_ns: Some(9_000_000_000),
            ..Cursor::default()
        };
        let bodies = [
            two("1970-01-01T00:00:01Z", "1970-01-01T00:00:02.5Z"),
            two("1970-01-01T00:00:02.5Z", "1970-01-01T00:00:10Z"),
        ];
        assert_eq!(walk(&by_time, start(), &bodies), ["2500000000", "end"]);
        let stuck = walk(&by_time, start(), &[bodies[0].clone(), bodies[0].clone()]);
        assert!(stuck[1].contains("would be the same"), "{}", stuck[1]);
        let open = page("time = '/t'");
        let last = json!([{"t": "1970-01-01T00:00:02.5Z"}]);
        assert_eq!(
            walk(&open, start(), &[last.clone(), last]),
            ["2500000000", "end"]
        );
    }

    #[test]
    fn windows_follow_each_other_whatever_is_in_them() {
        let by_window = page("window = '299 min'");
        let minutes = |n: i64| n * 60_000_000_000;
        let mut cursor = Cursor {
            from_ns: Some(minutes(100)),
            to_ns: Some(minutes(800)),
            ..Cursor::default()
        };
        let (mut asked, mut next) = (Vec::new(), Next::Again);
        while next == Next::Again {
            asked.push((
                cursor.from_ns.unwrap(),
                cursor.until_ns(&by_window).unwrap(),
            ));
            let seen = cursor.advance(&by_window, &json!([])).unwrap();
            assert_eq!(seen.last_ns, Some(asked.last().unwrap().1));
            next = seen.next;
        }
        let minutes = [(100, 399), (399, 698), (698, 800)].map(|(a, b)| (minutes(a), minutes(b)));
        assert_eq!(asked, minutes);
    }

    #[test]
    fn the_unit_of_a_time_is_told_by_its_form() {
        let ns = 1_723_161_253_937_000_000;
        for value in [
            json!(1_723_161_253_937_i64),
            json!("1723161253937"),
            json!(1_723_161_253_937_000_i64),
            json!(ns),
            json!("2024-08-08T23:54:13.937Z"),
        ] {
            assert_eq!(ns_of(&value), Some(ns), "{value}");
        }
        assert_eq!(
            ns_of(&json!(1_723_161_253)),
            Some(1_723_161_253_000_000_000)
        );
        assert_eq!(
            ns_of(&json!("1723161253.5")),
            Some(1_723_161_253_500_000_000)
        );
        assert_eq!(ns_of(&json!("soon")), None);
    }
}
