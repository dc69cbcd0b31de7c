//! What tests share: one set of servers a run, a database per test from a template, prefixes for topics,
//! groups and keys, a receiver of OTLP, the mail that arrived, a clock that a test moves.
//!
//! `cargo xtask test` starts the servers and names them in the environment; without them a test fails and
//! says so. Start with [`database`]. This crate panics: it is only linked into tests.
//!
//! Invariants: two tests share no row, topic, group or key (`tests/isolation.rs`).

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

pub mod database;
pub mod mail;
pub mod otlp;
pub mod servers;
mod stub;
pub mod time;

pub use database::TestDatabase;
