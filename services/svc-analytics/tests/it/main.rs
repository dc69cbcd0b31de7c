//! svc-analytics as its clients meet it: the whole service in this process, on real PostgreSQL and Kafka
//! (`cargo xtask test` starts the servers).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod bad_input;
mod counting;
mod database;
mod days;
mod file;
mod isolation;
mod naive;
mod records;
mod replay;
mod support;
