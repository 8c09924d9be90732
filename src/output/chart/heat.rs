//! A heat map: the mean of a value, or how many points there are, in cells of two axes.

use super::columns::Column;
use super::{Chart, Error, Marks, axis, horizontal, horizontal_range, lacking, range};

/// Of all cells so many have their own colour; the highest ones, which would leave all others dark, share the last.
const DISTINCT_PART: f64 = 0.98;

/// Points of a heat map.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::output) struct Heat {
    /// What is measured; nothing if points are counted.
    name: Option<String>,
    /// Where, and how much.
    points: Vec<(f64, f64, f64)>,
    /// Different values on each axis.
    steps: (usize, usize),
}

/// Values of cells, the lowest row first.
pub(super) struct Grid {
    pub(super) columns: usize,
    pub(super) rows: usize,
    cells: Vec<f64>,
    /// What the coldest and the hottest colour stand for.
    scale: (f64, f64),
    capped: bool,
}

impl Grid {
    /// How hot a cell is, from 0 to 1; `None` where nothing is.
    pub(super) fn heat(&self, column: usize, row: usize) -> Option<f64> {
        let value = *self.cells.get(row * self.columns + column)?;
        let (low, high) = self.scale;
        value
            .is_finite()
            .then(|| ((value - low) / (high - low)).clamp(0.0, 1.0))
    }
}

impl Heat {
    /// No finer than the values are, and than the paper.
    pub(super) fn grid(&self, chart: &Chart, columns: usize, rows: usize) -> Grid {
        let (columns, rows) = (
            self.steps.0.min(columns).max(1),
            self.steps.1.min(rows).max(1),
        );
        let mut sums = vec![(0.0, 0_u32); columns * rows];
        let place = |value: f64, (low, high): (f64, f64), cells: usize| {
            (((value - low) / (high - low) * cells as f64) as usize).min(cells - 1)
        };
        for &(x, y, value) in &self.points {
            let cell = place(y, chart.y, rows) * columns + place(x, chart.x, columns);
            sums[cell].0 += value;
            sums[cell].1 += 1;
        }
        let cells: Vec<f64> = sums
            .into_iter()
            .map(|(sum, count)| match (&self.name, count) {
                (_, 0) => f64::NAN,
                (Some(_), count) => sum / f64::from(count),
                (None, count) => f64::from(count),
            })
            .collect();
        let mut sorted: Vec<f64> = cells.iter().copied().filter(|v| v.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1);
        let cap = sorted.get((last as f64 * DISTINCT_PART) as usize).copied();
        let scale = range(sorted.iter().copied().take_while(|v| Some(*v) <= cap));
        let scale = scale.unwrap_or((0.0, 1.0));
        Grid {
            columns,
            rows,
            capped: sorted.last().is_some_and(|most| *most > scale.1),
            cells,
            scale,
        }
    }

    /// What its colours mean.
    pub(super) fn legend(&self, grid: &Grid, ramp: &str) -> String {
        let name = self.name.as_deref().unwrap_or("points");
        let (low, high) = grid.scale;
        let more = if grid.capped { "+" } else { "" };
        format!(
            "{name} {} {ramp} {}{more}",
            axis::plain(low),
            axis::plain(high)
        )
    }
}

/// Made of a column of times or numbers, one of numbers, and, unless points are counted, another one.
pub(super) fn heat(columns: &[Column]) -> Result<Chart, Error> {
    let needs = "a column of times or numbers and one of numbers, and a third one to be shown rather than counted";
    let x = horizontal(columns).ok_or_else(|| lacking("heat", needs, columns))?;
    let mut numbers = columns
        .iter()
        .filter(|column| column.is_drawn() && column.name != x.name);
    let y = numbers
        .next()
        .ok_or_else(|| lacking("heat", needs, columns))?;
    let value = numbers.next();
    let points: Vec<(f64, f64, f64)> = (0..x.numbers.len())
        .map(|row| {
            let value = value.map_or(1.0, |value| value.numbers[row]);
            (x.numbers[row], y.numbers[row], value)
        })
        .filter(|(x, y, value)| x.is_finite() && y.is_finite() && value.is_finite())
        .collect();
    let (x_steps, x_range) =
        steps(x.origin, points.iter().map(|point| point.0)).ok_or(Error::Empty)?;
    let (y_steps, y_range) = steps(None, points.iter().map(|point| point.1)).ok_or(Error::Empty)?;
    let notes = numbers
        .map(|column| column.name.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    Ok(Chart {
        title: String::new(),
        time: x.origin,
        x: x_range,
        y: y_range,
        marks: Marks::Heat(Heat {
            name: value.map(|value| value.name.clone()),
            points,
            steps: (x_steps, y_steps),
        }),
        notes: if notes.is_empty() {
            Vec::new()
        } else {
            vec![format!("a heat map has no place for {notes}")]
        },
    })
}

/// How many different values there are, and their range with half a step at each end: a cell lies around its value.
fn steps(time: Option<i64>, values: impl Iterator<Item = f64>) -> Option<(usize, (f64, f64))> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    let (low, high) = horizontal_range(time, values.iter().copied())?;
    let count = values.len();
    if count < 2 {
        return Some((1, (low, high)));
    }
    let half = (high - low) / (count - 1) as f64 / 2.0;
    Some((count, (low - half, high + half)))
}
