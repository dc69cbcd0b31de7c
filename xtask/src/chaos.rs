//! `cargo xtask chaos`: builds the services and the runner, and lets it break them; `upgrade.rs` replaces programs under
//! traffic, `planted.rs` breaks the code itself and asks who notices.

mod planted;
mod upgrade;

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use clap::Subcommand;
use lp_stack::command;

use crate::build;
use crate::terminal::Terminal;
use crate::workspace::Workspace;

#[derive(Debug, Subcommand)]
pub(crate) enum Experiment {
    /// Traffic with random faults against a fleet of its own, then the history checker
    Smoke {
        /// What the runner takes, for example `--runs 20 --seed 1 --seconds 20 --faults kill,kafka`; `-- --help`
        /// lists all of it
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        runner: Vec<String>,
    },
    /// The ledger alone: two replicas with failpoints, every fault that can hit it, many short runs
    Ledger {
        /// What the runner takes, for example `--runs 200 --seed 1 --faults kill,postgres --resume`; `-- --help` lists
        /// all of it
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        runner: Vec<String>,
    },
    /// Traffic while the services of a revision are replaced by those of the work tree, then the history checker
    Upgrade {
        /// The revision whose services are replaced
        #[arg(long, default_value = "HEAD")]
        from: String,
        /// What the runner takes, for example `--seed 7 --seconds 60`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        runner: Vec<String>,
    },
    /// Plant each bug of chaos/planted in a copy of the work tree, and see that a test or a run notices it
    Planted {
        /// One of them, by the name of its patch without `.patch`; all when absent
        name: Option<String>,
    },
}

pub(crate) fn run(workspace: &Workspace, experiment: &Experiment) -> anyhow::Result<ExitCode> {
    match experiment {
        Experiment::Smoke { runner } => start(workspace, &[], runner),
        Experiment::Ledger { runner } => ledger(workspace, runner),
        Experiment::Upgrade { from, runner } => upgrade::run(workspace, from, runner),
        Experiment::Planted { name } => planted::run(workspace, name.as_deref()),
    }
}

/// What builds every program that the runner starts, and the runner.
const BUILD: [&str; 5] = ["build", "--workspace", "--exclude", "xtask", "--bins"];

/// The same with svc-ledger's failpoints. All packages, so that the others are built with the features that they have
/// anyhow: only svc-ledger is built twice.
const BUILD_FAILING: [&str; 7] = [
    "build",
    "--workspace",
    "--exclude",
    "xtask",
    "--bins",
    "--features",
    "svc-ledger/failpoints",
];

/// What the ledger's runner starts.
const FAILING: [&str; 2] = ["svc-ledger", "issuer"];

/// Builds the programs of the work tree, and lets the runner go on in our place.
fn start(workspace: &Workspace, first: &[&Path], runner: &[String]) -> anyhow::Result<ExitCode> {
    build_all(workspace, &BUILD)?;
    let mut chaos = Command::new(workspace.binary("chaos"));
    chaos.args(first).args(runner);
    go_on(workspace, chaos)
}

/// Builds svc-ledger with its failpoints, into a folder of its own, and lets the ledger's runner go on in our place.
fn ledger(workspace: &Workspace, runner: &[String]) -> anyhow::Result<ExitCode> {
    let programs = failing(workspace)?;
    let mut chaos = Command::new(workspace.binary("chaos-ledger"));
    chaos.arg("--binaries").arg(programs).args(runner);
    go_on(workspace, chaos)
}

/// Builds the programs with failpoints; their folder.
fn failing(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    build_all(workspace, &BUILD_FAILING)?;
    let folder = workspace.target.join("chaos-ledger").join("programs");
    std::fs::create_dir_all(&folder)?;
    for name in FAILING {
        let to = folder.join(name);
        // One that still runs cannot be written over.
        let _ = std::fs::remove_file(&to);
        std::fs::copy(workspace.binary(name), &to)
            .with_context(|| format!("{} could not be written", to.display()))?;
    }
    // The next build puts the plain svc-ledger back; nobody is to find this one until then.
    std::fs::remove_file(workspace.binary("svc-ledger"))?;
    Ok(folder)
}

fn build_all(workspace: &Workspace, arguments: &[&str]) -> anyhow::Result<()> {
    let folder = workspace.target.join("chaos");
    build::run(
        workspace,
        arguments,
        &folder,
        &AtomicBool::new(false),
        &Terminal::new(),
    )
}

/// In our place: it hears Ctrl-C itself, and takes its time to end what it started.
fn go_on(workspace: &Workspace, mut runner: Command) -> anyhow::Result<ExitCode> {
    let error = runner.current_dir(&workspace.root).exec();
    Err(command::start_error(Path::new(runner.get_program()), &error))
}
