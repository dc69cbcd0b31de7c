//! Transactions before and after they are posted.

use std::collections::BTreeMap;

use lp_types::{AccountId, Amount, AssetCode, HoldId};
use serde::{Deserialize, Serialize};

use crate::{AccountType, Direction};

/// Entries in one transaction at most.
pub const MAX_ENTRIES: usize = 500;

/// An entry to be posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// The account.
    pub account: AccountId,
    /// The side.
    pub direction: Direction,
    /// How much.
    pub amount: Amount,
    /// Of what; it must be the account's asset.
    pub asset: AssetCode,
    /// The hold that it draws on, if any: one of the same account and side.
    pub hold: Option<HoldId>,
}

/// What a transaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransactionKind {
    /// Entries given by the caller.
    General,
    /// Points given to a customer.
    Earn,
    /// Points taken from a customer.
    Burn,
    /// Value taken that a hold had reserved.
    Capture,
    /// What undoes a transaction, or a part of it.
    Reversal,
}

/// A transaction to be posted, right as far as it can be told without any account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewTransaction {
    /// Entries given by the caller.
    General {
        /// 2 to [`MAX_ENTRIES`], balanced per asset.
        entries: Vec<NewEntry>,
        /// The holds that end with it: what they still reserve afterwards is given back.
        releases: Vec<HoldId>,
    },
    /// Points to a customer, from the asset's issuance account.
    Earn {
        /// The customer's account.
        account: AccountId,
        /// How many.
        amount: Amount,
        /// Of which programme.
        asset: AssetCode,
    },
    /// Points from a customer, to the asset's redemption account.
    Burn {
        /// The customer's account.
        account: AccountId,
        /// How many.
        amount: Amount,
        /// Of which programme.
        asset: AssetCode,
    },
    /// What a hold reserves, to another account.
    Capture {
        /// The hold.
        hold: HoldId,
        /// How much of it, of the hold's asset; none: all that is left.
        amount: Option<(Amount, AssetCode)>,
        /// The other account.
        destination: AccountId,
        /// The hold, where it ends with this capture.
        releases: Option<HoldId>,
    },
}

/// Why entries can never be posted, whatever the accounts hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Fewer than 2 or more than [`MAX_ENTRIES`].
    #[error("must be 2 to {MAX_ENTRIES} entries")]
    EntryCount,
    /// Debits and credits of an asset differ.
    #[error("debits of {asset} are {debits}, credits are {credits}")]
    Unbalanced {
        /// The asset.
        asset: AssetCode,
        /// Sum of its debits.
        debits: i128,
        /// Sum of its credits.
        credits: i128,
    },
}

impl NewTransaction {
    /// A transaction of the caller's own entries.
    ///
    /// # Errors
    /// When there are too few or too many, or they do not balance.
    pub fn general(entries: Vec<NewEntry>, releases: Vec<HoldId>) -> Result<Self, Invalid> {
        if !(2..=MAX_ENTRIES).contains(&entries.len()) {
            return Err(Invalid::EntryCount);
        }
        let mut sums: BTreeMap<&AssetCode, (i128, i128)> = BTreeMap::new();
        for entry in &entries {
            let (debits, credits) = sums.entry(&entry.asset).or_default();
            let side = match entry.direction {
                Direction::Debit => debits,
                Direction::Credit => credits,
            };
            // At most 500 amounts of 10^15: far from the end of an i128.
            *side = side.saturating_add(i128::from(entry.amount.get()));
        }
        if let Some((asset, (debits, credits))) =
            sums.into_iter().find(|(_, (debits, credits))| debits != credits)
        {
            return Err(Invalid::Unbalanced {
                asset: asset.clone(),
                debits,
                credits,
            });
        }
        Ok(Self::General { entries, releases })
    }

    /// What it does.
    pub fn kind(&self) -> TransactionKind {
        match self {
            Self::General { .. } => TransactionKind::General,
            Self::Earn { .. } => TransactionKind::Earn,
            Self::Burn { .. } => TransactionKind::Burn,
            Self::Capture { .. } => TransactionKind::Capture,
        }
    }

    /// The holds that end with it.
    pub(crate) fn releases(&self) -> &[HoldId] {
        match self {
            Self::General { releases, .. } => releases,
            Self::Capture { releases, .. } => releases.as_slice(),
            Self::Earn { .. } | Self::Burn { .. } => &[],
        }
    }

    /// The holds that the caller named: those that it draws on, and those that end with it.
    pub fn named_holds(&self) -> Vec<HoldId> {
        match self {
            Self::General { entries, releases } => {
                let drawn = entries.iter().filter_map(|entry| entry.hold);
                drawn.chain(releases.iter().copied()).collect()
            }
            Self::Capture { hold, .. } => vec![*hold],
            Self::Earn { .. } | Self::Burn { .. } => Vec::new(),
        }
    }

    /// The accounts that the caller named.
    pub fn named_accounts(&self) -> Vec<AccountId> {
        match self {
            Self::General { entries, .. } => entries.iter().map(|e| e.account).collect(),
            Self::Capture { destination, .. } => vec![*destination],
            Self::Earn { account, .. } | Self::Burn { account, .. } => vec![*account],
        }
    }
}

/// An entry as it was posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostedEntry {
    /// Its line within the transaction, from 1.
    pub line: i16,
    /// The account.
    pub account: AccountId,
    /// What the account is for.
    pub account_type: AccountType,
    /// The side.
    pub direction: Direction,
    /// How much.
    pub amount: Amount,
    /// Of what.
    pub asset: AssetCode,
    /// The account's sequence: 1, 2, 3 … without gaps.
    pub account_sequence: i64,
    /// The account's balance, on its normal side, after this entry.
    pub balance_after: lp_types::MinorUnits,
    /// The hold that it drew on.
    pub hold: Option<HoldId>,
    /// The line of the reversed transaction that it undoes; none where it undoes nothing.
    pub reverses: Option<i16>,
}
