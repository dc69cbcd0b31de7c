//! What a merchant sells.

use serde::{Deserialize, Serialize};

const MAX_NAME: usize = 100;
const MAX_DENOMINATIONS: usize = 50;
const MAX_DENOMINATION: i64 = 1_000_000_000;

/// What is wrong with a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProductError {
    /// Not a name.
    #[error("must be 1 to 100 printable characters, with no blank at either end")]
    BadName,
    /// None, or too many.
    #[error("must be 1 to 50 different amounts")]
    BadCount,
    /// One that is none.
    #[error("must each be 1 to 1000000000 minor units")]
    BadAmount,
}

/// The name that customers see: 1 to 100 printable characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProductName(String);

impl ProductName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ProductName {
    type Error = ProductError;

    fn try_from(name: String) -> Result<Self, ProductError> {
        let length = name.chars().count();
        let printable = !name.chars().any(char::is_control) && name.trim() == name;
        if (1..=MAX_NAME).contains(&length) && printable {
            Ok(Self(name))
        } else {
            Err(ProductError::BadName)
        }
    }
}

impl From<ProductName> for String {
    fn from(name: ProductName) -> Self {
        name.0
    }
}

/// The amounts that can be bought: 1 to 50 different ones, each 1 to 10^9 minor units, rising.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<i64>", into = "Vec<i64>")]
pub struct Denominations(Vec<i64>);

impl Denominations {
    /// Rising.
    pub fn as_slice(&self) -> &[i64] {
        &self.0
    }

    /// True when `minor_units` is one of them.
    pub fn contain(&self, minor_units: i64) -> bool {
        self.0.binary_search(&minor_units).is_ok()
    }
}

impl TryFrom<Vec<i64>> for Denominations {
    type Error = ProductError;

    fn try_from(mut amounts: Vec<i64>) -> Result<Self, ProductError> {
        if !(1..=MAX_DENOMINATIONS).contains(&amounts.len()) {
            return Err(ProductError::BadCount);
        }
        if amounts
            .iter()
            .any(|amount| !(1..=MAX_DENOMINATION).contains(amount))
        {
            return Err(ProductError::BadAmount);
        }
        let given = amounts.len();
        amounts.sort_unstable();
        amounts.dedup();
        if amounts.len() == given {
            Ok(Self(amounts))
        } else {
            Err(ProductError::BadCount)
        }
    }
}

impl From<Denominations> for Vec<i64> {
    fn from(amounts: Denominations) -> Self {
        amounts.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denominations_are_different_positive_and_few() {
        let sorted = Denominations::try_from(vec![5_000, 1_000, MAX_DENOMINATION, 1]).unwrap();
        assert_eq!(sorted.as_slice(), [1, 1_000, 5_000, MAX_DENOMINATION]);
        assert!(sorted.contain(1_000) && !sorted.contain(999));
        for (bad, why) in [
            (vec![], ProductError::BadCount),
            ((1..=51).collect(), ProductError::BadCount),
            (vec![5, 7, 5], ProductError::BadCount),
            (vec![0], ProductError::BadAmount),
            (vec![10, -1], ProductError::BadAmount),
            (vec![MAX_DENOMINATION + 1], ProductError::BadAmount),
            (vec![i64::MIN, i64::MAX], ProductError::BadAmount),
        ] {
            assert_eq!(Denominations::try_from(bad.clone()), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn names_are_short_and_printable() {
        for good in ["N", "Carte cadeau « Noël » 🎄", &"é".repeat(100)] {
            assert!(ProductName::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", " ", " a", "a\n", "a\0b", "a\u{7f}", &"é".repeat(101)] {
            assert_eq!(
                ProductName::try_from(bad.to_owned()),
                Err(ProductError::BadName),
                "{bad}"
            );
        }
    }
}
