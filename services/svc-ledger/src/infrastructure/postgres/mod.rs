//! The ledger's tables. Each file owns the statements of its own.

pub mod accounts;
pub mod assets;
pub mod balances;
pub mod checks;
pub mod codes;
pub mod epoch;
mod gathering;
pub mod holds;
pub mod posting;
pub mod transactions;
pub mod trial_balance;
mod writing;
