//! svc-giftcard as its clients meet it: the whole service in this process, on real PostgreSQL, with stand-ins for
//! svc-ledger and svc-merchant that fail when told to, and the real svc-ledger where it decides (`cargo xtask
//! test` starts the servers).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod activate;
mod bad_input;
mod database;
mod equal_answers;
mod interrupted;
mod isolation;
mod issue;
mod ledger;
mod merchants;
mod privacy;
mod products;
mod real_ledger;
mod redeem;
mod support;
