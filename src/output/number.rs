//! Numbers as DuckDB writes them, straight into a byte buffer.

use std::io::Write as _;

const PAIRS: &[u8; 200] = b"00010203040506070809101112131415161718192021222324252627282930313233343536373839\
4041424344454647484950515253545556575859606162636465666768697071727374757677787980818283848586878889\
90919293949596979899";

/// Powers of ten that an `f64` holds exactly.
const TENS: [f64; 16] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
];

/// Where a notation changes from digits to an exponent, and how it writes one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Notation {
    /// As a cast to VARCHAR: `1e-05`, `1e+16`.
    Sql,
    /// As `to_json`: `0.00001`, `1e-7`, `1e21`.
    Json,
}

pub(super) fn unsigned(value: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let start = fill(value, &mut digits);
    out.extend_from_slice(&digits[start..]);
}

pub(super) fn signed(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    unsigned(value.unsigned_abs(), out);
}

/// `value` with leading zeros up to `width` digits.
pub(super) fn padded(value: u64, width: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let start = fill(value, &mut digits);
    out.extend_from_slice(&digits[start.min(20 - width)..]);
}

/// Writes the digits at the end of the buffer; where they start.
fn fill(mut value: u64, digits: &mut [u8; 20]) -> usize {
    let mut at = 20;
    while value >= 100 {
        let pair = usize::try_from(value % 100).unwrap_or(0) * 2;
        value /= 100;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    let pair = usize::try_from(value).unwrap_or(0) * 2;
    if value >= 10 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    } else {
        at -= 1;
        digits[at] = PAIRS[pair + 1];
    }
    at
}

/// `value` / 10^`scale`, with all its `scale` digits. As DuckDB does, a DECIMAL(n, n) has no zero before the point.
pub(super) fn decimal(value: i128, precision: u8, scale: u8, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let magnitude = value.unsigned_abs();
    let scale = usize::from(scale);
    if scale == 0 {
        return wide(magnitude, out);
    }
    let mut text = Vec::with_capacity(40);
    wide(magnitude, &mut text);
    let whole = text.len().saturating_sub(scale);
    if whole > 0 {
        out.extend_from_slice(&text[..whole]);
    } else if usize::from(precision) > scale {
        out.push(b'0');
    }
    out.push(b'.');
    out.resize(out.len() + scale.saturating_sub(text.len()), b'0');
    out.extend_from_slice(&text[whole..]);
}

pub(super) fn wide(value: u128, out: &mut Vec<u8>) {
    match u64::try_from(value) {
        Ok(value) => unsigned(value, out),
        Err(_) => {
            let _ = write!(out, "{value}");
        }
    }
}

/// A BIGNUM: three bytes of sign and length, then the magnitude from its most significant byte on. All are inverted where
/// it is negative.
pub(super) fn big(bytes: &[u8], out: &mut Vec<u8>) {
    // With 16 digits a limb, 256 of them and a carry still fit.
    const LIMB: u64 = 10_u64.pow(16);
    let Some((header, magnitude)) = bytes.split_at_checked(3) else {
        return;
    };
    let negative = header[0] < 0x80;
    // Least significant first.
    let mut limbs = vec![0];
    for byte in magnitude {
        let mut carry = u64::from(if negative { !byte } else { *byte });
        for limb in &mut limbs {
            let value = (*limb << 8) + carry;
            (*limb, carry) = (value % LIMB, value / LIMB);
        }
        if carry > 0 {
            limbs.push(carry);
        }
    }
    if negative {
        out.push(b'-');
    }
    let mut limbs = limbs.into_iter().rev();
    unsigned(limbs.next().unwrap_or(0), out);
    for limb in limbs {
        padded(limb, 16, out);
    }
}

/// The shortest digits that give `value` back. Infinity and NaN as `inf`, `nan`, in JSON as `null`.
pub(super) fn double(value: f64, notation: Notation, out: &mut Vec<u8>) {
    if !value.is_finite() {
        return not_finite(value, notation, out);
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let magnitude = value.abs();
    if let Some((digits, exponent)) = short(magnitude) {
        let mut buffer = [0_u8; 20];
        let start = fill(digits, &mut buffer);
        let length = i32::try_from(buffer.len() - start).unwrap_or(0);
        layout(&buffer[start..], length - 1 - exponent, notation, out);
    } else {
        shortest(magnitude, notation, out);
    }
}

/// As [`double`], for the shorter digits that give an `f32` back.
pub(super) fn float(value: f32, out: &mut Vec<u8>) {
    if !value.is_finite() {
        return not_finite(f64::from(value), Notation::Sql, out);
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let magnitude = value.abs();
    if is_ambiguous(magnitude) {
        shortest(f64::from(magnitude), Notation::Sql, out);
    } else {
        scientific(&format!("{magnitude:e}"), Notation::Sql, out);
    }
}

/// Whether DuckDB writes a FLOAT with the digits of a DOUBLE, as it does where its search for the shortest
/// digits is undecided: two are equally near, or they stand exactly half way to the next FLOAT.
fn is_ambiguous(value: f32) -> bool {
    let text = format!("{value:e}");
    let wide = f64::from(value);
    let half_way = |other: f32| {
        let middle = format!("{:e}", f64::midpoint(wide, other.into()));
        other.is_finite() && (count_digits(&middle) < count_digits(&text) || middle == text)
    };
    let exact = format!("{wide:e}");
    count_digits(&exact) == count_digits(&text) + 1 && exact.contains("5e")
        || half_way(value.next_up())
        || half_way(value.next_down())
}

/// Digits of a number such as `1.25e7`.
fn count_digits(text: &str) -> usize {
    text.bytes()
        .take_while(|&b| b != b'e')
        .filter(u8::is_ascii_digit)
        .count()
}

fn not_finite(value: f64, notation: Notation, out: &mut Vec<u8>) {
    out.extend_from_slice(match notation {
        Notation::Json => b"null",
        Notation::Sql if value.is_nan() => b"nan",
        Notation::Sql if value > 0.0 => b"inf",
        Notation::Sql => b"-inf",
    });
}

/// `value` as digits / 10^exponent, if that takes at most 15 digits. Prices and sizes nearly always do.
///
/// Decimals of up to 15 digits map to distinct doubles, so one that gives `value` back has its shortest
/// digits. Whether it does is decided exactly: both operands of the division are exact, so IEEE rounding
/// makes its result the double nearest to the decimal, which is how the decimal would be read.
#[expect(clippy::float_cmp, reason = "an exact question")]
fn short(value: f64) -> Option<(u64, i32)> {
    let exponent = match value {
        v if v < 1e5 => 10,
        v if v < 1e7 => 8,
        v if v < 1e11 => 4,
        v if v < 1e15 => 0,
        _ => return None,
    };
    let scale = TENS[exponent];
    let digits = (value * scale).round_ties_even() as u64;
    (digits < 1_000_000_000_000_000 && digits as f64 / scale == value)
        .then_some((digits, exponent as i32))
}

/// The digits that take more than [`short`] finds: Rust's, save that of two equally near the even one is taken.
fn shortest(value: f64, notation: Notation, out: &mut Vec<u8>) {
    let mut buffer = [0_u8; 32];
    let mut rest = &mut buffer[..];
    let _ = write!(rest, "{value:e}");
    let length = 32 - rest.len();
    let text = std::str::from_utf8(&buffer[..length]).unwrap_or_default();
    // Half way means at most 18 digits, and a fraction of k binary places has k decimal ones, a multiple of 5^k:
    // more than 25 places give more digits.
    if (value * f64::from(1 << 25)).fract() == 0.0 {
        let exact = format!("{value:.25e}");
        let (mantissa, exponent) = exact.split_once('e').unwrap_or((&exact, "0"));
        let mantissa = mantissa.trim_end_matches('0');
        if let Some(even) = mantissa.strip_suffix('5')
            && count_digits(even) == count_digits(text)
            && even.ends_with(['0', '2', '4', '6', '8'])
        {
            return scientific(&format!("{even}e{exponent}"), notation, out);
        }
    }
    scientific(text, notation, out);
}

/// Takes a number such as `1.25e-7` apart and writes it.
fn scientific(text: &str, notation: Notation, out: &mut Vec<u8>) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let mut digits = [0_u8; 32];
    let mut count = 0;
    for digit in mantissa
        .bytes()
        .filter(u8::is_ascii_digit)
        .take(digits.len())
    {
        digits[count] = digit;
        count += 1;
    }
    layout(
        &digits[..count],
        exponent.parse().unwrap_or(0),
        notation,
        out,
    );
}

/// Places `digits` (d.ddd × 10^`exponent`) with a point or an exponent.
fn layout(digits: &[u8], exponent: i32, notation: Notation, out: &mut Vec<u8>) {
    let zeros = digits.iter().rev().take_while(|&&b| b == b'0').count();
    let digits = &digits[..(digits.len() - zeros).max(1)];
    let exponent = if digits == b"0" { 0 } else { exponent };
    let range = match notation {
        Notation::Sql => -4..16,
        Notation::Json => -6..21,
    };
    if !range.contains(&exponent) {
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.push(b'e');
        if exponent < 0 {
            out.push(b'-');
        } else if notation == Notation::Sql {
            out.push(b'+');
        }
        let width = if notation == Notation::Sql { 2 } else { 1 };
        return padded(u64::from(exponent.unsigned_abs()), width, out);
    }
    let point = usize::try_from(exponent + 1).unwrap_or(0);
    if point == 0 {
        out.extend_from_slice(b"0.");
        out.resize(
            out.len() + usize::try_from(-1 - exponent).unwrap_or(0),
            b'0',
        );
        out.extend_from_slice(digits);
    } else if point >= digits.len() {
        out.extend_from_slice(digits);
        out.resize(out.len() + point - digits.len(), b'0');
        out.extend_from_slice(b".0");
    } else {
        out.extend_from_slice(&digits[..point]);
        out.push(b'.');
        out.extend_from_slice(&digits[point..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sql(value: f64) -> String {
        let mut out = Vec::new();
        double(value, Notation::Sql, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn digits_are_placed_as_duckdb_places_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (61685.99, "61685.99"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (1.234e-5, "1.234e-05"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (5e-324, "5e-324"),
            (1.5e300, "1.5e+300"),
            (f64::NAN, "nan"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (100.0, "100.0"),
        ] {
            assert_eq!(sql(value), text);
        }
    }

    #[test]
    fn integers_have_all_their_digits() {
        for value in [0, 7, 10, 99, 100, 12345, i64::MAX, i64::MIN, -1] {
            let mut out = Vec::new();
            signed(value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
        }
    }

    proptest! {
        #[test]
        fn doubles_read_back_equal_and_are_shortest(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let text = sql(value);
            prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), bits);
            let count = |s: &str| {
                let s = s.split('e').next().unwrap().replace(['.', '-'], "");
                s.trim_start_matches('0').trim_end_matches('0').len()
            };
            prop_assert_eq!(count(&text), count(&format!("{value:e}")));
        }

        #[test]
        fn decimal_fractions_come_out_as_written(whole in 0_u64..100_000_000, fraction in 0_u32..1_000_000) {
            let text = format!("{whole}.{fraction:06}");
            let expected = text.trim_end_matches('0');
            let expected = if expected.ends_with('.') { format!("{expected}0") } else { expected.to_owned() };
            let value: f64 = text.parse().unwrap();
            prop_assume!(!(-5..0).contains(&(value.log10().floor() as i32)) || value >= 1e-4);
            prop_assert_eq!(sql(value), expected);
        }
    }
}
