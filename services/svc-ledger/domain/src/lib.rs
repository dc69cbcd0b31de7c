//! The rules of double entry, and nothing else: state + command + now → new state and entries, or a
//! refusal. No I/O, no clock, no randomness; limits are exact because a [`Book`] decides alone on accounts
//! that its caller has locked.
//!
//! Start with [`Book::post`]. [`NewTransaction`] is what can be judged without any state, [`Account`] is
//! the state, [`Refusal`] is every way in which state can forbid it.
//!
//! Invariants and the tests that hold them (`tests/book.rs` posts random commands against a naive model):
//! - what is posted balances per asset, and a refusal changes nothing;
//! - no account leaves its limits;
//! - each account's sequence has no gap, and each entry carries the balance after it;
//! - an account's time never goes back.

#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

mod account;
mod book;
mod transaction;

pub use account::{Account, AccountType, Asset, AssetKind, Direction, Limits, PointsAccounts};
pub use book::{Book, Refusal};
pub use transaction::{Invalid, MAX_ENTRIES, NewEntry, NewTransaction, PostedEntry, TransactionKind};
