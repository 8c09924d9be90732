//! A picture as SVG, with nothing from elsewhere in it.

use std::fmt::Write as _;

use super::axis::{self, Tick};
use super::heat::Heat;
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

/// Colours from cold to hot (viridis).
const RAMP: [[f64; 3]; 5] = [
    [68.0, 1.0, 84.0],
    [59.0, 82.0, 139.0],
    [33.0, 145.0, 140.0],
    [94.0, 201.0, 98.0],
    [253.0, 231.0, 37.0],
];

/// The picture as a page.
#[must_use]
pub fn html(chart: &Chart) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{}</title>\n\
         <style>body{{margin:1rem}}svg{{max-width:100%;height:auto}}</style></head>\n<body>\n{}</body>\n</html>\n",
        escaped(if chart.title.is_empty() {
            "mdb"
        } else {
            &chart.title
        }),
        svg(chart)
    )
}

/// The picture as a document.
#[must_use]
pub fn svg(chart: &Chart) -> String {
    let (low, high) = chart.y;
    let exact = matches!(
        chart.marks,
        Marks::Bins(_) | Marks::Depth { .. } | Marks::Heat(_)
    );
    let room = if exact { 0.0 } else { (high - low) * 0.03 };
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
        Marks::Heat(heat) => cells(heat, chart, &mut text),
        Marks::Depth { bids, asks } => {
            steps(bids, &frame, UP, &mut text);
            steps(asks, &frame, DOWN, &mut text);
        }
    }
    text.push_str("</svg>\n");
    text
}

fn cells(heat: &Heat, chart: &Chart, text: &mut String) {
    const MOST: (usize, usize) = (200, 100);
    let grid = heat.grid(chart, MOST.0, MOST.1);
    let width = (WIDTH - LEFT - RIGHT) / grid.columns as f64;
    let height = (HEIGHT - TOP - BOTTOM) / grid.rows as f64;
    for row in 0..grid.rows {
        for column in 0..grid.columns {
            let Some(heat) = grid.heat(column, row) else {
                continue;
            };
            let _ = writeln!(
                text,
                "<rect x=\"{:.2}\" y=\"{:.2}\" width=\"{:.2}\" height=\"{:.2}\" fill=\"{}\"/>",
                LEFT + column as f64 * width,
                HEIGHT - BOTTOM - (row + 1) as f64 * height,
                // No line is left between neighbours.
                width + 0.3,
                height + 0.3,
                hot(heat)
            );
        }
    }
    let _ = writeln!(
        text,
        "<text x=\"{}\" y=\"20\" text-anchor=\"end\" fill=\"#333333\">{}</text>",
        WIDTH - RIGHT,
        escaped(&heat.legend(&grid, "…"))
    );
}

/// The colour of a cell that is so hot, from 0 to 1.
fn hot(heat: f64) -> String {
    let place = heat * (RAMP.len() - 1) as f64;
    let step = (place as usize).min(RAMP.len() - 2);
    let part = place - step as f64;
    let mixed = |i: usize| (RAMP[step][i] * (1.0 - part) + RAMP[step + 1][i] * part).round() as u8;
    format!("#{:02x}{:02x}{:02x}", mixed(0), mixed(1), mixed(2))
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
