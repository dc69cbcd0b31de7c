//! Every way in which the state of things can forbid a command.

use lp_types::{AccountId, AssetCode, HoldId, MinorUnits, Reference, TransactionId};
use serde::{Deserialize, Serialize};

use crate::HoldState;

/// Why the state of things forbids a transaction. A refusal is an answer: it is stored under the
/// idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The merchant has no such account.
    #[error("account {account} is unknown")]
    UnknownAccount {
        /// The account.
        account: AccountId,
        /// The entry that names it, from 0; none where no entry does.
        entry: Option<usize>,
    },
    /// The amount's asset is not the account's.
    #[error("account {account} holds {holds}, not {asset}")]
    AssetMismatch {
        /// The account.
        account: AccountId,
        /// The entry that names it, from 0; none where no entry does.
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
    /// The account is frozen.
    #[error("account {account} is frozen")]
    AccountFrozen {
        /// The account.
        account: AccountId,
    },
    /// The account is closed.
    #[error("account {account} is closed")]
    AccountClosed {
        /// The account.
        account: AccountId,
    },
    /// Only an empty account without holds can be closed.
    #[error("account {account} is not empty: it holds {balance}, and {held} is reserved")]
    AccountNotEmpty {
        /// The account.
        account: AccountId,
        /// What it holds.
        balance: MinorUnits,
        /// What open holds reserve, on both sides.
        held: MinorUnits,
    },
    /// The merchant has no such hold.
    #[error("hold {hold} is unknown")]
    UnknownHold {
        /// The hold.
        hold: HoldId,
        /// The entry that names it, from 0; none where no entry does.
        entry: Option<usize>,
    },
    /// The hold reserves nothing any more.
    #[error("hold {hold} is not open: it is {state:?}")]
    HoldNotOpen {
        /// The hold.
        hold: HoldId,
        /// Why not.
        state: HoldState,
    },
    /// More than the hold reserves was to be captured.
    #[error("hold {hold} reserves {remaining} only")]
    HoldExceeded {
        /// The hold.
        hold: HoldId,
        /// What it reserves.
        remaining: MinorUnits,
    },
    /// The hold is of another account or side than the entry that draws on it.
    #[error("hold {hold} is of another account or side")]
    HoldMismatch {
        /// The hold.
        hold: HoldId,
        /// The entry, from 0.
        entry: Option<usize>,
    },
    /// A hold must expire after now.
    #[error("a hold must expire after now")]
    ExpiryPassed,
    /// The merchant has no such transaction.
    #[error("transaction {transaction} is unknown")]
    UnknownTransaction {
        /// The transaction.
        transaction: TransactionId,
    },
    /// A reversal is never reversed: what it took back is posted anew.
    #[error("transaction {transaction} is a reversal, which cannot be reversed")]
    NotReversible {
        /// The transaction.
        transaction: TransactionId,
    },
    /// All of the transaction was reversed before.
    #[error("all of transaction {transaction} was reversed before")]
    NothingToReverse {
        /// The transaction.
        transaction: TransactionId,
    },
    /// More than is left of the transaction was to be reversed.
    #[error("of transaction {transaction} {left} {asset} are left to be reversed")]
    ReversalExceeded {
        /// The transaction.
        transaction: TransactionId,
        /// The asset of the part.
        asset: AssetCode,
        /// How much of it is left, minor units.
        left: i64,
    },
    /// The part that is to be reversed is in an asset that the transaction did not move.
    #[error("transaction {transaction} moved no {asset}")]
    AssetNotInvolved {
        /// The transaction.
        transaction: TransactionId,
        /// The asset of the part.
        asset: AssetCode,
    },
}
