//! The rules of the ledger, each alone; and all of them together against a naive model (`model`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

mod holds;
mod model;
mod posting;
mod reversals;
mod states;
mod support;
