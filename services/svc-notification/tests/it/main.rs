//! svc-notification as its neighbours meet it: the whole service in this process, on real PostgreSQL, Kafka and
//! SMTP, with a stand-in for svc-wallet (`cargo xtask test` starts the servers).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod api;
mod delivery;
mod failures;
mod support;
