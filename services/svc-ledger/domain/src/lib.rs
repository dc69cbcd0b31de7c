//! The rules of double entry, and nothing else: state + command + now → new state and entries, or a
//! refusal. No I/O, no clock, no randomness; limits are exact because a [`Book`] decides alone on accounts
//! that its caller has locked.
//!
//! Start with [`Book::decide`]. [`NewTransaction`] is what can be judged without any state, [`Account`] and
//! [`Hold`] are the state, [`Refusal`] is every way in which state can forbid it. [`Standing`] and [`Tally`] judge what
//! stands in a ledger, whoever wrote it.
//!
//! Invariants and the tests that hold them (`tests/rules`; `model` there carries out random commands against a naive
//! model, in which all of them hold at once):
//! - what is posted balances per asset, and a refusal changes nothing: `posting`;
//! - no account leaves its limits, and what a hold reserves is there for it alone: `posting`, `holds`;
//! - each account's sequence has no gap, and each entry carries the balance after it: `posting`;
//! - an account's time never goes back: `posting`;
//! - no more of a transaction goes back than it moved, each line to its origin: `reversals`;
//! - nothing moves on a frozen or closed account: `states`.

#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

mod account;
mod book;
mod check;
mod command;
mod draft;
mod hold;
mod metadata;
mod refusal;
mod reversal;
mod transaction;

pub use account::{Account, AccountState, AccountType, Asset, AssetKind, Direction, Limits, PointsAccounts};
pub use book::Book;
pub use check::{Finding, Line, Rule, Standing, Tally};
pub use command::{Command, Decision};
pub use hold::{Hold, HoldState, NewHold};
pub use metadata::{InvalidMetadata, Metadata};
pub use refusal::Refusal;
pub use reversal::{NewReversal, Original, OriginalLine, Shortfall};
pub use transaction::{Invalid, MAX_ENTRIES, NewEntry, NewTransaction, PostedEntry, TransactionKind};
