//! Enumerations as the tables number them, and rows that break them.

use lp_pg::PgError;

use super::purchases::Stage;
use crate::domain::{purchase::TenderKind, state::State};

/// A row that the code's types cannot hold: a fault of ours.
pub(super) fn corrupt(error: impl std::error::Error + Send + Sync + 'static) -> PgError {
    sqlx::Error::Decode(Box::new(error)).into()
}

/// A number in a column that stands for nothing.
#[derive(Debug, thiserror::Error)]
#[error("{column} holds {value}")]
struct UnknownCode {
    column: &'static str,
    value: i16,
}

/// An enumeration and its numbers in a column.
pub(super) trait Code: Sized {
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
    State in "merchants.state" {
        Applied = 1, InReview = 2, Approved = 3, Active = 4, Suspended = 5, Closed = 6
    }
    Stage in "purchases.state" { Planned = 1, Authorised = 2, Posted = 3, Refused = 4 }
    TenderKind in "purchase_tenders.kind" { External = 1, GiftCard = 2, Points = 3 }
}
