//! svc-ledger as its clients meet it: the whole service in this process, on real PostgreSQL and Kafka
//! (`cargo xtask test` starts them).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod accounts;
mod audit;
mod bad_holds;
mod bad_input;
mod balances_at;
mod basics;
mod batches;
mod bisect;
mod checks;
mod contention;
mod database;
mod events;
mod holds;
mod idempotency;
mod lifecycle;
mod merchants;
mod notes;
mod pages;
mod posting;
mod proxy;
mod queue;
mod recovery;
mod refusals;
mod rest;
mod reversals;
mod states;
mod support;
mod wire;
