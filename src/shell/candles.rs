//! `.candles`: a symbol's bars in the session's range, moved and zoomed with the keys, and followed while another
//! process captures.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use jiff::civil::DateTime;

use super::bars::seconds_of;
use super::last::Last;
use super::range::{Move, Range, moment};
use super::screen::{Block, Key};
use super::watch::texts;
use super::{Failure, Reader, Shell, command, output_error, stdout};
use crate::model::sql::literal;
use crate::output::chart::{self, Chart, Kind};

/// How often the newest bar is read again while it may change.
const EVERY: Duration = Duration::from_secs(1);

/// It is read again only after so many times as long as reading took.
const REST: u32 = 2;

/// Lengths of bars that are chosen from, and how SQL has them.
const LENGTHS: [(i64, &str); 13] = [
    (1, "1 second"),
    (5, "5 seconds"),
    (15, "15 seconds"),
    (30, "30 seconds"),
    (60, "1 minute"),
    (300, "5 minutes"),
    (900, "15 minutes"),
    (3600, "1 hour"),
    (14_400, "4 hours"),
    (86_400, "1 day"),
    (7 * 86_400, "7 days"),
    (30 * 86_400, "30 days"),
    (365 * 86_400, "365 days"),
];

/// Bars of this length tell which venues there are, and for how long.
const SURVEY: &str = "1 minute";

/// How long a picture is looked at that does not change by itself.
const STILL: Duration = Duration::from_hours(1);

/// Columns of the terminal that one bar takes, when its length is chosen.
const BAR_COLUMNS: i64 = 2;

/// What is to be shown; what is not said the session's focus says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Request {
    pub(super) symbol: Option<String>,
    pub(super) venue: Option<String>,
    /// How long a bar is, as SQL's intervals are written.
    pub(super) length: Option<String>,
}

impl Request {
    /// Reads `[SYMBOL] [VENUE] [LENGTH]`.
    ///
    /// # Errors
    /// If there is more.
    pub(super) fn parse(argument: &str) -> Result<Self, String> {
        let mut request = Self::default();
        for word in argument.split_whitespace().map(command::unquoted) {
            let place = if is_length(word) {
                &mut request.length
            } else if request.symbol.is_none() {
                &mut request.symbol
            } else if word.starts_with(|c: char| c.is_ascii_digit()) {
                return Err(format!(
                    "{word} is no length of a bar\nhint: for example 15s, 5m, 4h, 1d, 1w, 1mon"
                ));
            } else {
                &mut request.venue
            };
            if place.replace(word.to_owned()).is_some() {
                return Err(format!(
                    ".candles takes [SYMBOL] [VENUE] [LENGTH], not {argument}\nhint: for example .candles BTCUSDT 5m"
                ));
            }
        }
        Ok(request)
    }
}

/// `1m`, `15s`, `1d`.
fn is_length(word: &str) -> bool {
    let unit = word.trim_start_matches(|c: char| c.is_ascii_digit());
    unit.len() < word.len()
        && matches!(
            unit.to_ascii_lowercase().as_str(),
            "s" | "m" | "min" | "h" | "d" | "w" | "mon" | "y"
        )
}

/// What is to be seen.
struct Shown {
    text: String,
    /// From when to when it is, if the range does not say so.
    ends: Option<(DateTime, DateTime)>,
    took: Duration,
}

impl Shell<'_> {
    pub(super) fn candles(&mut self, request: &Request) -> Result<(), Failure> {
        let Some(symbol) = request.symbol.clone().or_else(|| self.focus.symbol.clone()) else {
            return Err(Failure::Report(
                "error: .candles takes a SYMBOL, unless .symbol has set one\nhint: for example .candles BTCUSDT 1m\n"
                    .to_owned(),
            ));
        };
        let terminal = self.reader == Reader::Person && std::io::stdout().is_terminal();
        let live = self.session.attached_to().is_some();
        let mut out = stdout().map_err(output_error)?;
        let mut block = Block::default();
        let mut shown = self.bars(request, &symbol)?;
        if !terminal {
            return self.printer.text(&shown.text);
        }
        loop {
            let start = Instant::now();
            let mark = if live { "live · " } else { "" };
            let text = format!(
                "{}{mark}left and right move the range, up and down zoom · q ends\n",
                shown.text
            );
            block.paint(&text, &mut out).map_err(output_error)?;
            let wait = if live {
                EVERY.max(shown.took * REST)
            } else {
                STILL
            };
            let by = match self.key(wait.saturating_sub(start.elapsed()))? {
                Key::Stop => return Ok(()),
                Key::Left => Some(Move::Left),
                Key::Right => Some(Move::Right),
                Key::Up => Some(Move::In),
                Key::Down => Some(Move::Out),
                Key::Resized => {
                    block.forget(&mut out).map_err(output_error)?;
                    None
                }
                Key::None => None,
            };
            let before = self.focus.range;
            if let Some(by) = by {
                match shown.ends {
                    Some(ends) => self.move_between(by, ends)?,
                    None => self.move_range(by)?,
                }
            }
            shown = match self.bars(request, &symbol) {
                Err(Failure::Report(_)) if by.is_some() => {
                    // There is nothing there to be seen.
                    self.focus.range = before;
                    self.tell_focus()?;
                    shown
                }
                drawn => drawn?,
            };
        }
    }

    /// The picture of the bars, which become the last result.
    fn bars(&mut self, request: &Request, symbol: &str) -> Result<Shown, Failure> {
        let start = Instant::now();
        let (from, to) = self.between()?;
        let survey = self.bars_for(symbol, SURVEY, (&from, &to))?;
        let venues = self.ask(&format!(
            "SELECT venue, (epoch(max(ts)) - epoch(min(ts)))::BIGINT::VARCHAR FROM {survey} GROUP BY venue ORDER BY sum(trades) DESC, venue"
        ))?;
        let own = request.symbol.as_ref().or(self.focus.symbol.as_ref());
        let of_focus = self.focus.venue_of(own).cloned();
        let wanted = request.venue.clone().or(of_focus);
        let chosen = venues
            .iter()
            .find(|row| wanted.is_none() || row.first() == Some(&wanted));
        let Some([Some(venue), seconds]) = chosen.map(Vec::as_slice) else {
            return Err(self.no_bars(symbol, wanted.as_deref())?);
        };
        let layout = self.layout();
        let size = self.picture_size();
        let seconds: i64 = seconds
            .as_deref()
            .and_then(|seconds| seconds.parse().ok())
            .unwrap_or(0);
        let length = request.length.clone().unwrap_or_else(|| {
            let most = i64::try_from(size.width).unwrap_or(80) / BAR_COLUMNS;
            length_for(SignedDuration::from_secs(seconds), most).to_owned()
        });
        let query = format!(
            "SELECT bucket_start(ts, {}) AS ts, arg_min(open, ts) AS open, max(high) AS high, min(low) AS low, \
             arg_max(close, ts) AS close, sum(volume) AS volume, sum(trades)::UBIGINT AS trades \
             FROM {} WHERE venue = {} GROUP BY ALL ORDER BY ts",
            literal(&length),
            self.bars_for(symbol, &length, (&from, &to))?,
            literal(venue)
        );
        let others: Vec<String> = venues
            .iter()
            .filter_map(|row| row.first().cloned().flatten())
            .filter(|other| other != venue)
            .collect();
        let mut text = format!("{symbol} · {venue} · {length}\n");
        let bars = self.fetch(&query)?;
        let chart = Chart::new(Some(Kind::Candles), &bars.schema, &bars.batches)
            .map_err(|error| Failure::Report(format!("error: {error}\n")))?;
        text.push_str(&chart::terminal(&chart, size));
        if !others.is_empty() && layout.width.is_some() {
            let _ = writeln!(
                text,
                "also of {}: .candles {symbol} VENUE",
                others.join(", ")
            );
        }
        // Of a range that is open the bars tell the ends.
        let ends = if self.focus.range == Range::All {
            ends(&bars, &length)?
        } else {
            None
        };
        self.set_last(bars, &query);
        Ok(Shown {
            text,
            ends,
            took: start.elapsed(),
        })
    }

    /// Why there are no bars.
    fn no_bars(&mut self, symbol: &str, venue: Option<&str>) -> Result<Failure, Failure> {
        let symbols = self.ask(
            "SELECT symbol FROM trades WHERE symbol IS NOT NULL GROUP BY symbol ORDER BY count(*) DESC LIMIT 1000",
        )?;
        let symbols: Vec<String> = symbols.into_iter().flatten().flatten().collect();
        let hint = if symbols.iter().any(|known| known == symbol) {
            format!(
                "there are trades of {symbol} elsewhere; .range shows the range, .range .. looks at all"
            )
        } else if let Some(meant) = crate::query::meant(symbol, symbols.iter().map(String::as_str))
        {
            format!("did you mean {meant}?")
        } else {
            "FROM latest shows the symbols there are".to_owned()
        };
        let of = venue.map_or_else(String::new, |venue| format!(" of {venue}"));
        let range = self.focus.range.to_string();
        let within = if range == ".." {
            String::new()
        } else {
            format!(" in {range}")
        };
        Ok(Failure::Report(format!(
            "error: there are no trades of {symbol}{of}{within}\nhint: {hint}\n"
        )))
    }
}

/// From the first bar up to the end of the last one.
fn ends(bars: &Last, length: &str) -> Result<Option<(DateTime, DateTime)>, Failure> {
    let rows = texts(bars)?;
    let start = |row: Option<&Vec<Option<String>>>| moment(row?.first()?.as_deref()?);
    let length = SignedDuration::from_secs(seconds_of(length).unwrap_or(1));
    let last = start(rows.last()).and_then(|last| last.checked_add(length).ok());
    Ok(start(rows.first()).zip(last))
}

/// The shortest length of which no more than so many bars are needed.
fn length_for(whole: SignedDuration, most: i64) -> &'static str {
    let fits = |(seconds, _): &&(i64, &str)| whole.as_secs() / seconds < most.max(1);
    let longest = LENGTHS[LENGTHS.len() - 1].1;
    LENGTHS.iter().find(fits).map_or(longest, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_from_lengths() {
        let request = |symbol: Option<&str>, venue: Option<&str>, length: Option<&str>| Request {
            symbol: symbol.map(str::to_owned),
            venue: venue.map(str::to_owned),
            length: length.map(str::to_owned),
        };
        for (text, expected) in [
            ("", request(None, None, None)),
            ("5m", request(None, None, Some("5m"))),
            ("'BTC-USD' 1h", request(Some("BTC-USD"), None, Some("1h"))),
            (
                "1INCHUSDT 15s v",
                request(Some("1INCHUSDT"), Some("v"), Some("15s")),
            ),
        ] {
            assert_eq!(Request::parse(text), Ok(expected), "{text}");
        }
        assert!(Request::parse("A b c").is_err());
    }

    #[test]
    fn bars_are_as_long_as_the_picture_needs() {
        for (seconds, most, length) in [
            (0, 40, "1 second"),
            (600, 40, "30 seconds"),
            (86_400, 70, "1 hour"),
            (20 * 365 * 86_400, 5, "365 days"),
        ] {
            assert_eq!(length_for(SignedDuration::from_secs(seconds), most), length);
        }
    }
}
