//! The session's symbol and range of time: what commands take for granted, and parameters of queries.

use std::fmt;

use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, Span, SpanRelativeTo, ToSpan};

use super::command::{self, Symbol};
use super::{Failure, Shell};
use crate::model::sql::literal;

/// Earlier and later than any row: the ends of what is open.
const EARLIEST: &str = "1700-01-01";
const LATEST: &str = "2262-01-01";

/// The narrowest range that is zoomed to.
const NARROWEST: SignedDuration = SignedDuration::from_millis(10);

/// The newest row of what is traded, from the database file and what the manifest says of the lake.
const NEWEST: &str = "\
    SELECT max(ts)::VARCHAR FROM ( \
        SELECT max(ts) AS ts FROM hot.trades UNION ALL SELECT max(ts) FROM hot_b.trades \
        UNION ALL SELECT max(ts) FROM hot.quotes UNION ALL SELECT max(ts) FROM hot_b.quotes \
        UNION ALL SELECT max(ts) FROM hot.bars UNION ALL SELECT max(max_ts) FROM ops.manifest \
        WHERE table_name IN ('trades', 'quotes', 'bars'))";

/// A stretch of time, in UTC: from its first moment up to, and without, its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Range {
    /// All there is.
    #[default]
    All,
    Of {
        from: Option<DateTime>,
        to: Option<DateTime>,
    },
    /// So long before the newest row, wherever that is.
    Last(SignedDuration),
}

/// What `.range` is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    Show,
    Set(Range),
    Move(Move),
}

/// How a range is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    /// To its middle half.
    In,
    /// To twice its length.
    Out,
    /// By half its length.
    Left,
    Right,
}

/// What a session is about.
#[derive(Debug, Clone, Default)]
pub(super) struct Focus {
    pub(super) symbol: Option<String>,
    pub(super) venue: Option<String>,
    pub(super) range: Range,
    /// Whether the parameters were ever set.
    pub(super) is_told: bool,
}

impl Request {
    /// Reads what stands behind `.range`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(argument: Option<&str>) -> Result<Self, String> {
        let Some(text) = argument else {
            return Ok(Self::Show);
        };
        let text = command::unquoted(text);
        match text.to_ascii_lowercase().as_str() {
            "in" => return Ok(Self::Move(Move::In)),
            "out" => return Ok(Self::Move(Move::Out)),
            "left" => return Ok(Self::Move(Move::Left)),
            "right" => return Ok(Self::Move(Move::Right)),
            "all" | "clear" => return Ok(Self::Set(Range::All)),
            _ => {}
        }
        if let Some(length) = text.strip_prefix("last ").or(text.strip_prefix("LAST ")) {
            return length_of(length).map(|length| Self::Set(Range::Last(length)));
        }
        let wrong = |what: &str| {
            Err(format!(
                "{what}\nhint: .range 2024-08-08 09:30..16:00, .range 2024-08-08, .range .., .range last 2h, .range in"
            ))
        };
        let Some((from, to)) = text.split_once("..") else {
            let Some(date) = date(text) else {
                return wrong(&format!(".range takes FROM..TO, not {text}"));
            };
            return Ok(Self::Set(Range::Of {
                from: Some(date.to_datetime(Time::midnight())),
                to: next_day(date),
            }));
        };
        let (from_text, to_text) = (from.trim(), to.trim());
        let from = match from_text {
            "" => None,
            text => match moment(text) {
                Some(from) => Some(from),
                None => return wrong(&format!("{text} is no date or time")),
            },
        };
        let to = match to_text {
            "" => None,
            text => {
                let to = date(text).and_then(next_day).or_else(|| moment(text));
                let to = to.or_else(|| time_after(from?, text));
                match to {
                    Some(to) => Some(to),
                    None => return wrong(&format!("{text} is no date or time")),
                }
            }
        };
        if let (Some(from), Some(to)) = (from, to)
            && to <= from
        {
            return wrong("a range ends after it begins");
        }
        Ok(Self::Set(match (from, to) {
            (None, None) => Range::All,
            (from, to) => Range::Of { from, to },
        }))
    }
}

/// `2h`, `90 minutes`, `1d`.
fn length_of(text: &str) -> Result<SignedDuration, String> {
    let wrong = || format!("{text} is no length of time\nhint: .range last 2h, 30m, 1d, 2 weeks");
    let span: Span = text.trim().parse().map_err(|_| wrong())?;
    let length = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| wrong())?;
    if length < NARROWEST {
        return Err(wrong());
    }
    Ok(length)
}

fn date(text: &str) -> Option<Date> {
    (text.len() == "2024-08-08".len())
        .then(|| text.parse().ok())
        .flatten()
}

fn next_day(date: Date) -> Option<DateTime> {
    Some(date.tomorrow().ok()?.to_datetime(Time::midnight()))
}

/// A date, or a date and a time, with `Z` or without.
pub(super) fn moment(text: &str) -> Option<DateTime> {
    let text = text.trim_end_matches(['Z', 'z']);
    // A time alone, as `09:30`, is no moment.
    text.starts_with(|c: char| c.is_ascii_digit())
        .then_some(text)
        .filter(|text| text.contains('-'))?
        .parse()
        .ok()
}

/// The moment of a time alone: on the day of another, or on the next if it would be before it.
fn time_after(from: DateTime, text: &str) -> Option<DateTime> {
    let time: Time = text.parse().ok()?;
    let to = from.date().to_datetime(time);
    if to > from {
        return Some(to);
    }
    to.checked_add(1.day()).ok()
}

/// A moment as SQL has it, and as people read it: without seconds that are none.
fn written(moment: DateTime) -> String {
    let text = moment.strftime("%Y-%m-%d %H:%M:%S%.f").to_string();
    match text.strip_suffix(":00") {
        Some(short) => short.to_owned(),
        None => text,
    }
}

impl fmt::Display for Range {
    /// As `.range` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::All => f.write_str(".."),
            Self::Last(length) => write!(f, "last {length:#}"),
            Self::Of { from, to } => {
                if let (Some(from), Some(to)) = (from, to)
                    && from.time() == Time::midnight()
                    && next_day(from.date()) == Some(to)
                {
                    return write!(f, "{}", from.date());
                }
                let text = |moment: Option<DateTime>| moment.map_or_else(String::new, written);
                let (start, end) = (text(from), text(to));
                let same_day = from.map(DateTime::date) == to.map(DateTime::date);
                let end = match end.split_once(' ') {
                    Some((_, time)) if same_day => time,
                    _ => &end,
                };
                write!(f, "{start}..{end}")
            }
        }
    }
}

impl Range {
    /// Its last moment, if that is a certain one.
    pub(super) fn end(self) -> Option<String> {
        match self {
            Self::Of { to, .. } => to.map(written),
            Self::All | Self::Last(_) => None,
        }
    }

    /// Zoomed or moved, between ends that are known.
    fn moved(self, by: Move, (from, to): (DateTime, DateTime)) -> Option<Self> {
        let length = to.duration_since(from);
        if let (Self::Last(_), Move::In | Move::Out) = (self, by) {
            let length = match by {
                Move::In => (length / 2).max(NARROWEST),
                _ => length.checked_mul(2)?,
            };
            return Some(Self::Last(length));
        }
        let (quarter, half) = (length / 4, length / 2);
        let (from, to) = match by {
            Move::In if length <= NARROWEST => return Some(self),
            Move::In => (
                from.checked_add(quarter).ok()?,
                to.checked_sub(quarter).ok()?,
            ),
            Move::Out => (from.checked_sub(half).ok()?, to.checked_add(half).ok()?),
            Move::Left => (from.checked_sub(half).ok()?, to.checked_sub(half).ok()?),
            Move::Right => (from.checked_add(half).ok()?, to.checked_add(half).ok()?),
        };
        Some(Self::Of {
            from: Some(from),
            to: Some(to),
        })
    }
}

impl Focus {
    /// Its venue, which is that of its own symbol: not of another one.
    pub(super) fn venue_of(&self, symbol: Option<&String>) -> Option<&String> {
        self.venue
            .as_ref()
            .filter(|_| symbol == self.symbol.as_ref())
    }

    /// What the prompt shows of it.
    pub(super) fn told(&self) -> String {
        let mut parts: Vec<String> = self.symbol.iter().chain(&self.venue).cloned().collect();
        if self.range != Range::All {
            parts.push(self.range.to_string());
        }
        parts.join(" ")
    }
}

impl Shell<'_> {
    pub(super) fn range(&mut self, request: Request) -> Result<(), Failure> {
        match request {
            Request::Show => {
                let range = self.focus.range;
                let mut text = range.to_string();
                if let (Range::Last(_), Some((from, to))) = (range, self.ends()?) {
                    let now = Range::Of {
                        from: Some(from),
                        to: Some(to),
                    };
                    text = format!("{text}: {now}");
                }
                self.printer.text(&format!("{text}\n"))
            }
            Request::Set(range) => {
                self.focus.range = range;
                self.tell_focus()
            }
            Request::Move(by) => self.move_range(by),
        }
    }

    /// Zooms or moves the range.
    pub(super) fn move_range(&mut self, by: Move) -> Result<(), Failure> {
        let Some(ends) = self.ends()? else {
            return Err(Failure::Report(
                "error: there are no rows yet whose times a range could have\n".to_owned(),
            ));
        };
        self.move_between(by, ends)
    }

    /// The same, of a range whose ends are known.
    pub(super) fn move_between(
        &mut self,
        by: Move,
        ends: (DateTime, DateTime),
    ) -> Result<(), Failure> {
        if let Some(range) = self.focus.range.moved(by, ends) {
            self.focus.range = range;
        }
        self.tell_focus()
    }

    pub(super) fn symbol(&mut self, symbol: Symbol) -> Result<(), Failure> {
        (self.focus.symbol, self.focus.venue) = match symbol {
            Symbol::Set(symbol, venue) => (Some(symbol), venue),
            Symbol::Clear => (None, None),
            Symbol::Show => {
                let words = self.focus.symbol.iter().chain(&self.focus.venue);
                let words: Vec<&str> = words.map(String::as_str).collect();
                let text = if words.is_empty() {
                    "none".to_owned()
                } else {
                    words.join(" ")
                };
                return self.printer.text(&format!("{text}\n"));
            }
        };
        self.tell_focus()
    }

    /// Makes the focus the parameters `$symbol`, `$venue`, `$from` and `$to`.
    pub(super) fn tell_focus(&mut self) -> Result<(), Failure> {
        self.focus.is_told = true;
        self.changed = true;
        let (from, to) = self.between()?;
        let text = |text: &Option<String>| text.as_deref().map_or("NULL".to_owned(), literal);
        let (symbol, venue) = (text(&self.focus.symbol), text(&self.focus.venue));
        for (name, value) in [
            ("symbol", symbol),
            ("venue", venue),
            ("from", format!("TIMESTAMP_NS {from}")),
            ("to", format!("TIMESTAMP_NS {to}")),
        ] {
            self.ask(&format!("SET VARIABLE \"{name}\" = {value}"))?;
        }
        Ok(())
    }

    /// The same again where they may differ from before: if the range ends with the newest row, and a statement may
    /// have it, as a parameter or by a macro.
    pub(super) fn refresh_focus(&mut self, sql: &str) -> Result<(), Failure> {
        let slides = matches!(self.focus.range, Range::Last(_));
        if slides && sql.contains(['$', '(']) {
            return self.tell_focus();
        }
        Ok(())
    }

    /// Whether the session has a focus that a new session would not have.
    pub(super) fn has_focus(&self) -> bool {
        self.focus.is_told
    }

    /// The range's ends as literals of SQL; those that are open are before and after all.
    pub(super) fn between(&mut self) -> Result<(String, String), Failure> {
        let (from, to) = match self.focus.range {
            Range::All => (None, None),
            Range::Of { from, to } => (from, to),
            Range::Last(length) => match self.newest()? {
                Some(newest) => (newest.checked_sub(length).ok(), after(newest)),
                None => (None, None),
            },
        };
        let text = |moment: Option<DateTime>, open: &str| {
            literal(&moment.map_or(open.to_owned(), written))
        };
        Ok((text(from, EARLIEST), text(to, LATEST)))
    }

    /// The range's ends, those that are open by the rows there are; `None` without any.
    pub(super) fn ends(&mut self) -> Result<Option<(DateTime, DateTime)>, Failure> {
        if let Range::Of {
            from: Some(from),
            to: Some(to),
        } = self.focus.range
        {
            return Ok(Some((from, to)));
        }
        if let Range::Last(length) = self.focus.range {
            let newest = self.newest()?;
            return Ok(
                newest.and_then(|newest| Some((newest.checked_sub(length).ok()?, after(newest)?)))
            );
        }
        let (from, to) = self.between()?;
        let of = self
            .focus
            .symbol
            .as_deref()
            .map_or_else(String::new, |symbol| {
                format!(" AND symbol = {}", literal(symbol))
            });
        let rows = self.ask(&format!(
            "SELECT min(ts)::VARCHAR, max(ts)::VARCHAR FROM trades WHERE ts >= {from} AND ts < {to}{of}"
        ))?;
        let mut found = rows.into_iter().flatten().map(|text| moment(&text?));
        let (low, high) = (found.next().flatten(), found.next().flatten());
        let (Some(low), Some(high)) = (low, high) else {
            return Ok(None);
        };
        let Range::Of { from, to } = self.focus.range else {
            return Ok(after(high).map(|high| (low, high)));
        };
        Ok(to.or(after(high)).map(|to| (from.unwrap_or(low), to)))
    }

    fn newest(&mut self) -> Result<Option<DateTime>, Failure> {
        let rows = self.ask(NEWEST)?;
        Ok(rows
            .into_iter()
            .flatten()
            .flatten()
            .next()
            .and_then(|text| moment(&text)))
    }
}

/// The first moment after one, as a range has it that holds it.
fn after(moment: DateTime) -> Option<DateTime> {
    moment.checked_add(1.nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Result<String, String> {
        match Request::parse(Some(text))? {
            Request::Set(range) => Ok(range.to_string()),
            other => Ok(format!("{other:?}")),
        }
    }

    #[test]
    fn ranges_are_read_and_told() {
        for (text, told) in [
            ("2024-08-08 09:30..16:00", "2024-08-08 09:30..16:00"),
            ("'2024-08-08 09:30 .. 16:00'", "2024-08-08 09:30..16:00"),
            (
                "2024-08-08 23:00..01:30",
                "2024-08-08 23:00..2024-08-09 01:30",
            ),
            ("2024-08-08", "2024-08-08"),
            (
                "2024-08-08..2024-08-09",
                "2024-08-08 00:00..2024-08-10 00:00",
            ),
            ("2024-08-08T09:30:15.5Z..", "2024-08-08 09:30:15.5.."),
            ("..2024-08-08 12:00", "..2024-08-08 12:00"),
            ("..", ".."),
            ("all", ".."),
            ("last 2h", "last 2h"),
            ("last 1d", "last 24h"),
            ("last 90 minutes", "last 1h 30m"),
            ("in", "Move(In)"),
        ] {
            assert_eq!(range(text).as_deref(), Ok(told), "{text}");
        }
        for (text, why) in [
            ("2024-08-08 09:30", "takes FROM..TO"),
            ("yesterday..", "yesterday is no date"),
            ("..16:00", "16:00 is no date"),
            ("2024-08-09..2024-08-08 01:00", "ends after it begins"),
            ("last week", "no length of time"),
            ("last -2h", "no length of time"),
        ] {
            let wrong = range(text).unwrap_err();
            assert!(
                wrong.contains(why) && wrong.contains("hint: "),
                "{text}: {wrong}"
            );
        }
    }

    #[test]
    fn ranges_are_zoomed_and_moved() {
        let Ok(Request::Set(range)) = Request::parse(Some("2024-08-08 10:00..12:00")) else {
            panic!("it is a range");
        };
        let ends = (
            "2024-08-08T10:00".parse().unwrap(),
            "2024-08-08T12:00".parse().unwrap(),
        );
        for (by, told) in [
            (Move::In, "2024-08-08 10:30..11:30"),
            (Move::Out, "2024-08-08 09:00..13:00"),
            (Move::Left, "2024-08-08 09:00..11:00"),
            (Move::Right, "2024-08-08 11:00..13:00"),
        ] {
            assert_eq!(range.moved(by, ends).unwrap().to_string(), told);
        }
        let last = Range::Last(SignedDuration::from_hours(2));
        assert_eq!(last.moved(Move::In, ends).unwrap().to_string(), "last 1h");
        assert_eq!(
            last.moved(Move::Left, ends).unwrap().to_string(),
            "2024-08-08 09:00..11:00"
        );
    }
}
