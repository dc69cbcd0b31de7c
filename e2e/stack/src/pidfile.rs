//! Pid files: how a run finds and ends the children of an earlier run that was killed.
//!
//! A pid alone proves nothing, since the kernel gives it out again. The record also has the boot and the start
//! time of the process, and the command line must still name the program.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde::{Deserialize, Serialize};

use crate::interrupt::TICK;

/// One child, written down.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Record {
    /// Its process id, which is also its process group.
    pub pid: i32,
    /// Its start time in clock ticks since boot.
    pub started: u64,
    /// The boot it belongs to.
    pub boot: String,
    /// The file name of its program.
    pub program: String,
    /// Whether SIGINT, not SIGTERM, is the polite way to end it.
    pub ends_on_interrupt: bool,
}

/// State letter and start time from `/proc/<pid>/stat`.
fn stat(pid: i32) -> Option<(char, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, second field, may contain spaces and parentheses; the last parenthesis ends it.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    // Field 22 of the line, the 19th after the state.
    let started = fields.nth(18)?.parse().ok()?;
    Some((state, started))
}

fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// Writes the record of a child that was just started.
///
/// # Errors
/// When the file cannot be written.
pub fn write(file: &Path, pid: i32, program: &str, ends_on_interrupt: bool) -> anyhow::Result<()> {
    // The kernel shows no command line for a moment after the program was started.
    let begun = Instant::now();
    while command_line(pid).is_empty()
        && stat(pid).is_some_and(|(state, _)| state != 'Z')
        && begun.elapsed() < Duration::from_secs(1)
    {
        std::thread::sleep(Duration::from_millis(1));
    }
    let started = stat(pid).map_or(0, |(_, started)| started);
    let record = Record {
        pid,
        started,
        boot: boot(),
        program: program.to_owned(),
        ends_on_interrupt,
    };
    std::fs::write(file, serde_json::to_vec(&record)?)
        .with_context(|| format!("the pid file {} could not be written", file.display()))
}

/// The recorded child, when it still runs.
#[must_use]
pub fn live(file: &Path) -> Option<Record> {
    let record: Record = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    runs(&record).then_some(record)
}

fn runs(record: &Record) -> bool {
    let Some((state, started)) = stat(record.pid) else {
        return false;
    };
    state != 'Z'
        && started == record.started
        && record.boot == boot()
        && command_line(record.pid).contains(record.program.as_str())
}

/// Empty for a process that is gone.
fn command_line(pid: i32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Ends the recorded child if it still runs, politely first, and removes the file. True when there was one.
pub fn end_leftover(file: &Path, limit: Duration) -> bool {
    let record = live(file);
    if let Some(record) = &record
        && let Some(pid) = Pid::from_raw(record.pid)
    {
        let polite = if record.ends_on_interrupt {
            Signal::INT
        } else {
            Signal::TERM
        };
        let _ = kill_process(pid, polite);
        let begun = Instant::now();
        while runs(record) && begun.elapsed() < limit {
            std::thread::sleep(TICK);
        }
        if runs(record) {
            let _ = kill_process_group(pid, Signal::KILL);
            let begun = Instant::now();
            while runs(record) && begun.elapsed() < limit {
                std::thread::sleep(TICK);
            }
        }
    }
    let _ = std::fs::remove_file(file);
    record.is_some()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn sleeper() -> (Child, i32) {
        let child = Command::new("sleep")
            .arg("60")
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        (child, pid)
    }

    #[test]
    fn a_leftover_is_found_and_ended() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sleep.pid");
        let (mut child, pid) = sleeper();
        write(&file, pid, "sleep", false).unwrap();
        assert_eq!(live(&file).unwrap().pid, pid);
        assert!(end_leftover(&file, Duration::from_secs(5)));
        assert!(!child.wait().unwrap().success());
        assert!(!file.exists());
        assert!(!end_leftover(&file, Duration::from_secs(5)));
    }

    #[test]
    fn a_pid_that_now_belongs_to_another_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sleep.pid");
        let (mut child, pid) = sleeper();
        write(&file, pid, "sleep", false).unwrap();
        let honest: Record = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        for other in [
            Record {
                started: honest.started + 1,
                ..honest.clone()
            },
            Record {
                boot: "another".to_owned(),
                ..honest.clone()
            },
            Record {
                program: "postgres".to_owned(),
                ..honest.clone()
            },
        ] {
            std::fs::write(&file, serde_json::to_vec(&other).unwrap()).unwrap();
            assert_eq!(live(&file), None);
            assert!(!end_leftover(&file, Duration::from_secs(1)));
            assert!(child.try_wait().unwrap().is_none(), "it must still run");
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_damaged_file_is_no_leftover() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.pid");
        std::fs::write(&file, "123").unwrap();
        assert_eq!(live(&file), None);
    }
}
