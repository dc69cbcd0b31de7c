//! Accounts and assets.

use jiff::Timestamp;
use lp_types::{AccountId, AssetCode, MerchantId, MinorUnits};
use serde::{Deserialize, Serialize};

/// The side of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Direction {
    /// Left side.
    Debit,
    /// Right side.
    Credit,
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

/// Between what an account's balance, on its normal side, must stay. `None`: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Least balance.
    pub min: Option<MinorUnits>,
    /// Greatest balance.
    pub max: Option<MinorUnits>,
}

/// A place where value of one asset stands.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Sum of all debits.
    pub posted_debits: MinorUnits,
    /// Sum of all credits.
    pub posted_credits: MinorUnits,
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
            posted_debits: MinorUnits::ZERO,
            posted_credits: MinorUnits::ZERO,
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
