//! `cargo xtask chaos`: builds the services and the runner, and lets it break them; `upgrade.rs` replaces programs under
//! traffic, `planted.rs` breaks the code itself and asks who notices.

mod planted;
mod upgrade;

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::atomic::AtomicBool;

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
        Experiment::Upgrade { from, runner } => upgrade::run(workspace, from, runner),
        Experiment::Planted { name } => planted::run(workspace, name.as_deref()),
    }
}

/// What builds every program that the runner starts, and the runner.
const BUILD: [&str; 5] = ["build", "--workspace", "--exclude", "xtask", "--bins"];

/// Builds the programs of the work tree, and lets the runner go on in our place.
fn start(workspace: &Workspace, first: &[&Path], runner: &[String]) -> anyhow::Result<ExitCode> {
    let folder = workspace.target.join("chaos");
    build::run(
        workspace,
        &BUILD,
        &folder,
        &AtomicBool::new(false),
        &Terminal::new(),
    )?;
    let mut chaos = Command::new(workspace.binary("chaos"));
    chaos.args(first).args(runner).current_dir(&workspace.root);
    // In our place: it hears Ctrl-C itself, and takes its time to end what it started.
    let error = chaos.exec();
    Err(command::start_error(&workspace.binary("chaos"), &error))
}
