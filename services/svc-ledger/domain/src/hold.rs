//! Value that is reserved: a hold keeps room on an account until it is captured, voided, or its time is over.

use jiff::Timestamp;
use lp_types::{AccountId, Amount, AssetCode, HoldId, MerchantId, MinorUnits, Reference};
use serde::{Deserialize, Serialize};

use crate::{Direction, Refusal};

/// A hold to be placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHold {
    /// The account.
    pub account: AccountId,
    /// The side of the entries that it is for; none: the side that lowers the account's balance.
    pub direction: Option<Direction>,
    /// How much.
    pub amount: Amount,
    /// Of what; it must be the account's asset.
    pub asset: AssetCode,
    /// From then on it reserves nothing; it must come after now.
    pub expires_at: Timestamp,
    /// The merchant's own name for it.
    pub reference: Option<Reference>,
}

/// Whether a hold still reserves anything, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HoldState {
    /// It reserves what was not captured.
    Open,
    /// All of it was captured.
    Captured,
    /// What was not captured was given back.
    Voided,
    /// Its time was over before all of it was captured.
    Expired,
}

/// Value of an account that is reserved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Its id.
    pub id: HoldId,
    /// Whose it is.
    pub merchant: MerchantId,
    /// The account.
    pub account: AccountId,
    /// The side of the entries that it is for.
    pub direction: Direction,
    /// How much was reserved at first.
    pub amount: Amount,
    /// Of what.
    pub asset: AssetCode,
    /// How much of it was captured so far.
    pub captured: MinorUnits,
    /// Whether it still reserves anything.
    pub state: HoldState,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// From then on it reserves nothing.
    pub expires_at: Timestamp,
    /// The merchant's own name for it.
    pub reference: Option<Reference>,
}

impl Hold {
    /// What it reserves.
    pub fn remaining(&self) -> MinorUnits {
        match self.state {
            HoldState::Open => MinorUnits::new(self.amount.get())
                .minus(self.captured)
                .unwrap_or_default(),
            HoldState::Captured | HoldState::Voided | HoldState::Expired => MinorUnits::ZERO,
        }
    }

    /// Whether it is open, and its time is over.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.state == HoldState::Open && self.expires_at <= now
    }

    /// As it is `now`: expired where its time is over, whether or not anybody has ended it yet.
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Self {
        if self.is_due(now) {
            self.state = HoldState::Expired;
        }
        self
    }

    /// Takes `amount` of what it reserves.
    ///
    /// # Errors
    /// When it is not open, or reserves less.
    pub(crate) fn capture(&mut self, amount: Amount) -> Result<(), Refusal> {
        self.must_be_open()?;
        let remaining = self.remaining();
        let exceeded = || Refusal::HoldExceeded {
            hold: self.id,
            remaining,
        };
        let captured = self.captured.plus(amount).ok_or_else(exceeded)?;
        if captured.get() > self.amount.get() {
            return Err(exceeded());
        }
        self.captured = captured;
        if captured.get() == self.amount.get() {
            self.state = HoldState::Captured;
        }
        Ok(())
    }

    /// Ends it, and says what it reserved until now.
    pub(crate) fn end(&mut self, state: HoldState) -> MinorUnits {
        let remaining = self.remaining();
        self.state = state;
        remaining
    }

    pub(crate) fn must_be_open(&self) -> Result<(), Refusal> {
        match self.state {
            HoldState::Open => Ok(()),
            state => Err(Refusal::HoldNotOpen { hold: self.id, state }),
        }
    }
}
