//! How long a time one file of the lake holds: a UTC date, or, of a table with few rows a date, a month or a year, so that
//! ten years of daily bars are ten files and not thousands.
//!
//! A file lies in the folder of the first date of its time, `date=YYYY-MM-DD`; the manifest says which times it really
//! has. Nothing else tells a month's file from a date's: wherever dates count, the times in the manifest are asked.

use std::collections::BTreeMap;

use jiff::civil::Date;

/// A month or a year is one partition as long as it comes to no more rows than this.
const MAX_ROWS: u64 = 1 << 18;
/// From so many dates on it is known how many rows a table has a date.
const MIN_DATES: u64 = 8;
const DAYS_OF_YEAR: u64 = 366;
const DAYS_OF_MONTH: u64 = 31;

/// Rows that are to be put into partitions, or are in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    /// The partition that they are in, or their UTC date.
    pub(super) date: Date,
    /// Their first UTC date.
    pub(super) first: Date,
    /// Their last.
    pub(super) last: Date,
    /// How many.
    pub(super) rows: u64,
}

impl Held {
    /// Rows of one date.
    pub(super) fn of(date: Date, rows: u64) -> Self {
        Self {
            date,
            first: date,
            last: date,
            rows,
        }
    }
}

/// The first date of the partition that each of these belongs into.
pub(super) fn partitions(held: &[Held]) -> Vec<Date> {
    let mut years: BTreeMap<i16, Vec<usize>> = BTreeMap::new();
    for (at, one) in held.iter().enumerate() {
        years.entry(one.date.year()).or_default().push(at);
    }
    let mut dates: Vec<Date> = held.iter().map(|one| one.date).collect();
    for year in years.into_values() {
        if are_few(held, &year, DAYS_OF_YEAR) {
            for at in year {
                dates[at] = held[at].date.first_of_year();
            }
            continue;
        }
        let mut months: BTreeMap<i8, Vec<usize>> = BTreeMap::new();
        for at in year {
            // A year's file stays one.
            if held[at].first.first_of_month() == held[at].last.first_of_month() {
                let month = held[at].date.month();
                months.entry(month).or_default().push(at);
            }
        }
        for month in months.into_values() {
            if are_few(held, &month, DAYS_OF_MONTH) {
                for at in month {
                    dates[at] = held[at].date.first_of_month();
                }
            }
        }
    }
    dates
}

/// Whether so many days like these come to few rows.
fn are_few(held: &[Held], these: &[usize], days: u64) -> bool {
    let these = || these.iter().map(|&at| &held[at]);
    let rows: u64 = these().map(|one| one.rows).sum();
    let mut has = [false; DAYS_OF_YEAR as usize];
    for one in these() {
        let day = |date: Date| {
            // What reaches into another year counts up to the end of its own.
            let inside = date.clamp(one.date.first_of_year(), one.date.last_of_year());
            inside.day_of_year().unsigned_abs() as usize - 1
        };
        has[day(one.first)..=day(one.last).max(day(one.first))].fill(true);
    }
    let dates = has.iter().filter(|&&has| has).count() as u64;
    dates >= MIN_DATES && rows <= MAX_ROWS && rows * days <= MAX_ROWS * dates
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    /// So many rows on each of the days that follow one another.
    fn daily(first: &str, days: i64, rows: u64) -> Vec<Held> {
        let first = date(first);
        let day = |n| first.saturating_add(jiff::SignedDuration::from_hours(24 * n));
        (0..days).map(|n| Held::of(day(n), rows)).collect()
    }

    fn distinct(held: &[Held]) -> Vec<String> {
        let mut dates: Vec<String> = partitions(held).iter().map(Date::to_string).collect();
        dates.dedup();
        dates
    }

    #[test]
    fn few_rows_a_date_are_a_year_more_are_a_month_and_many_are_a_date() {
        // Two days tell nothing of their year.
        assert_eq!(
            distinct(&daily("2022-12-30", 400, 500)),
            ["2022-12-30", "2022-12-31", "2023-01-01", "2024-01-01"]
        );
        assert_eq!(
            distinct(&daily("2024-01-25", 20, 5_000))[..2],
            ["2024-01-25", "2024-01-26"]
        );
        assert_eq!(distinct(&daily("2024-02-01", 20, 5_000)), ["2024-02-01"]);
        assert_eq!(distinct(&daily("2024-01-01", 20, 9_000)).len(), 20);
        assert_eq!(distinct(&daily("2024-01-01", 7, 1)).len(), 7);
    }
    #[test]
    fn what_is_one_file_stays_one_and_takes_in_what_comes() {
        let year = Held {
            date: date("2024-01-01"),
            first: date("2024-01-03"),
            last: date("2024-06-28"),
            rows: 60_000,
        };
        let mut held = vec![year];
        held.extend(daily("2024-06-29", 3, 400));
        assert_eq!(distinct(&held), ["2024-01-01"]);
        // Too many by now for a year.
        held.extend(daily("2024-07-02", 60, 5_000));
        assert_eq!(
            distinct(&held),
            [
                "2024-01-01",
                "2024-06-29",
                "2024-06-30",
                "2024-07-01",
                "2024-08-01"
            ]
        );
        let again: Vec<Held> = partitions(&held)
            .into_iter()
            .zip(&held)
            .map(|(date, one)| Held { date, ..*one })
            .collect();
        assert_eq!(partitions(&again), partitions(&held));
    }

    #[test]
    fn many_files_of_one_date_are_no_many_dates() {
        let held = vec![Held::of(date("2024-08-08"), 10); 20];
        assert_eq!(distinct(&held), ["2024-08-08"]);
    }
}
