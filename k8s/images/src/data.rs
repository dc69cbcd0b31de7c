//! The image of the proof's data stores: a Debian with PostgreSQL, Java and Kafka, Valkey, an SMTP catcher and Prometheus.
//!
//! For the proof only: one node of each, no TLS, no backup.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use lp_stack::cache::Cache;
use lp_stack::{Durability, KAFKA_LOGGING, KafkaAddresses, command, kafka_properties, tools};

use crate::USER;
use crate::tree::Tree;

const PACKAGES: &str = "postgresql-15,openjdk-17-jre-headless,nodejs,prometheus,ca-certificates";

/// Raised when what follows changes: the root is kept under this name.
const ROOT: &str = "debian-12-data-1";

const LIMIT: Duration = Duration::from_mins(20);

/// Each start script, `/start/<name>`.
const START: [(&str, &str); 5] = [
    ("kafka", include_str!("../data/start/kafka")),
    ("mail", include_str!("../data/start/mail")),
    ("postgres", include_str!("../data/start/postgres")),
    ("prometheus", include_str!("../data/start/prometheus")),
    ("valkey", include_str!("../data/start/valkey")),
];

/// The Debian root as a tar, made once and kept.
///
/// # Errors
/// When mmdebstrap is missing, or cannot fetch the packages.
pub fn debian(cache: &Cache, note: tools::Note<'_>) -> anyhow::Result<PathBuf> {
    if command::find("mmdebstrap").is_none() {
        return Err(anyhow!(
            "`mmdebstrap` was not found: install it (Debian: apt-get install mmdebstrap)"
        ));
    }
    let place = cache.get(ROOT, |making| {
        note("a Debian root is made, once");
        // Packages set up links to their manual pages, and one fails without the folder.
        let folders = r#"mkdir -p "$1/usr/share/man/man1" "$1/usr/share/man/man7" "$1/etc/postgresql-common""#;
        let no_cluster = r#"echo "create_main_cluster = false" > "$1/etc/postgresql-common/createcluster.conf""#;
        let user = format!(
            r#"echo "nonroot:x:{USER}:{USER}::/data:/usr/sbin/nologin" >> "$1/etc/passwd"; echo "nonroot:x:{USER}:" >> "$1/etc/group""#
        );
        let leaner = r#"rm -rf "$1/usr/share/man" "$1/var/lib/apt/lists" "$1/var/cache/apt""#;
        command::run(
            Command::new("mmdebstrap")
                .args(["--variant=minbase", "--skip=output/dev"])
                .arg(format!("--include={PACKAGES}"))
                .args(["doc", "man", "locale"].map(|kind| format!("--dpkgopt=path-exclude=/usr/share/{kind}/*")))
                .args([folders, no_cluster].map(|hook| format!("--essential-hook={hook}")))
                .args([&user, leaner].map(|hook| format!("--customize-hook={hook}")))
                .arg("bookworm")
                .arg(making.join("root.tar")),
            &making.join("mmdebstrap.log"),
            LIMIT,
        )
    })?;
    Ok(place.join("root.tar"))
}

/// What lies above the Debian root: servers that Debian does not have, their settings, and the start scripts.
///
/// # Errors
/// When a server cannot be fetched.
pub fn tree(cache: &Cache, note: tools::Note<'_>) -> anyhow::Result<Tree> {
    let mut tree = Tree::default();
    tree.folder("/data", 0o777);
    for (name, script) in START {
        tree.file(&format!("/start/{name}"), 0o755, script);
    }
    tree.file(
        "/etc/prometheus/local-plus.yml",
        0o644,
        include_str!("../data/prometheus.yml"),
    );
    tree.file(
        "/opt/prometheus/targets.js",
        0o644,
        include_str!("../data/targets.js"),
    );
    let kafka = tools::kafka(cache, note)?;
    for jar in kafka.class_path.split(':').map(Path::new) {
        let name = jar.file_name().unwrap_or_default().to_string_lossy();
        tree.file(&format!("/opt/kafka/libs/{name}"), 0o644, jar);
    }
    let addresses = KafkaAddresses {
        listens: "0.0.0.0:9092",
        // The start script says another where it is told one.
        advertised: "kafka:9092",
        controller: "127.0.0.1:9093",
    };
    tree.file(
        "/opt/kafka/server.properties",
        0o644,
        kafka_properties(addresses, Durability::Full, Path::new("/data/kafka")),
    );
    tree.file("/opt/kafka/log4j2.properties", 0o644, KAFKA_LOGGING);
    let valkey = tools::valkey(cache, note)?;
    tree.file("/opt/valkey/valkey-server", 0o755, valkey.as_path());
    let maildev = tools::maildev(cache, note)?;
    let modules = maildev
        .ancestors()
        .find(|folder| folder.ends_with("node_modules"))
        .context("the SMTP catcher lies in no node_modules")?;
    tree.copy(modules, "/opt/maildev/node_modules")?;
    Ok(tree)
}
