//! Dates, times and intervals as DuckDB writes them.

use std::cell::Cell;

use super::number;

const SECONDS_A_DAY: i64 = 86_400;

/// Writes timestamps, and remembers the date it wrote last: neighbouring rows mostly share it.
pub(super) struct Timestamps {
    /// Ticks a second: 1, 10^3, 10^6 or 10^9.
    ticks: i64,
    /// Digits of a fraction.
    digits: usize,
    suffix: &'static [u8],
    last: Cell<(i64, [u8; 24], usize)>,
}

impl Timestamps {
    /// For timestamps with `digits` decimals of a second: 0, 3, 6 or 9. Those `with_zone` are UTC.
    pub(super) fn new(digits: usize, with_zone: bool) -> Self {
        Self {
            ticks: 10_i64.pow(u32::try_from(digits).unwrap_or(0)),
            digits,
            suffix: if with_zone { b"+00" } else { b"" },
            last: Cell::new((i64::MIN, [0; 24], 0)),
        }
    }

    pub(super) fn write(&self, value: i64, out: &mut Vec<u8>) {
        // DuckDB's infinities are the two ends of the range.
        if value == i64::MAX {
            return out.extend_from_slice(b"infinity");
        }
        if value == -i64::MAX {
            return out.extend_from_slice(b"-infinity");
        }
        let day = value.div_euclid(self.ticks * SECONDS_A_DAY);
        let (known, mut text, mut length) = self.last.get();
        if known == day {
            out.extend_from_slice(&text[..length]);
        } else {
            let start = out.len();
            civil_date(day, out);
            length = out.len() - start;
            if length <= text.len() {
                text[..length].copy_from_slice(&out[start..]);
                self.last.set((day, text, length));
            }
        }
        out.push(b' ');
        clock(
            value.rem_euclid(self.ticks * SECONDS_A_DAY),
            self.ticks,
            self.digits,
            out,
        );
        out.extend_from_slice(self.suffix);
    }
}

/// A DATE, in days since 1970.
pub(super) fn date(days: i32, out: &mut Vec<u8>) {
    match days {
        i32::MAX => out.extend_from_slice(b"infinity"),
        d if d == -i32::MAX => out.extend_from_slice(b"-infinity"),
        d => civil_date(i64::from(d), out),
    }
}

/// A time of day in ticks, `digits` decimals of a second each.
pub(super) fn time(value: i64, digits: usize, out: &mut Vec<u8>) {
    clock(
        value,
        10_i64.pow(u32::try_from(digits).unwrap_or(0)),
        digits,
        out,
    );
}

/// TIMETZ as DuckDB packs it: microseconds above 24 bits of offset, counted down from its largest.
pub(super) fn time_with_zone(bits: u64, out: &mut Vec<u8>) {
    const LARGEST_OFFSET_SECONDS: i64 = 16 * 3600 - 1;
    time(i64::try_from(bits >> 24).unwrap_or(0), 6, out);
    let offset = LARGEST_OFFSET_SECONDS - i64::try_from(bits & 0xff_ffff).unwrap_or(0);
    out.push(if offset < 0 { b'-' } else { b'+' });
    let offset = offset.unsigned_abs();
    number::padded(offset / 3600, 2, out);
    if !offset.is_multiple_of(3600) {
        out.push(b':');
        number::padded(offset / 60 % 60, 2, out);
    }
    if !offset.is_multiple_of(60) {
        out.push(b':');
        number::padded(offset % 60, 2, out);
    }
}

/// An INTERVAL: `1 year 2 months -3 days 04:05:06.789`.
pub(super) fn interval(months: i32, days: i32, microseconds: i64, out: &mut Vec<u8>) {
    let start = out.len();
    for (count, unit) in [
        (months / 12, " year"),
        (months % 12, " month"),
        (days, " day"),
    ] {
        if count != 0 {
            if out.len() > start {
                out.push(b' ');
            }
            number::signed(i64::from(count), out);
            out.extend_from_slice(unit.as_bytes());
            if count.abs() != 1 {
                out.push(b's');
            }
        }
    }
    if microseconds != 0 || out.len() == start {
        if out.len() > start {
            out.push(b' ');
        }
        if microseconds < 0 {
            out.push(b'-');
        }
        time(microseconds.saturating_abs(), 6, out);
    }
}

/// The microseconds of which DuckDB sends the nanoseconds modulo 2^64: right up to 36,000 years, and not only to the
/// 292 that nanoseconds hold.
pub(super) fn microseconds(nanoseconds: i64) -> i64 {
    // 1000 is 8 times 125: of the quotient by 8, which is known modulo 2^61, the inverse makes the quotient by 1000.
    const INVERSE_OF_125: i64 = 0x1cac_0831_26e9_78d5;
    (nanoseconds >> 3).wrapping_mul(INVERSE_OF_125) << 3 >> 3
}

fn clock(value: i64, ticks: i64, digits: usize, out: &mut Vec<u8>) {
    let seconds = u64::try_from(value / ticks).unwrap_or(0);
    number::padded(seconds / 3600, 2, out);
    out.push(b':');
    number::padded(seconds / 60 % 60, 2, out);
    out.push(b':');
    number::padded(seconds % 60, 2, out);
    let fraction = u64::try_from(value % ticks).unwrap_or(0);
    if fraction > 0 {
        out.push(b'.');
        number::padded(fraction, digits, out);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

/// Year, month and day of a day since 1970 in the proleptic Gregorian calendar
/// (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil_date(days: i64, out: &mut Vec<u8>) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);

    let (year, before_christ) = if year > 0 {
        (year, false)
    } else {
        (1 - year, true)
    };
    number::padded(year.unsigned_abs(), 4, out);
    out.push(b'-');
    number::padded(month.unsigned_abs(), 2, out);
    out.push(b'-');
    number::padded(day.unsigned_abs(), 2, out);
    if before_christ {
        out.extend_from_slice(b" (BC)");
    }
}
