//! A picture as SVG, with nothing from elsewhere in it.

use std::fmt::Write as _;

use super::axis::{self, Tick};
use super::{Chart, Marks};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 480.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 34.0;

/// Colours of lines, in their order (Okabe and Ito's, which the colour-blind tell apart).
const COLORS: [&str; super::LINES] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
];
const UP: &str = "#009e73";
const DOWN: &str = "#d55e00";

/// The picture as a document.
#[must_use]
pub fn svg(chart: &Chart) -> String {
    let (low, high) = chart.y;
    let from_zero = matches!(chart.marks, Marks::Bins(_) | Marks::Depth { .. });
    let room = if from_zero { 0.0 } else { (high - low) * 0.03 };
    let frame = Frame {
        x: chart.x,
        y: (low - room, if high > low { high + room } else { low + 1.0 }),
    };
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
    );
    axes(chart, &frame, &mut text);
    match &chart.marks {
        Marks::Lines(lines) => {
            for (i, line) in lines.iter().enumerate() {
                path(&line.points, &frame, COLORS[i % COLORS.len()], &mut text);
            }
        }
        Marks::Candles(candles) => {
            let width =
                ((WIDTH - LEFT - RIGHT) / candles.len().max(1) as f64 * 0.7).clamp(1.0, 24.0);
            for candle in candles {
                let color = if candle.close >= candle.open {
                    UP
                } else {
                    DOWN
                };
                let x = frame.across(candle.at);
                let (top, bottom) = (
                    frame.up(candle.open.max(candle.close)),
                    frame.up(candle.open.min(candle.close)),
                );
                let _ = writeln!(
                    text,
                    "<path d=\"M{x:.2} {:.2}V{:.2}\" stroke=\"{color}\"/><rect x=\"{:.2}\" y=\"{top:.2}\" width=\"{width:.2}\" height=\"{:.2}\" fill=\"{color}\"/>",
                    frame.up(candle.high),
                    frame.up(candle.low),
                    x - width / 2.0,
                    (bottom - top).max(1.0)
                );
            }
        }
        Marks::Bins(counts) => {
            let width = (WIDTH - LEFT - RIGHT) / counts.len() as f64;
            for (i, count) in counts.iter().enumerate() {
                let top = frame.up(*count as f64);
                let _ = writeln!(
                    text,
                    "<rect x=\"{:.2}\" y=\"{top:.2}\" width=\"{:.2}\" height=\"{:.2}\" fill=\"{}\"/>",
                    LEFT + i as f64 * width,
                    (width - 1.0).max(0.5),
                    HEIGHT - BOTTOM - top,
                    COLORS[0]
                );
            }
        }
        Marks::Depth { bids, asks } => {
            steps(bids, &frame, UP, &mut text);
            steps(asks, &frame, DOWN, &mut text);
        }
    }
    text.push_str("</svg>\n");
    text
}

struct Frame {
    x: (f64, f64),
    y: (f64, f64),
}

impl Frame {
    fn across(&self, value: f64) -> f64 {
        LEFT + (value - self.x.0) / (self.x.1 - self.x.0) * (WIDTH - LEFT - RIGHT)
    }

    fn up(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - (value - self.y.0) / (self.y.1 - self.y.0) * (HEIGHT - TOP - BOTTOM)
    }
}

fn axes(chart: &Chart, frame: &Frame, text: &mut String) {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    for (value, label) in axis::numbers(frame.y, 8) {
        let y = frame.up(value);
        let _ = writeln!(
            text,
            "<path d=\"M{LEFT} {y:.2}H{right}\" stroke=\"#dddddd\"/><text x=\"{}\" y=\"{:.2}\" text-anchor=\"end\">{label}</text>",
            LEFT - 6.0,
            y + 4.0
        );
    }
    let ticks: Vec<Tick> = if chart.time {
        axis::times(frame.x, 8)
    } else {
        axis::numbers(frame.x, 8)
    };
    for (value, label) in ticks {
        let x = frame.across(value);
        let _ = writeln!(
            text,
            "<path d=\"M{x:.2} {bottom}v5\" stroke=\"#333333\"/><text x=\"{x:.2}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            bottom + 20.0
        );
    }
    let _ = writeln!(
        text,
        "<path d=\"M{LEFT} {TOP}V{bottom}H{right}\" fill=\"none\" stroke=\"#333333\"/>"
    );
    let mut x = LEFT;
    let mut caption = |words: &str, color: &str| {
        let _ = writeln!(
            text,
            "<text x=\"{x:.0}\" y=\"20\" fill=\"{color}\">{}</text>",
            escaped(words)
        );
        x += 7.2 * words.chars().count() as f64 + 18.0;
    };
    if !chart.title.is_empty() {
        caption(&chart.title, "#333333");
    }
    if let Marks::Lines(lines) = &chart.marks {
        for (i, line) in lines.iter().enumerate() {
            caption(&line.name, COLORS[i % COLORS.len()]);
        }
    }
    if chart.time {
        caption(
            &format!(
                "{} – {} UTC",
                axis::moment(chart.x.0),
                axis::moment(chart.x.1)
            ),
            "#333333",
        );
    }
}

fn path(points: &[(f64, f64)], frame: &Frame, color: &str, text: &mut String) {
    let mut moves = String::new();
    let mut joined = false;
    for &(x, y) in points {
        if y.is_finite() {
            let letter = if joined { 'L' } else { 'M' };
            let _ = write!(moves, "{letter}{:.2} {:.2}", frame.across(x), frame.up(y));
        }
        joined = y.is_finite();
    }
    let _ = writeln!(
        text,
        "<path d=\"{moves}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\"/>"
    );
}

fn steps(levels: &[(f64, f64)], frame: &Frame, color: &str, text: &mut String) {
    let (Some(best), Some(last)) = (levels.first(), levels.last()) else {
        return;
    };
    let floor = frame.up(0.0);
    let mut moves = format!("M{:.2} {floor:.2}", frame.across(best.0));
    for (price, sum) in levels {
        let _ = write!(moves, "H{:.2}V{:.2}", frame.across(*price), frame.up(*sum));
    }
    let _ = write!(moves, "H{:.2}V{floor:.2}Z", frame.across(last.0));
    let _ = writeln!(
        text,
        "<path d=\"{moves}\" fill=\"{color}\" fill-opacity=\"0.35\" stroke=\"{color}\"/>"
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
