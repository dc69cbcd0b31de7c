//! Enumerations as the tables number them, and rows that break them.

use ledger_domain::{AccountState, AccountType, Direction, HoldState, Metadata, TransactionKind};
use lp_pg::PgError;
use sqlx::types::Json;

/// A row that the code's types cannot hold: a fault of ours.
pub fn corrupt(error: impl std::error::Error + Send + Sync + 'static) -> PgError {
    sqlx::Error::Decode(Box::new(error)).into()
}

/// A number in a column that stands for nothing.
#[derive(Debug, thiserror::Error)]
#[error("{column} holds {value}")]
pub struct UnknownCode {
    column: &'static str,
    value: i16,
}

/// What merchants note, as a column keeps it: absent where there is nothing.
pub fn noted(metadata: &Metadata) -> Option<Json<&Metadata>> {
    (!metadata.is_empty()).then_some(Json(metadata))
}

/// A Rust enumeration and its numbers in a column.
pub trait Code: Sized {
    /// Its number.
    fn number(self) -> i16;

    /// From its number.
    ///
    /// # Errors
    /// When the number stands for nothing.
    fn from_number(number: i16) -> lp_pg::Result<Self>;
}

macro_rules! codes {
    ($($name:ident in $column:literal { $($variant:ident = $number:literal),+ })+) => {$(
        impl Code for $name {
            fn number(self) -> i16 {
                match self { $(Self::$variant => $number),+ }
            }

            fn from_number(number: i16) -> lp_pg::Result<Self> {
                match number {
                    $($number => Ok(Self::$variant),)+
                    value => Err(corrupt(UnknownCode { column: $column, value })),
                }
            }
        }
    )+};
}

codes! {
    AccountType in "accounts.type" {
        Customer = 1, Issuance = 2, Redemption = 3, External = 4,
        GiftCard = 5, Sales = 6, LoyaltyCost = 7, Breakage = 8
    }
    AccountState in "accounts.state" { Open = 1, Frozen = 2, Closed = 3 }
    Direction in "ledger_entries.direction" { Debit = 1, Credit = 2 }
    HoldState in "holds.state" { Open = 1, Captured = 2, Voided = 3, Expired = 4 }
    TransactionKind in "transactions.kind" { General = 1, Earn = 2, Burn = 3, Capture = 4, Reversal = 5 }
}
