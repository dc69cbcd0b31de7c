//! What a merchant notes on a transaction.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Pairs at most.
const MAX_PAIRS: usize = 16;
/// Characters of a name or a value at most.
const MAX_LENGTH: usize = 64;

/// Up to 16 pairs of a name (`a-z 0-9 _`, a letter first) and a value (`A-Z a-z 0-9 . _ : / -`), each of 1 to 64
/// characters: references to the merchant's own things, and no free text, so that nothing personal is kept for ever.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Metadata(BTreeMap<String, String>);

/// Why pairs are no metadata.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMetadata {
    /// Too many.
    #[error("must be at most {MAX_PAIRS} pairs")]
    TooMany,
    /// Not a name.
    #[error("must be 1 to {MAX_LENGTH} characters of a-z 0-9 _, a letter first")]
    Name,
    /// Not a value.
    #[error("the value of {name} must be 1 to {MAX_LENGTH} characters of A-Z a-z 0-9 . _ : / -")]
    Value {
        /// Its name.
        name: String,
    },
}

impl Metadata {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pairs, by name.
    pub fn pairs(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

impl TryFrom<BTreeMap<String, String>> for Metadata {
    type Error = InvalidMetadata;

    fn try_from(pairs: BTreeMap<String, String>) -> Result<Self, InvalidMetadata> {
        let fits = |text: &str| (1..=MAX_LENGTH).contains(&text.len());
        let is_name = |name: &str| {
            let first = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
            let is_of = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            fits(name) && first && name.bytes().all(is_of)
        };
        let is_value = |value: &str| {
            fits(value)
                && value
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._:/-".contains(&b))
        };
        if pairs.len() > MAX_PAIRS {
            return Err(InvalidMetadata::TooMany);
        }
        for (name, value) in &pairs {
            if !is_name(name) {
                return Err(InvalidMetadata::Name);
            }
            if !is_value(value) {
                return Err(InvalidMetadata::Value { name: name.clone() });
            }
        }
        Ok(Self(pairs))
    }
}

impl From<Metadata> for BTreeMap<String, String> {
    fn from(metadata: Metadata) -> Self {
        metadata.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_and_values_and_nothing_else() {
        let of = |pairs: &[(&str, &str)]| {
            let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            Metadata::try_from(pairs.iter().map(own).collect::<BTreeMap<_, _>>())
        };
        assert!(of(&[("till", "T-1"), ("order_id", "2026/11:7")]).is_ok());
        assert!(of(&[]).unwrap().is_empty());
        for name in ["", "Till", "1till", "order id", "café", &"x".repeat(65)] {
            assert_eq!(of(&[(name, "x")]), Err(InvalidMetadata::Name), "{name}");
        }
        for value in [
            "",
            "Claire Martin",
            "claire@example.com",
            "a\u{0}b",
            &"x".repeat(65),
        ] {
            let name = "till".to_owned();
            assert_eq!(
                of(&[("till", value)]),
                Err(InvalidMetadata::Value { name }),
                "{value}"
            );
        }
        let many: BTreeMap<_, _> = (0..17).map(|n| (format!("n{n}"), "x".to_owned())).collect();
        assert_eq!(Metadata::try_from(many), Err(InvalidMetadata::TooMany));
    }
}
