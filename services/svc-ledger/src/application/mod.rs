//! Use cases, a file each.

pub mod check;
pub mod create_account;
pub mod create_asset;
pub mod post_transaction;
pub mod read;
mod together;
