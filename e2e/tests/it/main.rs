//! Scenarios against a fleet of real processes on the servers of the test run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod access;
mod accounts;
mod first_earn;
mod fleet;
mod isolation;
mod manifests;
mod readme;
mod sample;
mod shop;
mod trace;
