//! Where an axis of time is marked, in UTC, and with what. Moments are nanoseconds since 1970, of 128 bits: dates reach
//! further than 64 hold.

use jiff::SignedDuration;
use jiff::civil::Date;

use super::super::time::Timestamps;
use super::axis::{MOST, Tick};

const SECOND: i128 = 1_000_000_000;
const MINUTE: i128 = 60 * SECOND;
const DAY: i128 = 86_400 * SECOND;
/// The twelfth part of a mean year.
const MONTH: i128 = 2_629_746 * SECOND;

/// Steps between marks, in seconds, from a second up to what is less than a month.
const STEPS_S: [i128; 16] = [
    1, 5, 15, 30, 60, 300, 900, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800,
    1_209_600,
];

/// Ranges from so long on are marked at beginnings of months, and of years.
const MONTHS_FROM: i128 = 59 * DAY;
const YEARS_FROM: i128 = 3 * 365 * DAY;

/// About `count` marks at round times of a range, which is in seconds from `origin` on.
pub(super) fn times(range: (f64, f64), origin: i64, count: usize) -> Vec<Tick> {
    let (from, to) = ends(range, origin);
    let width = to.saturating_sub(from);
    let rough = width / count.clamp(1, MOST) as i128;
    if rough <= 0 {
        return Vec::new();
    }
    let step = short_step(rough).filter(|_| width < MONTHS_FROM);
    let moments = if let Some(step) = step {
        every(step, from, to)
    } else {
        beginnings(month_step(rough, width), from, to)
    };
    let place = |at: i128| (at - i128::from(origin) * SECOND) as f64 / SECOND as f64;
    let label = |at: i128| match step {
        Some(step) if step < DAY => clock(at, step, width >= DAY),
        _ => date(at),
    };
    moments
        .into_iter()
        .map(|at| (place(at), label(at)))
        .collect()
}

/// The first and the last moment of a range as text: to the millisecond, or as finely as they lie.
pub(super) fn first_and_last(range: (f64, f64), origin: i64) -> (String, String) {
    let (from, to) = ends(range, origin);
    let digits = match to.saturating_sub(from) {
        width if width >= SECOND / 10 => 3,
        width if width >= SECOND / 10_000 => 6,
        _ => 9,
    };
    (moment(from, digits), moment(to, digits))
}

fn ends((low, high): (f64, f64), origin: i64) -> (i128, i128) {
    let origin = i128::from(origin) * SECOND;
    let at = |seconds: f64| origin.saturating_add((seconds * SECOND as f64).round() as i128);
    (at(low), at(high))
}

/// The step of no less than `rough`, or hardly less; none beyond two weeks.
fn short_step(rough: i128) -> Option<i128> {
    let least = rough - rough / 1000;
    (0..9)
        .flat_map(|power| [1_i128, 2, 5].map(|digit| digit * 10_i128.pow(power)))
        .chain(STEPS_S.map(|seconds| seconds * SECOND))
        .find(|step| *step >= least)
}

/// The same for the longer ranges, in months.
fn month_step(rough: i128, width: i128) -> i64 {
    const LONGEST: i64 = 1_200_000;
    let least = rough - rough / 20;
    let months = [1_i64, 2, 3, 6].into_iter().filter(|_| width < YEARS_FROM);
    let years = (0..5).flat_map(|power| [12_i64, 24, 60].map(|months| months * 10_i64.pow(power)));
    months
        .chain(years)
        .find(|months| i128::from(*months) * MONTH >= least)
        .unwrap_or(LONGEST)
}

/// The multiples of a step.
fn every(step: i128, from: i128, to: i128) -> Vec<i128> {
    let first = from.div_euclid(step) * step;
    (0..=MOST as i128)
        .map(|i| first + i * step)
        .filter(|at| (from..=to).contains(at))
        .collect()
}

/// Beginnings of every so many months, counted from a year's first; none beyond jiff's years, -9999 to 9999.
fn beginnings(months: i64, from: i128, to: i128) -> Vec<i128> {
    const BEYOND_DAYS: i128 = 5_000_000;
    let epoch = Date::constant(1970, 1, 1);
    let days = from.div_euclid(DAY).clamp(-BEYOND_DAYS, BEYOND_DAYS) as i64;
    let start = epoch.saturating_add(SignedDuration::from_hours(days * 24));
    let month = i64::from(start.year()) * 12 + i64::from(start.month()) - 1;
    let first = month.div_euclid(months) * months;
    (0..=MOST as i64)
        .filter_map(|i| {
            let month = first + i * months;
            let year = i16::try_from(month.div_euclid(12)).ok()?;
            let date = Date::new(year, (month.rem_euclid(12) + 1) as i8, 1).ok()?;
            Some(i128::from(epoch.until(date).ok()?.get_days()) * DAY)
        })
        .filter(|at| (from..=to).contains(at))
        .collect()
}

/// The time of day, as finely as the steps are; the day where one begins, and everywhere if there are `several`.
fn clock(at: i128, step: i128, several: bool) -> String {
    let of_day = at.rem_euclid(DAY) / SECOND;
    let (hours, minutes, seconds) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    if step >= MINUTE {
        let whole = date(at);
        let day = whole.get(5..).unwrap_or(&whole);
        return match (of_day, several) {
            (0, _) => day.to_owned(),
            (_, true) => format!("{day} {hours:02}:{minutes:02}"),
            (_, false) => format!("{hours:02}:{minutes:02}"),
        };
    }
    if step >= SECOND {
        return format!("{hours:02}:{minutes:02}:{seconds:02}");
    }
    let digits = (3..9_u32)
        .find(|&digits| step % 10_i128.pow(9 - digits) == 0)
        .unwrap_or(9);
    let fraction = at.rem_euclid(SECOND) / 10_i128.pow(9 - digits);
    let room = digits as usize;
    format!("{hours:02}:{minutes:02}:{seconds:02}.{fraction:0room$}")
}

fn date(at: i128) -> String {
    let text = moment(at, 0);
    text.rsplit_once(' ')
        .map_or_else(String::new, |(date, _)| date.to_owned())
}

/// A moment as text, with 0, 3, 6 or 9 digits of its second at most.
fn moment(at: i128, digits: u32) -> String {
    let tick = 10_i128.pow(9 - digits);
    let Ok(ticks) = i64::try_from(at.saturating_add(tick / 2).div_euclid(tick)) else {
        // Of the years before 1677 and after 2262 no column has nanoseconds.
        return match digits.checked_sub(3) {
            Some(fewer) => moment(at, fewer),
            None => String::new(),
        };
    };
    let mut text = Vec::new();
    Timestamps::new(digits as usize, false).write(ticks, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-08-08.
    const ORIGIN: i64 = 1_723_075_200;
    const DAY_S: f64 = 86_400.0;

    fn labels(range: (f64, f64), count: usize) -> Vec<String> {
        let ticks = times(range, ORIGIN, count);
        ticks.into_iter().map(|(_, label)| label).collect()
    }

    /// The days from the origin to a date.
    fn day(date: &str) -> f64 {
        let origin = Date::constant(2024, 8, 8);
        let date: Date = date.parse().unwrap();
        f64::from(origin.until(date).unwrap().get_days()) * DAY_S
    }

    #[test]
    fn times_are_told_as_finely_as_they_lie() {
        assert_eq!(
            labels((0.0, 7200.0), 4),
            ["08-08", "00:30", "01:00", "01:30", "02:00"]
        );
        assert_eq!(
            labels((0.0, 4.0 * DAY_S), 4),
            [
                "2024-08-08",
                "2024-08-09",
                "2024-08-10",
                "2024-08-11",
                "2024-08-12"
            ]
        );
        assert_eq!(
            labels((1.0, 21.0), 4),
            ["00:00:05", "00:00:10", "00:00:15", "00:00:20"]
        );
        assert_eq!(
            labels((1.0, 1.2), 2),
            ["00:00:01.000", "00:00:01.100", "00:00:01.200"]
        );
        assert_eq!(
            labels((1.5, 1.5001), 2),
            ["00:00:01.50000", "00:00:01.50005", "00:00:01.50010"]
        );
        assert_eq!(
            labels((1.5, 1.500_000_002), 2),
            [
                "00:00:01.500000000",
                "00:00:01.500000001",
                "00:00:01.500000002"
            ]
        );
        assert_eq!(times((1.0, 1.0), ORIGIN, 4), []);
    }

    #[test]
    fn times_of_several_days_tell_the_day() {
        assert_eq!(
            labels((0.0, 2.0 * DAY_S), 4),
            ["08-08", "08-08 12:00", "08-09", "08-09 12:00", "08-10"]
        );
    }

    #[test]
    fn months_and_years_are_marked_where_they_begin() {
        assert_eq!(
            labels((day("2024-01-18"), day("2024-04-20")), 6),
            ["2024-02-01", "2024-03-01", "2024-04-01"]
        );
        assert_eq!(
            labels((day("2024-01-01"), day("2025-01-01")), 6),
            [
                "2024-01-01",
                "2024-03-01",
                "2024-05-01",
                "2024-07-01",
                "2024-09-01",
                "2024-11-01",
                "2025-01-01"
            ]
        );
        assert_eq!(
            labels((day("2023-05-03"), day("2025-02-01")), 4),
            ["2023-07-01", "2024-01-01", "2024-07-01", "2025-01-01"]
        );
        assert_eq!(
            labels((day("2021-06-01"), day("2024-08-08")), 6),
            ["2022-01-01", "2023-01-01", "2024-01-01"]
        );
        assert_eq!(
            labels((day("1969-12-31"), day("2010-01-01")), 5),
            [
                "1970-01-01",
                "1980-01-01",
                "1990-01-01",
                "2000-01-01",
                "2010-01-01"
            ]
        );
        // Years that jiff lacks have no marks.
        assert_eq!(times((1e13, 2e13), ORIGIN, 4), []);
    }

    #[test]
    fn a_range_is_told_as_finely_as_its_ends_lie_apart() {
        for (range, first, last) in [
            ((0.0, 0.5), "2024-08-08 00:00:00", "2024-08-08 00:00:00.5"),
            (
                (0.9371, 0.9376),
                "2024-08-08 00:00:00.9371",
                "2024-08-08 00:00:00.9376",
            ),
            (
                (0.937_000_001, 0.937_000_004),
                "2024-08-08 00:00:00.937000001",
                "2024-08-08 00:00:00.937000004",
            ),
        ] {
            assert_eq!(
                first_and_last(range, ORIGIN),
                (first.to_owned(), last.to_owned())
            );
        }
        // The year 2400.
        let (first, last) = first_and_last((0.0, 1e-6), 13_569_465_600);
        assert_eq!(first, "2400-01-01 00:00:00");
        assert_eq!(last, "2400-01-01 00:00:00.000001");
    }
}
