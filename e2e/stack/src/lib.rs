//! The local stack: PostgreSQL, Kafka, Valkey and an SMTP catcher as child processes of whoever asks, and the
//! services of this workspace beside them. `cargo xtask up` and `cargo xtask test` are thin layers over it.
//!
//! Start reading at [`Stack::start`] (`stack.rs`), then [`process`] (how a child is watched and ended) and
//! [`tools`] (how a program that is not on the machine is fetched). [`fleet`] has the one table of our services.
//!
//! Invariants:
//! - Nothing is installed into the system. What is fetched goes into the [`cache`] folder, pinned by version,
//!   built in a temporary folder and renamed when complete, under a lock file.
//! - Every child has a process group of its own and a pid file. It is ended when its [`process::Process`] is
//!   dropped; what a killed run left behind is ended by the next run, which checks first that the pid is still
//!   that child.
//! - Every wait has a limit and looks at [`interrupt`], so Ctrl-C ends each of them.
//! - Servers listen on loopback only.
//! - An error is a sentence that says what is wrong and what to do.

mod addresses;
pub mod cache;
pub mod command;
pub mod fleet;
pub mod http;
pub mod interrupt;
pub mod pidfile;
pub mod ports;
pub mod process;
pub mod progress;
mod servers;
mod stack;
pub mod tools;

pub use addresses::Addresses;
pub use progress::Progress;
pub use servers::{Durability, KAFKA_LOGGING, KafkaAddresses, ServerKind, kafka_properties};
pub use stack::{Stack, StackName};
