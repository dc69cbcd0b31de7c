//! The checker accepts what a correct fleet shows, and rejects each forgery by its rule.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod forged;
mod forged_holds;
mod forged_trades;
mod forged_views;
mod format;
mod holding;
mod reference;
mod till;
mod valid;
