//! Apache Kafka: one node that is broker and controller, small, and quick to start.
//!
//! The virtual machine starts from a class data archive, made once per Kafka and Java version by running a
//! broker in a temporary folder; without an archive the broker starts too, only slower.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::{Durability, Launch, Setup};
use crate::process::{self, Spec};
use crate::tools::Kafka;
use crate::{command, http, interrupt, ports, tools};

/// Any 16 bytes in base64; fixed, since each stack has one cluster.
const CLUSTER_ID: &str = "bG9jYWxwbHVzLXN0YWNrLg";
/// The node's log4j2 settings: everything of interest, on standard output.
pub const KAFKA_LOGGING: &str = include_str!("../../assets/kafka-log4j2.properties");

const START_LIMIT: Duration = Duration::from_mins(2);
const ARCHIVE: &str = "classes.jsa";

pub(super) fn prepare(setup: &Setup<'_>) -> anyhow::Result<(Launch, (String, String))> {
    let kafka = tools::kafka(setup.cache, &|text| setup.progress.detail("Kafka", text))?;
    let archive = archive(setup, &kafka)?;
    let launch = node(setup, &kafka, &setup.folder, archive.as_deref().map(Use::Archive))?;
    Ok((
        launch,
        (ports::loopback(setup.ports.0).to_string(), String::new()),
    ))
}

/// What a start does with a class data archive.
#[derive(Clone, Copy)]
enum Use<'a> {
    Archive(&'a Path),
    Make(&'a Path),
}

/// The archive's path; `None` where this Java cannot make one.
fn archive(setup: &Setup<'_>, kafka: &Kafka) -> anyhow::Result<Option<PathBuf>> {
    let made = setup.cache.get(&kafka.archive_name, |making| {
        setup
            .progress
            .detail("Kafka", "makes an archive of its classes, once, for quick starts");
        let launch = node(setup, kafka, making, Some(Use::Make(&making.join(ARCHIVE))))?;
        let mut broker = launch.start()?;
        broker.stop();
        std::fs::remove_dir_all(making.join("data"))
            .context("the folder of the archive's broker could not be removed")
    });
    match made {
        Ok(place) => Ok(Some(place.join(ARCHIVE)).filter(|file| file.exists())),
        Err(error) => {
            interrupt::check()?;
            setup.progress.detail(
                "Kafka",
                &format!("starts without an archive of its classes: {error}"),
            );
            Ok(None)
        }
    }
}

/// Writes the settings, formats the storage if that was not done yet, and says how the node is started.
fn node(setup: &Setup<'_>, kafka: &Kafka, folder: &Path, archive: Option<Use<'_>>) -> anyhow::Result<Launch> {
    let data = folder.join("data");
    let settings = folder.join("server.properties");
    let logging = folder.join("log4j2.properties");
    let broker = ports::loopback(setup.ports.0).to_string();
    let controller = ports::loopback(setup.ports.1).to_string();
    let addresses = KafkaAddresses {
        listens: &broker,
        advertised: &broker,
        controller: &controller,
    };
    std::fs::write(&settings, kafka_properties(addresses, setup.durability, &data))?;
    std::fs::write(&logging, KAFKA_LOGGING)?;

    let mut java: Vec<OsString> = [
        "-Xms64m",
        "-Xmx256m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
    ]
    .map(OsString::from)
    .to_vec();
    java.push(format!("-Dlog4j2.configurationFile={}", logging.display()).into());
    java.extend(["-cp".into(), kafka.class_path.clone().into()]);

    if !data.join("meta.properties").exists() {
        let mut format = Command::new(&kafka.java);
        if let Some(Use::Archive(file)) = archive {
            format.arg(format!("-XX:SharedArchiveFile={}", file.display()));
        }
        format
            .args(&java)
            .args([
                "kafka.tools.StorageTool",
                "format",
                "--ignore-formatted",
                "-t",
                CLUSTER_ID,
                "-c",
            ])
            .arg(&settings);
        command::run(&mut format, &folder.join("format.log"), START_LIMIT)?;
    }

    match archive {
        Some(Use::Archive(file)) => java.push(format!("-XX:SharedArchiveFile={}", file.display()).into()),
        Some(Use::Make(file)) => java.push(format!("-XX:ArchiveClassesAtExit={}", file.display()).into()),
        None => {}
    }
    java.extend(["kafka.Kafka".into(), settings.into_os_string()]);
    let mut spec = Spec::new("kafka", &kafka.java, folder).args(java);
    // Writing the archive at the end takes seconds.
    spec.stop_limit = Duration::from_secs(if matches!(archive, Some(Use::Make(_))) {
        60
    } else {
        20
    });
    let log = spec.log.clone();
    let address = ports::loopback(setup.ports.0);
    let ready = Box::new(move |_| http::accepts(address) && says_started(&log));
    Ok(Launch {
        spec,
        ready,
        limit: START_LIMIT,
    })
}

/// The port accepts connections before the broker is registered; this line is the last one of a start.
fn says_started(log: &Path) -> bool {
    process::tail(log, 200)
        .iter()
        .any(|line| line.contains("Kafka Server started"))
}

/// Where a node is found, each `host:port`.
#[derive(Debug, Clone, Copy)]
pub struct KafkaAddresses<'a> {
    /// Where it takes connections.
    pub listens: &'a str,
    /// Where it tells clients to find it.
    pub advertised: &'a str,
    /// Where its controller is, for itself alone.
    pub controller: &'a str,
}

/// The settings of a node that is broker and controller (`server.properties`). The quorum is named statically so that
/// it may move to another port between starts.
#[must_use]
pub fn kafka_properties(addresses: KafkaAddresses<'_>, durability: Durability, data: &Path) -> String {
    let KafkaAddresses {
        listens,
        advertised,
        controller,
    } = addresses;
    let data = data.display();
    // Kafka acknowledges before it flushes and relies on replicas; a single node that must not forget flushes.
    let flush = if durability == Durability::Full {
        "1"
    } else {
        "9223372036854775807"
    };
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@{controller}\n\
         controller.listener.names=CONTROLLER\n\
         listeners=PLAINTEXT://{listens},CONTROLLER://{controller}\n\
         advertised.listeners=PLAINTEXT://{advertised}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         log.dirs={data}\n\
         auto.create.topics.enable=false\n\
         num.partitions=1\n\
         default.replication.factor=1\n\
         min.insync.replicas=1\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=4\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         share.coordinator.state.topic.num.partitions=1\n\
         group.initial.rebalance.delay.ms=0\n\
         group.min.session.timeout.ms=1000\n\
         log.flush.interval.messages={flush}\n\
         log.index.size.max.bytes=1048576\n\
         log.cleaner.dedupe.buffer.size=8388608\n\
         log.cleaner.threads=1\n\
         num.network.threads=2\n\
         num.io.threads=4\n\
         num.recovery.threads.per.data.dir=2\n"
    )
}
