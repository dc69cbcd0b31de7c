//! Points as a customer reads them. Integer arithmetic only.

use super::notification::Language;

/// U+202F between thousands, as French typography has it.
const NARROW_NO_BREAK_SPACE: char = '\u{202f}';

/// `1 250 points`, `1,250.5 points`: number and unit, which no line break parts.
pub fn points(minor_units: i64, exponent: u8, language: Language) -> String {
    let (thousands, decimal) = match language {
        Language::French => (NARROW_NO_BREAK_SPACE, ','),
        Language::English => (',', '.'),
    };
    let magnitude = minor_units.unsigned_abs();
    let decimals = usize::from(exponent);
    let digits = format!("{magnitude:0>width$}", width = decimals.saturating_add(1));
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(decimals));

    let mut text = String::new();
    if minor_units < 0 {
        text.push('\u{2212}');
    }
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && whole.len().saturating_sub(index).is_multiple_of(3) {
            text.push(thousands);
        }
        text.push(digit);
    }
    if !fraction.is_empty() {
        text.push(decimal);
        text.push_str(fraction);
    }
    let one = 10_u64.saturating_pow(exponent.into());
    let plural = match language {
        // French counts from two: 0 point, 1,99 point, 2 points.
        Language::French => magnitude >= one.saturating_mul(2),
        Language::English => magnitude != one,
    };
    text.push_str(if plural { "\u{a0}points" } else { "\u{a0}point" });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_and_decimals_are_those_of_the_language() {
        for (minor_units, exponent, french, english) in [
            (0, 0, "0\u{a0}point", "0\u{a0}points"),
            (1, 0, "1\u{a0}point", "1\u{a0}point"),
            (2, 0, "2\u{a0}points", "2\u{a0}points"),
            (999, 0, "999\u{a0}points", "999\u{a0}points"),
            (1_250, 0, "1\u{202f}250\u{a0}points", "1,250\u{a0}points"),
            (5, 2, "0,05\u{a0}point", "0.05\u{a0}points"),
            (100, 2, "1,00\u{a0}point", "1.00\u{a0}point"),
            (199, 2, "1,99\u{a0}point", "1.99\u{a0}points"),
            (
                123_456_789,
                2,
                "1\u{202f}234\u{202f}567,89\u{a0}points",
                "1,234,567.89\u{a0}points",
            ),
            (
                -1_250,
                0,
                "\u{2212}1\u{202f}250\u{a0}points",
                "\u{2212}1,250\u{a0}points",
            ),
            (
                i64::MIN,
                8,
                "\u{2212}92\u{202f}233\u{202f}720\u{202f}368,54775808\u{a0}points",
                "\u{2212}92,233,720,368.54775808\u{a0}points",
            ),
        ] {
            assert_eq!(points(minor_units, exponent, Language::French), french);
            assert_eq!(points(minor_units, exponent, Language::English), english);
        }
    }
}
