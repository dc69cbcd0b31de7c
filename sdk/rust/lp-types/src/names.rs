//! Short names that callers give: references, idempotency keys, actors. All are bounded ASCII, so that no
//! personal data, no NUL and nothing unprintable gets into rows, logs or keys.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is wrong with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a reference.
    #[error("must be 1 to 64 characters of A-Z a-z 0-9 . _ : / -")]
    BadReference,
    /// Not an idempotency key.
    #[error("must be 1 to 128 visible ASCII characters")]
    BadIdempotencyKey,
    /// Not an actor.
    #[error("must be 1 to 64 characters of A-Z a-z 0-9 . _ : / -")]
    BadActor,
}

fn is_short_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._:/-".contains(&b))
}

fn is_key(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $check:ident, $error:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                if $check(&text) { Ok(Self(text)) } else { Err(NameError::$error) }
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

names! {
    /// The merchant's own name for a thing: 1 to 64 characters of `A-Z a-z 0-9 . _ : / -`.
    Reference, is_short_name, BadReference;
    /// Names one intended write: 1 to 128 visible ASCII characters.
    IdempotencyKey, is_key, BadIdempotencyKey;
    /// Who acted, as rows and logs name them: 1 to 64 characters of `A-Z a-z 0-9 . _ : / -`.
    Actor, is_short_name, BadActor;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_short_ascii() {
        assert!(Reference::try_from("order/2026-11:42_a.b".to_owned()).is_ok());
        for bad in ["", "a b", "é", "a\0", "a@b", &"x".repeat(65)] {
            assert_eq!(
                Reference::try_from(bad.to_owned()),
                Err(NameError::BadReference),
                "{bad}"
            );
        }
    }

    #[test]
    fn idempotency_keys_are_visible_ascii() {
        assert!(IdempotencyKey::try_from("8e03978e-40d5-43e8-bc93-6894a57f9324".to_owned()).is_ok());
        for bad in ["", "a b", "é", "a\n", &"x".repeat(129)] {
            assert_eq!(
                IdempotencyKey::try_from(bad.to_owned()),
                Err(NameError::BadIdempotencyKey),
                "{bad}"
            );
        }
    }
}
