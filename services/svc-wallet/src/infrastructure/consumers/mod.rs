//! Events that this service acts on.

pub mod ledger_transactions;
