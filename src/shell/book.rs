//! `.book`: the order book of a symbol as a ladder, live or as it stood at a moment.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use super::command::Book;
use super::screen::{Block, Key};
use super::{Failure, Reader, Shell, output_error, stdout};
use crate::model::sql::literal;

/// How often a live book is read again.
const EVERY: Duration = Duration::from_millis(500);

/// A live book is read again only after so many times as long as reading took.
const REST: u32 = 3;

/// Levels of each side.
const LEVELS: std::ops::RangeInclusive<usize> = 3..=20;

/// Later than any row: the newest state.
const NEWEST: &str = "2262-01-01";

/// How far an arrow key steps.
const STEP: &str = "1 second";
const LEAP: &str = "1 minute";

/// A level as the database gives it.
#[derive(Debug, Clone, PartialEq)]
struct Level {
    bid: bool,
    price: String,
    size: String,
    number: f64,
}

/// A book, and when and where it was so.
#[derive(Debug, Default)]
struct Ladder {
    venue: String,
    others: Vec<String>,
    ts: String,
    levels: Vec<Level>,
}

impl Shell<'_> {
    pub(super) fn book(&mut self, request: Book) -> Result<(), Failure> {
        let mut request = request;
        request.symbol = request.symbol.or_else(|| self.focus.symbol.clone());
        let own = self.focus.venue_of(request.symbol.as_ref()).cloned();
        request.venue = request.venue.or(own);
        let Some(symbol) = request.symbol.clone() else {
            return Err(Failure::Report(
                "error: .book takes a SYMBOL, unless .symbol has set one\nhint: for example .book BTCUSDT\n"
                    .to_owned(),
            ));
        };
        if request.at.is_none() {
            request.at = self.focus.range.end();
        }
        let terminal = self.reader == Reader::Person && std::io::stdout().is_terminal();
        let live = request.at.is_none() && self.session.attached_to().is_some();
        let mut out = stdout().map_err(output_error)?;
        let mut block = Block::default();
        let mut first = true;
        loop {
            let height = crossterm::terminal::size().map_or(24, |(_, height)| usize::from(height));
            let depth = (height.saturating_sub(6) / 2).clamp(*LEVELS.start(), *LEVELS.end());
            let start = Instant::now();
            let ladder = self.ladder(&request, &symbol, depth)?;
            let took = start.elapsed();
            if ladder.levels.is_empty() && first {
                return Err(self.no_book(&request, &symbol)?);
            }
            if first && !live && request.at.is_none() {
                // No newer one will come: from there it is stepped back.
                request.at = Some(ladder.ts.clone());
            }
            first = false;
            let layout = self.layout();
            let mut text = painted(&symbol, &ladder, layout.width.unwrap_or(80), layout.color);
            if !terminal {
                return self.printer.text(&text);
            }
            text.push_str(if live {
                "live · q ends\n"
            } else {
                "left and right step a second, up and down a minute · q ends\n"
            });
            block.paint(&text, &mut out).map_err(output_error)?;
            let wait = if live {
                EVERY.max(took * REST)
            } else {
                Duration::from_hours(1)
            };
            let step = match self.key(wait)? {
                Key::Stop => return Ok(()),
                Key::Resized => {
                    block.forget(&mut out).map_err(output_error)?;
                    continue;
                }
                Key::None => continue,
                Key::Left => format!("- INTERVAL '{STEP}'"),
                Key::Right => format!("+ INTERVAL '{STEP}'"),
                Key::Down => format!("- INTERVAL '{LEAP}'"),
                Key::Up => format!("+ INTERVAL '{LEAP}'"),
            };
            if let Some(at) = &mut request.at {
                let moved = self.ask(&format!(
                    "SELECT (({}::TIMESTAMP) {step})::VARCHAR",
                    literal(at)
                ))?;
                if let Some(moved) = moved.into_iter().flatten().flatten().next() {
                    *at = moved;
                }
            }
        }
    }

    fn ladder(&mut self, request: &Book, symbol: &str, depth: usize) -> Result<Ladder, Failure> {
        let at = request.at.as_deref().unwrap_or(NEWEST);
        // A snapshot may have the time of its receipt, by another clock than the updates after it: the last message counts.
        let rows = self.ask(&format!(
            "SELECT venue, side, plain_number(price), plain_number(size), last_ts::VARCHAR \
             FROM (SELECT *, arg_max(ts, seq) OVER (PARTITION BY venue) AS last_ts FROM book_at({}, {}, NULL)) \
             WHERE level <= {depth} ORDER BY last_ts DESC, venue, side, level",
            literal(symbol),
            literal(at)
        ))?;
        let mut ladder = Ladder::default();
        for row in rows {
            let [Some(venue), Some(name), Some(price), Some(size), Some(ts)] = row.as_slice()
            else {
                continue;
            };
            let wanted = request
                .venue
                .as_deref()
                .is_none_or(|wanted| wanted == venue);
            if wanted && ladder.venue.is_empty() {
                ladder.venue.clone_from(venue);
                ladder.ts.clone_from(ts);
            }
            if *venue != ladder.venue {
                if !ladder.others.contains(venue) {
                    ladder.others.push(venue.clone());
                }
                continue;
            }
            ladder.levels.push(Level {
                bid: name == "bid",
                price: price.clone(),
                size: size.clone(),
                number: size.parse().unwrap_or(0.0),
            });
        }
        Ok(ladder)
    }

    /// Why there is no book.
    fn no_book(&mut self, request: &Book, symbol: &str) -> Result<Failure, Failure> {
        let symbols = self.ask(
            "SELECT DISTINCT symbol FROM book_tops WHERE symbol IS NOT NULL ORDER BY 1 LIMIT 1000",
        )?;
        let symbols: Vec<String> = symbols.into_iter().flatten().flatten().collect();
        let meant = crate::query::meant(symbol, symbols.iter().map(String::as_str));
        let hint = if symbols.iter().any(|known| known == symbol) {
            "a book is there from its first snapshot on, and not between a gap and the next snapshot".to_owned()
        } else if let Some(meant) = meant {
            format!("did you mean {meant}?")
        } else if symbols.is_empty() {
            "no order book was captured; mdb stream VENUE SYMBOL --channels book captures one"
                .to_owned()
        } else {
            let first: Vec<&str> = symbols.iter().take(8).map(String::as_str).collect();
            format!("there are books of {}", first.join(", "))
        };
        let of = request
            .venue
            .as_ref()
            .map_or_else(String::new, |venue| format!(" of {venue}"));
        let at = request
            .at
            .as_ref()
            .map_or_else(String::new, |at| format!(" at {at}"));
        Ok(Failure::Report(format!(
            "error: there is no order book of {symbol}{of}{at}\nhint: {hint}\n"
        )))
    }
}

/// The ladder: asks above bids, the best in the middle; bars as long as the sizes added up from there.
fn painted(symbol: &str, ladder: &Ladder, width: usize, color: bool) -> String {
    let decimals = |texts: &dyn Fn(&Level) -> &str| {
        let digits = ladder.levels.iter().map(|level| {
            texts(level)
                .split_once('.')
                .map_or(0, |(_, fraction)| fraction.len())
        });
        digits.max().unwrap_or(0)
    };
    let (price_decimals, size_decimals) = (
        decimals(&|level| &level.price),
        decimals(&|level| &level.size),
    );
    let mut asks = side(ladder, false, price_decimals, size_decimals);
    let bids = side(ladder, true, price_decimals, size_decimals);
    let all = || asks.iter().chain(&bids);
    let widest = |i: usize| all().map(|row| row.texts[i].len()).max().unwrap_or(0);
    let (price, size, sum) = (widest(0).max(5), widest(1).max(4), widest(2).max(5));
    let most = all().map(|row| row.sum).fold(0.0, f64::max);
    let room = width.saturating_sub(price + size + sum + 8).min(40);
    let mut text = format!("{symbol} · {} · {} UTC\n", ladder.venue, ladder.ts);
    let _ = writeln!(
        text,
        "{:>price$}  {:>size$}  {:>sum$}",
        "price", "size", "total"
    );
    let spread = match (asks.first(), bids.first()) {
        (Some(ask), Some(bid)) => {
            match (ask.texts[0].parse::<f64>(), bid.texts[0].parse::<f64>()) {
                (Ok(ask), Ok(bid)) => format!("spread {:.price_decimals$}", ask - bid),
                _ => String::new(),
            }
        }
        _ => "one side is empty".to_owned(),
    };
    asks.reverse();
    let mut rows = |rows: &[Row], code: u8| {
        for row in rows {
            let length = if most > 0.0 {
                (row.sum / most * room as f64).round() as usize
            } else {
                0
            };
            let bar = "█".repeat(length);
            let bar = if color {
                format!("\x1b[{code}m{bar}\x1b[0m")
            } else {
                bar
            };
            let [a, b, c] = &row.texts;
            let line = format!("{a:>price$}  {b:>size$}  {c:>sum$}  {bar}");
            text.push_str(line.trim_end());
            text.push('\n');
        }
        std::mem::take(&mut text)
    };
    let mut whole = rows(&asks, 31);
    let _ = writeln!(whole, "{:>price$}  {spread}", "");
    whole.push_str(&rows(&bids, 32));
    if !ladder.others.is_empty() {
        let _ = writeln!(
            whole,
            "also of {}: .book {symbol} VENUE",
            ladder.others.join(", ")
        );
    }
    whole
}

/// Price, size, size added up; and the sum.
struct Row {
    texts: [String; 3],
    sum: f64,
}

fn side(ladder: &Ladder, bid: bool, price_decimals: usize, size_decimals: usize) -> Vec<Row> {
    let mut sum = 0.0;
    let levels = ladder.levels.iter().filter(|level| level.bid == bid);
    levels
        .map(|level| {
            sum += level.number;
            Row {
                texts: [
                    filled(&level.price, price_decimals),
                    filled(&level.size, size_decimals),
                    format!("{sum:.size_decimals$}"),
                ],
                sum,
            }
        })
        .collect()
}

/// A number with zeros up to so many decimals.
fn filled(number: &str, decimals: usize) -> String {
    let have = number
        .split_once('.')
        .map_or(0, |(_, fraction)| fraction.len());
    let point = if have == 0 && decimals > 0 { "." } else { "" };
    format!(
        "{number}{point}{}",
        "0".repeat(decimals - have.min(decimals))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ladder_has_the_best_prices_in_its_middle() {
        let level = |bid, price: &str, size: &str| Level {
            bid,
            price: price.to_owned(),
            size: size.to_owned(),
            number: size.parse().unwrap(),
        };
        let ladder = Ladder {
            venue: "v".to_owned(),
            others: vec!["w".to_owned()],
            ts: "2024-08-08 23:55:00".to_owned(),
            levels: vec![
                level(false, "100.2", "1.0"),
                level(false, "100.25", "3.5"),
                level(true, "100.1", "2.0"),
                level(true, "99.95", "0.5"),
            ],
        };
        insta::assert_snapshot!(painted("BTCUSDT", &ladder, 60, false));
        let colored = painted("BTCUSDT", &ladder, 60, true);
        assert!(colored.contains("\x1b[31m") && colored.contains("\x1b[32m"));
    }
}
