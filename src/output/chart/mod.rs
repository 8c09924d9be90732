//! Pictures of a result: what is drawn is told from its columns, and then painted for a terminal or as a file.

mod axis;
mod bars;
mod columns;
mod encoder;
mod heat;
mod moments;
mod png;
mod scene;
mod svg;
mod terminal;
#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use bars::Bar;
use columns::{Column, Role};
use heat::Heat;

pub(super) use encoder::Picture;
pub use png::png;
pub use svg::{html, svg};
pub use terminal::{Size, terminal};

/// What a picture shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Numbers over time, or over another number.
    Line,
    /// Open, high, low and close of each bar.
    Candles,
    /// How often values are how large.
    Histogram,
    /// Sizes of an order book, added up from the best price on.
    Depth,
    /// How large a number is, by colours over two others; or how many points there are.
    Heat,
    /// A number for each name, as counts by category are.
    Bar,
}

/// Why a result cannot be drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It has no columns for that picture.
    #[error("{kind} needs {needs}; the result has the columns {has}")]
    Columns {
        /// The picture.
        kind: &'static str,
        /// What it is made of.
        needs: &'static str,
        /// The columns there are.
        has: String,
    },
    /// There is nothing in it.
    #[error("the result has no rows with numbers to draw")]
    Empty,
    /// There is nothing in it but what no axis reaches.
    #[error(
        "the result has no rows with numbers to draw but those beyond {:e}",
        LARGEST
    )]
    Beyond,
    /// A column cannot be read.
    #[error(transparent)]
    Column(#[from] super::Error),
    /// Its PNG cannot be made.
    #[error("cannot make the PNG: {0}")]
    Png(String),
}

/// Lines drawn in one picture at most.
const LINES: usize = 6;

/// Lines whose ranges are further apart than so many times are not drawn over one scale.
const SCALE: f64 = 8.0;

/// What lies beyond is not drawn: differences and sums of such numbers are none any more.
const LARGEST: f64 = 1e300;

/// What takes up less than this part of an axis is flat.
const FLAT: f64 = 1.0 / 20.0;

/// A named sequence of points, from left to right; a value that is no number breaks it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

impl Line {
    fn values(&self) -> impl Iterator<Item = f64> {
        let values = self.points.iter().map(|point| point.1);
        values.filter(|value| value.is_finite())
    }

    /// How far its values go apart.
    fn height(&self) -> f64 {
        let ends = self
            .values()
            .fold((f64::MAX, f64::MIN), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        ends.1 - ends.0
    }
}

/// One bar of prices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candle {
    at: f64,
    open: f64,
    high: f64,
    low: f64,
    close: f64,
}

/// What is painted.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Marks {
    Lines(Vec<Line>),
    Candles(Vec<Candle>),
    /// Counts of bins of equal width.
    Bins(Vec<usize>),
    /// Bids from the best down and asks from the best up, with sizes added up.
    Depth {
        bids: Vec<(f64, f64)>,
        asks: Vec<(f64, f64)>,
    },
    Heat(Heat),
    /// From the top down.
    Bars(Vec<Bar>),
}

/// A picture, not yet painted.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    title: String,
    marks: Marks,
    /// If the horizontal axis is of time, the second since 1970 from which on it is counted.
    time: Option<i64>,
    x: (f64, f64),
    y: (f64, f64),
    /// What was left out, and why.
    notes: Vec<String>,
}

impl Chart {
    /// Makes a picture of a result. Its kind is told from the columns' names and types if none is given.
    ///
    /// # Errors
    /// [`Error::Columns`] if the result lacks what the kind needs; [`Error::Empty`], [`Error::Beyond`].
    pub fn new(
        kind: Option<Kind>,
        schema: &Schema,
        batches: &[RecordBatch],
    ) -> Result<Self, Error> {
        let mut columns = columns::read(schema, batches)?;
        let mut beyond = false;
        for number in columns.iter_mut().flat_map(|column| &mut column.numbers) {
            if number.is_finite() && number.abs() > LARGEST {
                *number = f64::NAN;
                beyond = true;
            }
        }
        let chart = match kind.unwrap_or_else(|| choose(&columns)) {
            Kind::Line => lines(&columns),
            Kind::Candles => candles(&columns),
            Kind::Histogram => histogram(&columns),
            Kind::Depth => depth(&columns),
            Kind::Heat => heat::heat(&columns),
            Kind::Bar => bars::bars(&columns),
        };
        match chart {
            Ok(mut chart) if beyond => {
                let note = format!("not drawn: numbers beyond {LARGEST:e}");
                chart.notes.push(note);
                Ok(chart)
            }
            Err(Error::Empty) if beyond => Err(Error::Beyond),
            chart => chart,
        }
    }

    /// What was left out of the picture, and why.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// From when to when it is, in UTC, if its horizontal axis is of time: that of bars from the first one to the last one,
    /// also where the axis is widened around a single one.
    fn span(&self) -> Option<(String, String)> {
        let x = match &self.marks {
            Marks::Candles(bars) => bars
                .first()
                .zip(bars.last())
                .map_or(self.x, |(first, last)| (first.at, last.at)),
            _ => self.x,
        };
        Some(moments::first_and_last(x, self.time?))
    }
}

fn named<'c>(columns: &'c [Column], names: &[&str]) -> Option<&'c Column> {
    names.iter().find_map(|name| {
        columns
            .iter()
            .find(|column| column.role == Role::Number && column.name.eq_ignore_ascii_case(name))
    })
}

/// The picture that the columns suggest.
fn choose(columns: &[Column]) -> Kind {
    let has = |name: &str| named(columns, &[name]).is_some();
    if ["open", "high", "low", "close"]
        .iter()
        .all(|name| has(name))
    {
        return Kind::Candles;
    }
    if sides(columns).is_some() && has("price") && has("size") {
        return Kind::Depth;
    }
    if bars::are_suggested(columns) {
        return Kind::Bar;
    }
    let numbers = columns.iter().filter(|column| column.is_drawn()).count();
    let time = columns.iter().any(|column| column.role == Role::Time);
    if time || numbers > 1 {
        Kind::Line
    } else {
        Kind::Histogram
    }
}

/// A column of 'bid' and 'ask'.
fn sides(columns: &[Column]) -> Option<&Column> {
    columns.iter().find(|column| {
        let mut texts = column.texts.iter().flatten().peekable();
        column.role == Role::Text
            && texts.peek().is_some()
            && texts.all(|text| matches!(text.as_str(), "bid" | "ask"))
    })
}

fn lacking(kind: &'static str, needs: &'static str, columns: &[Column]) -> Error {
    let has: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    Error::Columns {
        kind,
        needs,
        has: has.join(", "),
    }
}

/// The least and the greatest of some values, apart in any case.
fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let room = |only: f64| if only == 0.0 { 1.0 } else { only.abs() * 1e-3 };
    widened(values, room)
}

/// The range of a horizontal axis: of times if it is counted from a second on.
fn horizontal_range(time: Option<i64>, values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    const HALF_A_SECOND: f64 = 0.5;
    if time.is_some() {
        widened(values, |_| HALF_A_SECOND)
    } else {
        range(values)
    }
}

/// The ends of some values; of a single one so far from it as `room` tells.
fn widened(values: impl Iterator<Item = f64>, room: impl Fn(f64) -> f64) -> Option<(f64, f64)> {
    let mut values = values.filter(|value| value.is_finite());
    let first = values.next()?;
    let (low, high) = values.fold((first, first), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if low < high {
        return Some((low, high));
    }
    Some((low - room(low), high + room(high)))
}

fn horizontal(columns: &[Column]) -> Option<&Column> {
    let time = columns.iter().find(|column| column.role == Role::Time);
    time.or_else(|| {
        let numbers = columns.iter().filter(|column| column.is_drawn());
        Some(numbers.collect::<Vec<_>>())
            .filter(|numbers| numbers.len() > 1)?
            .first()
            .copied()
    })
}

/// Makes of lines that would all be flat on one axis, as the prices of several symbols are, their changes from the first
/// value, in percent. False where they stay as they are.
fn as_changes(lines: &mut [Line]) -> bool {
    let Some((low, high)) = range(lines.iter().flat_map(Line::values)) else {
        return false;
    };
    let highest = lines.iter().map(Line::height).fold(0.0, f64::max);
    let has_changes = lines
        .iter()
        .all(|line| line.values().next().is_none_or(|first| first > 0.0));
    if highest <= 0.0 || highest >= (high - low) * FLAT || !has_changes {
        return false;
    }
    for line in lines {
        let Some(first) = line.values().next() else {
            continue;
        };
        for point in &mut line.points {
            point.1 = (point.1 / first - 1.0) * 100.0;
        }
    }
    true
}

fn lines(columns: &[Column]) -> Result<Chart, Error> {
    let needs = "a column of times and one of numbers, or two of numbers";
    let x = horizontal(columns).ok_or_else(|| lacking("line", needs, columns))?;
    let drawn: Vec<&Column> = columns
        .iter()
        .filter(|column| column.is_drawn() && column.name != x.name)
        .collect();
    let first = named(columns, &["close", "price", "mid", "vwap", "spread"])
        .filter(|column| drawn.iter().any(|drawn| drawn.name == column.name))
        .or_else(|| drawn.first().copied())
        .ok_or_else(|| lacking("line", needs, columns))?;
    let mut notes = Vec::new();
    let whole = range(first.numbers.iter().copied()).ok_or(Error::Empty)?;
    let fits = |column: &Column| {
        range(column.numbers.iter().copied()).is_some_and(|(low, high)| {
            let (width, whole_width) = (high - low, whole.1 - whole.0);
            let both = high.max(whole.1) - low.min(whole.0);
            both <= SCALE * whole_width.max(width)
        })
    };
    let mut found: Vec<Line> = Vec::new();
    let group = columns
        .iter()
        .find(|column| column.role == Role::Text && column.groups(LINES));
    if let Some(group) = group {
        for name in group.distinct() {
            let rows = (0..x.numbers.len()).filter(|&row| group.texts[row].as_ref() == Some(&name));
            found.push(Line {
                points: rows
                    .map(|row| (x.numbers[row], first.numbers[row]))
                    .collect(),
                name,
            });
        }
    } else {
        let others = drawn.iter().filter(|column| column.name != first.name);
        let (with, without): (Vec<&Column>, Vec<&Column>) =
            others.copied().partition(|column| fits(column));
        if !without.is_empty() {
            let names: Vec<&str> = without.iter().map(|column| column.name.as_str()).collect();
            notes.push(format!(
                "not drawn, for their scale differs: {}",
                names.join(", ")
            ));
        }
        for column in std::iter::once(first).chain(with).take(LINES) {
            found.push(Line {
                name: column.name.clone(),
                points: x
                    .numbers
                    .iter()
                    .copied()
                    .zip(column.numbers.iter().copied())
                    .collect(),
            });
        }
    }
    for line in &mut found {
        line.points.retain(|(x, _)| x.is_finite());
        line.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    let title = match group {
        Some(_) if as_changes(&mut found) => format!("{}, change in %", first.name),
        Some(_) => first.name.clone(),
        None => String::new(),
    };
    let points = || found.iter().flat_map(|line| line.points.iter());
    Ok(Chart {
        title,
        time: x.origin,
        x: horizontal_range(x.origin, points().map(|point| point.0)).ok_or(Error::Empty)?,
        y: range(points().map(|point| point.1)).ok_or(Error::Empty)?,
        marks: Marks::Lines(found),
        notes,
    })
}

fn candles(columns: &[Column]) -> Result<Chart, Error> {
    let needs = "the columns open, high, low and close";
    let column =
        |name: &str| named(columns, &[name]).ok_or_else(|| lacking("candles", needs, columns));
    let (open, high, low, close) = (
        column("open")?,
        column("high")?,
        column("low")?,
        column("close")?,
    );
    let time = columns.iter().find(|column| column.role == Role::Time);
    let origin = time.and_then(|time| time.origin);
    let mut candles: Vec<Candle> = (0..open.numbers.len())
        .map(|row| Candle {
            at: time.map_or(row as f64, |time| time.numbers[row]),
            open: open.numbers[row],
            high: high.numbers[row],
            low: low.numbers[row],
            close: close.numbers[row],
        })
        .filter(|candle| {
            [
                candle.at,
                candle.open,
                candle.high,
                candle.low,
                candle.close,
            ]
            .iter()
            .all(|v| v.is_finite())
        })
        .collect();
    candles.sort_by(|a, b| a.at.total_cmp(&b.at));
    let mut notes = Vec::new();
    let group = columns
        .iter()
        .find(|column| column.role == Role::Text && column.groups(usize::MAX));
    if let Some(group) = group {
        notes.push(format!(
            "{} has several values; their bars are drawn over one another",
            group.name
        ));
    }
    Ok(Chart {
        title: String::new(),
        time: origin,
        x: horizontal_range(origin, candles.iter().map(|candle| candle.at)).ok_or(Error::Empty)?,
        y: range(candles.iter().flat_map(|candle| [candle.low, candle.high]))
            .ok_or(Error::Empty)?,
        marks: Marks::Candles(candles),
        notes,
    })
}

fn histogram(columns: &[Column]) -> Result<Chart, Error> {
    const BINS: RangeInclusive<usize> = 5..=60;
    let column = columns
        .iter()
        .find(|column| column.is_drawn())
        .or_else(|| columns.iter().find(|column| column.role == Role::Time))
        .ok_or_else(|| lacking("histogram", "a column of numbers", columns))?;
    let values: Vec<f64> = column
        .numbers
        .iter()
        .copied()
        .filter(|value| value.is_finite())
        .collect();
    let (low, high) =
        horizontal_range(column.origin, values.iter().copied()).ok_or(Error::Empty)?;
    // Twice as many as Sturges proposes: the eye joins bins more easily than it parts them.
    let bins = (2.0 * ((values.len() as f64).log2() + 1.0)).ceil() as usize;
    let bins = bins.clamp(*BINS.start(), *BINS.end());
    let mut counts = vec![0; bins];
    for value in &values {
        let place = (value - low) / (high - low) * bins as f64;
        counts[(place as usize).min(bins - 1)] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or(0);
    Ok(Chart {
        title: column.name.clone(),
        time: column.origin,
        x: (low, high),
        y: (0.0, most as f64),
        marks: Marks::Bins(counts),
        notes: Vec::new(),
    })
}

fn depth(columns: &[Column]) -> Result<Chart, Error> {
    let needs = "the columns side ('bid', 'ask'), price and size";
    let lacks = || lacking("depth", needs, columns);
    let sides = sides(columns).ok_or_else(lacks)?;
    let price = named(columns, &["price"]).ok_or_else(lacks)?;
    let size = named(columns, &["size"]).ok_or_else(lacks)?;
    let ladder = |name: &str| {
        let rows =
            (0..price.numbers.len()).filter(|&row| sides.texts[row].as_deref() == Some(name));
        let mut levels: Vec<(f64, f64)> = rows
            .map(|row| (price.numbers[row], size.numbers[row]))
            .filter(|(price, size)| price.is_finite() && size.is_finite())
            .collect();
        levels.sort_by(|a, b| a.0.total_cmp(&b.0));
        if name == "bid" {
            levels.reverse();
        }
        let mut sum = 0.0;
        for level in &mut levels {
            sum += level.1;
            level.1 = sum;
        }
        levels
    };
    let (bids, asks) = (ladder("bid"), ladder("ask"));
    let levels = || bids.iter().chain(&asks);
    let (_, most) = range(levels().map(|level| level.1)).ok_or(Error::Empty)?;
    let title = match (bids.first(), asks.first()) {
        (Some(bid), Some(ask)) => format!(
            "bid {} · ask {} · spread {}",
            axis::plain(bid.0),
            axis::plain(ask.0),
            axis::plain(ask.0 - bid.0)
        ),
        _ => String::new(),
    };
    Ok(Chart {
        title,
        time: None,
        x: range(levels().map(|level| level.0)).ok_or(Error::Empty)?,
        y: (0.0, most),
        marks: Marks::Depth { bids, asks },
        notes: Vec::new(),
    })
}
