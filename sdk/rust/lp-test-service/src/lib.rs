//! A service of the fleet in the process of its tests: on a database and on prefixes of its own, with an
//! issuer of tokens, and clients that call it over gRPC and REST.
//!
//! Owns: what a service stands on in a test ([`Ground`]), the service that runs ([`Instance`]), who calls it
//! ([`Caller`]), the [`issuer`], and small questions about answers ([`reason`], [`fields`], …). A service's
//! `tests/it/support.rs` adds what is its own: its configuration, the other services that it calls, and a
//! client with its rpcs. Start with [`Ground`].
//!
//! This crate panics: it is only linked into tests. Every service's tests stand on it; what it promises beyond
//! that is held by `tests/issuer.rs`:
//! - a token has the scopes that were asked for, by default all of the contract's, and no other;
//! - the issuer outlives the test that asked it first.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

mod answers;
mod caller;
mod ground;
mod instance;
pub mod issuer;

pub use answers::{PATIENCE, bytes, fields, new_key, new_merchant, reason, run, until, uuid_of};
pub use caller::Caller;
pub use ground::{Ground, Hold, settings};
pub use instance::{Instance, Mortal};
