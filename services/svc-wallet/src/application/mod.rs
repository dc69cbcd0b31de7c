//! Use cases, a file each.

pub mod create_wallet;
pub mod get_balance;
