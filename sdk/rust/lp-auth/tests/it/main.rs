//! The crate against a real HTTP issuer, under a clock that the tests move.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod keys;
mod properties;
mod support;
mod tokens;
mod verify;
