//! Horizontal bars: a number for each name, as counts by category are.

use std::collections::HashSet;
use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr;

use super::columns::{Column, Role};
use super::scene::{self, Anchor, Shape};
use super::terminal::{self, Size};
use super::{Chart, Error, Marks, axis, lacking};
use crate::output::cut;

/// Names that are taken for categories if nobody asks for bars; more are rather a sample of numbers.
const CATEGORIES: usize = 100;

/// A number and what it is of.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::output) struct Bar {
    name: String,
    value: f64,
}

/// Whether each row is the number of a name of its own.
pub(super) fn are_suggested(columns: &[Column]) -> bool {
    let has_time = columns.iter().any(|column| column.role == Role::Time);
    let Some(number) = columns.iter().find(|column| column.is_drawn()) else {
        return false;
    };
    let rows = number.numbers.len();
    if has_time || !(1..=CATEGORIES).contains(&rows) || texts(columns).next().is_none() {
        return false;
    }
    let mut seen = HashSet::new();
    (0..rows).all(|row| seen.insert(name(columns, row)))
}

/// Made of a column of numbers and the columns of texts, whose values together are the names.
pub(super) fn bars(columns: &[Column]) -> Result<Chart, Error> {
    let needs = "a column of names and one of numbers";
    let lacks = || lacking("bar", needs, columns);
    texts(columns).next().ok_or_else(lacks)?;
    let mut numbers = columns.iter().filter(|column| column.is_drawn());
    let number = numbers.next().ok_or_else(lacks)?;
    let others: Vec<&str> = numbers.map(|column| column.name.as_str()).collect();
    let bars: Vec<Bar> = number
        .numbers
        .iter()
        .enumerate()
        .filter(|(_, value)| value.is_finite())
        .map(|(row, value)| Bar {
            name: name(columns, row),
            value: *value,
        })
        .collect();
    if bars.is_empty() {
        return Err(Error::Empty);
    }
    // A bar begins at zero.
    let ends = bars.iter().fold((0.0_f64, 0.0_f64), |(low, high), bar| {
        (low.min(bar.value), high.max(bar.value))
    });
    let x = if ends.0 < ends.1 { ends } else { (0.0, 1.0) };
    Ok(Chart {
        title: number.name.clone(),
        time: None,
        x,
        y: (0.0, bars.len() as f64),
        marks: Marks::Bars(bars),
        notes: if others.is_empty() {
            Vec::new()
        } else {
            vec![format!("bars have no place for {}", others.join(", "))]
        },
    })
}

fn texts(columns: &[Column]) -> impl Iterator<Item = &Column> {
    columns.iter().filter(|column| column.role == Role::Text)
}

/// What the texts of a row say, in one line.
fn name(columns: &[Column], row: usize) -> String {
    let of = |column: &Column| match column.texts.get(row) {
        Some(Some(text)) => text.clone(),
        _ => "NULL".to_owned(),
    };
    texts(columns).map(of).collect::<Vec<_>>().join(" ")
}

/// Where a value lies in a range, from 0 to 1.
fn part(value: f64, (low, high): (f64, f64)) -> f64 {
    let part = (value - low) / (high - low);
    if part.is_finite() {
        part.clamp(0.0, 1.0)
    } else {
        0.0
    }
}

/// How many are not shown, in words.
fn more(bars: &[Bar], shown: usize) -> Option<String> {
    (shown < bars.len()).then(|| format!("… {} more", bars.len() - shown))
}

/// Paints bars in a terminal below a line of title, which ends with a line break: one a line, its name before and its
/// value behind it.
pub(super) fn paint(chart: &Chart, bars: &[Bar], title: &str, size: Size) -> String {
    // The title's, and what says how many more there are.
    const OTHER_LINES: usize = 2;
    // Around the axis, and before the value.
    const SPACES: usize = 3;
    let lines = size.height.saturating_sub(OTHER_LINES).max(1);
    let shown = bars.len().min(lines);
    let values: Vec<String> = bars[..shown]
        .iter()
        .map(|bar| axis::plain(bar.value))
        .collect();
    let names = bars[..shown].iter().map(|bar| bar.name.width());
    let name_width = names.max().unwrap_or(0).min(size.width / 3);
    let value_width = values.iter().map(|value| value.width()).max().unwrap_or(0);
    let room = size.width.saturating_sub(name_width + value_width + SPACES);
    let room = room.max(1);
    let mut text = title.to_owned();
    for (bar, value) in bars.iter().zip(&values) {
        let name = cut(&bar.name, name_width);
        let pad = " ".repeat(name_width.saturating_sub(name.width()));
        let line = blocks(bar.value, chart.x, room);
        let line = terminal::painted(&line, terminal::COLORS[0], size.color);
        let _ = writeln!(text, "{name}{pad} │{line} {value}");
    }
    if let Some(more) = more(bars, shown) {
        let _ = writeln!(text, "{more}");
    }
    text
}

/// A bar from zero to a value, in the cells of a line.
fn blocks(value: f64, range: (f64, f64), cells: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let zero = (part(0.0, range) * cells as f64).round() as usize;
    let length = (part(value, range) - part(0.0, range)).abs() * cells as f64;
    if value < 0.0 {
        // There are no blocks that fill a cell from its right.
        let filled = (length.round() as usize).clamp(1, zero.max(1));
        return format!(
            "{}{}",
            " ".repeat(zero.saturating_sub(filled)),
            "█".repeat(filled)
        );
    }
    // What there is, however little, is seen.
    let eighths = ((length * 8.0).round() as usize).max(usize::from(value > 0.0));
    let eighths = eighths.min(cells.saturating_sub(zero) * 8);
    format!(
        "{}{}{}",
        " ".repeat(zero),
        "█".repeat(eighths / 8),
        EIGHTHS[eighths % 8]
    )
}

/// The shapes of bars on a sheet.
pub(super) fn shapes(chart: &Chart, bars: &[Bar]) -> Vec<Shape> {
    /// More would be thinner than their names.
    const MOST: usize = 26;
    const LETTERS: usize = 26;
    /// Room for a letter of the wider of the two fonts, that of a PNG.
    const LETTER: f64 = 9.6;
    const GAP: f64 = 6.0;
    const THICKEST: f64 = 28.0;
    let shown = &bars[..bars.len().min(MOST)];
    let names: Vec<String> = shown.iter().map(|bar| cut(&bar.name, LETTERS)).collect();
    let values: Vec<String> = shown.iter().map(|bar| axis::plain(bar.value)).collect();
    let widest = |texts: &[String]| {
        let widest = texts.iter().map(|text| text.width()).max();
        widest.unwrap_or(0) as f64 * LETTER
    };
    // In a PNG `…` takes three letters.
    let left = widest(&names) + 4.0 * GAP;
    let right = scene::WIDTH - widest(&values) - 2.0 * GAP;
    let step = ((scene::HEIGHT - scene::TOP - GAP) / shown.len() as f64).min(THICKEST);
    let across = |value: f64| left + part(value, chart.x) * (right - left);
    let text = |x: f64, y: f64, anchor: Anchor, words: String| Shape::Text {
        x,
        y,
        anchor,
        color: scene::INK,
        words,
    };
    let mut shapes = vec![text(
        left,
        scene::CAPTION,
        Anchor::Start,
        chart.title.clone(),
    )];
    for (i, (bar, (name, value))) in shown.iter().zip(names.into_iter().zip(values)).enumerate() {
        let top = scene::TOP + i as f64 * step;
        // The letters' middle is a little above the line they stand on.
        let baseline = top + step / 2.0 + 4.0;
        let (from, to) = (across(bar.value.min(0.0)), across(bar.value.max(0.0)));
        shapes.push(Shape::Rect {
            x: from,
            y: top + step * 0.1,
            width: (to - from).max(0.5),
            height: step * 0.8,
            fill: scene::COLORS[0],
        });
        shapes.push(text(left - GAP, baseline, Anchor::End, name));
        shapes.push(text(to + GAP, baseline, Anchor::Start, value));
    }
    let bottom = scene::TOP + shown.len() as f64 * step;
    let zero = across(0.0);
    shapes.push(scene::line((zero, scene::TOP), (zero, bottom), scene::INK));
    if let Some(more) = more(bars, shown.len()) {
        shapes.push(text(scene::WIDTH - GAP, scene::CAPTION, Anchor::End, more));
    }
    shapes
}
