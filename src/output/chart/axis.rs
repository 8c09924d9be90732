//! Where an axis is marked, and with what.

use super::super::time::Timestamps;

/// A mark: its value, and what is written there.
pub(super) type Tick = (f64, String);

/// Steps of time between marks, in seconds, for those shorter than a day.
const TIME_STEPS: [f64; 18] = [
    0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0,
    10_800.0, 21_600.0, 43_200.0,
];

/// Marks used at most, whatever was asked.
const MOST: usize = 64;

/// About `count` marks at round values of a range.
pub(super) fn numbers((low, high): (f64, f64), count: usize) -> Vec<Tick> {
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
    let decimals = (0..12)
        .find(|&decimals| {
            let scaled = step * 10_f64.powi(decimals);
            (scaled - scaled.round()).abs() < 1e-6
        })
        .unwrap_or(0);
    marks((low, high), step, |value| number(value, decimals as usize))
}

/// About `count` marks at round times, in UTC.
pub(super) fn times((low, high): (f64, f64), count: usize) -> Vec<Tick> {
    const DAY: f64 = 86_400.0;
    let rough = (high - low) / count.clamp(1, MOST) as f64;
    if !rough.is_finite() || rough <= 0.0 {
        return Vec::new();
    }
    let step = TIME_STEPS
        .iter()
        .copied()
        .find(|step| *step >= rough * 0.999)
        .unwrap_or_else(|| {
            let days = rough / DAY;
            let steps = [1.0, 2.0, 7.0, 14.0, 30.0, 91.0, 182.0, 365.0];
            DAY * steps
                .iter()
                .copied()
                .find(|step| *step >= days)
                .unwrap_or_else(|| (days / 365.0).ceil() * 365.0)
        });
    marks((low, high), step, |value| {
        let text = moment(value);
        let date = text.split(' ').next().unwrap_or_default();
        if step >= DAY {
            return date.to_owned();
        }
        if value.rem_euclid(DAY) == 0.0 && step >= 60.0 {
            return date.get(5..).unwrap_or(date).to_owned();
        }
        let ms = ((value * 1e3).round() as i64).rem_euclid(86_400_000);
        let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        if step >= 60.0 {
            format!("{hours:02}:{minutes:02}")
        } else if step >= 1.0 {
            format!("{hours:02}:{minutes:02}:{seconds:02}")
        } else {
            format!("{hours:02}:{minutes:02}:{seconds:02}.{:03}", ms % 1000)
        }
    })
}

fn marks((low, high): (f64, f64), step: f64, label: impl Fn(f64) -> String) -> Vec<Tick> {
    let first = (low / step).ceil();
    (0..MOST)
        .map(|i| (first + i as f64) * step)
        .take_while(|value| *value <= high + step * 1e-3)
        .map(|value| (value, label(value)))
        .collect()
}

/// A moment in seconds since 1970 as text, to the millisecond.
pub(super) fn moment(seconds: f64) -> String {
    let mut text = Vec::new();
    Timestamps::new(3, false).write((seconds * 1e3).round() as i64, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// A number with thousands apart and so many decimals.
fn number(value: f64, decimals: usize) -> String {
    if value != 0.0 && (value.abs() >= 1e12 || value.abs() < 1e-9) {
        return format!("{value:.2e}");
    }
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
    fn times_are_told_as_finely_as_they_lie() {
        let day = 1_723_075_200.0;
        assert_eq!(
            labels(&times((day, day + 7200.0), 4)),
            ["08-08", "00:30", "01:00", "01:30", "02:00"]
        );
        assert_eq!(
            labels(&times((day, day + 4.0 * 86_400.0), 4)),
            [
                "2024-08-08",
                "2024-08-09",
                "2024-08-10",
                "2024-08-11",
                "2024-08-12"
            ]
        );
        assert_eq!(
            labels(&times((day + 1.0, day + 21.0), 4)),
            ["00:00:05", "00:00:10", "00:00:15", "00:00:20"]
        );
        assert_eq!(
            labels(&times((day + 1.0, day + 1.2), 2)),
            ["00:00:01.000", "00:00:01.100", "00:00:01.200"]
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
