//! "Did you mean": names close to one that there is not.

/// The names at most `slips` letters away from `word` (one wrong, missing, doubled or swapped each), the nearest first.
#[must_use]
pub fn nearest<'n>(
    word: &str,
    names: impl IntoIterator<Item = &'n str>,
    slips: usize,
) -> Vec<&'n str> {
    let word = word.to_lowercase();
    let mut near: Vec<(usize, &str)> = names
        .into_iter()
        .filter(|name| name.chars().count().abs_diff(word.chars().count()) <= slips)
        .map(|name| (strsim::osa_distance(&word, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= slips)
        .collect();
    near.sort_unstable();
    near.dedup();
    near.into_iter().map(|(_, name)| name).collect()
}

/// The one name that `word` was probably meant to be.
#[must_use]
pub fn meant<'n>(word: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let slips = match word.chars().count() {
        0..=4 => 1,
        5..=7 => 2,
        _ => 3,
    };
    nearest(word, names, slips).first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_from_another_word() {
        let names = ["trades", "quotes", "bars", "trade_corrections"];
        assert_eq!(meant("trade", names), Some("trades"));
        assert_eq!(meant("tradse", names), Some("trades"));
        assert_eq!(meant("QUOTE", names), Some("quotes"));
        assert_eq!(meant("positions", names), None);
        assert_eq!(
            nearest("bar", ["bars", "barn", "car"], 1),
            ["barn", "bars", "car"]
        );
    }
}
