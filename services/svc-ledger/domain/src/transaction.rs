//! Transactions before and after they are posted.

use std::collections::BTreeMap;

use lp_types::{AccountId, Amount, AssetCode};
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
}

/// A transaction to be posted, right as far as it can be told without any account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewTransaction {
    /// Entries given by the caller: 2 to [`MAX_ENTRIES`], balanced per asset.
    General(Vec<NewEntry>),
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
    pub fn general(entries: Vec<NewEntry>) -> Result<Self, Invalid> {
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
        Ok(Self::General(entries))
    }

    /// What it does.
    pub fn kind(&self) -> TransactionKind {
        match self {
            Self::General(_) => TransactionKind::General,
            Self::Earn { .. } => TransactionKind::Earn,
            Self::Burn { .. } => TransactionKind::Burn,
        }
    }

    /// The accounts that the caller named.
    pub fn named_accounts(&self) -> Vec<AccountId> {
        match self {
            Self::General(entries) => entries.iter().map(|e| e.account).collect(),
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
}
