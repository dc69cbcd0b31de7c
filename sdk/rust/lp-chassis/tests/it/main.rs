//! A service of the fleet as its clients and its platform meet it: both servers, on real sockets and a real
//! PostgreSQL (`cargo xtask test` starts it).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod caller;
mod deadline;
mod drain;
mod health;
mod log;
mod overload;
mod panics;
mod stub;
mod support;
mod surface;
mod tls;
