//! What can be wanted of the ledger, and what can be decided.

use jiff::Timestamp;
use lp_types::{AccountId, HoldId, TransactionId};

use crate::{
    AccountState, Hold, NewHold, NewReversal, NewTransaction, PostedEntry, Shortfall, TransactionKind,
};

/// What somebody wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Posts entries.
    Post(NewTransaction),
    /// Posts what undoes a transaction, or a part of it.
    Reverse(NewReversal),
    /// Reserves value, under this id.
    PlaceHold(HoldId, NewHold),
    /// Gives back what a hold reserves.
    VoidHold(HoldId),
    /// Freezes an account, opens a frozen one, or closes an empty one for ever.
    SetState(AccountId, AccountState),
}

impl Command {
    /// The accounts that the caller named.
    pub fn named_accounts(&self) -> Vec<AccountId> {
        match self {
            Self::Post(transaction) => transaction.named_accounts(),
            Self::Reverse(reversal) => match reversal.shortfall {
                Shortfall::Owe(debtor) => vec![debtor],
                Shortfall::Refuse | Shortfall::Overdraw => Vec::new(),
            },
            Self::PlaceHold(_, new) => vec![new.account],
            Self::VoidHold(_) => Vec::new(),
            Self::SetState(account, _) => vec![*account],
        }
    }

    /// The holds that the caller named; their accounts are touched too.
    pub fn named_holds(&self) -> Vec<HoldId> {
        match self {
            Self::Post(transaction) => transaction.named_holds(),
            Self::VoidHold(hold) => vec![*hold],
            Self::Reverse(_) | Self::PlaceHold(..) | Self::SetState(..) => Vec::new(),
        }
    }

    /// The transaction that it reverses; all of that one's accounts are touched.
    pub fn reversed(&self) -> Option<TransactionId> {
        match self {
            Self::Reverse(reversal) => Some(reversal.transaction),
            Self::Post(_) | Self::PlaceHold(..) | Self::VoidHold(_) | Self::SetState(..) => None,
        }
    }
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// These entries, at this time; and the holds that they drew on, as they stand afterwards.
    Posted {
        /// What they do.
        kind: TransactionKind,
        /// The transaction that they undo.
        reverses: Option<TransactionId>,
        /// The time: now, or later where an account was posted to at a later time.
        posted_at: Timestamp,
        /// The entries, by line.
        entries: Vec<PostedEntry>,
        /// The holds, in order of first use.
        holds: Vec<Hold>,
    },
    /// The hold stands, or has ended.
    Hold(Hold),
    /// The account is in this state.
    State(AccountId, AccountState),
}
