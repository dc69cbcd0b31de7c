//! `cargo xtask check`: every check but the tests. All run, whatever fails; the failures are named at the end.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::bail;
use lp_stack::cache::Cache;
use lp_stack::{interrupt, tools};

use crate::terminal::{note, say, seconds};
use crate::workspace::Workspace;
use crate::{config_tables, gitops, k8s, layers, long_files, outside_names, sqlx};

type Check = fn(&Workspace) -> anyhow::Result<()>;

/// Quick ones first.
const CHECKS: [(&str, Check); 11] = [
    ("format", format),
    ("layers", layers::run),
    ("file length", long_files::check),
    ("outside names", outside_names::check),
    ("contracts", contracts),
    ("dependencies", dependencies),
    ("manifests", k8s::check),
    ("delivery by Git", gitops::check),
    ("query data", |workspace| sqlx::run(workspace, &[], true)),
    ("clippy", clippy),
    ("tables of settings", |workspace| {
        config_tables::run(workspace, true)
    }),
];

pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<ExitCode> {
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        interrupt::check()?;
        note(&format!("── {name}"));
        let begun = Instant::now();
        let result = check(workspace);
        interrupt::check()?;
        match result {
            Ok(()) => note(&format!("  ✓ {}", seconds(begun.elapsed()))),
            Err(error) => {
                note(&format!("{error:#}\n  ✗ {name}"));
                failed.push(name);
            }
        }
    }
    if failed.is_empty() {
        say(&format!("All {} checks passed.", CHECKS.len()));
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!(
        "{} of {} checks failed: {}",
        failed.len(),
        CHECKS.len(),
        failed.join(", ")
    ));
    Ok(ExitCode::FAILURE)
}

/// Runs a command whose output the person sees.
fn expect(command: &mut Command, advice: &str) -> anyhow::Result<()> {
    if Workspace::passes(command)? {
        Ok(())
    } else {
        bail!("{advice}")
    }
}

fn format(workspace: &Workspace) -> anyhow::Result<()> {
    expect(
        &mut workspace.cargo(&["fmt", "--all", "--check"]),
        "not formatted; run `cargo fmt --all`",
    )
}

fn clippy(workspace: &Workspace) -> anyhow::Result<()> {
    let args = [
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    expect(
        &mut workspace.cargo(&args),
        "clippy has something to say; see above",
    )
}

fn dependencies(workspace: &Workspace) -> anyhow::Result<()> {
    let deny = tools::cargo_deny(&Cache::open()?, &|text| note(&format!("  cargo-deny: {text}")))?;
    let mut command = Command::new(deny);
    command.args([
        "--log-level",
        "error",
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ]);
    expect(
        command.current_dir(&workspace.root),
        "a dependency breaks a rule of deny.toml; see above",
    )
}

fn contracts(workspace: &Workspace) -> anyhow::Result<()> {
    let buf = tools::buf(&Cache::open()?, &|text| note(&format!("  buf: {text}")))?;
    let folder = workspace.root.join("contracts-proto");
    expect(
        Command::new(&buf).arg("lint").current_dir(&folder),
        "the contracts break a lint; see above",
    )?;
    expect(
        Command::new(&buf)
            .args(["format", "-d", "--exit-code", "--path", "localplus"])
            .current_dir(&folder),
        "the contracts are not formatted; run `buf format -w --path localplus` in contracts-proto",
    )
}
