//! A child process that is watched: own process group, log file, pid file, readiness with a limit, polite end.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::interrupt::{self, TICK};
use crate::{command, pidfile};

/// How many lines of a log an error quotes.
const QUOTED_LINES: usize = 15;

/// The numeric user and group a child runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// What to start and how to end it.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The name a person knows it by.
    pub name: String,
    /// The program, a path or a name on the PATH.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables added to the environment.
    pub env: Vec<(String, String)>,
    /// Where it runs; the caller's folder when `None`.
    pub folder: Option<PathBuf>,
    /// Where its output goes; begun anew at each start.
    pub log: PathBuf,
    /// Where its pid is written down.
    pub pid_file: PathBuf,
    /// Another user to run as, when we are root.
    pub user: Option<User>,
    /// Whether SIGINT, not SIGTERM, ends it (PostgreSQL: fast shutdown).
    pub ends_on_interrupt: bool,
    /// How long it may take to end before it is killed.
    pub stop_limit: Duration,
}

impl Spec {
    /// A child with no arguments, no extra environment, ended by SIGTERM within ten seconds; log and pid file
    /// are `<folder>/<name>.log` and `.pid`.
    #[must_use]
    pub fn new(name: &str, program: impl Into<PathBuf>, folder: &Path) -> Self {
        Self {
            name: name.to_owned(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            folder: None,
            log: folder.join(format!("{name}.log")),
            pid_file: folder.join(format!("{name}.pid")),
            user: None,
            ends_on_interrupt: false,
            stop_limit: Duration::from_secs(10),
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds variables.
    #[must_use]
    pub fn env<K: Into<String>, V: Into<String>>(mut self, env: impl IntoIterator<Item = (K, V)>) -> Self {
        self.env
            .extend(env.into_iter().map(|(key, value)| (key.into(), value.into())));
        self
    }
}

/// A running child. Dropping it ends it.
#[derive(Debug)]
pub struct Process {
    spec: Spec,
    child: Child,
    pid: Pid,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Ends a leftover of an earlier run, then starts the child.
    ///
    /// # Errors
    /// When the program is missing, or log or pid file cannot be written.
    pub fn spawn(spec: Spec) -> anyhow::Result<Self> {
        pidfile::end_leftover(&spec.pid_file, spec.stop_limit);
        let log = File::create(&spec.log)
            .with_context(|| format!("the log file {} could not be made", spec.log.display()))?;
        let mut command = Command::new(&spec.program);
        command
            .args(&spec.args)
            .envs(spec.env.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        if let Some(folder) = &spec.folder {
            command.current_dir(folder);
        }
        if let Some(user) = spec.user {
            // The standard library also drops the supplementary groups when it changes the user as root.
            command.uid(user.uid).gid(user.gid);
        }
        let child = command
            .spawn()
            .map_err(|error| command::start_error(&spec.program, &error))?;
        let pid = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| anyhow!("{} got a process id that is none", spec.name))?;
        let program = spec
            .program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let process = Self {
            spec,
            child,
            pid,
            ended: None,
        };
        pidfile::write(
            &process.spec.pid_file,
            pid.as_raw_nonzero().get(),
            &program,
            process.spec.ends_on_interrupt,
        )?;
        Ok(process)
    }

    /// The name a person knows it by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its log file.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.spec.log
    }

    /// How it ended, if it did.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// Waits until `ready` says yes.
    ///
    /// # Errors
    /// When the child ends first or the limit passes (both quote the log), or on Ctrl-C.
    pub fn wait_ready(&mut self, limit: Duration, mut ready: impl FnMut() -> bool) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            interrupt::check()?;
            if let Some(status) = self.exited() {
                return Err(self.died(status));
            }
            if ready() {
                return Ok(());
            }
            if begun.elapsed() > limit {
                bail!(
                    "{} was not ready after {} s; {}",
                    self.spec.name,
                    limit.as_secs(),
                    quote_log(&self.spec.log)
                );
            }
            std::thread::sleep(TICK);
        }
    }

    /// The error that says that this child ended by itself, with the end of its log.
    #[must_use]
    pub fn died(&self, status: ExitStatus) -> anyhow::Error {
        let text = quote_log(&self.spec.log);
        match command::disk_is_full(&text) {
            Some(sentence) => anyhow!("{} ended: {sentence}", self.spec.name),
            None => anyhow!("{} ended by itself ({status}); {text}", self.spec.name),
        }
    }

    /// Waits until the child ends by itself.
    ///
    /// # Errors
    /// On Ctrl-C, or when the limit passes.
    pub fn wait(&mut self, limit: Option<Duration>) -> anyhow::Result<ExitStatus> {
        let begun = Instant::now();
        loop {
            interrupt::check()?;
            if let Some(status) = self.exited() {
                return Ok(status);
            }
            if limit.is_some_and(|limit| begun.elapsed() > limit) {
                bail!(
                    "{} still ran after {} s",
                    self.spec.name,
                    begun.elapsed().as_secs()
                );
            }
            std::thread::sleep(TICK);
        }
    }

    /// Ends it: the polite signal, then SIGKILL to its whole group when the limit passes.
    pub fn stop(&mut self) {
        if self.exited().is_none() {
            let polite = if self.spec.ends_on_interrupt {
                Signal::INT
            } else {
                Signal::TERM
            };
            let _ = kill_process(self.pid, polite);
            // A paused one hears nothing.
            self.resume();
            let begun = Instant::now();
            while self.exited().is_none() && begun.elapsed() < self.spec.stop_limit {
                std::thread::sleep(TICK);
            }
        }
        self.kill();
        let _ = std::fs::remove_file(&self.spec.pid_file);
    }

    /// Asks it to end with SIGTERM, as an orchestrator does, and waits: how it ended.
    ///
    /// # Errors
    /// On Ctrl-C, or when it still runs after its stop limit.
    pub fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        if self.exited().is_none() {
            let _ = kill_process(self.pid, Signal::TERM);
        }
        self.wait(Some(self.spec.stop_limit))
    }

    /// Stops it where it stands, with everything in its group, until [`Process::resume`]: as a machine that hangs.
    pub fn pause(&self) {
        let _ = kill_process_group(self.pid, Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        let _ = kill_process_group(self.pid, Signal::CONT);
    }

    /// Ends it at once with SIGKILL, as a crash would, with everything in its group.
    pub fn kill(&mut self) {
        // Also after the child ended: a program it started may have outlived it in the group.
        let _ = kill_process_group(self.pid, Signal::KILL);
        if self.ended.is_none() {
            self.ended = self.child.wait().ok();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The last lines of a text file; empty when it cannot be read.
#[must_use]
pub fn tail(file: &Path, lines: usize) -> Vec<String> {
    let Ok(file) = File::open(file) else {
        return Vec::new();
    };
    let mut last = VecDeque::with_capacity(lines + 1);
    for line in BufReader::new(file).split(b'\n').map_while(Result::ok) {
        last.push_back(String::from_utf8_lossy(&line).trim_end().to_owned());
        if last.len() > lines {
            last.pop_front();
        }
    }
    last.into()
}

/// "the end of its log <file>:" and its last lines, indented.
#[must_use]
pub fn quote_log(file: &Path) -> String {
    let lines = tail(file, QUOTED_LINES);
    if lines.is_empty() {
        return format!("its log {} is empty", file.display());
    }
    let mut text = format!("the end of its log {}:", file.display());
    for line in lines {
        text.push_str("\n    | ");
        text.push_str(&line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(folder: &Path, script: &str) -> Process {
        Process::spawn(Spec::new("child", "sh", folder).args(["-c", script])).unwrap()
    }

    #[test]
    fn a_child_that_dies_is_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = shell(folder.path(), "for i in $(seq 40); do echo line $i; done; exit 3");
        let error = child
            .wait_ready(Duration::from_secs(10), || false)
            .unwrap_err()
            .to_string();
        assert!(error.contains("exit status: 3"), "{error}");
        assert!(
            error.contains("| line 40") && error.contains("| line 26"),
            "{error}"
        );
        assert!(!error.contains("| line 25\n"), "{error}");
    }

    #[test]
    fn a_child_that_is_never_ready_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = shell(folder.path(), "echo thinking; exec sleep 60");
        let error = child
            .wait_ready(Duration::from_millis(300), || false)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("not ready after 0 s") && error.contains("| thinking"),
            "{error}"
        );
    }

    #[test]
    fn a_full_disk_is_said_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = shell(folder.path(), "echo 'write: No space left on device'; exit 1");
        let error = child
            .wait_ready(Duration::from_secs(10), || false)
            .unwrap_err()
            .to_string();
        assert!(error.contains("the disk is full"), "{error}");
    }

    #[test]
    fn dropping_ends_the_whole_group_even_when_it_ignores_sigterm() {
        let folder = tempfile::tempdir().unwrap();
        let mut spec = Spec::new("child", "sh", folder.path())
            .args(["-c", "trap '' TERM; sleep 61 & echo $!; wait; wait"]);
        spec.stop_limit = Duration::from_millis(300);
        let child = Process::spawn(spec).unwrap();
        while tail(&folder.path().join("child.log"), 1).is_empty() {
            std::thread::sleep(TICK);
        }
        let grandchild = tail(&folder.path().join("child.log"), 1).concat();
        drop(child);
        let begun = Instant::now();
        let state = || std::fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap_or_default();
        while !(state().is_empty() || state().contains(") Z ")) {
            assert!(
                begun.elapsed() < Duration::from_secs(5),
                "the grandchild still runs: {}",
                state()
            );
            std::thread::sleep(TICK);
        }
        assert!(!folder.path().join("child.pid").exists());
    }

    #[test]
    fn a_child_that_is_asked_to_end_says_how_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut polite = shell(
            folder.path(),
            "trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done",
        );
        while tail(&folder.path().join("child.log"), 1).is_empty() {
            std::thread::sleep(TICK);
        }
        assert_eq!(polite.terminate().unwrap().code(), Some(7));
        let mut rude = shell(folder.path(), "exec sleep 60");
        assert_eq!(rude.terminate().unwrap().code(), None);
    }

    #[test]
    fn a_paused_child_does_nothing_until_it_is_resumed() {
        let folder = tempfile::tempdir().unwrap();
        let child = shell(folder.path(), "while :; do echo tick; sleep 0.01; done");
        let log = || std::fs::read(folder.path().join("child.log")).unwrap().len();
        let wait_for_more = |than: usize| {
            let begun = Instant::now();
            while log() <= than {
                assert!(begun.elapsed() < Duration::from_secs(5), "it does nothing");
                std::thread::sleep(TICK);
            }
        };
        wait_for_more(0);
        child.pause();
        std::thread::sleep(TICK);
        let paused = log();
        std::thread::sleep(TICK * 5);
        assert_eq!(log(), paused);
        child.resume();
        wait_for_more(paused);
        child.pause();
        let begun = Instant::now();
        drop(child);
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "it was ended by the limit, not by the signal"
        );
    }

    #[test]
    fn a_missing_program_is_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let error = Process::spawn(Spec::new("x", "no-such-program", folder.path()))
            .unwrap_err()
            .to_string();
        assert!(error.contains("`no-such-program` was not found"), "{error}");
    }
}
