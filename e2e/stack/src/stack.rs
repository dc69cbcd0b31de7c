//! The stack: the servers of one data folder, started together and ended together.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};

use crate::cache::{self, Cache};
use crate::ports::Ports;
use crate::process::Process;
use crate::progress::{self, Progress};
use crate::servers::{self, Durability, Server, ServerKind, Setup};
use crate::{Addresses, interrupt, pidfile, tools};

/// What the data of a stack needs on the disk, with room to spare.
const NEEDED_BYTES: u64 = 2 << 30;

/// Which stack: each has data, ports and logs of its own, so they may run beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StackName {
    /// The one of `cargo xtask up`.
    Up,
    /// The one that `cargo xtask servers` keeps up for tests run by hand.
    Test,
    /// The one of a `cargo xtask test`, new at each run.
    TestRun,
    /// The one that `cargo xtask sqlx` compiles queries against.
    Sqlx,
    /// The one whose servers `cargo xtask chaos` kills.
    Chaos,
    /// The one that `cargo xtask bench` measures.
    Bench,
}

impl StackName {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Up,
        Self::Test,
        Self::TestRun,
        Self::Sqlx,
        Self::Chaos,
        Self::Bench,
    ];

    /// The folder of its data below the target folder.
    #[must_use]
    pub fn folder(self, target: &Path) -> PathBuf {
        target.join("stack").join(match self {
            Self::Up => "up",
            Self::Test => "test",
            Self::TestRun => "test-run",
            Self::Sqlx => "sqlx",
            Self::Chaos => "chaos",
            Self::Bench => "bench",
        })
    }
}

/// A running stack. Dropping it ends its servers.
#[derive(Debug)]
pub struct Stack {
    folder: PathBuf,
    addresses: Addresses,
    servers: BTreeMap<ServerKind, Server>,
    /// Held as long as the stack runs; the last field, so that it is freed after the servers.
    _lock: File,
}

impl Stack {
    /// Starts the servers of a stack below `target` and waits until all are ready. A server whose URL is given
    /// in the environment (`LOCALPLUS_POSTGRES_URL`, `LOCALPLUS_KAFKA_BROKERS`, `LOCALPLUS_VALKEY_URL`,
    /// `LOCALPLUS_SMTP_URL` with `LOCALPLUS_MAIL_API_URL`) is used as it is.
    ///
    /// # Errors
    /// When the stack already runs, a program is missing or cannot be fetched, a server does not become ready,
    /// or on Ctrl-C; whatever was started is ended again.
    pub fn start(
        target: &Path,
        name: StackName,
        durability: Durability,
        progress: &dyn Progress,
    ) -> anyhow::Result<Self> {
        Self::start_some(target, name, durability, &ServerKind::ALL, progress)
    }

    /// As [`Stack::start`], with some of the servers only; the addresses of the others are empty.
    ///
    /// # Errors
    /// As [`Stack::start`].
    pub fn start_some(
        target: &Path,
        name: StackName,
        durability: Durability,
        kinds: &[ServerKind],
        progress: &dyn Progress,
    ) -> anyhow::Result<Self> {
        Self::start_with(target, name, durability, kinds, &BTreeMap::new(), progress)
    }

    /// As [`Stack::start_some`], with more variables in the environment of the servers that `env` names.
    ///
    /// # Errors
    /// As [`Stack::start`].
    pub fn start_with(
        target: &Path,
        name: StackName,
        durability: Durability,
        kinds: &[ServerKind],
        env: &BTreeMap<ServerKind, Vec<(String, String)>>,
        progress: &dyn Progress,
    ) -> anyhow::Result<Self> {
        let folder = std::path::absolute(name.folder(target))?;
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("{} could not be made", folder.display()))?;
        let lock = lock(&folder)?;
        cache::require_space(&folder, NEEDED_BYTES)?;
        let cache = Cache::open()?;
        let given = Given::read()?;
        let own: Vec<ServerKind> = kinds.iter().copied().filter(|kind| !given.has(*kind)).collect();
        tools::require_programs(&cache, &own)?;

        let mut ports = Ports::load(&folder.join("ports.json"));
        let mut setups = Vec::new();
        for kind in own {
            let server_folder = folder.join(kind.slug());
            // Before ports are picked, or a leftover would hold on to the remembered ones.
            pidfile::end_leftover(
                &server_folder.join(format!("{}.pid", kind.slug())),
                Duration::from_secs(20),
            );
            let first = ports.pick(kind.slug())?;
            let second = match kind {
                ServerKind::Kafka => ports.pick("kafka-controller")?,
                ServerKind::Mail => ports.pick("mail-page")?,
                ServerKind::Postgres | ServerKind::Valkey => 0,
            };
            let setup = Setup {
                folder: server_folder,
                ports: (first, second),
                durability,
                env: env.get(&kind).cloned().unwrap_or_default(),
                cache: &cache,
                progress,
            };
            setups.push((kind, setup));
        }

        // All are waited for, so that those that did start are ended when another one failed.
        let started: Vec<anyhow::Result<(ServerKind, Server)>> = std::thread::scope(|scope| {
            let threads: Vec<_> = setups
                .iter()
                .map(|(kind, setup)| {
                    scope.spawn(move || {
                        progress::step(progress, kind.title(), || {
                            Ok((*kind, servers::start(*kind, setup)?))
                        })
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|_| Err(anyhow!("a starting thread panicked")))
                })
                .collect()
        });
        let servers: BTreeMap<ServerKind, Server> = started.into_iter().collect::<anyhow::Result<_>>()?;
        let addresses = given.addresses(&servers);
        Ok(Self {
            folder,
            addresses,
            servers,
            _lock: lock,
        })
    }

    /// Where the servers answer.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The folder of its data and logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The first server that ended by itself, as an error with the end of its log.
    pub fn dead_server(&mut self) -> Option<anyhow::Error> {
        self.processes().find_map(|process| {
            let status = process.exited()?;
            Some(process.died(status))
        })
    }

    fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        self.servers
            .values_mut()
            .filter_map(|server| server.process.as_mut())
    }

    /// Ends a server with SIGKILL, as a crash would.
    ///
    /// # Errors
    /// When this stack did not start it.
    pub fn kill_server(&mut self, kind: ServerKind) -> anyhow::Result<()> {
        if let Some(mut process) = self.own(kind)?.process.take() {
            process.kill();
        }
        Ok(())
    }

    /// Ends a server politely if it runs, starts it again on the same port, and waits until it is ready.
    ///
    /// # Errors
    /// When this stack did not start it, or it does not become ready.
    pub fn restart_server(&mut self, kind: ServerKind) -> anyhow::Result<()> {
        let server = self.own(kind)?;
        server.process = None;
        // After a kill, PostgreSQL's own children need a moment to notice; until then a new one refuses.
        let mut tries = 0;
        server.process = loop {
            match server.launch.start() {
                Ok(process) => break Some(process),
                Err(error) if tries < 20 && error.to_string().contains("shared memory block") => {
                    interrupt::check()?;
                    tries += 1;
                    std::thread::sleep(Duration::from_millis(200));
                }
                Err(error) => return Err(error),
            }
        };
        Ok(())
    }

    fn own(&mut self, kind: ServerKind) -> anyhow::Result<&mut Server> {
        self.servers.get_mut(&kind).ok_or_else(|| {
            anyhow!(
                "{} was not started by this stack, so it is not ours to end",
                kind.title()
            )
        })
    }

    /// Ends what a killed run of a stack left behind. Returns the names of what was ended.
    ///
    /// # Errors
    /// When the stack still runs under a living command.
    pub fn end_leftovers(target: &Path, name: StackName) -> anyhow::Result<Vec<String>> {
        let folder = name.folder(target);
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let _lock = lock(&folder)?;
        Ok(end_leftovers_below(&folder))
    }

    /// Ends leftovers of a stack, then removes its data.
    ///
    /// # Errors
    /// When the stack still runs under a living command, or a file may not be removed.
    pub fn wipe(target: &Path, name: StackName) -> anyhow::Result<()> {
        let folder = std::path::absolute(name.folder(target))?;
        if folder.exists() {
            let _lock = lock(&folder)?;
            end_leftovers_below(&folder);
            for outside in servers::outside_folders(&folder) {
                cache::remove(&outside)?;
            }
            cache::remove(&folder)?;
        }
        Ok(())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        std::thread::scope(|scope| {
            for process in self
                .servers
                .values_mut()
                .filter_map(|server| server.process.as_mut())
            {
                scope.spawn(|| process.stop());
            }
        });
    }
}

fn end_leftovers_below(folder: &Path) -> Vec<String> {
    let folders = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let mut ended = Vec::new();
    // The services of a further replica lie one folder deeper.
    let folders = folders.flat_map(|path| [path.join("services"), path]);
    for file in folders.flat_map(|path| std::fs::read_dir(path).into_iter().flatten().flatten()) {
        let file = file.path();
        if file.extension().is_some_and(|extension| extension == "pid")
            && pidfile::end_leftover(&file, Duration::from_secs(20))
        {
            ended.push(
                file.file_stem()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
            );
        }
    }
    ended
}

/// One command at a time per stack; the operating system frees the lock when its holder dies.
fn lock(folder: &Path) -> anyhow::Result<File> {
    let path = folder.join("lock");
    let open = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path);
    let file = open.with_context(|| format!("{} could not be opened", path.display()))?;
    match file.try_lock() {
        Ok(()) => {
            std::fs::write(&path, std::process::id().to_string())?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let holder = std::fs::read_to_string(&path).unwrap_or_default();
            bail!(
                "the stack in {} is in use by another command (pid {}); end that one first, with Ctrl-C or `kill {}`",
                folder.display(),
                holder.trim(),
                holder.trim()
            )
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} could not be locked", path.display()))
        }
    }
}

/// The servers that already run, from the environment.
#[derive(Debug, Default)]
struct Given {
    postgres: Option<String>,
    kafka: Option<String>,
    valkey: Option<String>,
    mail: Option<(String, String)>,
}

impl Given {
    fn read() -> anyhow::Result<Self> {
        let var = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let mail = match (var("LOCALPLUS_SMTP_URL"), var("LOCALPLUS_MAIL_API_URL")) {
            (Some(smtp), Some(api)) => Some((smtp, api)),
            (None, None) => None,
            _ => bail!("LOCALPLUS_SMTP_URL and LOCALPLUS_MAIL_API_URL belong together: set both or none"),
        };
        Ok(Self {
            postgres: var("LOCALPLUS_POSTGRES_URL"),
            kafka: var("LOCALPLUS_KAFKA_BROKERS"),
            valkey: var("LOCALPLUS_VALKEY_URL"),
            mail,
        })
    }

    fn has(&self, kind: ServerKind) -> bool {
        match kind {
            ServerKind::Postgres => self.postgres.is_some(),
            ServerKind::Kafka => self.kafka.is_some(),
            ServerKind::Valkey => self.valkey.is_some(),
            ServerKind::Mail => self.mail.is_some(),
        }
    }

    fn addresses(self, servers: &BTreeMap<ServerKind, Server>) -> Addresses {
        let own = |kind| {
            servers
                .get(&kind)
                .map(|server| server.urls.clone())
                .unwrap_or_default()
        };
        let (smtp_url, mail_api_url) = self.mail.unwrap_or_else(|| own(ServerKind::Mail));
        Addresses {
            postgres_admin_url: self.postgres.unwrap_or_else(|| own(ServerKind::Postgres).0),
            kafka_brokers: self.kafka.unwrap_or_else(|| own(ServerKind::Kafka).0),
            valkey_url: self.valkey.unwrap_or_else(|| own(ServerKind::Valkey).0),
            smtp_url,
            mail_api_url,
        }
    }
}
