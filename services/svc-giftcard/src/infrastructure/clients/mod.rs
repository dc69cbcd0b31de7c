//! Services that this one calls.

pub mod ledger;
pub mod merchant;
