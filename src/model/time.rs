//! UTC dates of nanosecond timestamps.

use jiff::civil::Date;

/// Nanoseconds in a UTC day.
pub const DAY_NS: i64 = 86_400_000_000_000;

/// The UTC date that `ns` (nanoseconds since 1970-01-01 UTC) falls on.
pub fn date_of(ns: i64) -> Date {
    let days = ns.div_euclid(DAY_NS);
    // An i64 of nanoseconds spans the years 1677 to 2262, all of them dates.
    Date::constant(1970, 1, 1).saturating_add(jiff::SignedDuration::from_hours(days * 24))
}

/// Midnight UTC at the start of `date`, in nanoseconds since 1970-01-01; `None` outside the years
/// that nanoseconds in an i64 can hold (1677 to 2262).
pub fn start_of(date: Date) -> Option<i64> {
    let epoch = Date::constant(1970, 1, 1);
    let days = epoch.until(date).ok()?.get_days();
    i64::from(days).checked_mul(DAY_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_midnights_are_inverse() {
        for text in [
            "1969-12-31",
            "1970-01-01",
            "2024-02-29",
            "2024-08-09",
            "2262-04-11",
        ] {
            let date: Date = text.parse().unwrap();
            let start = start_of(date).unwrap();
            assert_eq!(date_of(start), date);
            assert_eq!(date_of(start - 1), date.yesterday().unwrap());
        }
        assert_eq!(start_of("9999-01-01".parse().unwrap()), None);
    }
}
