//! svc-merchant as its clients meet it: the whole service in this process, on real PostgreSQL and Kafka, with
//! svc-ledger and svc-wallet beside it, and a stand-in for svc-giftcard (`cargo xtask test` starts the servers).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod activation;
mod bad_input;
mod books;
mod cards;
mod database;
mod gate;
mod interrupted;
mod isolation;
mod onboarding;
mod privacy;
mod programs;
mod purchases;
mod records;
mod refusals;
mod support;
