//! `cargo xtask promote` and `cargo xtask cluster`: builds the program that talks to clusters, and lets it go on. It is one
//! of its own because a client of Kubernetes takes longer to build than all other commands together.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::sync::atomic::AtomicBool;

use lp_stack::command;

use crate::build;
use crate::terminal::Terminal;
use crate::workspace::Workspace;

/// Lets the program go on in our place with `verb` and these arguments.
pub(crate) fn run(workspace: &Workspace, verb: &str, arguments: &[String]) -> anyhow::Result<ExitCode> {
    build::run(
        workspace,
        &["build", "-p", "delivery", "--bins"],
        &workspace.target.join("cluster"),
        &AtomicBool::new(false),
        &Terminal::new(),
    )?;
    let program = workspace.binary("delivery");
    let mut deliver = Command::new(&program);
    deliver.arg(verb).args(arguments).current_dir(&workspace.root);
    let error = deliver.exec();
    Err(command::start_error(&program, &error))
}
