//! Codes and PINs of cards. Neither prints: both are told once, by an rpc's answer.

use std::fmt;

/// Crockford's base32: no I, L, O, U (<https://www.crockford.com/base32.html>).
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// 24 characters of 5 bits.
const LENGTH: usize = 24;
const GROUP: usize = 4;
const PINS: u64 = 1_000_000;

/// A code of 120 bits, as 24 characters of Crockford's base32. Its last four are told to find a card by; the
/// 100 bits before them are the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct CardCode(String);

impl CardCode {
    /// The code that has these bits.
    pub fn from_bytes(bytes: [u8; 15]) -> Self {
        let mut code = String::with_capacity(LENGTH);
        for five in bytes.chunks(5) {
            let bits = five.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
            for place in (0..8).rev() {
                let symbol = usize::try_from(bits >> (5 * place) & 31).unwrap_or_default();
                code.extend(ALPHABET.get(symbol).map(|symbol| char::from(*symbol)));
            }
        }
        Self(code)
    }

    /// The code that somebody typed: case, blanks and hyphens do not matter, and O, I and L are taken for the
    /// digits that they look like. None where it cannot be one.
    pub fn parse(typed: &str) -> Option<Self> {
        let mut code = String::with_capacity(LENGTH);
        for typed in typed.chars().filter(|c| !c.is_whitespace() && *c != '-') {
            let symbol = match typed.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            let known = u8::try_from(symbol).is_ok_and(|byte| ALPHABET.contains(&byte));
            if !known || code.len() == LENGTH {
                return None;
            }
            code.push(symbol);
        }
        (code.len() == LENGTH).then_some(Self(code))
    }

    /// Without hyphens. A secret.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// For a person to read: groups of four, with hyphens. A secret.
    pub fn grouped(&self) -> String {
        let mut grouped = String::with_capacity(LENGTH + LENGTH / GROUP);
        for (place, symbol) in self.0.chars().enumerate() {
            if place > 0 && place % GROUP == 0 {
                grouped.push('-');
            }
            grouped.push(symbol);
        }
        grouped
    }

    /// The last four characters: no secret.
    pub fn suffix(&self) -> String {
        self.0.chars().skip(LENGTH - GROUP).collect()
    }
}

impl fmt::Debug for CardCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CardCode")
    }
}

/// A PIN of six digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin(String);

impl Pin {
    /// From any number. Of 2^64 of them, no PIN has one in 10^13 more than another.
    pub fn from_number(number: u64) -> Self {
        Self(format!("{:06}", number % PINS))
    }

    /// Six digits. A secret.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin")
    }
}

/// What somebody typed to open a card.
#[derive(Clone, PartialEq, Eq)]
pub struct CardSecret {
    /// The code.
    pub code: String,
    /// The PIN; empty where none was given.
    pub pin: String,
}

impl fmt::Debug for CardSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CardSecret")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bits_become_characters_from_the_first_on() {
        assert_eq!(CardCode::from_bytes([0; 15]).expose(), "0".repeat(24));
        assert_eq!(CardCode::from_bytes([255; 15]).expose(), "Z".repeat(24));
        // Bits 00001 00010 … of Crockford's table.
        let bytes = [0b0000_1000, 0b1000_0110, 0b0100_0010, 0b1001_1000, 0b1110_1000];
        let code = CardCode::from_bytes([bytes, bytes, bytes].concat().try_into().unwrap());
        assert_eq!(code.grouped(), "1234-5678-1234-5678-1234-5678");
        assert_eq!(code.suffix(), "5678");
    }

    #[test]
    fn letters_that_look_like_digits_are_taken_for_them() {
        let read = CardCode::parse("oOiI-lL00 0000 0000 0000 0000").unwrap();
        assert_eq!(read.expose(), "001111000000000000000000");
    }

    #[test]
    fn what_cannot_be_a_code_is_none() {
        let zeros = "0".repeat(23);
        for bad in [
            "",
            " - ",
            &zeros,
            &format!("{zeros}00"),
            &format!("{zeros}U"),
            &format!("{zeros}é"),
        ] {
            assert_eq!(CardCode::parse(bad), None, "{bad}");
        }
        // Full-width digits are digits of another script.
        assert_eq!(CardCode::parse(&format!("{zeros}\u{ff10}")), None);
    }

    #[test]
    fn nothing_prints() {
        let secret = CardSecret {
            code: "ABCD".to_owned(),
            pin: "135790".to_owned(),
        };
        let shown = format!(
            "{secret:?} {:?} {:?}",
            CardCode::from_bytes([255; 15]),
            Pin::from_number(135_790)
        );
        assert_eq!(shown, "CardSecret CardCode Pin");
    }

    #[test]
    fn a_pin_has_six_digits() {
        for (number, pin) in [
            (0, "000000"),
            (7, "000007"),
            (1_000_000, "000000"),
            (u64::MAX, "551615"),
        ] {
            assert_eq!(Pin::from_number(number).expose(), pin);
        }
    }

    proptest! {
        #[test]
        fn a_code_reads_back_however_it_is_typed(
            bytes: [u8; 15],
            noise in proptest::collection::vec((0_usize..24, prop::sample::select(vec![' ', '-', '\t', '\u{a0}'])), 0..12),
            lower: u32,
        ) {
            let code = CardCode::from_bytes(bytes);
            prop_assert_eq!(CardCode::parse(&code.grouped()), Some(code.clone()));
            prop_assert_eq!(CardCode::parse(code.expose()), Some(code.clone()));
            let mut noise_at: HashMap<usize, Vec<char>> = HashMap::new();
            for (place, blank) in noise {
                noise_at.entry(place).or_default().push(blank);
            }
            let mut typed = String::new();
            for (place, symbol) in code.expose().chars().enumerate() {
                typed.extend(noise_at.get(&place).into_iter().flatten());
                let symbol = match symbol {
                    '0' if lower & 1 == 1 => 'o',
                    '1' if lower & 2 == 2 => 'l',
                    symbol => symbol,
                };
                typed.push(if lower >> place & 1 == 1 { symbol.to_ascii_lowercase() } else { symbol });
            }
            prop_assert_eq!(CardCode::parse(&typed), Some(code));
        }

        #[test]
        fn two_codes_are_the_same_only_of_the_same_bits(one: [u8; 15], other: [u8; 15]) {
            prop_assert_eq!(CardCode::from_bytes(one) == CardCode::from_bytes(other), one == other);
        }

        #[test]
        fn whatever_is_typed_is_a_code_of_24_characters_or_none(typed in "\\PC{0,64}") {
            if let Some(code) = CardCode::parse(&typed) {
                prop_assert!(code.expose().len() == 24 && code.expose().bytes().all(|b| ALPHABET.contains(&b)));
            }
        }
    }
}
