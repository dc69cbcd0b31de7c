//! `cargo xtask chaos`: builds the services and the runner, and lets it break them.

use std::os::unix::process::CommandExt as _;
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
}

pub(crate) fn run(workspace: &Workspace, experiment: &Experiment) -> anyhow::Result<ExitCode> {
    let Experiment::Smoke { runner } = experiment;
    let folder = workspace.target.join("chaos");
    let args = ["build", "--workspace", "--exclude", "xtask", "--bins"];
    build::run(
        workspace,
        &args,
        &folder,
        &AtomicBool::new(false),
        &Terminal::new(),
    )?;
    let mut chaos = Command::new(workspace.binary("chaos"));
    chaos.args(runner).current_dir(&workspace.root);
    // In our place: it hears Ctrl-C itself, and takes its time to end what it started.
    let error = chaos.exec();
    Err(command::start_error(&workspace.binary("chaos"), &error))
}
