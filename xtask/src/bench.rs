//! `cargo xtask bench`: builds with optimisations what is measured, and lets the benchmark measure it.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::sync::atomic::AtomicBool;

use clap::Subcommand;
use lp_stack::command;

use crate::build;
use crate::terminal::Terminal;
use crate::workspace::Workspace;

#[derive(Debug, Subcommand)]
pub(crate) enum Subject {
    /// Transactions per second and latencies of svc-ledger at fixed arrival rates, beside pgbench on the same server
    Ledger {
        /// What the benchmark takes, for example `--seconds 30 --json result.json`, or `--growth`; `-- --help`
        /// lists all of it
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        bench: Vec<String>,
    },
}

pub(crate) fn run(workspace: &Workspace, subject: &Subject) -> anyhow::Result<ExitCode> {
    let Subject::Ledger { bench } = subject;
    let folder = workspace.target.join("bench");
    let args = [
        "build",
        "--release",
        "-p",
        "bench",
        "-p",
        "svc-ledger",
        "-p",
        "e2e",
        "--bins",
    ];
    build::run(
        workspace,
        &args,
        &folder,
        &AtomicBool::new(false),
        &Terminal::new(),
    )?;
    let program = workspace.target.join("release").join("bench");
    let mut measure = Command::new(&program);
    measure.args(bench).current_dir(&workspace.root);
    // In our place: it hears Ctrl-C itself, and ends what it started.
    let error = measure.exec();
    Err(command::start_error(&program, &error))
}
