//! What a merchant says of itself.

use std::fmt;

use jiff::tz::TimeZoneDatabase;
use serde::{Deserialize, Serialize};

/// The greatest exponent of a currency.
const MAX_EXPONENT: i32 = 8;
const MAX_NAME: usize = 100;

/// What is wrong with a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// Not a name.
    #[error("must be 1 to 100 printable characters, with no blank at either end")]
    BadName,
    /// Not an exponent.
    #[error("must be 0 to 8")]
    BadExponent,
    /// Not a time zone.
    #[error("must be a time zone of IANA, for example Europe/Paris")]
    BadTimeZone,
}

/// The name that customers see: 1 to 100 printable characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MerchantName(String);

/// The exponent of a currency: 0 to 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i32", into = "i32")]
pub struct Exponent(i32);

impl Exponent {
    /// As a number.
    pub fn get(self) -> i32 {
        self.0
    }
}

/// An IANA time zone, as IANA spells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeZoneName(String);

impl TryFrom<String> for MerchantName {
    type Error = ProfileError;

    fn try_from(name: String) -> Result<Self, ProfileError> {
        let length = name.chars().count();
        let printable = !name.chars().any(char::is_control) && name.trim() == name;
        if (1..=MAX_NAME).contains(&length) && printable {
            Ok(Self(name))
        } else {
            Err(ProfileError::BadName)
        }
    }
}

impl TryFrom<i32> for Exponent {
    type Error = ProfileError;

    fn try_from(exponent: i32) -> Result<Self, ProfileError> {
        if (0..=MAX_EXPONENT).contains(&exponent) {
            Ok(Self(exponent))
        } else {
            Err(ProfileError::BadExponent)
        }
    }
}

impl From<Exponent> for i32 {
    fn from(exponent: Exponent) -> Self {
        exponent.0
    }
}

impl TryFrom<String> for TimeZoneName {
    type Error = ProfileError;

    /// By the database that is compiled in: what is a time zone must not depend on the machine. It knows names
    /// in any case, and rows shall have one spelling.
    fn try_from(name: String) -> Result<Self, ProfileError> {
        let known = TimeZoneDatabase::bundled().get(&name);
        let known = known.map_err(|_| ProfileError::BadTimeZone)?;
        if known.iana_name() == Some(name.as_str()) {
            Ok(Self(name))
        } else {
            Err(ProfileError::BadTimeZone)
        }
    }
}

macro_rules! texts {
    ($($name:ident),+) => {$(
        impl $name {
            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

texts!(MerchantName, TimeZoneName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_printable() {
        for good in ["Boulangerie Ô Blé", "x", &"é".repeat(100)] {
            assert!(MerchantName::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", " ", " x", "x ", "a\0b", "a\nb", "a\u{85}b", &"é".repeat(101)] {
            assert!(MerchantName::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn exponents_are_those_of_assets() {
        for (exponent, good) in [(-1, false), (0, true), (8, true), (9, false), (i32::MIN, false)] {
            assert_eq!(Exponent::try_from(exponent).is_ok(), good, "{exponent}");
        }
    }

    #[test]
    fn time_zones_are_ianas() {
        for good in [
            "Europe/Paris",
            "UTC",
            "America/Argentina/Buenos_Aires",
            "Etc/GMT+5",
        ] {
            assert!(TimeZoneName::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in [
            "",
            "europe/paris",
            "Europe/Atlantis",
            "+01:00",
            "CET-1CEST",
            "../etc/passwd",
            "Europe/Paris\0",
            "Etc/Unknown",
            "localtime",
        ] {
            assert!(TimeZoneName::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
