//! Loopback ports: remembered ones are used again while they are free, new ones are chosen below the range the
//! kernel hands out to outgoing connections, so that none of those takes a port between choice and use.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, bail};

const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

/// What this process chose, and for which file and name: until a server listens there, nobody else may have it.
static CHOSEN: Mutex<BTreeMap<u16, (PathBuf, String)>> = Mutex::new(BTreeMap::new());

/// Whether a server could listen on that port of 127.0.0.1 now.
#[must_use]
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// `127.0.0.1:port`.
#[must_use]
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// The ports of one stack, kept in a file of its data folder.
#[derive(Debug)]
pub struct Ports {
    file: PathBuf,
    known: BTreeMap<String, u16>,
}

impl Ports {
    /// Reads the file; one that is missing or damaged is an empty one, since every port can be chosen again.
    #[must_use]
    pub fn load(file: &Path) -> Self {
        let known = std::fs::read(file)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        Self {
            file: file.to_owned(),
            known,
        }
    }

    /// The port named `name`: the remembered one when it is free, else a new one, which is then remembered.
    ///
    /// # Errors
    /// When no port is free or the file cannot be written.
    pub fn pick(&mut self, name: &str) -> anyhow::Result<u16> {
        let mut chosen = CHOSEN.lock().unwrap_or_else(PoisonError::into_inner);
        let us = (self.file.clone(), name.to_owned());
        let is_ours_to_take = |port: u16| chosen.get(&port).is_none_or(|owner| *owner == us) && is_free(port);
        if let Some(&port) = self.known.get(name)
            && is_ours_to_take(port)
        {
            chosen.insert(port, us);
            return Ok(port);
        }
        // Two clones of the repository begin their search at different places.
        let mut hasher = DefaultHasher::new();
        (&self.file, name).hash(&mut hasher);
        let start = u16::try_from(hasher.finish() % u64::from(COUNT)).unwrap_or_default();
        let port = (0..COUNT)
            .map(|step| FIRST + (start + step) % COUNT)
            .find(|port| !self.known.values().any(|taken| taken == port) && is_ours_to_take(*port));
        let Some(port) = port else {
            bail!(
                "no port between {FIRST} and {} is free on 127.0.0.1; end what occupies them",
                FIRST + COUNT - 1
            );
        };
        chosen.insert(port, us);
        self.known.insert(name.to_owned(), port);
        let text = serde_json::to_vec_pretty(&self.known)?;
        std::fs::write(&self.file, text)
            .with_context(|| format!("the ports could not be written to {}", self.file.display()))?;
        Ok(port)
    }
}

/// Who listens on a local port, as "name (pid 123)", where `/proc` lets us see it.
#[must_use]
pub fn owner(port: u16) -> Option<String> {
    let wanted = format!(":{port:04X}");
    let mut inodes = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in std::fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (Some(local), Some(state), Some(inode)) = (fields.get(1), fields.get(3), fields.get(9))
            else {
                continue;
            };
            // 0A is LISTEN.
            if local.ends_with(&wanted) && *state == "0A" {
                inodes.push(format!("socket:[{inode}]"));
            }
        }
    }
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        if !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let Ok(handles) = std::fs::read_dir(entry.path().join("fd")) else {
            continue;
        };
        let listens = handles.flatten().any(|handle| {
            std::fs::read_link(handle.path())
                .is_ok_and(|target| inodes.iter().any(|inode| target.as_os_str() == inode.as_str()))
        });
        if listens {
            let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (pid {pid})", name.trim()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_is_remembered_and_a_busy_one_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ports.json");
        let first = Ports::load(&file).pick("kafka").unwrap();
        assert_eq!(Ports::load(&file).pick("kafka").unwrap(), first);
        let _held = TcpListener::bind(("127.0.0.1", first)).unwrap();
        let second = Ports::load(&file).pick("kafka").unwrap();
        assert_ne!(second, first);
    }

    #[test]
    fn many_at_once_get_many_ports() {
        let folder = tempfile::tempdir().unwrap();
        let pick = |number: usize| {
            // Each has a file of its own, and searches from where its name says: some from the same place.
            let mut ports = Ports::load(&folder.path().join(format!("{number}.json")));
            (0..20)
                .map(|name| ports.pick(&format!("{name}")).unwrap())
                .collect::<Vec<_>>()
        };
        let picked: Vec<u16> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..20).map(|number| scope.spawn(move || pick(number))).collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap())
                .collect()
        });
        let distinct: std::collections::BTreeSet<_> = picked.iter().collect();
        assert_eq!(distinct.len(), picked.len());
    }

    #[test]
    fn two_names_get_two_ports() {
        let folder = tempfile::tempdir().unwrap();
        let mut ports = Ports::load(&folder.path().join("ports.json"));
        assert_ne!(ports.pick("a").unwrap(), ports.pick("b").unwrap());
    }

    #[test]
    fn a_damaged_file_is_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ports.json");
        std::fs::write(&file, "{").unwrap();
        assert!(Ports::load(&file).pick("a").is_ok());
    }

    #[test]
    fn the_owner_of_a_port_is_named() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let owner = owner(held.local_addr().unwrap().port()).unwrap();
        assert!(owner.contains(&std::process::id().to_string()), "{owner}");
    }
}
