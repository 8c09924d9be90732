//! A picture in a terminal: braille dots for lines, blocks for bars, with axes and their labels.

use std::fmt::Write as _;

use super::heat::Grid;
use super::{Candle, Chart, Line, Marks, axis, bars};

/// Where a picture is painted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: usize,
    /// Lines, of which some go to axis and legend.
    pub height: usize,
    /// Whether escape codes may be used.
    pub color: bool,
}

/// Colours of lines, in their order: SGR codes that are readable on dark and light.
pub(super) const COLORS: [u8; super::LINES] = [36, 33, 35, 32, 34, 31];
const UP: u8 = 32;
const DOWN: u8 = 31;

/// From cold to hot, with colours and without.
const RAMP: [Cell; 8] = [
    ('░', 34),
    ('▒', 34),
    ('▓', 34),
    ('▓', 36),
    ('█', 36),
    ('█', 32),
    ('█', 33),
    ('█', 31),
];
const SHADES: &str = "░▒▓█";

/// A character and its colour; 0 for none.
type Cell = (char, u8);

/// Paints a picture. Every line ends with a line break.
#[must_use]
pub fn terminal(chart: &Chart, size: Size) -> String {
    const LEAST: (usize, usize) = (20, 6);
    // Title, axis, its labels.
    const OTHER_LINES: usize = 3;
    let (width, height) = (
        size.width.max(LEAST.0),
        size.height.max(LEAST.1) - OTHER_LINES,
    );
    let y_range = padded(chart);
    let y_ticks = axis::numbers(y_range, (height / 3).max(2));
    let label = y_ticks
        .iter()
        .map(|(_, label)| label.chars().count())
        .max()
        .unwrap_or(0);
    let plot_width = width.saturating_sub(label + 2).max(8);
    let mut legend = String::new();
    let cells = match &chart.marks {
        Marks::Heat(heat) => {
            let grid = heat.grid(chart, plot_width, height);
            legend = heat.legend(&grid, SHADES);
            paint_heat(&grid, plot_width, height, size.color)
        }
        Marks::Lines(lines) => {
            let mut cells = paint_lines(lines, chart.x, y_range, plot_width, height);
            if lines.len() > 1 && !size.color {
                number_lines(lines, chart.x, y_range, &mut cells);
            }
            cells
        }
        Marks::Candles(candles) => {
            paint_candles(candles, chart.x, y_range, plot_width, height, size.color)
        }
        Marks::Bins(counts) => paint_bins(counts, y_range.1, plot_width, height),
        Marks::Depth { bids, asks } => {
            paint_depth([bids, asks], chart.x, y_range, plot_width, height)
        }
        Marks::Bars(bars) => {
            // They need no scale: each bears its value.
            let title = title(chart, "", width, size.color);
            return bars::paint(chart, bars, &title, Size { width, ..size });
        }
    };
    let mut text = title(chart, &legend, width, size.color);
    let line_of = |value: f64| {
        let part = (value - y_range.0) / (y_range.1 - y_range.0);
        ((1.0 - part) * (height - 1) as f64).round() as usize
    };
    for (row, line) in cells.iter().enumerate() {
        let tick = y_ticks.iter().find(|(value, _)| line_of(*value) == row);
        let mark = if tick.is_some() { '┤' } else { '│' };
        let _ = write!(
            text,
            "{:>label$} {mark}",
            tick.map_or("", |(_, label)| label)
        );
        push_cells(line, size.color, &mut text);
        text.push('\n');
    }
    axis_lines(chart, label, plot_width, &mut text);
    text
}

/// The vertical range, with some room at its ends where it does not begin at zero.
fn padded(chart: &Chart) -> (f64, f64) {
    let (low, high) = chart.y;
    if matches!(chart.marks, Marks::Bins(_) | Marks::Depth { .. }) {
        return (0.0, if high > 0.0 { high } else { 1.0 });
    }
    if matches!(chart.marks, Marks::Heat(_)) {
        return (low, high);
    }
    let room = (high - low) * 0.02;
    (low - room, high + room)
}

pub(super) fn painted(text: &str, color: u8, on: bool) -> String {
    if on && color > 0 {
        format!("\x1b[{color}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

fn title(chart: &Chart, legend: &str, width: usize, color: bool) -> String {
    let mut parts: Vec<(String, u8)> = Vec::new();
    if !legend.is_empty() {
        parts.push((legend.to_owned(), 0));
    }
    if let Marks::Lines(lines) = &chart.marks {
        for (i, line) in lines.iter().enumerate() {
            let mark = if lines.len() > 1 && !color {
                format!("{}: ", i + 1)
            } else {
                String::new()
            };
            parts.push((
                format!("{mark}{}", line.name),
                if lines.len() > 1 { COLORS[i] } else { 0 },
            ));
        }
    }
    if !chart.title.is_empty() {
        parts.insert(0, (chart.title.clone(), 0));
    }
    if let Some((from, to)) = chart.span() {
        let day = |text: &str| text.rsplit_once(' ').map(|(day, _)| day.to_owned());
        let span = if from == to {
            from
        } else if day(&from) == day(&to) {
            format!("{from} – {}", to.rsplit(' ').next().unwrap_or(""))
        } else {
            format!("{from} – {to}")
        };
        parts.push((format!("{span} UTC"), 0));
    }
    let mut text = String::from(" ");
    let mut used = 1;
    for (part, code) in parts {
        let long = part.chars().count() + 2;
        if used + long > width {
            break;
        }
        used += long;
        text.push(' ');
        text.push_str(&painted(&part, code, color));
        text.push(' ');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn push_cells(line: &[Cell], color: bool, text: &mut String) {
    let end = line
        .iter()
        .rposition(|(c, _)| *c != ' ')
        .map_or(0, |i| i + 1);
    let mut current = 0;
    for (c, code) in &line[..end] {
        if color && *code != current {
            let _ = write!(text, "\x1b[{code}m");
            current = *code;
        }
        text.push(*c);
    }
    if current != 0 {
        text.push_str("\x1b[0m");
    }
}

/// The horizontal axis and its labels, which do not touch.
fn axis_lines(chart: &Chart, label: usize, width: usize, text: &mut String) {
    let wide = if chart.time.is_some() { 12 } else { 10 };
    let ticks = axis::horizontal(chart.time, chart.x, width, wide);
    let mut axis = vec!['─'; width];
    let mut labels = vec![' '; width + label + 2];
    let mut free = 0;
    for (value, name) in ticks {
        let place = scaled(value, chart.x, width);
        let length = name.chars().count();
        let start = (place + label + 2)
            .saturating_sub(length / 2)
            .min(labels.len().saturating_sub(length));
        if start < free || place >= width {
            continue;
        }
        axis[place] = '┬';
        for (cell, c) in labels[start..].iter_mut().zip(name.chars()) {
            *cell = c;
        }
        free = start + length + 2;
    }
    let axis: String = axis.into_iter().collect();
    let labels: String = labels.into_iter().collect();
    let _ = writeln!(text, "{:>label$} └{axis}", "");
    let _ = writeln!(text, "{}", labels.trim_end());
}

/// The cell of a value on an axis of so many cells.
fn scaled(value: f64, (low, high): (f64, f64), cells: usize) -> usize {
    let part = ((value - low) / (high - low)).clamp(0.0, 1.0);
    (part * cells.saturating_sub(1) as f64).round() as usize
}

/// Dots of two columns and four lines a character.
struct Dots {
    width: usize,
    height: usize,
    cells: Vec<(u8, u8)>,
}

impl Dots {
    fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            cells: vec![(0, 0); width * height],
        }
    }

    fn dot(&mut self, x: usize, y: usize, color: u8) {
        // From the top, left column first: Unicode's order of the eight dots.
        const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
        let (column, line) = (x / 2, y / 4);
        if column < self.width && line < self.height {
            let cell = &mut self.cells[line * self.width + column];
            *cell = (cell.0 | BITS[x % 2][y % 4], color);
        }
    }

    /// A straight line between two dots (Bresenham).
    fn line(&mut self, from: (usize, usize), to: (usize, usize), color: u8) {
        let (mut x, mut y) = (from.0 as i64, from.1 as i64);
        let (end_x, end_y) = (to.0 as i64, to.1 as i64);
        let (dx, dy) = ((end_x - x).abs(), -(end_y - y).abs());
        let (step_x, step_y) = ((end_x - x).signum(), (end_y - y).signum());
        let mut error = dx + dy;
        loop {
            self.dot(x as usize, y as usize, color);
            if x == end_x && y == end_y {
                return;
            }
            let twice = 2 * error;
            if twice >= dy {
                error += dy;
                x += step_x;
            }
            if twice <= dx {
                error += dx;
                y += step_y;
            }
        }
    }

    fn into_cells(self) -> Vec<Vec<Cell>> {
        let width = self.width;
        let braille = |(bits, color): &(u8, u8)| match bits {
            0 => (' ', 0),
            bits => (
                char::from_u32(0x2800 + u32::from(*bits)).unwrap_or(' '),
                *color,
            ),
        };
        self.cells
            .chunks(width)
            .map(|line| line.iter().map(braille).collect())
            .collect()
    }
}

fn paint_lines(
    lines: &[Line],
    x: (f64, f64),
    y: (f64, f64),
    width: usize,
    height: usize,
) -> Vec<Vec<Cell>> {
    let mut dots = Dots::new(width, height);
    for (i, line) in lines.iter().enumerate() {
        let color = COLORS[i % COLORS.len()];
        let mut last = None;
        for &(at, value) in &line.points {
            if !value.is_finite() {
                last = None;
                continue;
            }
            let dot = (
                scaled(at, x, width * 2),
                height * 4 - 1 - scaled(value, y, height * 4),
            );
            dots.line(last.unwrap_or(dot), dot, color);
            last = Some(dot);
        }
    }
    dots.into_cells()
}

/// Writes the number of each line at its right end, or left of another's that ends there.
fn number_lines(lines: &[Line], x: (f64, f64), y: (f64, f64), cells: &mut [Vec<Cell>]) {
    let height = cells.len();
    for (line, digit) in lines.iter().zip('1'..='9') {
        let last = line.points.iter().rfind(|(_, value)| value.is_finite());
        let Some(&(at, value)) = last else {
            continue;
        };
        let row = &mut cells[height - 1 - scaled(value, y, height * 4) / 4];
        let end = scaled(at, x, row.len() * 2) / 2;
        let free = row[..=end].iter().rposition(|(c, _)| !c.is_ascii_digit());
        if let Some(place) = free {
            row[place] = (digit, 0);
        }
    }
}

/// As many bars as there are columns: neighbours that share one become one bar.
fn gathered(candles: &[Candle], x: (f64, f64), width: usize) -> Vec<(usize, Candle)> {
    let mut bars: Vec<(usize, Candle)> = Vec::new();
    for candle in candles {
        let column = scaled(candle.at, x, width);
        match bars.last_mut() {
            Some((last, bar)) if *last == column => {
                bar.high = bar.high.max(candle.high);
                bar.low = bar.low.min(candle.low);
                bar.close = candle.close;
            }
            _ => bars.push((column, *candle)),
        }
    }
    bars
}

fn paint_candles(
    candles: &[Candle],
    x: (f64, f64),
    y: (f64, f64),
    width: usize,
    height: usize,
    color: bool,
) -> Vec<Vec<Cell>> {
    let mut cells = vec![vec![(' ', 0); width]; height];
    // Two halves a line, from the top.
    let half = |value: f64| height * 2 - 1 - scaled(value, y, height * 2);
    for (column, bar) in gathered(candles, x, width) {
        let up = bar.close >= bar.open;
        let wick = half(bar.high)..=half(bar.low);
        let body = half(bar.open.max(bar.close))..=half(bar.open.min(bar.close));
        for (row, line) in cells.iter_mut().enumerate() {
            let part =
                |at: usize| usize::from(wick.contains(&at)) + usize::from(body.contains(&at));
            let c = match (part(row * 2), part(row * 2 + 1)) {
                (0, 0) => continue,
                (0, 1) => '╷',
                (1, 0) => '╵',
                (1, 1) => '│',
                // Without colours what falls is filled.
                (0, 2) if !up && !color => '▄',
                (2, 0) if !up && !color => '▀',
                (2, 2) if !up && !color => '█',
                (0, 2) => '╻',
                (2, 0) => '╹',
                (1, 2) => '╽',
                (2, 1) => '╿',
                _ => '┃',
            };
            line[column] = (c, if up { UP } else { DOWN });
        }
    }
    cells
}

fn paint_bins(counts: &[usize], most: f64, width: usize, height: usize) -> Vec<Vec<Cell>> {
    const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let mut cells = vec![vec![(' ', 0); width]; height];
    for column in 0..width {
        let count = counts[(column * counts.len() / width).min(counts.len() - 1)];
        let exact = count as f64 / most * (height * 8) as f64;
        // What there is, however little, is seen.
        let eighths = (exact.round() as usize).max(usize::from(count > 0));
        for (row, line) in cells.iter_mut().rev().enumerate() {
            let filled = eighths.saturating_sub(row * 8).min(8);
            line[column] = (EIGHTHS[filled], if filled > 0 { COLORS[0] } else { 0 });
        }
    }
    cells
}

fn paint_heat(grid: &Grid, width: usize, height: usize, color: bool) -> Vec<Vec<Cell>> {
    let cell = |column: usize, line: usize| {
        let row = (height - 1 - line) * grid.rows / height;
        let Some(heat) = grid.heat(column * grid.columns / width, row) else {
            return (' ', 0);
        };
        let step = ((heat * RAMP.len() as f64) as usize).min(RAMP.len() - 1);
        if color {
            return RAMP[step];
        }
        let shades = SHADES.chars().count();
        (
            SHADES
                .chars()
                .nth(step * shades / RAMP.len())
                .unwrap_or('█'),
            0,
        )
    };
    (0..height)
        .map(|line| (0..width).map(|column| cell(column, line)).collect())
        .collect()
}

fn paint_depth(
    sides: [&Vec<(f64, f64)>; 2],
    x: (f64, f64),
    y: (f64, f64),
    width: usize,
    height: usize,
) -> Vec<Vec<Cell>> {
    let mut dots = Dots::new(width, height);
    let bottom = height * 4 - 1;
    for (levels, color, is_bid) in [(sides[0], UP, true), (sides[1], DOWN, false)] {
        let Some(best) = levels.first() else {
            continue;
        };
        let first = scaled(best.0, x, width * 2);
        let end = if is_bid { 0 } else { width * 2 - 1 };
        let columns: Vec<usize> = if is_bid {
            (end..=first).rev().collect()
        } else {
            (first..=end).collect()
        };
        let mut next = 0;
        let mut sum = 0.0;
        for column in columns {
            let reached = |price: f64| {
                let at = scaled(price, x, width * 2);
                if is_bid { at >= column } else { at <= column }
            };
            while next < levels.len() && reached(levels[next].0) {
                sum = levels[next].1;
                next += 1;
            }
            let top = bottom - scaled(sum, y, height * 4);
            for dot in top..=bottom {
                dots.dot(column, dot, color);
            }
        }
    }
    dots.into_cells()
}
