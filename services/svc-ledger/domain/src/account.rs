//! Accounts and assets.

use jiff::Timestamp;
use lp_types::{AccountId, AssetCode, MerchantId, MinorUnits};
use serde::{Deserialize, Serialize};

use crate::Refusal;

/// The side of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Direction {
    /// Left side.
    Debit,
    /// Right side.
    Credit,
}

impl Direction {
    /// The other side.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Debit => Self::Credit,
            Self::Credit => Self::Debit,
        }
    }
}

/// What an account is for. It decides the account's normal side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AccountType {
    /// Value held for a customer: a liability.
    Customer,
    /// Where points come from: the cost of what was given.
    Issuance,
    /// Where burnt points go: what was redeemed.
    Redemption,
    /// The world outside: cash, an acquirer, a bank.
    External,
    /// Value of a gift card: a liability.
    GiftCard,
    /// What was sold: revenue.
    Sales,
    /// What burnt points paid for: a cost.
    LoyaltyCost,
    /// What was never claimed, of points and of cards: revenue.
    Breakage,
}

impl AccountType {
    /// The side that raises its balance.
    pub fn normal_balance(self) -> Direction {
        match self {
            Self::Customer | Self::Redemption | Self::GiftCard | Self::Sales | Self::Breakage => {
                Direction::Credit
            }
            Self::Issuance | Self::External | Self::LoyaltyCost => Direction::Debit,
        }
    }

    /// Locks are taken in order of rank, then id: accounts that are in many transactions come last, so that
    /// a hot row is held for the shortest time.
    pub fn lock_rank(self) -> i16 {
        match self {
            Self::Customer | Self::GiftCard => 0,
            Self::External
            | Self::Redemption
            | Self::Issuance
            | Self::Sales
            | Self::LoyaltyCost
            | Self::Breakage => 1,
        }
    }

    /// The limits of an account for which none were given: what is held for a person is never overdrawn.
    pub fn default_limits(self) -> Limits {
        let min = matches!(self, Self::Customer | Self::GiftCard).then_some(MinorUnits::ZERO);
        Limits { min, max: None }
    }
}

/// What may happen to an account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AccountState {
    /// Anything.
    #[default]
    Open,
    /// Nothing, until it is open again; only holds that stand on it may end.
    Frozen,
    /// Nothing, for ever. It is empty.
    Closed,
}

/// Between what an account's balance, on its normal side, must stay. `None`: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Least balance.
    pub min: Option<MinorUnits>,
    /// Greatest balance.
    pub max: Option<MinorUnits>,
}

/// A place where value of one asset stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Whose it is.
    pub merchant: MerchantId,
    /// What it holds.
    pub asset: AssetCode,
    /// What it is for.
    pub account_type: AccountType,
    /// Between what its balance must stay.
    pub limits: Limits,
    /// What may happen to it.
    pub state: AccountState,
    /// Sum of all debits.
    pub posted_debits: MinorUnits,
    /// Sum of all credits.
    pub posted_credits: MinorUnits,
    /// What open holds reserve for debits.
    pub held_debits: MinorUnits,
    /// What open holds reserve for credits.
    pub held_credits: MinorUnits,
    /// What is available less than its least balance, because a reversal took back what had been spent or reserved.
    pub debt: MinorUnits,
    /// Number of its last entry; 0 before the first.
    pub sequence: i64,
    /// When its last entry was posted.
    pub posted_at: Option<Timestamp>,
}

impl Account {
    /// A new one, empty.
    pub fn open(
        id: AccountId,
        merchant: MerchantId,
        asset: AssetCode,
        account_type: AccountType,
        limits: Limits,
    ) -> Self {
        Self {
            id,
            merchant,
            asset,
            account_type,
            limits,
            state: AccountState::Open,
            posted_debits: MinorUnits::ZERO,
            posted_credits: MinorUnits::ZERO,
            held_debits: MinorUnits::ZERO,
            held_credits: MinorUnits::ZERO,
            debt: MinorUnits::ZERO,
            sequence: 0,
            posted_at: None,
        }
    }

    /// Its balance on its normal side; `None` when it leaves the range, which posting rules out.
    pub fn balance(&self) -> Option<MinorUnits> {
        match self.account_type.normal_balance() {
            Direction::Debit => self.posted_debits.minus(self.posted_credits),
            Direction::Credit => self.posted_credits.minus(self.posted_debits),
        }
    }

    /// What it would hold if every hold that lowers it were captured: what may still be spent or held, above its least
    /// balance. `None` when it leaves the range, which posting rules out.
    pub fn available(&self) -> Option<MinorUnits> {
        self.balance()?
            .minus(self.held(self.account_type.normal_balance().opposite()))
    }

    /// Brings its debt up to its sums. `None` when one leaves its range.
    pub fn settle(&mut self) -> Option<()> {
        let available = self.available()?;
        self.debt = match self.limits.min {
            Some(min) if available < min => min.minus(available)?,
            _ => MinorUnits::ZERO,
        };
        Some(())
    }

    /// Whether holds reserve anything on it.
    pub fn reserves(&self) -> bool {
        self.held_debits != MinorUnits::ZERO || self.held_credits != MinorUnits::ZERO
    }

    /// What it would hold if every hold that raises it were captured. `None` when it leaves the range.
    pub(crate) fn expected(&self) -> Option<MinorUnits> {
        self.balance()?.sum(self.held(self.account_type.normal_balance()))
    }

    /// That something may move on it, or be reserved.
    pub(crate) fn must_be_open(&self) -> Result<(), Refusal> {
        match self.state {
            AccountState::Open => Ok(()),
            AccountState::Frozen => Err(Refusal::AccountFrozen { account: self.id }),
            AccountState::Closed => Err(Refusal::AccountClosed { account: self.id }),
        }
    }

    /// Reserves less.
    pub(crate) fn give_back(&mut self, direction: Direction, amount: MinorUnits) -> Result<(), Refusal> {
        let account = self.id;
        let out_of_range = || Refusal::BalanceOutOfRange { account };
        let held = self.held_mut(direction);
        *held = held.minus(amount).ok_or_else(out_of_range)?;
        self.settle().ok_or_else(out_of_range)
    }

    /// That it keeps its limits after something on this side. What is reserved counts as gone, and as come: so no hold is
    /// ever without what it reserved. The side that was not touched is not looked at: an account in debt may be raised,
    /// and one that a reversal filled above its limit may be spent from.
    pub(crate) fn within_limits(&self, direction: Direction, overdraws: bool) -> Result<(), Refusal> {
        let account = self.id;
        let out_of_range = || Refusal::BalanceOutOfRange { account };
        let Limits { min, max } = self.limits;
        if self.is_lowered_by(direction) {
            let would_be = self.available().ok_or_else(out_of_range)?;
            match min {
                Some(min) if would_be < min && !overdraws => Err(Refusal::InsufficientFunds {
                    account,
                    would_be,
                    min,
                }),
                _ => Ok(()),
            }
        } else {
            let would_be = self.expected().ok_or_else(out_of_range)?;
            match max {
                Some(max) if would_be > max => Err(Refusal::BalanceLimitExceeded {
                    account,
                    would_be,
                    max,
                }),
                _ => Ok(()),
            }
        }
    }

    /// Whether a line of this side lowers its balance.
    pub(crate) fn is_lowered_by(&self, direction: Direction) -> bool {
        direction != self.account_type.normal_balance()
    }

    fn held(&self, direction: Direction) -> MinorUnits {
        match direction {
            Direction::Debit => self.held_debits,
            Direction::Credit => self.held_credits,
        }
    }

    pub(crate) fn held_mut(&mut self, direction: Direction) -> &mut MinorUnits {
        match direction {
            Direction::Debit => &mut self.held_debits,
            Direction::Credit => &mut self.held_credits,
        }
    }

    pub(crate) fn posted_mut(&mut self, direction: Direction) -> &mut MinorUnits {
        match direction {
            Direction::Debit => &mut self.posted_debits,
            Direction::Credit => &mut self.posted_credits,
        }
    }
}

/// What an asset is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AssetKind {
    /// A currency.
    Currency,
    /// Points of a programme, with the accounts that issue and redeem them.
    Points(PointsAccounts),
}

/// The accounts behind the points of a programme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointsAccounts {
    /// Earn debits it.
    pub issuance: AccountId,
    /// Burn credits it.
    pub redemption: AccountId,
}

/// A currency or the points of a programme.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// Its code, unique per merchant.
    pub code: AssetCode,
    /// What it is.
    pub kind: AssetKind,
    /// Minor units are 10^-exponent of the unit.
    pub exponent: u8,
    /// When it was created.
    pub created_at: Timestamp,
}
