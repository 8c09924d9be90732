//! How long a bar is: one spelling of each length, however vendors write it.

/// The column of bars that holds it.
pub const INTERVAL: &str = "interval";

/// What it is, for whoever has written something else.
pub const LENGTH: &str =
    "length of a bar: a number and one of s, m, h, d, w, M (months), e.g. 5m, 1d";

/// A length as `bars.interval` has it, the largest unit first: of `5min` 5m, of `1D` and `daily` 1d, of `60m` 1h.
/// `None` of what is no length, or might be two (`5`, `m`).
pub fn bar_interval(text: &str) -> Option<String> {
    let text = text.trim();
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let mut number = if digits.is_empty() {
        1
    } else {
        digits.parse::<u32>().ok().filter(|number| *number > 0)?
    };
    let unit = unit.trim_start_matches([' ', '-', '_']);
    let mut unit = match unit {
        "m" | "M" if digits.is_empty() => return None,
        "M" => 'M',
        _ => match unit.to_ascii_lowercase().as_str() {
            "s" | "sec" | "secs" | "second" | "seconds" => 's',
            "m" | "min" | "mins" | "minute" | "minutes" => 'm',
            "h" | "hr" | "hrs" | "hour" | "hours" | "hourly" => 'h',
            "d" | "day" | "days" | "daily" => 'd',
            "w" | "wk" | "wks" | "week" | "weeks" | "weekly" => 'w',
            "mo" | "mon" | "month" | "months" | "monthly" => 'M',
            _ => return None,
        },
    };
    for (small, size, large) in [('s', 60, 'm'), ('m', 60, 'h'), ('h', 24, 'd')] {
        if unit == small && number.is_multiple_of(size) {
            (number, unit) = (number / size, large);
        }
    }
    Some(format!("{number}{unit}"))
}

#[cfg(test)]
mod tests {
    use super::bar_interval;

    #[test]
    fn a_length_has_one_spelling() {
        for (written, expected) in [
            ("1s 1S 1sec second", "1s"),
            ("1m 1min 1Min 60s minute 01m 1_min", "1m"),
            ("5m 5min 5MIN 5-minutes 300s", "5m"),
            ("90m 90min", "90m"),
            ("1h 1H 1Hour 60m 60min 3600s hourly", "1h"),
            ("1d 1D d D 1day 1Day daily Daily 24h 1440m", "1d"),
            ("1w 1W 1wk week weekly", "1w"),
            ("1M 1mo 1Month monthly", "1M"),
            ("7d", "7d"),
            ("12M 12mo", "12M"),
        ] {
            for text in written.split(' ') {
                assert_eq!(bar_interval(text).as_deref(), Some(expected), "{text}");
            }
        }
        assert_eq!(bar_interval(" 5 mins ").as_deref(), Some("5m"));
    }

    #[test]
    fn what_is_no_length_or_might_be_two_is_none() {
        for text in [
            "",
            " ",
            "5",
            "60",
            "m",
            "M",
            "0m",
            "-5m",
            "1.5h",
            "m5",
            "1y",
            "1 fortnight",
            "99999999999m",
            "1d 2h",
            "Ð",
            "5µs",
        ] {
            assert_eq!(bar_interval(text), None, "{text}");
        }
    }
}
