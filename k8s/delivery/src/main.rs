//! How a commit becomes running pods: promotion from one environment to the next, and the proofs of it on a real cluster.
//!
//! Owns: the promotion commit and its gate (`promotion.rs`), and four proofs, each a file: `deploy.rs`, `rollout.rs`,
//! `push.rs`, `network.rs`. A proof takes any KUBECONFIG with Argo CD and any Git repository that Argo CD can reach; it
//! pushes a copy of this repository there, with commits of its own on top, and names nothing of the machine. Start with
//! `cli.rs`. What the cluster lacks is stood in for in `stores.rs` (data stores, issuers), `secrets.rs` (Vault and the
//! External Secrets operator) and `gateway.rs` (who accepts routes), and nowhere else.
//!
//! Invariants and the tests that hold them:
//! - nothing is promoted that the environment before does not run well: `promotion::tests`;
//! - a promotion is taken back by reverting its commit: `repository::tests`, and `rollout.rs` on a cluster;
//! - a proof that saw nothing fails: `jobs::tests`, `report::tests`, `network::tests`.

mod argo;
mod cli;
mod cluster;
mod deploy;
mod gateway;
mod images;
mod jobs;
mod network;
mod prometheus;
mod promotion;
mod push;
mod report;
mod repository;
mod rollout;
mod secrets;
mod stores;
mod table;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
