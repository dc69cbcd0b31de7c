//! `cargo xtask test`: the second command. Fresh servers, every test, one line of result.

use std::io::{BufRead as _, BufReader, IsTerminal as _};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, anyhow};
use lp_stack::interrupt::Interrupted;
use lp_stack::{Durability, Stack, StackName, command};

use crate::build;
use crate::terminal::{Terminal, note, say};
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, extra: &[String]) -> anyhow::Result<ExitCode> {
    let (tally, verdict) = match servers_and_programs(workspace, extra) {
        Ok(stack) => run_tests(workspace, extra, stack)?,
        Err(error) if error.is::<Interrupted>() => return Err(error),
        Err(error) => (Tally::default(), Err(error)),
    };
    if let Err(reason) = &verdict {
        note(&format!("error: {reason:#}"));
    }
    say(&tally.line());
    Ok(if verdict.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Starts fresh servers and builds what the tests start, side by side.
fn servers_and_programs(workspace: &Workspace, extra: &[String]) -> anyhow::Result<Stack> {
    let terminal = Terminal::new();
    let name = StackName::TestRun;
    Stack::wipe(&workspace.target, name)?;
    let start = || Stack::start(&workspace.target, name, Durability::None, &terminal);
    if !needs_programs(extra) {
        return start();
    }
    // Programs as well as tests: the end-to-end tests start the services. One call, so that both are built with
    // the same features.
    let args = ["build", "--workspace", "--bins", "--tests"];
    let folder = workspace.target.join("stack").join("test-build");
    let abandoned = AtomicBool::new(false);
    let (stack, built) = std::thread::scope(|scope| {
        let stack = scope.spawn(|| start().inspect_err(|_| abandoned.store(true, Ordering::Relaxed)));
        let built = build::run(workspace, &args, &folder, &abandoned, &terminal);
        (
            stack
                .join()
                .unwrap_or_else(|_| Err(anyhow!("the thread that starts the servers panicked"))),
            built,
        )
    });
    let stack = stack?;
    built?;
    Ok(stack)
}

fn run_tests(
    workspace: &Workspace,
    extra: &[String],
    mut stack: Stack,
) -> anyhow::Result<(Tally, anyhow::Result<()>)> {
    let mut cargo = workspace.cargo(&["test", "--no-fail-fast"]);
    if !chooses_package(extra) {
        cargo.arg("--workspace");
    }
    cargo.args(extra).envs(stack.addresses().test_env());
    if std::io::stdout().is_terminal() {
        cargo.env("CARGO_TERM_COLOR", "always");
    }
    let (tally, succeeded) = stream(&mut cargo, &say)?;
    // It explains failures better than they can.
    let verdict = match stack.dead_server() {
        Some(error) => Err(error.context("a server died during the tests")),
        None => verdict(tally, succeeded, !extra.is_empty()).map_err(anyhow::Error::msg),
    };
    Ok((tally, verdict))
}

/// Whether the programs of the workspace are to be built first: not for chosen packages, unless the end-to-end
/// tests are among them.
fn needs_programs(extra: &[String]) -> bool {
    !chooses_package(extra)
        || extra
            .iter()
            .any(|argument| argument == "e2e" || argument.ends_with("=e2e"))
}

/// Whether the arguments name packages themselves.
fn chooses_package(extra: &[String]) -> bool {
    extra
        .iter()
        .take_while(|argument| *argument != "--")
        .any(|argument| argument == "-p" || argument.starts_with("--package") || argument == "--workspace")
}

/// Runs `cargo test`, gives its output to `echo` line by line as it comes, and adds its results up.
fn stream(cargo: &mut Command, echo: &(dyn Fn(&str) + Sync)) -> anyhow::Result<(Tally, bool)> {
    let (reader, writer) = std::io::pipe().context("no pipe for the output of the tests could be made")?;
    cargo
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .stdin(Stdio::null());
    std::thread::scope(|scope| {
        let counting = scope.spawn(|| {
            let mut tally = Tally::default();
            for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line);
                echo(&line);
                tally.add(&line);
            }
            tally
        });
        let status = command::finish(cargo, None);
        // The pipe ends when nobody holds its writing end any more, and this value does.
        cargo.stdout(Stdio::null()).stderr(Stdio::null());
        let tally = counting.join().unwrap_or_default();
        Ok((tally, status?.success()))
    })
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Tally {
    /// Adds a line like `test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; …`.
    fn add(&mut self, line: &str) {
        let Some(counts) = line.trim_start().strip_prefix("test result:") else {
            return;
        };
        for part in counts.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) = (
                words.next().and_then(|word| word.parse::<u64>().ok()),
                words.next(),
            ) else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }

    fn line(self) -> String {
        format!(
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

/// Why a run is no success.
fn verdict(tally: Tally, succeeded: bool, chosen: bool) -> Result<(), &'static str> {
    if tally.failed > 0 {
        return Err("tests failed");
    }
    if !succeeded {
        return Err(
            "`cargo test` failed although no test did: a test program did not build, or died; see above",
        );
    }
    if tally.skipped > 0 {
        return Err("tests were skipped, and none may be: remove `#[ignore]`, or the test");
    }
    if tally.passed == 0 && !chosen {
        return Err("no test was run");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_added_up() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test a ... ok",
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.35s",
        ] {
            tally.add(line);
        }
        assert_eq!(tally.line(), "6 passed, 2 failed, 1 skipped");
    }

    #[test]
    fn only_a_full_success_is_one() {
        let tally = |passed, failed, skipped| Tally {
            passed,
            failed,
            skipped,
        };
        assert_eq!(verdict(tally(3, 0, 0), true, false), Ok(()));
        assert_eq!(verdict(tally(0, 0, 0), true, true), Ok(()));
        assert!(
            verdict(tally(0, 0, 0), true, false)
                .unwrap_err()
                .contains("no test")
        );
        assert!(
            verdict(tally(3, 0, 1), true, false)
                .unwrap_err()
                .contains("skipped")
        );
        assert!(
            verdict(tally(3, 1, 0), false, false)
                .unwrap_err()
                .contains("failed")
        );
        assert!(
            verdict(tally(3, 0, 0), false, false)
                .unwrap_err()
                .contains("died")
        );
    }

    #[test]
    fn a_named_package_replaces_the_workspace() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(chooses_package(&words("-p lp-pg")));
        assert!(!chooses_package(&words("idempotency -- -p")));
        assert!(needs_programs(&words("-p e2e")) && needs_programs(&words("idempotency")));
        assert!(!needs_programs(&words("-p lp-pg")));
    }

    #[test]
    fn output_is_counted_and_the_status_kept() {
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            "echo 'test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured'; exit 1",
        ]);
        let (tally, succeeded) = stream(&mut shell, &|_| ()).unwrap();
        assert_eq!((tally.passed, succeeded), (2, false));
    }
}
