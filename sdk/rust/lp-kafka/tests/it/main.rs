//! On real Kafka and PostgreSQL: `cargo xtask test`.

mod consumer;
mod failures;
mod producer;
mod support;
mod topics;
