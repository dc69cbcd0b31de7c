//! Posting against locked accounts.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use lp_types::{AccountId, AssetCode, MerchantId, MinorUnits, Reference};
use serde::{Deserialize, Serialize};

use crate::{Account, AccountType, Direction, Limits, NewEntry, NewTransaction, PointsAccounts, PostedEntry};

/// Why the state of things forbids a transaction. A refusal is an answer: it is stored under the
/// idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The merchant has no such account.
    #[error("account {account} is unknown")]
    UnknownAccount {
        /// The account.
        account: AccountId,
        /// The entry that names it, from 0; none for Earn and Burn.
        entry: Option<usize>,
    },
    /// The amount's asset is not the account's.
    #[error("account {account} holds {holds}, not {asset}")]
    AssetMismatch {
        /// The account.
        account: AccountId,
        /// The entry that names it, from 0; none for Earn and Burn.
        entry: Option<usize>,
        /// The asset of the amount.
        asset: AssetCode,
        /// The asset of the account.
        holds: AssetCode,
    },
    /// The account would fall below its minimum.
    #[error("account {account} would fall to {would_be}, below its minimum of {min}")]
    InsufficientFunds {
        /// The account.
        account: AccountId,
        /// Its balance after the transaction.
        would_be: MinorUnits,
        /// Its least balance.
        min: MinorUnits,
    },
    /// The account would rise above its maximum.
    #[error("account {account} would rise to {would_be}, above its maximum of {max}")]
    BalanceLimitExceeded {
        /// The account.
        account: AccountId,
        /// Its balance after the transaction.
        would_be: MinorUnits,
        /// Its greatest balance.
        max: MinorUnits,
    },
    /// A sum of the account would leave the range of 64 bits.
    #[error("the sums of account {account} would leave their range")]
    BalanceOutOfRange {
        /// The account.
        account: AccountId,
    },
    /// Earn and Burn move points of customers only.
    #[error("account {account} does not hold a customer's points")]
    NotAPointsAccount {
        /// The account.
        account: AccountId,
    },
    /// Another transaction of the merchant has the reference.
    #[error("reference {reference} is taken")]
    ReferenceTaken {
        /// The reference.
        reference: Reference,
    },
}

/// The accounts of a batch, locked by the caller, and what was decided about them so far.
#[derive(Debug, Default)]
pub struct Book {
    accounts: HashMap<AccountId, Account>,
    points: HashMap<(MerchantId, AssetCode), PointsAccounts>,
}

impl Book {
    /// From locked accounts, and the points programmes that they belong to.
    pub fn new(
        accounts: impl IntoIterator<Item = Account>,
        points: impl IntoIterator<Item = (MerchantId, AssetCode, PointsAccounts)>,
    ) -> Self {
        Self {
            accounts: accounts.into_iter().map(|a| (a.id, a)).collect(),
            points: points
                .into_iter()
                .map(|(merchant, asset, accounts)| ((merchant, asset), accounts))
                .collect(),
        }
    }

    /// Posts `transaction` of `merchant`: all of its entries, or none and the reason. The time is `now`, or
    /// later where an account was posted to at a later time: an account's time never goes back.
    ///
    /// # Errors
    /// The refusal; nothing has changed.
    pub fn post(
        &mut self,
        merchant: MerchantId,
        transaction: &NewTransaction,
        now: Timestamp,
    ) -> Result<(Timestamp, Vec<PostedEntry>), Refusal> {
        let entries = match transaction {
            NewTransaction::General(entries) => {
                for (index, entry) in entries.iter().enumerate() {
                    self.account(merchant, entry.account, &entry.asset, Some(index))?;
                }
                entries.clone()
            }
            NewTransaction::Earn {
                account,
                amount,
                asset,
            } => {
                let points = self.points_accounts(merchant, *account, asset)?;
                vec![
                    NewEntry {
                        account: points.issuance,
                        direction: Direction::Debit,
                        amount: *amount,
                        asset: asset.clone(),
                    },
                    NewEntry {
                        account: *account,
                        direction: Direction::Credit,
                        amount: *amount,
                        asset: asset.clone(),
                    },
                ]
            }
            NewTransaction::Burn {
                account,
                amount,
                asset,
            } => {
                let points = self.points_accounts(merchant, *account, asset)?;
                vec![
                    NewEntry {
                        account: *account,
                        direction: Direction::Debit,
                        amount: *amount,
                        asset: asset.clone(),
                    },
                    NewEntry {
                        account: points.redemption,
                        direction: Direction::Credit,
                        amount: *amount,
                        asset: asset.clone(),
                    },
                ]
            }
        };

        // Decided on copies, so that a refusal changes nothing.
        let mut touched: BTreeMap<AccountId, Account> = BTreeMap::new();
        let mut posted = Vec::with_capacity(entries.len());
        for (line, entry) in (1_i16..).zip(entries) {
            let account = match touched.entry(entry.account) {
                std::collections::btree_map::Entry::Occupied(found) => found.into_mut(),
                std::collections::btree_map::Entry::Vacant(place) => {
                    let unknown = Refusal::UnknownAccount {
                        account: entry.account,
                        entry: None,
                    };
                    place.insert(self.accounts.get(&entry.account).cloned().ok_or(unknown)?)
                }
            };
            posted.push(apply(account, line, entry)?);
            // After each entry, not only after the last: points that a purchase earns do not pay for it.
            within_limits(account)?;
        }

        let posted_at = touched
            .values()
            .filter_map(|a| a.posted_at)
            .fold(now, Timestamp::max);
        for (id, mut account) in touched {
            account.posted_at = Some(posted_at);
            self.accounts.insert(id, account);
        }
        Ok((posted_at, posted))
    }

    /// An account as it stands now.
    pub fn get(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(&id)
    }

    /// Another merchant's account is as unknown as one that does not exist.
    fn account(
        &self,
        merchant: MerchantId,
        id: AccountId,
        asset: &AssetCode,
        entry: Option<usize>,
    ) -> Result<&Account, Refusal> {
        let account = self
            .accounts
            .get(&id)
            .filter(|a| a.merchant == merchant)
            .ok_or(Refusal::UnknownAccount { account: id, entry })?;
        if account.asset == *asset {
            Ok(account)
        } else {
            let (asset, holds) = (asset.clone(), account.asset.clone());
            Err(Refusal::AssetMismatch {
                account: id,
                entry,
                asset,
                holds,
            })
        }
    }

    fn points_accounts(
        &self,
        merchant: MerchantId,
        id: AccountId,
        asset: &AssetCode,
    ) -> Result<PointsAccounts, Refusal> {
        let account = self.account(merchant, id, asset, None)?;
        let points = self.points.get(&(merchant, asset.clone()));
        points
            .filter(|_| account.account_type == AccountType::Customer)
            .copied()
            .ok_or(Refusal::NotAPointsAccount { account: id })
    }
}

fn apply(account: &mut Account, line: i16, entry: NewEntry) -> Result<PostedEntry, Refusal> {
    let out_of_range = || Refusal::BalanceOutOfRange {
        account: entry.account,
    };
    let side = match entry.direction {
        Direction::Debit => &mut account.posted_debits,
        Direction::Credit => &mut account.posted_credits,
    };
    *side = side.plus(entry.amount).ok_or_else(out_of_range)?;
    account.sequence = account.sequence.checked_add(1).ok_or_else(out_of_range)?;
    Ok(PostedEntry {
        line,
        account: entry.account,
        account_type: account.account_type,
        direction: entry.direction,
        amount: entry.amount,
        asset: entry.asset,
        account_sequence: account.sequence,
        balance_after: account.balance().ok_or_else(out_of_range)?,
    })
}

fn within_limits(account: &Account) -> Result<(), Refusal> {
    let would_be = account
        .balance()
        .ok_or(Refusal::BalanceOutOfRange { account: account.id })?;
    match account.limits {
        Limits { min: Some(min), .. } if would_be < min => Err(Refusal::InsufficientFunds {
            account: account.id,
            would_be,
            min,
        }),
        Limits { max: Some(max), .. } if would_be > max => Err(Refusal::BalanceLimitExceeded {
            account: account.id,
            would_be,
            max,
        }),
        _ => Ok(()),
    }
}
