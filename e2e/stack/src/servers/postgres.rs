//! PostgreSQL: one cluster per stack, passwords required, reachable over TCP on loopback only.
//!
//! PostgreSQL refuses to run as root. As root it runs as the user `postgres`, or `nobody` where there is none;
//! when that user cannot reach the data folder (a clone inside root's home), the data, and a fetched PostgreSQL,
//! lie in a folder of the system's temporary folder instead.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};

use super::{Durability, Launch, Setup};
use crate::process::{Spec, User};
use crate::{cache, command, ports, tools};

const SUPERUSER: &str = "postgres";

pub(super) fn prepare(setup: &Setup<'_>) -> anyhow::Result<(Launch, (String, String))> {
    let mut postgres = tools::postgres(setup.cache, &|text| setup.progress.detail("PostgreSQL", text))?;
    let user = other_user()?;
    let mut folder = setup.folder.clone();
    if let Some(user) = user {
        if !reachable(&folder, user) {
            folder = outside_folder(&setup.folder);
            own_folder(&folder, User { uid: 0, gid: 0 }, 0o711)?;
        }
        if !reachable(&postgres.bin, user) {
            postgres.bin = copy_outside(&postgres)?;
        }
    }
    let data = folder.join("data");
    let password = password(&setup.folder.join("password"))?;
    if !data.exists() {
        setup.progress.detail("PostgreSQL", "makes its data folder");
        init(setup, &postgres, &folder, user, &password)?;
    }
    let found = std::fs::read_to_string(data.join("PG_VERSION")).unwrap_or_default();
    if found.trim() != postgres.major.to_string() {
        bail!(
            "the data folder is of PostgreSQL {} and the machine has {}; forget the data with `cargo xtask down --wipe`",
            found.trim(),
            postgres.major
        );
    }

    let port = setup.ports.0;
    let mut spec = Spec::new("postgres", postgres.bin.join("postgres"), &setup.folder)
        .args(["-D".into(), data.clone().into_os_string()])
        .args(["-p".into(), port.to_string()]);
    for setting in settings(&postgres, setup.durability) {
        spec = spec.args(["-c", &setting]);
    }
    spec.folder = Some(folder.clone());
    spec.user = user;
    spec.ends_on_interrupt = true;
    spec.stop_limit = Duration::from_secs(20);
    let ready = Box::new(move |pid| is_ready(&data, pid));
    let url = format!(
        "postgres://{SUPERUSER}:{password}@{}/postgres",
        ports::loopback(port)
    );
    Ok((
        Launch {
            spec,
            ready,
            limit: Duration::from_mins(1),
        },
        (url, String::new()),
    ))
}

fn settings(postgres: &tools::Postgres, durability: Durability) -> Vec<String> {
    let mut settings: Vec<String> = [
        "listen_addresses=127.0.0.1",
        // No socket: its path has a length limit that a deep clone would pass.
        "unix_socket_directories=",
        "max_connections=200",
        "timezone=UTC",
        "log_timezone=UTC",
        "log_line_prefix=%m [%p] %u@%d ",
        "password_encryption=scram-sha-256",
    ]
    .map(str::to_owned)
    .to_vec();
    if has_library(&postgres.bin, "pg_stat_statements") {
        settings.push("shared_preload_libraries=pg_stat_statements".to_owned());
    }
    if durability == Durability::None {
        settings.extend(["fsync=off", "synchronous_commit=off", "full_page_writes=off"].map(str::to_owned));
    }
    settings
}

/// Whether an extension's library was installed along.
fn has_library(bin: &Path, name: &str) -> bool {
    let file = format!("{name}.so");
    let Some(home) = bin.parent() else { return false };
    home.join("lib").join(&file).exists() || home.join("lib").join("postgresql").join(&file).exists()
}

/// The eighth line of `postmaster.pid` is the server's own word, which `pg_ctl` waits for as well.
fn is_ready(data: &Path, pid: u32) -> bool {
    let text = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let mut lines = text.lines();
    lines.next() == Some(pid.to_string().as_str())
        && lines.nth(6).is_some_and(|state| state.trim() == "ready")
}

/// Makes the cluster in a temporary folder and renames it, so that an interrupted start leaves none half made.
fn init(
    setup: &Setup<'_>,
    postgres: &tools::Postgres,
    folder: &Path,
    user: Option<User>,
    password: &str,
) -> anyhow::Result<()> {
    let making = folder.join("making");
    cache::remove(&making)?;
    own_folder(&making, user.unwrap_or_else(current_user), 0o700)?;
    let password_file = making.join("superuser");
    std::fs::write(&password_file, password)?;
    let data = making.join("data");
    if let Some(user) = user {
        std::os::unix::fs::chown(&password_file, Some(user.uid), Some(user.gid))?;
    }
    // UTF-8 order where the machine knows it (all since 2022), else plain byte order.
    let mut last = Ok(());
    for locale in ["--locale=C.UTF-8", "--locale=C"] {
        cache::remove(&data)?;
        let mut initdb = Command::new(postgres.bin.join("initdb"));
        initdb
            .args([
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--no-sync",
                locale,
                "--username",
                SUPERUSER,
            ])
            .arg("--pwfile")
            .arg(&password_file)
            .arg("--pgdata")
            .arg(&data)
            .current_dir(folder);
        if let Some(user) = user {
            initdb.uid(user.uid).gid(user.gid);
        }
        last = command::run(
            &mut initdb,
            &setup.folder.join("initdb.log"),
            Duration::from_mins(2),
        );
        if last.is_ok() {
            break;
        }
    }
    last?;
    std::fs::rename(&data, folder.join("data"))
        .context("PostgreSQL's data folder could not be put in its place")?;
    cache::remove(&making)
}

/// The superuser's password: made once per stack, readable by its owner only.
fn password(file: &Path) -> anyhow::Result<String> {
    if let Ok(known) = std::fs::read_to_string(file)
        && known.len() == 32
    {
        return Ok(known);
    }
    let mut bytes = [0_u8; 16];
    std::fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes))?;
    let password: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let _ = std::fs::remove_file(file);
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut file| file.write_all(password.as_bytes()))
        .with_context(|| format!("the password could not be kept in {}", file.display()))?;
    Ok(password)
}

fn current_user() -> User {
    User {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    }
}

/// The user to become when we are root; `None` when we are not.
fn other_user() -> anyhow::Result<Option<User>> {
    if current_user().uid != 0 {
        return Ok(None);
    }
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = ["postgres", "nobody"].iter().find_map(|name| {
        let line = accounts
            .lines()
            .find(|line| line.split(':').next() == Some(*name))?;
        let mut fields = line.split(':').skip(2);
        Some(User {
            uid: fields.next()?.parse().ok()?,
            gid: fields.next()?.parse().ok()?,
        })
    });
    found.map(Some).ok_or_else(|| {
        anyhow!("PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it as: make one, or run this as another user")
    })
}

/// Whether a user may walk down to a folder.
fn reachable(folder: &Path, user: User) -> bool {
    folder.ancestors().all(|step| {
        step.metadata().map_or(true, |meta| {
            let mode = meta.permissions().mode();
            if meta.uid() == user.uid {
                mode & 0o100 != 0
            } else if meta.gid() == user.gid {
                mode & 0o010 != 0
            } else {
                mode & 0o001 != 0
            }
        })
    })
}

/// The folder that stands in for one that PostgreSQL's user cannot reach.
pub(super) fn outside_folder(folder: &Path) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    folder.hash(&mut hasher);
    std::env::temp_dir().join(format!("localplus-{:016x}", hasher.finish()))
}

/// Makes a folder of that owner and mode; refuses one that somebody else put there before.
fn own_folder(folder: &Path, user: User, mode: u32) -> anyhow::Result<()> {
    match std::fs::create_dir(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let meta = std::fs::symlink_metadata(folder)?;
            if !meta.is_dir() || (meta.uid() != user.uid && meta.uid() != current_user().uid) {
                bail!("{} belongs to somebody else; remove it", folder.display());
            }
        }
        Err(error) => {
            return Err(error).with_context(|| format!("the folder {} could not be made", folder.display()));
        }
    }
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode))?;
    std::os::unix::fs::chown(folder, Some(user.uid), Some(user.gid))?;
    Ok(())
}

/// Copies a fetched PostgreSQL to where its user can reach it, once.
fn copy_outside(postgres: &tools::Postgres) -> anyhow::Result<PathBuf> {
    let home = postgres
        .bin
        .parent()
        .ok_or_else(|| anyhow!("{} has no parent", postgres.bin.display()))?;
    let parent = outside_folder(home);
    own_folder(&parent, current_user(), 0o755)?;
    let name = home
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let copy = cache::Cache::at(&parent)?.get(&name, |making| {
        let log = making.join("copy.log");
        command::run(
            Command::new("cp").arg("-r").arg(home.join(".")).arg(making),
            &log,
            Duration::from_mins(2),
        )
    })?;
    Ok(copy.join("bin"))
}
