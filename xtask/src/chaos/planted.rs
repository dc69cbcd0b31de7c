//! Bugs on purpose. Each patch of `chaos/planted` breaks one promise in a copy of the work tree; the test or the run that
//! its head names must fail there, and pass without it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, anyhow, bail};
use lp_stack::{Durability, Stack, StackName, command};

use crate::terminal::{Terminal, note, say};
use crate::workspace::Workspace;

/// A bug, as the head of its patch has it.
#[derive(Debug, PartialEq, Eq)]
struct Planted {
    name: String,
    /// What is broken, in a sentence.
    what: String,
    watch: Watch,
}

/// Who is to notice.
#[derive(Debug, PartialEq, Eq)]
enum Watch {
    /// `cargo test` with these arguments.
    Test(Vec<String>),
    /// The chaos runner with these.
    Run(Vec<String>),
    /// The runner of the ledger alone with these.
    Ledger(Vec<String>),
}

/// What became of a test or a run.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It passed.
    Passed,
    /// It failed, and says this.
    Failed(String),
    /// It did not get as far as that.
    Broken(String),
}

pub(super) fn run(workspace: &Workspace, name: Option<&str>) -> anyhow::Result<ExitCode> {
    let bugs = all(&workspace.root.join("chaos").join("planted"), name)?;
    let field = Field::new(workspace)?;
    let mut rows = Vec::new();
    for (patch, bug) in &bugs {
        note(&format!("{}: {}", bug.name, bug.what));
        let row = field.try_bug(workspace, patch, bug)?;
        note(&format!("  {}", row.1));
        rows.push((bug.name.as_str(), row));
    }
    say(&format!("{:<28} {:<11} {}", "bug", "verdict", "by"));
    for (name, (caught, by)) in &rows {
        let verdict = if *caught { "caught" } else { "NOT CAUGHT" };
        say(&format!("{name:<28} {verdict:<11} {by}"));
    }
    let missed = rows.iter().filter(|(_, (caught, _))| !caught).count();
    say(&format!("{} bugs, {missed} not caught", rows.len()));
    Ok(if missed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The patches of a folder, by name.
fn all(folder: &Path, name: Option<&str>) -> anyhow::Result<Vec<(PathBuf, Planted)>> {
    let mut patches: Vec<PathBuf> = std::fs::read_dir(folder)
        .with_context(|| format!("{} cannot be read", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "patch"))
        .filter(|path| name.is_none_or(|name| path.file_stem().is_some_and(|stem| stem == name)))
        .collect();
    patches.sort();
    if patches.is_empty() {
        bail!("{} has no such patch", folder.display());
    }
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path)?;
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let bug = parse(&name, &text).map_err(|reason| anyhow!("{}: {reason}", path.display()))?;
        Ok((path, bug))
    };
    patches.into_iter().map(read).collect()
}

/// Reads the lines before the patch itself: `what: …`, and `test: …`, `run: …` or `ledger: …`.
fn parse(name: &str, text: &str) -> Result<Planted, &'static str> {
    let head = || text.lines().take_while(|line| !line.starts_with("--- "));
    let value = |field: &str| head().find_map(|line| line.strip_prefix(field)).map(str::trim);
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    let watch = match (value("test:"), value("run:"), value("ledger:")) {
        (Some(test), None, None) => Watch::Test(words(test)),
        (None, Some(run), None) => Watch::Run(words(run)),
        (None, None, Some(run)) => Watch::Ledger(words(run)),
        _ => return Err("its head must have one line `test: …`, `run: …` or `ledger: …`"),
    };
    let what = value("what:").ok_or("its head must have a line `what: …`")?;
    Ok(Planted {
        name: name.to_owned(),
        what: what.to_owned(),
        watch,
    })
}

/// The copy of the work tree, and servers for its tests.
struct Field {
    tree: PathBuf,
    target: PathBuf,
    stack: Stack,
}

impl Field {
    fn new(workspace: &Workspace) -> anyhow::Result<Self> {
        let folder = workspace.target.join("planted");
        let (tree, target) = (folder.join("tree"), folder.join("target"));
        std::fs::create_dir_all(&tree)?;
        Stack::wipe(&target, StackName::TestRun)?;
        let stack = Stack::start(&target, StackName::TestRun, Durability::None, &Terminal::new())?;
        Ok(Self { tree, target, stack })
    }

    /// Whether a bug is caught, and by what.
    fn try_bug(&self, workspace: &Workspace, patch: &Path, bug: &Planted) -> anyhow::Result<(bool, String)> {
        self.restore(workspace)?;
        self.apply(patch)?;
        let with = self.watch(workspace, &bug.watch)?;
        self.restore(workspace)?;
        Ok(match with {
            Verdict::Failed(by) => match self.watch(workspace, &bug.watch)? {
                Verdict::Passed => (true, by),
                // What fails anyway catches nothing.
                Verdict::Failed(_) => (false, format!("fails without the bug as well: {by}")),
                Verdict::Broken(reason) => (false, format!("without the bug: {reason}")),
            },
            Verdict::Passed => (false, format!("{} passed", told(&bug.watch))),
            Verdict::Broken(reason) => (false, reason),
        })
    }

    /// Makes the copy what the work tree is. Only what differs is written, so that cargo builds only that again.
    fn restore(&self, workspace: &Workspace) -> anyhow::Result<()> {
        let files = workspace.files()?;
        for file in &files {
            let (from, to) = (workspace.root.join(file), self.tree.join(file));
            let wanted =
                std::fs::read(&from).with_context(|| format!("{} cannot be read", from.display()))?;
            if std::fs::read(&to).is_ok_and(|there| there == wanted) {
                continue;
            }
            if let Some(folder) = to.parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::copy(&from, &to).with_context(|| format!("{} cannot be written", to.display()))?;
        }
        let wanted: BTreeSet<_> = files.iter().collect();
        for file in below(&self.tree, Path::new(""))? {
            if !wanted.contains(&file) {
                std::fs::remove_file(self.tree.join(file))?;
            }
        }
        Ok(())
    }

    fn apply(&self, patch: &Path) -> anyhow::Result<()> {
        let output = Command::new("git")
            .args(["apply", "--whitespace=nowarn"])
            .arg(patch)
            .current_dir(&self.tree)
            // The copy lies inside the repository, and git would leave its files alone.
            .env("GIT_CEILING_DIRECTORIES", self.tree.parent().unwrap_or(&self.tree))
            .stdin(Stdio::null())
            .output()
            .context("`git` could not be started; install it")?;
        if !output.status.success() {
            bail!(
                "{} no longer applies; make it again: {}",
                patch.display(),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(())
    }

    fn watch(&self, workspace: &Workspace, watch: &Watch) -> anyhow::Result<Verdict> {
        match watch {
            Watch::Test(arguments) => {
                let built = self.cargo(workspace, &["test", "--no-run"], test_targets(arguments))?;
                if !built.0 {
                    return Ok(Verdict::Broken(format!(
                        "does not build: {}",
                        first_error(&built.1)
                    )));
                }
                let (passed, output) = self.cargo(workspace, &["test", "--no-fail-fast"], arguments)?;
                Ok(of_test(passed, &output))
            }
            Watch::Run(arguments) => self.play(workspace, &super::BUILD, "chaos", arguments),
            Watch::Ledger(arguments) => {
                self.play(workspace, &super::BUILD_FAILING, "chaos-ledger", arguments)
            }
        }
    }

    /// Builds the programs, and lets a runner have them.
    fn play(
        &self,
        workspace: &Workspace,
        build: &[&str],
        runner: &str,
        arguments: &[String],
    ) -> anyhow::Result<Verdict> {
        let built = self.cargo(workspace, build, &[])?;
        if !built.0 {
            let error = first_error(&built.1);
            return Ok(Verdict::Broken(format!("does not build: {error}")));
        }
        let mut runner = Command::new(self.target.join("debug").join(runner));
        runner.args(arguments).current_dir(&self.tree);
        let (passed, output) = finish(&mut runner, &self.target.join("chaos-run.log"))?;
        Ok(of_run(passed, &output))
    }

    fn cargo(
        &self,
        workspace: &Workspace,
        verb: &[&str],
        arguments: &[String],
    ) -> anyhow::Result<(bool, String)> {
        let own = Workspace {
            root: self.tree.clone(),
            target: self.target.clone(),
        };
        debug_assert_ne!(own.root, workspace.root);
        let mut cargo = own.cargo(verb);
        cargo
            .args(arguments.iter().take_while(|argument| *argument != "--"))
            .arg("--target-dir")
            .arg(&self.target)
            .args(arguments.iter().skip_while(|argument| *argument != "--"))
            .env("CARGO_TERM_COLOR", "never")
            // Each program is built twice and never again: what would speed a third build up only fills the disk.
            .env("CARGO_INCREMENTAL", "0")
            .envs(self.stack.addresses().test_env());
        finish(&mut cargo, &self.target.join("cargo.log"))
    }
}

/// The arguments of a test command that choose what is built.
fn test_targets(arguments: &[String]) -> &[String] {
    let end = arguments.iter().position(|argument| argument == "--");
    arguments
        .get(..end.unwrap_or(arguments.len()))
        .unwrap_or_default()
}

/// Runs a command with its output in a file; whether it ended with 0, and what it said.
fn finish(started: &mut Command, log: &Path) -> anyhow::Result<(bool, String)> {
    let file = std::fs::File::create(log).with_context(|| format!("{} cannot be made", log.display()))?;
    started
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file);
    let status = command::finish(started, None)?;
    let output = std::fs::read(log)?;
    Ok((status.success(), String::from_utf8_lossy(&output).into_owned()))
}

fn of_test(passed: bool, output: &str) -> Verdict {
    let failed: Vec<_> = output
        .lines()
        .filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"))
        .collect();
    let ran = output
        .lines()
        .any(|line| line.starts_with("test ") && line.ends_with(" ... ok"));
    match (passed, failed.is_empty()) {
        (true, _) if ran => Verdict::Passed,
        (true, _) => Verdict::Broken("no test has that name".to_owned()),
        (false, false) => Verdict::Failed(format!("test {}", failed.join(", "))),
        (false, true) => Verdict::Broken(format!("cargo test failed: {}", first_error(output))),
    }
}

fn of_run(passed: bool, output: &str) -> Verdict {
    let rules: BTreeSet<_> = output
        .lines()
        .filter_map(|line| line.strip_prefix("       ")?.split_once(':'))
        .map(|(rule, _)| rule)
        .filter(|rule| !rule.contains(' '))
        .collect();
    if passed {
        Verdict::Passed
    } else if rules.is_empty() {
        Verdict::Broken(format!("the run failed: {}", first_error(output)))
    } else {
        let rules: Vec<_> = rules.into_iter().collect();
        Verdict::Failed(format!("chaos run, {}", rules.join(", ")))
    }
}

fn first_error(output: &str) -> &str {
    let error = output.lines().find(|line| line.contains("error"));
    error
        .or_else(|| output.lines().last())
        .unwrap_or("it says nothing")
}

fn told(watch: &Watch) -> String {
    match watch {
        Watch::Test(arguments) => format!("cargo test {}", arguments.join(" ")),
        Watch::Run(arguments) => format!("chaos {}", arguments.join(" ")),
        Watch::Ledger(arguments) => format!("chaos-ledger {}", arguments.join(" ")),
    }
}

/// Every file below a folder, as paths from `root`.
fn below(root: &Path, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            files.extend(below(root, &path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str =
        "what: nobody locks\ntest: -p svc-ledger --test it races\n\n--- a/x\n+++ b/x\ntest: no\n";

    #[test]
    fn a_patch_says_what_it_breaks_and_who_notices() {
        let bug = parse("no-lock", PATCH).unwrap();
        assert_eq!(bug.what, "nobody locks");
        let words = ["-p", "svc-ledger", "--test", "it", "races"];
        assert_eq!(bug.watch, Watch::Test(words.map(str::to_owned).to_vec()));
        let ledger = parse("x", "what: it answers\nledger: --runs 2\n--- a/x\n").unwrap();
        let words = ["--runs", "2"];
        assert_eq!(ledger.watch, Watch::Ledger(words.map(str::to_owned).to_vec()));
        assert!(parse("x", "what: nothing\n--- a/x\n").is_err());
        assert!(parse("x", "run: --runs 1\n--- a/x\n").is_err());
    }

    #[test]
    fn only_a_test_that_fails_catches() {
        let failed = "test a::b ... FAILED\ntest c ... ok\ntest result: FAILED. 1 passed; 1 failed";
        assert_eq!(of_test(false, failed), Verdict::Failed("test a::b".to_owned()));
        assert_eq!(of_test(true, "test c ... ok\n"), Verdict::Passed);
        assert!(matches!(of_test(true, "running 0 tests\n"), Verdict::Broken(_)));
        assert!(matches!(
            of_test(false, "error: could not compile\n"),
            Verdict::Broken(_)
        ));
    }

    #[test]
    fn only_a_run_with_violations_catches() {
        let violations =
            "     1     10  violations kill\n       one-effect: two; operations 1\n       kept in /x\n";
        let caught = Verdict::Failed("chaos run, one-effect".to_owned());
        assert_eq!(of_run(false, violations), caught);
        assert!(matches!(of_run(false, "error: no disk\n"), Verdict::Broken(_)));
        assert_eq!(of_run(true, ""), Verdict::Passed);
    }
}
