//! On real PostgreSQL: `cargo xtask test`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod idempotency;
mod keys;
mod schema;
mod support;
mod tenant;
mod work;
