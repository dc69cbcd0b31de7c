//! Money as integer minor units, and the codes of assets.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The greatest amount that one entry may move: 10^15 minor units.
pub const MAX_AMOUNT: i64 = 1_000_000_000_000_000;

/// What is wrong with an amount or asset code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Zero or negative.
    #[error("must be greater than zero")]
    NotPositive,
    /// Above [`MAX_AMOUNT`].
    #[error("must be at most 1000000000000000 minor units")]
    TooLarge,
    /// Not a code.
    #[error("must be 2 to 16 characters of A-Z, 0-9 and _, a letter first")]
    BadAssetCode,
}

/// An amount that is moved: 1 to 10^15 minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Amount(i64);

impl Amount {
    /// Minor units, as `i64`.
    pub fn get(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for Amount {
    type Error = MoneyError;

    fn try_from(minor_units: i64) -> Result<Self, MoneyError> {
        match minor_units {
            ..=0 => Err(MoneyError::NotPositive),
            1..=MAX_AMOUNT => Ok(Self(minor_units)),
            _ => Err(MoneyError::TooLarge),
        }
    }
}

impl From<Amount> for i64 {
    fn from(amount: Amount) -> Self {
        amount.0
    }
}

/// A balance or a sum: minor units of any sign. Arithmetic is checked; there is no other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MinorUnits(i64);

impl MinorUnits {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From minor units.
    pub const fn new(minor_units: i64) -> Self {
        Self(minor_units)
    }

    /// Minor units, as `i64`.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The sum, or `None` when it leaves the range.
    #[must_use]
    pub fn plus(self, amount: Amount) -> Option<Self> {
        self.0.checked_add(amount.0).map(Self)
    }

    /// The sum, or `None` when it leaves the range.
    #[must_use]
    pub fn sum(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, or `None` when it leaves the range.
    #[must_use]
    pub fn minus(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
}

impl fmt::Display for MinorUnits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The code of an asset, for example `EUR` or `PTS`: 2 to 16 characters of `A-Z`, `0-9` and `_`, a letter
/// first.
///
/// Kept in place, and not on the heap: each entry of the ledger has one, and each step of a posting copies it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AssetCode {
    /// Zeros follow it.
    bytes: [u8; Self::MAX],
}

impl AssetCode {
    const MAX: usize = 16;

    /// As text.
    pub fn as_str(&self) -> &str {
        let end = self.bytes.iter().position(|byte| *byte == 0);
        let code = self.bytes.get(..end.unwrap_or(Self::MAX)).unwrap_or_default();
        std::str::from_utf8(code).unwrap_or_default()
    }
}

impl TryFrom<&str> for AssetCode {
    type Error = MoneyError;

    fn try_from(code: &str) -> Result<Self, MoneyError> {
        let mut bytes = code.bytes();
        let starts_with_letter = bytes.next().is_some_and(|b| b.is_ascii_uppercase());
        let rest_is_code = bytes.all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        let mut bytes = [0; Self::MAX];
        match bytes.get_mut(..code.len()) {
            Some(place) if code.len() >= 2 && starts_with_letter && rest_is_code => {
                place.copy_from_slice(code.as_bytes());
                Ok(Self { bytes })
            }
            _ => Err(MoneyError::BadAssetCode),
        }
    }
}

impl TryFrom<String> for AssetCode {
    type Error = MoneyError;

    fn try_from(code: String) -> Result<Self, MoneyError> {
        Self::try_from(code.as_str())
    }
}

impl From<AssetCode> for String {
    fn from(code: AssetCode) -> Self {
        code.as_str().to_owned()
    }
}

impl fmt::Debug for AssetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AssetCode").field(&self.as_str()).finish()
    }
}

impl fmt::Display for AssetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_between_one_and_ten_to_the_fifteen() {
        assert_eq!(Amount::try_from(0), Err(MoneyError::NotPositive));
        assert_eq!(Amount::try_from(i64::MIN), Err(MoneyError::NotPositive));
        assert_eq!(Amount::try_from(1).map(Amount::get), Ok(1));
        assert_eq!(Amount::try_from(MAX_AMOUNT).map(Amount::get), Ok(MAX_AMOUNT));
        assert_eq!(Amount::try_from(MAX_AMOUNT + 1), Err(MoneyError::TooLarge));
    }

    #[test]
    fn sums_are_checked() {
        let one = Amount::try_from(1).unwrap();
        assert_eq!(MinorUnits::new(i64::MAX).plus(one), None);
        assert_eq!(MinorUnits::new(i64::MIN).minus(MinorUnits::new(1)), None);
        assert_eq!(MinorUnits::new(2).plus(one), Some(MinorUnits::new(3)));
    }

    #[test]
    fn asset_codes_are_short_and_upper_case() {
        for good in ["EUR", "PTS", "PTS_BAKERY_1", "A1"] {
            assert!(AssetCode::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in [
            "",
            "E",
            "eur",
            "1EUR",
            "_EUR",
            "EU R",
            "EUR\0",
            "ABCDEFGHIJKLMNOPQ",
            "É1",
        ] {
            assert!(AssetCode::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
