//! The ledger alone, with everything broken that can break it: two replicas of svc-ledger and PostgreSQL, clients that
//! collide on few accounts, and a schedule of faults that the seed decides. `cargo xtask chaos ledger` builds svc-ledger
//! with its failpoints and starts [`main`].
//!
//! Start with `run.rs` (one run), then `faults.rs` (what the seed breaks), `traffic.rs` (what the clients ask),
//! `shim.rs` (the slow disk and the clock that jumps), `sums.rs` (what the database itself adds up).

mod api;
mod batches;
mod cli;
mod faults;
mod observe;
mod run;
mod shim;
mod sums;
mod traffic;
mod world;

pub use cli::main;
