//! Typed ids: a prefix that says the kind, and a UUIDv7 as 32 hexadecimal digits, for example
//! `acc_0199f0c1d2e37a4b8c5d6e7f80912a3b`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What is wrong with an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be {prefix}_ and 32 hexadecimal digits")]
pub struct IdError {
    /// The prefix that was expected.
    pub prefix: &'static str,
}

fn parse(text: &str, prefix: &'static str) -> Result<Uuid, IdError> {
    let digits = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'));
    digits
        // One spelling only: an id is compared as text by clients and as bytes by us.
        .filter(|d| d.len() == 32 && d.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
        .and_then(|d| Uuid::try_parse(d).ok())
        .ok_or(IdError { prefix })
}

macro_rules! typed_ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// From a UUID that is known to be of this kind (a database column, an id source).
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID, as it stands in the database.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse(text, $prefix).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    )+};
}

typed_ids! {
    /// A merchant.
    MerchantId = "mer";
    /// A ledger account.
    AccountId = "acc";
    /// A ledger transaction.
    TransactionId = "txn";
    /// Value of an account that is reserved.
    HoldId = "hld";
    /// A customer of a merchant.
    CustomerId = "cus";
    /// A customer's wallet.
    WalletId = "wal";
    /// A purchase at a merchant's till.
    PurchaseId = "pur";
    /// A kind of gift card that a merchant sells.
    ProductId = "prd";
    /// A gift card.
    CardId = "crd";
    /// One redemption of a gift card on its own.
    RedemptionId = "red";
    /// A message to a customer.
    NotificationId = "ntf";
    /// One request, as logs and rows name it.
    RequestId = "req";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_prints_as_it_parses() {
        let text = "acc_0199f0c1d2e37a4b8c5d6e7f80912a3b";
        let id: AccountId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(String::from(id), text);
    }

    #[test]
    fn other_kinds_and_other_spellings_are_refused() {
        for bad in [
            "",
            "acc_",
            "txn_0199f0c1d2e37a4b8c5d6e7f80912a3b",
            "acc0199f0c1d2e37a4b8c5d6e7f80912a3b",
            "acc_0199F0C1D2E37A4B8C5D6E7F80912A3B",
            "acc_0199f0c1-d2e3-7a4b-8c5d-6e7f80912a3b",
            "acc_0199f0c1d2e37a4b8c5d6e7f80912a3b0",
        ] {
            assert_eq!(bad.parse::<AccountId>(), Err(IdError { prefix: "acc" }), "{bad}");
        }
    }
}
