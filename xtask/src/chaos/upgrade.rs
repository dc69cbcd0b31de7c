//! The services of a revision, built in a work tree of their own, as the old ones of an upgrade.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, bail};
use lp_stack::fleet::FLEET;

use super::BUILD;
use crate::build;
use crate::terminal::{Terminal, note};
use crate::workspace::Workspace;

/// Where the setting stands by which services know whose tokens they believe.
const TOKENS: (&str, &str) = ("AUTH_JWKS_URL", "sdk/rust/lp-config/src");

pub(super) fn run(workspace: &Workspace, from: &str, runner: &[String]) -> anyhow::Result<ExitCode> {
    let revision = git(
        &workspace.root,
        &["rev-parse", "--verify", "--quiet", &format!("{from}^{{commit}}")],
    )
    .with_context(|| format!("`{from}` is no revision of this repository"))?;
    require_callable(workspace, &revision)?;
    let folder = workspace.target.join("upgrade");
    let tree = folder.join("tree");
    note(&format!(
        "from {}",
        git(&workspace.root, &["log", "-1", "--format=%h %s", &revision])?
    ));
    if tree.join(".git").exists() {
        git(&tree, &["checkout", "--quiet", "--force", "--detach", &revision])?;
    } else {
        std::fs::create_dir_all(&folder)?;
        // One that was deleted by hand is still known.
        git(&workspace.root, &["worktree", "prune"])?;
        let tree = tree.display().to_string();
        git(
            &workspace.root,
            &["worktree", "add", "--quiet", "--detach", &tree, &revision],
        )?;
    }
    let old = Workspace {
        root: tree,
        target: folder.join("target"),
    };
    let target = old.target.display().to_string();
    // Built once.
    let once = ["--config", "build.incremental=false", "--target-dir", &target];
    let args = [BUILD.as_slice(), &once].concat();
    build::run(&old, &args, &folder, &AtomicBool::new(false), &Terminal::new())?;
    let programs = old.target.join("debug");
    let first = [
        Path::new("--upgrade-from"),
        &programs,
        Path::new("--seconds"),
        Path::new("45"),
    ];
    super::start(workspace, &first, runner)
}

/// The runner speaks one contract and has one kind of caller: those of the work tree.
fn require_callable(workspace: &Workspace, revision: &str) -> anyhow::Result<()> {
    let has = |path: &str| {
        git(
            &workspace.root,
            &["cat-file", "-e", &format!("{revision}:{path}")],
        )
        .is_ok()
    };
    let mut reasons = Vec::new();
    let missing: Vec<_> = FLEET
        .iter()
        .map(lp_stack::fleet::Service::binary)
        .filter(|service| !has(&format!("services/{service}/src/main.rs")))
        .collect();
    if !missing.is_empty() {
        reasons.push(format!("it has no {}", missing.join(", ")));
    }
    let (setting, place) = TOKENS;
    if git(
        &workspace.root,
        &["grep", "--quiet", setting, revision, "--", place],
    )
    .is_err()
    {
        reasons.push("its services take no tokens: they believe the caller's headers".to_owned());
    }
    if reasons.is_empty() {
        return Ok(());
    }
    bail!(
        "the services of {revision} cannot be called as those of the work tree are: {}. Choose a later revision with \
         --from.",
        reasons.join("; and ")
    )
}

/// What git says, without the line's end.
fn git(folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .context("`git` could not be started; install it")?;
    if !output.status.success() {
        bail!(
            "`git {}` failed: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
