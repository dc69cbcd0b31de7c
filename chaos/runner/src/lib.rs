//! Breaks a fleet in the middle of traffic, mends it, and asks the checker what that did; and plays a merchant's first
//! day on a whole one, with the same checker at its end.
//!
//! `cargo xtask chaos smoke` builds the services and starts [`cli`]; `cargo xtask up` plays [`day`]. Start with `run.rs`
//! (one run), then `faults.rs` (what the seed breaks), `traffic.rs` (what the clients do; `traffic/tills.rs` has cards
//! and purchases), `balance.rs` (how services find each other's replicas), `observe.rs` (when the fleet has come to
//! rest). `upgrade.rs` replaces programs in place of faults. The seed decides every choice here; the timing of the
//! machine remains.
//!
//! For a fleet that somebody else runs, for example in a cluster, there are programs that need nothing but their
//! environment: [`day`], [`load`] (a fixed rate, recorded and judged), [`probe`] (which addresses take connections from
//! here), [`collector`] (takes telemetry and counts it).

mod api;
mod balance;
mod cards;
pub mod cli;
pub mod collector;
pub mod day;
mod faults;
pub mod ledger;
pub mod load;
mod observe;
pub mod probe;
mod recorder;
mod run;
mod summary;
mod trade_api;
mod traffic;
mod upgrade;
mod wire;
mod world;
