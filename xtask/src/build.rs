//! Building the workspace's programs as one step of a longer command.

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use lp_stack::process::{self, Process, Spec};
use lp_stack::{Progress, command, interrupt, progress};

use crate::workspace::Workspace;

const TITLE: &str = "Build";

/// How much of a failed build is shown.
const SHOWN_LINES: usize = 60;

/// Runs `cargo <args>` with its output in a log, and shows the errors when it fails. Gives up when `abandoned`
/// becomes true, because something that runs beside it failed.
pub(crate) fn run(
    workspace: &Workspace,
    args: &[&str],
    folder: &Path,
    abandoned: &AtomicBool,
    progress: &dyn Progress,
) -> anyhow::Result<()> {
    progress::step(progress, TITLE, || {
        std::fs::create_dir_all(folder)?;
        let cargo = workspace.cargo(args);
        let mut spec = Spec::new("build", cargo.get_program(), folder).args(cargo.get_args());
        spec.env = vec![("CARGO_TERM_COLOR".to_owned(), "never".to_owned())];
        spec.folder = Some(workspace.root.clone());
        let mut build = Process::spawn(spec)?;
        let every = if std::io::stderr().is_terminal() {
            Duration::from_millis(500)
        } else {
            Duration::from_mins(1)
        };
        let mut shown = Instant::now();
        let status = loop {
            interrupt::check()?;
            if abandoned.load(Ordering::Relaxed) {
                bail!("the build was given up, since the servers could not be started");
            }
            if let Some(status) = build.exited() {
                break status;
            }
            if shown.elapsed() > every {
                shown = Instant::now();
                progress.detail(TITLE, process::tail(build.log(), 1).concat().trim());
            }
            std::thread::sleep(interrupt::TICK);
        };
        if status.success() {
            return Ok(());
        }
        let lines = process::tail(build.log(), 5000);
        let text = lines.join("\n");
        if let Some(sentence) = command::disk_is_full(&text) {
            bail!("the build failed: {sentence}");
        }
        let errors: Vec<&str> = lines
            .iter()
            .map(String::as_str)
            .skip_while(|line| !line.starts_with("error"))
            .take(SHOWN_LINES)
            .collect();
        bail!(
            "the build failed (all of it is in {}):\n{}",
            build.log().display(),
            errors.join("\n")
        );
    })
}
