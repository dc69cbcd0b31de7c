//! Services that this one calls.

pub mod giftcard;
pub mod ledger;
pub mod wallet;
