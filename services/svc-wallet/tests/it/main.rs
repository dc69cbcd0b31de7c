//! svc-wallet as its clients meet it: the whole service in this process, on real PostgreSQL, Kafka and Valkey,
//! with a stand-in for svc-ledger (`cargo xtask test` starts the servers).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod bad_input;
mod balance;
mod create_wallet;
mod database;
mod freshness;
mod interrupted;
mod isolation;
mod ledger;
mod lists;
mod privacy;
mod records;
mod snapshots;
mod support;
