//! Every developer's command: `cargo xtask --help` is the table of contents.
//!
//! One module per command; what starts servers and services is the library `lp-stack`. Start reading at `up.rs`
//! (the first command) and `test.rs` (the second). A command's result goes to standard output and its progress to
//! standard error; it ends with 0 only when everything it stands for was seen to work.

mod bench;
mod build;
mod chaos;
mod check;
mod config_tables;
mod delivery;
mod down;
mod gitops;
mod images;
mod k8s;
mod layers;
mod long_files;
mod modules;
mod outside_names;
mod release;
mod servers;
mod sqlx;
mod terminal;
mod test;
mod up;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use lp_stack::interrupt::{self, Interrupted};

use crate::workspace::Workspace;

/// The commands of the Local-Plus workspace.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Start PostgreSQL, Kafka, Valkey, an SMTP catcher and the services, run the demo, stay up until Ctrl-C
    Up {
        /// Run the demo (it always runs; the word is for scripts that say what they want)
        #[arg(long)]
        demo: bool,
        /// End when the demo has ended, with its result
        #[arg(long)]
        exit: bool,
    },
    /// End what a killed `up`, `servers` or `test` left running
    Down {
        /// Forget the local data as well
        #[arg(long)]
        wipe: bool,
    },
    /// Run every test against fresh servers and say what passed, failed and was skipped
    Test {
        /// Arguments for `cargo test`, after `--`; for example `-- -p svc-ledger idempotency`
        #[arg(last = true)]
        cargo: Vec<String>,
    },
    /// Keep servers up for tests run by hand, and print the variables they need
    Servers,
    /// Break a fleet in the middle of traffic, mend it, and check what was seen of it
    Chaos {
        #[command(subcommand)]
        experiment: chaos::Experiment,
    },
    /// Measure on this machine, beside a reference measured in the same run
    Bench {
        #[command(subcommand)]
        subject: bench::Subject,
    },
    /// Run every check but the tests: format, clippy, dependencies, contracts, layers, generated files
    Check,
    /// Let an environment run what the one before it runs well; `promote --help` says more
    #[command(disable_help_flag = true)]
    Promote {
        /// For example `staging ledger`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        delivery: Vec<String>,
    },
    /// Prove on a real cluster with Argo CD that a commit becomes running pods; `cluster --help` says more
    #[command(disable_help_flag = true)]
    Cluster {
        /// For example `deploy --git-push …`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        delivery: Vec<String>,
    },
    /// Check that crates and layers depend on each other in the allowed direction only
    CheckLayers,
    /// Make the committed query data (`.sqlx`) again from a freshly migrated database
    Sqlx {
        /// The services to do it for, as `ledger`; all when none is named
        services: Vec<String>,
        /// Change nothing; fail when it is out of date
        #[arg(long)]
        check: bool,
    },
    /// The manifests of the fleet: write them, and hold them against rules and schemas
    K8s {
        #[command(subcommand)]
        task: k8s::Task,
    },
    /// Write each service's table of settings into its README
    Config {
        /// Change nothing; fail when a table is out of date
        #[arg(long)]
        check: bool,
    },
    /// Make the container images of the services and of the proof's programs, as OCI layouts in target/images
    Images(images::Images),
    /// Write the images' digests into the release components of k8s/services
    Release(release::Release),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(code) => code,
        Err(error) if error.is::<Interrupted>() => {
            terminal::note("Stopped; nothing was left running.");
            // What a shell reports for a program ended by Ctrl-C.
            ExitCode::from(130)
        }
        Err(error) => {
            terminal::note(&format!("error: {error}"));
            for cause in error.chain().skip(1) {
                terminal::note(&format!("  because: {cause}"));
            }
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<ExitCode> {
    interrupt::install()?;
    let workspace = Workspace::find()?;
    match task {
        // `--demo` changes nothing: `up` always shows that the stack works before it says so.
        Task::Up { demo: _, exit } => up::run(&workspace, exit),
        Task::Down { wipe } => down::run(&workspace, wipe).map(|()| ExitCode::SUCCESS),
        Task::Test { cargo } => test::run(&workspace, &cargo),
        Task::Servers => servers::run(&workspace).map(|()| ExitCode::SUCCESS),
        Task::Bench { subject } => bench::run(&workspace, &subject),
        Task::Chaos { experiment } => chaos::run(&workspace, &experiment),
        Task::Promote { delivery } => delivery::run(&workspace, "promote", &delivery),
        Task::Cluster { delivery } => delivery::run(&workspace, "cluster", &delivery),
        Task::Check => check::run(&workspace),
        Task::Images(images) => images::run(&workspace, &images).map(|()| ExitCode::SUCCESS),
        Task::Release(release) => release::run(&workspace, &release).map(|()| ExitCode::SUCCESS),
        Task::CheckLayers => layers::run(&workspace).map(|()| ExitCode::SUCCESS),
        Task::Sqlx { services, check } => sqlx::run(&workspace, &services, check).map(|()| ExitCode::SUCCESS),
        Task::K8s { task } => k8s::run(&workspace, &task).map(|()| ExitCode::SUCCESS),
        Task::Config { check } => config_tables::run(&workspace, check).map(|()| ExitCode::SUCCESS),
    }
}
