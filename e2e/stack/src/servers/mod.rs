//! The four servers: each module turns a data folder and ports into a running, ready process.

mod kafka;
mod mail;
mod postgres;
mod valkey;

pub use kafka::{KAFKA_LOGGING, KafkaAddresses, kafka_properties};

use std::path::PathBuf;
use std::time::Duration;

use crate::cache::Cache;
use crate::process::{Process, Spec};
use crate::progress::Progress;

/// One of the servers of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServerKind {
    /// PostgreSQL.
    Postgres,
    /// Apache Kafka, one node.
    Kafka,
    /// Valkey.
    Valkey,
    /// The SMTP catcher.
    Mail,
}

impl ServerKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Postgres, Self::Kafka, Self::Valkey, Self::Mail];

    /// The name a person knows it by.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Kafka => "Kafka",
            Self::Valkey => "Valkey",
            Self::Mail => "SMTP catcher",
        }
    }

    /// The name of its files and ports.
    #[must_use]
    pub fn slug(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Kafka => "kafka",
            Self::Valkey => "valkey",
            Self::Mail => "mail",
        }
    }
}

/// Whether what was acknowledged must survive a loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// As in production: flushed before it is acknowledged.
    Full,
    /// For tests: faster, and gone after a crash of the machine.
    None,
}

/// What every server is started with.
pub(crate) struct Setup<'a> {
    /// Its own folder; data, log and pid file go there.
    pub(crate) folder: PathBuf,
    /// The ports chosen for it: the one it serves on, and a second one for those that need it.
    pub(crate) ports: (u16, u16),
    pub(crate) durability: Durability,
    /// More variables in its environment.
    pub(crate) env: Vec<(String, String)>,
    pub(crate) cache: &'a Cache,
    pub(crate) progress: &'a dyn Progress,
}

/// How a server is started, and started again.
pub(crate) struct Launch {
    pub(crate) spec: Spec,
    /// Whether it answers; gets its process id.
    pub(crate) ready: Box<dyn Fn(u32) -> bool + Send + Sync>,
    pub(crate) limit: Duration,
}

impl std::fmt::Debug for Launch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Launch")
            .field("spec", &self.spec)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Launch {
    /// Starts it and waits until it answers.
    pub(crate) fn start(&self) -> anyhow::Result<Process> {
        let mut process = Process::spawn(self.spec.clone())?;
        let pid = process.id();
        process.wait_ready(self.limit, || (self.ready)(pid))?;
        Ok(process)
    }
}

/// A server that this stack started.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) launch: Launch,
    /// `None` while it is killed on purpose.
    pub(crate) process: Option<Process>,
    /// What its clients connect to; two for the SMTP catcher.
    pub(crate) urls: (String, String),
}

/// Gets the tool, prepares the data folder, starts the server.
pub(crate) fn start(kind: ServerKind, setup: &Setup<'_>) -> anyhow::Result<Server> {
    std::fs::create_dir_all(&setup.folder)?;
    let (mut launch, urls) = match kind {
        ServerKind::Postgres => postgres::prepare(setup)?,
        ServerKind::Kafka => kafka::prepare(setup)?,
        ServerKind::Valkey => valkey::prepare(setup)?,
        ServerKind::Mail => mail::prepare(setup)?,
    };
    launch.spec = launch.spec.env(setup.env.iter().cloned());
    let process = launch.start()?;
    Ok(Server {
        launch,
        process: Some(process),
        urls,
    })
}

/// What must be forgotten outside the stack's own folder when its data is wiped.
pub(crate) fn outside_folders(stack_folder: &std::path::Path) -> Vec<PathBuf> {
    vec![postgres::outside_folder(
        &stack_folder.join(ServerKind::Postgres.slug()),
    )]
}
