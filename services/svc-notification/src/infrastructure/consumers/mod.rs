//! What other services publish.

pub mod ledger_transactions;
