//! A message to a customer, and what became of it.

use lp_types::{Amount, AssetCode, MinorUnits};

/// What a message tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Template {
    /// The customer was given points.
    PointsEarned,
    /// The customer spent points.
    PointsBurned,
    /// The customer spent points and was given others, in one purchase.
    PointsExchanged,
}

impl Template {
    /// Every template.
    pub const ALL: [Self; 3] = [Self::PointsEarned, Self::PointsBurned, Self::PointsExchanged];

    /// Its name, as rows, files and clients know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::PointsEarned => "points-earned",
            Self::PointsBurned => "points-burned",
            Self::PointsExchanged => "points-exchanged",
        }
    }
}

/// In which language a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// French.
    French,
    /// English.
    English,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 2] = [Self::French, Self::English];

    /// Its code: `fr` or `en`.
    pub fn code(self) -> &'static str {
        match self {
            Self::French => "fr",
            Self::English => "en",
        }
    }

    /// The language of a code; English where we do not write the customer's own.
    pub fn of(code: &str) -> Self {
        match code {
            "fr" => Self::French,
            _ => Self::English,
        }
    }
}

/// What became of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Waiting to be sent, for the first time or again.
    Pending,
    /// Taken by the mail server.
    Sent,
    /// Not sent, on purpose.
    Suppressed,
    /// Given up.
    Failed,
}

/// What a template says. Nothing personal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// How much was moved; of an exchange, how much was earned.
    pub amount: Amount,
    /// How much an exchange burnt; absent for the other templates.
    pub burned: Option<Amount>,
    /// Of which asset.
    pub asset: AssetCode,
    /// The asset's exponent, 0 to 8.
    pub exponent: u8,
    /// What the account held afterwards.
    pub balance_after: MinorUnits,
}
