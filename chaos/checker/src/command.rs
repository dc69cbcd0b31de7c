//! What the ledger is asked beside plain entries: to hold value, to capture or give back what is held, to reverse, to
//! freeze and to close.

use serde::{Deserialize, Serialize};

use crate::history::{Balance, Kind, Side};

/// A request to the ledger that is no list of entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// To reserve value.
    Place {
        /// Of which account.
        account: String,
        /// The side of the entries that it is for.
        side: Side,
        /// How much, minor units.
        amount: i64,
        /// From then on it reserves nothing: on the clock of the calls, if the service's were as true.
        expires_at: u64,
        /// The merchant's own name for it; may be empty.
        reference: String,
    },
    /// To post what a hold reserves.
    Capture {
        /// The hold.
        hold: String,
        /// How much of it; all that is left where absent.
        amount: Option<i64>,
        /// The account that it goes to.
        to: String,
        /// Whether what is left is given back.
        last: bool,
        /// The merchant's own name for the transaction; may be empty.
        reference: String,
    },
    /// To give back what a hold reserves.
    Void {
        /// The hold.
        hold: String,
    },
    /// To undo a transaction, or a part of it.
    Reverse {
        /// Which.
        transaction: String,
        /// What part of it; all that is left where absent.
        part: Option<Part>,
        /// What happens where an account no longer has what it gives back.
        shortfall: Shortfall,
        /// The merchant's own name for the reversal; may be empty.
        reference: String,
    },
    /// To freeze an account, to open a frozen one, or to close it.
    SetState {
        /// Which.
        account: String,
        /// As what.
        state: State,
    },
}

/// A part of a transaction, named in one of its assets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The asset.
    pub asset: String,
    /// How much of it, minor units.
    pub amount: i64,
}

/// What happens where an account no longer has what a reversal takes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shortfall {
    /// The reversal is refused.
    Refuse,
    /// The account falls below its least balance.
    Overdraw,
    /// This account owes it.
    Owe(String),
}

/// What may happen to an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Anything.
    Open,
    /// Nothing, until it is open again.
    Frozen,
    /// Nothing, for ever.
    Closed,
}

/// Whether a hold still reserves anything, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldState {
    /// It reserves what was not captured.
    Open,
    /// All of it was captured.
    Captured,
    /// What was not captured was given back.
    Voided,
    /// Its time was over.
    Expired,
}

/// Value of an account that is reserved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub merchant: String,
    /// The account.
    pub account: String,
    /// The side of the entries that it is for.
    pub side: Side,
    /// How much was reserved at first.
    pub amount: i64,
    /// How much of it was captured.
    pub captured: i64,
    /// How much it still reserves.
    pub remaining: i64,
    /// Whether it still reserves anything.
    pub state: HoldState,
    /// As in [`Command::Place`].
    pub expires_at: u64,
    /// The merchant's own name for it; may be empty.
    pub reference: String,
}

/// A hold that was placed or ended, and its account, both as they stood afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The hold.
    pub hold: Hold,
    /// Its account.
    pub balance: Balance,
}

/// How far the services' clocks may have been from the clock of the calls, microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockBound {
    /// Ahead of it, at most.
    pub ahead: u64,
    /// Behind it, at most.
    pub behind: u64,
}

impl ClockBound {
    /// Whether something may have been over at a moment when it is to be over at `time`.
    pub(crate) fn may_be_over(self, time: u64, at: u64) -> bool {
        at.saturating_add(self.ahead) >= time
    }

    /// Whether it was surely over.
    pub(crate) fn is_over(self, time: u64, at: u64) -> bool {
        at.saturating_sub(self.behind) > time
    }
}

impl Command {
    /// What kind of transaction it posts, if it posts one.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match self {
            Self::Capture { .. } => Some(Kind::Capture),
            Self::Reverse { .. } => Some(Kind::Reversal),
            Self::Place { .. } | Self::Void { .. } | Self::SetState { .. } => None,
        }
    }

    /// The merchant's own name for what it makes; may be empty.
    pub(crate) fn reference(&self) -> &str {
        match self {
            Self::Place { reference, .. }
            | Self::Capture { reference, .. }
            | Self::Reverse { reference, .. } => reference,
            Self::Void { .. } | Self::SetState { .. } => "",
        }
    }
}
