//! Where an axis is marked, and with what.

use std::ops::Range;

use super::moments;

/// A mark: its value, and what is written there.
pub(super) type Tick = (f64, String);

/// Marks used at most, whatever was asked.
pub(super) const MOST: usize = 64;

/// Sizes of numbers that are written with all their digits; others are with a power of ten.
const READABLE: Range<f64> = 1e-9..1e12;

/// Marks of a horizontal axis, of times from `time` on or of numbers, with `letters` in a row below it: `wide` of them for
/// each mark, or as many as what is written there needs.
pub(super) fn horizontal(
    time: Option<i64>,
    range: (f64, f64),
    letters: usize,
    wide: usize,
) -> Vec<Tick> {
    const APART: usize = 2;
    let ticks = |wide: usize| {
        let count = (letters / wide).max(1);
        match time {
            Some(origin) => moments::times(range, origin, count),
            None => numbers(range, count),
        }
    };
    let ticks_as_asked = ticks(wide);
    let lengths = ticks_as_asked.iter().map(|(_, text)| text.chars().count());
    let needed = lengths.max().unwrap_or(0) + APART;
    if needed > wide {
        ticks(needed)
    } else {
        ticks_as_asked
    }
}

/// About `count` marks at round values of a range, no two of them with the same label.
pub(super) fn numbers((low, high): (f64, f64), count: usize) -> Vec<Tick> {
    const MOST_DECIMALS: i32 = 15;
    /// Below it an f64 knows all digits of a whole number.
    const EXACT: f64 = 1e15;
    let rough = (high - low) / count.clamp(1, MOST) as f64;
    if !rough.is_finite() || rough <= 0.0 {
        return Vec::new();
    }
    let magnitude = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .iter()
        .map(|factor| factor * magnitude)
        .find(|step| *step >= rough * 0.999)
        .unwrap_or(rough);
    let values = multiples((low, high), step);
    let largest = low.abs().max(high.abs());
    let labels = |write: &dyn Fn(f64) -> String| -> Vec<String> {
        values.iter().map(|value| write(*value)).collect()
    };
    let brief = (!READABLE.contains(&largest))
        .then(|| labels(&|value| power(value, 2)))
        .filter(|labels| labels.windows(2).all(|pair| pair[0] != pair[1]));
    let plain = (0..=MOST_DECIMALS)
        .find(|&decimals| {
            let scaled = step * 10_f64.powi(decimals);
            scaled.round() >= 1.0 && (scaled - scaled.round()).abs() < scaled * 1e-6
        })
        .filter(|_| largest < EXACT)
        .map(|decimals| labels(&|value| decimal(value, decimals as usize)));
    let labels = brief.or(plain).unwrap_or_else(|| {
        let digits = (largest / step).log10().ceil() as usize + 1;
        labels(&|value| power(value, digits.clamp(2, 17)))
    });
    let mut ticks: Vec<Tick> = values.iter().copied().zip(labels).collect();
    ticks.dedup_by(|a, b| a.1 == b.1);
    ticks
}

/// The multiples of a step, as far as a number can tell them apart.
fn multiples((low, high): (f64, f64), step: f64) -> Vec<f64> {
    let first = (low / step - 1e-3).ceil();
    let mut values: Vec<f64> = (0..MOST)
        .map(|i| (first + i as f64) * step)
        .take_while(|value| *value <= high + step * 1e-3)
        .collect();
    values.dedup();
    values
}

/// A number with so many decimals, or with a power of ten.
fn number(value: f64, decimals: usize) -> String {
    if value == 0.0 || READABLE.contains(&value.abs()) {
        decimal(value, decimals)
    } else {
        power(value, 2)
    }
}

/// A number with a power of ten, and so many digits behind its point.
fn power(value: f64, digits: usize) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    format!("{value:.digits$e}")
}

/// A number with thousands apart and so many decimals.
fn decimal(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let whole = crate::output::grouped(whole.parse().unwrap_or(0));
    let point = if fraction.is_empty() { "" } else { "." };
    let zero = text.chars().all(|c| matches!(c, '0' | '.'));
    let sign = if value < 0.0 && !zero { "-" } else { "" };
    format!("{sign}{whole}{point}{fraction}")
}

/// A number with as many digits as a person reads.
pub(super) fn plain(value: f64) -> String {
    let decimals = if value == 0.0 {
        0
    } else {
        (6 - value.abs().log10().floor() as i32).clamp(0, 8)
    };
    let text = number(value, decimals as usize);
    if text.contains('.') && !text.contains('e') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn marks_are_round() {
        assert_eq!(
            labels(&numbers((0.0, 10.0), 5)),
            ["0", "2", "4", "6", "8", "10"]
        );
        assert_eq!(
            labels(&numbers((61_234.2, 61_239.1), 5)),
            ["61,235", "61,236", "61,237", "61,238", "61,239"]
        );
        assert_eq!(
            labels(&numbers((-0.05, 0.05), 4)),
            ["-0.050", "-0.025", "0.000", "0.025", "0.050"]
        );
        assert_eq!(numbers((1.0, 1.0), 4), []);
    }

    #[test]
    fn marks_that_differ_are_told_apart() {
        assert_eq!(
            labels(&numbers((0.000_012_34, 0.000_012_342), 2)),
            ["0.000012340", "0.000012341", "0.000012342"]
        );
        assert_eq!(
            labels(&numbers((0.5, 0.500_000_2), 2)),
            ["0.5000000", "0.5000001", "0.5000002"]
        );
        assert_eq!(
            labels(&numbers((1e12 - 0.005, 1e12 + 0.025), 3)),
            [
                "1,000,000,000,000.00",
                "1,000,000,000,000.01",
                "1,000,000,000,000.02"
            ]
        );
        assert_eq!(
            labels(&numbers((0.0, 2e12), 2)),
            ["0", "1.00e12", "2.00e12"]
        );
        for (low, width) in [
            (0.5, 1e-7),
            (1e12, 0.05),
            (1e300, 1e285),
            (1e-300, 1e-310),
            (3e-20, 1e-25),
            (-7e15, 40.0),
            (0.1, 1e-16),
            (-1e-8, 2e-8),
        ] {
            for count in 1..20 {
                let ticks = numbers((low, low + width), count);
                let mut seen = labels(&ticks);
                seen.sort_unstable();
                seen.dedup();
                assert_eq!(seen.len(), ticks.len(), "{ticks:?}");
            }
        }
    }

    #[test]
    fn long_labels_are_fewer() {
        let ticks = horizontal(Some(0), (0.0, 5e-7), 60, 12);
        assert_eq!(
            labels(&ticks),
            ["00:00:00.0000000", "00:00:00.0000002", "00:00:00.0000004"]
        );
    }

    #[test]
    fn numbers_are_readable() {
        for (value, text) in [
            (0.0, "0"),
            (61_685.99, "61,685.99"),
            (0.1, "0.1"),
            (-1.5, "-1.5"),
            (0.000_012_3, "0.0000123"),
        ] {
            assert_eq!(plain(value), text);
        }
    }
}
