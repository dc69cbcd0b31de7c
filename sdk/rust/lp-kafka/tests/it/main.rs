//! On real Kafka and PostgreSQL: `cargo xtask test`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod consumer;
mod failures;
mod producer;
mod support;
mod topics;
