//! A picture as shapes on a sheet, whatever they are then written as.

use super::heat::Heat;
use super::{Chart, Marks, axis, bars};

pub(super) const WIDTH: f64 = 960.0;
pub(super) const HEIGHT: f64 = 480.0;
const LEFT: f64 = 84.0;
// Half a time fits beyond the last mark.
const RIGHT: f64 = 32.0;
pub(super) const TOP: f64 = 34.0;
const BOTTOM: f64 = 34.0;

/// Where captions stand.
pub(super) const CAPTION: f64 = 20.0;
/// Room for a letter, and between captions.
const LETTER: f64 = 7.2;
const APART: f64 = 18.0;
/// Letters for each mark of the horizontal axis.
const MARK: usize = 14;

/// Red, green and blue.
pub(super) type Color = [u8; 3];

pub(super) const PAPER: Color = [0xff, 0xff, 0xff];
pub(super) const INK: Color = [0x33, 0x33, 0x33];
const GRID: Color = [0xdd, 0xdd, 0xdd];

/// Colours of lines, in their order (Okabe and Ito's, which the colour-blind tell apart).
pub(super) const COLORS: [Color; super::LINES] = [
    [0x00, 0x72, 0xb2],
    [0xd5, 0x5e, 0x00],
    [0x00, 0x9e, 0x73],
    [0xcc, 0x79, 0xa7],
    [0xe6, 0x9f, 0x00],
    [0x56, 0xb4, 0xe9],
];
const UP: Color = COLORS[2];
const DOWN: Color = COLORS[1];

/// Colours from cold to hot (viridis).
const RAMP: [Color; 5] = [
    [68, 1, 84],
    [59, 82, 139],
    [33, 145, 140],
    [94, 201, 98],
    [253, 231, 37],
];

/// One thing on the sheet: lengths are in its units, from its upper left corner.
pub(super) enum Shape {
    Rect {
        x: f64,
        y: f64,
        width: f64,
        height: f64,
        fill: Color,
    },
    Path {
        steps: Vec<Step>,
        /// How wide its line is.
        stroke: f64,
        color: Color,
        /// How much of its own colour fills it, from 0 to 1.
        fill: f64,
    },
    Text {
        x: f64,
        /// Where its letters stand.
        y: f64,
        anchor: Anchor,
        color: Color,
        words: String,
    },
}

/// A part of a path.
pub(super) enum Step {
    Move(f64, f64),
    Line(f64, f64),
    Close,
}

/// Which part of a text stands at its place.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// The shapes of a picture, in the order in which they are painted.
pub(super) fn scene(chart: &Chart) -> Vec<Shape> {
    let (low, high) = chart.y;
    let exact = matches!(
        chart.marks,
        Marks::Bins(_) | Marks::Depth { .. } | Marks::Heat(_)
    );
    let room = if exact { 0.0 } else { (high - low) * 0.03 };
    let frame = Frame {
        x: match &chart.marks {
            Marks::Candles(candles) => widened(chart.x, candles.len()),
            _ => chart.x,
        },
        y: (low - room, if high > low { high + room } else { low + 1.0 }),
    };
    let mut shapes = Vec::new();
    axes(chart, &frame, &mut shapes);
    match &chart.marks {
        Marks::Lines(lines) => {
            for (i, line) in lines.iter().enumerate() {
                shapes.push(path(&line.points, &frame, COLORS[i % COLORS.len()]));
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
                shapes.push(line(
                    (x, frame.up(candle.high)),
                    (x, frame.up(candle.low)),
                    color,
                ));
                shapes.push(Shape::Rect {
                    x: x - width / 2.0,
                    y: top,
                    width,
                    height: (bottom - top).max(1.0),
                    fill: color,
                });
            }
        }
        Marks::Bins(counts) => {
            let width = (WIDTH - LEFT - RIGHT) / counts.len() as f64;
            for (i, count) in counts.iter().enumerate() {
                let top = frame.up(*count as f64);
                shapes.push(Shape::Rect {
                    x: LEFT + i as f64 * width,
                    y: top,
                    width: (width - 1.0).max(0.5),
                    height: HEIGHT - BOTTOM - top,
                    fill: COLORS[0],
                });
            }
        }
        Marks::Heat(heat) => cells(heat, chart, &mut shapes),
        // They have no scale, and an axis of their own.
        Marks::Bars(bars) => return bars::shapes(chart, bars),
        Marks::Depth { bids, asks } => {
            shapes.extend(steps(bids, &frame, UP));
            shapes.extend(steps(asks, &frame, DOWN));
        }
    }
    shapes
}

/// A range with room for half a bar at each end.
fn widened((low, high): (f64, f64), bars: usize) -> (f64, f64) {
    let half = (high - low) / bars.saturating_sub(1).max(1) as f64 / 2.0;
    (low - half, high + half)
}

fn cells(heat: &Heat, chart: &Chart, shapes: &mut Vec<Shape>) {
    const MOST: (usize, usize) = (200, 100);
    let grid = heat.grid(chart, MOST.0, MOST.1);
    let width = (WIDTH - LEFT - RIGHT) / grid.columns as f64;
    let height = (HEIGHT - TOP - BOTTOM) / grid.rows as f64;
    for row in 0..grid.rows {
        for column in 0..grid.columns {
            let Some(heat) = grid.heat(column, row) else {
                continue;
            };
            shapes.push(Shape::Rect {
                x: LEFT + column as f64 * width,
                y: HEIGHT - BOTTOM - (row + 1) as f64 * height,
                // No line is left between neighbours.
                width: width + 0.3,
                height: height + 0.3,
                fill: hot(heat),
            });
        }
    }
    shapes.push(Shape::Text {
        x: WIDTH - RIGHT,
        y: CAPTION,
        anchor: Anchor::End,
        color: INK,
        words: heat.legend(&grid, "…"),
    });
}

/// The colour of a cell that is so hot, from 0 to 1.
fn hot(heat: f64) -> Color {
    let place = heat * (RAMP.len() - 1) as f64;
    let step = (place as usize).min(RAMP.len() - 2);
    let part = place - step as f64;
    let (cold, warm) = (RAMP[step], RAMP[step + 1]);
    std::array::from_fn(|i| {
        (f64::from(cold[i]) * (1.0 - part) + f64::from(warm[i]) * part).round() as u8
    })
}

/// Where values lie on the sheet.
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

fn axes(chart: &Chart, frame: &Frame, shapes: &mut Vec<Shape>) {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    for (value, words) in axis::numbers(frame.y, 8) {
        let y = frame.up(value);
        shapes.push(line((LEFT, y), (right, y), GRID));
        shapes.push(Shape::Text {
            x: LEFT - 6.0,
            y: y + 4.0,
            anchor: Anchor::End,
            color: INK,
            words,
        });
    }
    let letters = ((right - LEFT) / LETTER) as usize;
    for (value, words) in axis::horizontal(chart.time, frame.x, letters, MARK) {
        let x = frame.across(value);
        shapes.push(line((x, bottom), (x, bottom + 5.0), INK));
        shapes.push(Shape::Text {
            x,
            y: bottom + 20.0,
            anchor: Anchor::Middle,
            color: INK,
            words,
        });
    }
    shapes.push(line((LEFT, TOP), (LEFT, bottom), INK));
    shapes.push(line((LEFT, bottom), (right, bottom), INK));
    let mut x = LEFT;
    let mut caption = |words: String, color: Color| {
        let start = x;
        x += LETTER * words.chars().count() as f64 + APART;
        shapes.push(Shape::Text {
            x: start,
            y: CAPTION,
            anchor: Anchor::Start,
            color,
            words,
        });
    };
    if !chart.title.is_empty() {
        caption(chart.title.clone(), INK);
    }
    if let Marks::Lines(lines) = &chart.marks {
        for (i, line) in lines.iter().enumerate() {
            caption(line.name.clone(), COLORS[i % COLORS.len()]);
        }
    }
    if let Some((from, to)) = chart.span() {
        let span = if from == to {
            from
        } else {
            format!("{from} – {to}")
        };
        caption(format!("{span} UTC"), INK);
    }
}

pub(super) fn line(from: (f64, f64), to: (f64, f64), color: Color) -> Shape {
    Shape::Path {
        steps: vec![Step::Move(from.0, from.1), Step::Line(to.0, to.1)],
        stroke: 1.0,
        color,
        fill: 0.0,
    }
}

fn path(points: &[(f64, f64)], frame: &Frame, color: Color) -> Shape {
    let mut steps = Vec::new();
    let mut joined = false;
    for &(x, y) in points {
        if y.is_finite() {
            let (x, y) = (frame.across(x), frame.up(y));
            steps.push(if joined {
                Step::Line(x, y)
            } else {
                Step::Move(x, y)
            });
        }
        joined = y.is_finite();
    }
    Shape::Path {
        steps,
        stroke: 1.5,
        color,
        fill: 0.0,
    }
}

/// The stairs of one side of a book.
fn steps(levels: &[(f64, f64)], frame: &Frame, color: Color) -> Option<Shape> {
    let (best, last) = (levels.first()?, levels.last()?);
    let mut y = frame.up(0.0);
    let mut steps = vec![Step::Move(frame.across(best.0), y)];
    for (price, sum) in levels {
        let x = frame.across(*price);
        steps.push(Step::Line(x, y));
        y = frame.up(*sum);
        steps.push(Step::Line(x, y));
    }
    steps.push(Step::Line(frame.across(last.0), frame.up(0.0)));
    steps.push(Step::Close);
    Some(Shape::Path {
        steps,
        stroke: 1.0,
        color,
        fill: 0.35,
    })
}
