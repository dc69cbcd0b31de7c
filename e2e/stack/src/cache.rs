//! The cache folder: what was fetched once, by name and version.
//!
//! A tool is built in a temporary folder beside its place and renamed when complete, under a lock file, so that
//! an interrupted download leaves nothing half made and two runs do not build the same tool twice.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::command;
use crate::interrupt::{self, TICK};

/// What fetching all tools needs on the disk, with room to spare.
const NEEDED_BYTES: u64 = 1 << 30;

/// The cache folder.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// `LOCALPLUS_CACHE`, else `$XDG_CACHE_HOME/localplus`, else `~/.cache/localplus`; made when it is missing.
    ///
    /// # Errors
    /// When there is no home folder or the folder cannot be written.
    pub fn open() -> anyhow::Result<Self> {
        let var = |name| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let folder = var("LOCALPLUS_CACHE")
            .or_else(|| var("XDG_CACHE_HOME").map(|folder| folder.join("localplus")))
            .or_else(|| var("HOME").map(|folder| folder.join(".cache").join("localplus")));
        let Some(folder) = folder else {
            bail!("there is no folder to keep fetched tools in: set LOCALPLUS_CACHE to one, or HOME");
        };
        Self::at(&folder)
    }

    /// A cache in a given folder.
    ///
    /// # Errors
    /// When the folder cannot be made or written.
    pub fn at(folder: &Path) -> anyhow::Result<Self> {
        let folder = std::path::absolute(folder)?;
        let advice = || {
            format!(
                "the cache folder {} cannot be used; give yourself the right to write there, or set LOCALPLUS_CACHE to \
                 another folder",
                folder.display()
            )
        };
        std::fs::create_dir_all(&folder).with_context(advice)?;
        // A probe, since the permissions alone do not tell of read-only file systems.
        let probe = folder.join(format!(
            ".probe-{}-{}",
            std::process::id(),
            command::next_number()
        ));
        std::fs::write(&probe, b"").with_context(advice)?;
        std::fs::remove_file(&probe).with_context(advice)?;
        Ok(Self { folder })
    }

    /// The folder itself.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether a tool is complete there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.folder.join(name).exists()
    }

    /// The folder of the tool `name` (which has its version in it); `build` fills a temporary folder when it is
    /// not there yet.
    ///
    /// # Errors
    /// Those of `build`; a full disk; Ctrl-C while another run holds the lock.
    pub fn get(
        &self,
        name: &str,
        build: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<PathBuf> {
        let place = self.folder.join(name);
        if place.exists() {
            return Ok(place);
        }
        let _lock = lock(&self.folder.join(format!(".lock-{name}")))?;
        if place.exists() {
            return Ok(place);
        }
        require_space(&self.folder, NEEDED_BYTES)?;
        // Only the holder of the lock is here, so what lies there is a leftover.
        let making = self.folder.join(format!(".making-{name}"));
        remove(&making)?;
        std::fs::create_dir_all(&making)
            .with_context(|| format!("the folder {} could not be made", making.display()))?;
        let built = build(&making).and_then(|()| {
            std::fs::rename(&making, &place)
                .with_context(|| format!("{} could not be put in its place", place.display()))
        });
        if let Err(error) = built {
            let _ = remove(&making);
            return Err(error);
        }
        Ok(place)
    }
}

/// Waits for a lock file; the operating system frees it when its holder dies.
fn lock(file: &Path) -> anyhow::Result<File> {
    let handle =
        File::create(file).with_context(|| format!("the lock {} could not be made", file.display()))?;
    loop {
        match handle.try_lock() {
            Ok(()) => return Ok(handle),
            Err(TryLockError::WouldBlock) => {
                interrupt::check()?;
                std::thread::sleep(TICK);
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("{} could not be locked", file.display()));
            }
        }
    }
}

/// Removes a folder with what is in it; one that is not there is fine.
///
/// # Errors
/// When something in it may not be removed.
pub fn remove(folder: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error)
            .with_context(|| format!("{} could not be removed; remove it by hand", folder.display())),
    }
}

/// Checks that a folder's disk has room.
///
/// # Errors
/// When it has less than `bytes` free.
pub fn require_space(folder: &Path, bytes: u64) -> anyhow::Result<()> {
    let existing = folder
        .ancestors()
        .find(|ancestor| ancestor.exists())
        .unwrap_or(folder);
    let Ok(stat) = rustix::fs::statvfs(existing) else {
        return Ok(());
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free < bytes {
        bail!(
            "the disk of {} has {} MiB free and {} MiB are needed; free some space (`cargo xtask down --wipe` forgets \
             the local stack's data, `cargo clean` the builds)",
            existing.display(),
            free >> 20,
            bytes >> 20
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_built_once_and_a_failed_one_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path()).unwrap();
        let failed = cache.get("tool-1", |making| {
            std::fs::write(making.join("half"), b"x")?;
            bail!("the line broke")
        });
        assert_eq!(failed.unwrap_err().to_string(), "the line broke");
        assert!(!cache.has("tool-1"));
        let place = cache
            .get("tool-1", |making| Ok(std::fs::write(making.join("whole"), b"x")?))
            .unwrap();
        assert!(place.join("whole").exists() && !place.join("half").exists());
        cache.get("tool-1", |_| bail!("must not be built again")).unwrap();
    }

    #[test]
    fn what_a_killed_run_left_is_not_taken_for_a_tool() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join(".making-tool-1").join("half")).unwrap();
        let cache = Cache::at(folder.path()).unwrap();
        let place = cache
            .get("tool-1", |making| Ok(std::fs::write(making.join("whole"), b"x")?))
            .unwrap();
        assert!(!place.join("half").exists());
    }

    #[test]
    fn two_threads_build_one_tool() {
        let folder = tempfile::tempdir().unwrap();
        let built = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    Cache::at(folder.path())
                        .unwrap()
                        .get("tool-1", |_| {
                            built.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                            std::thread::sleep(TICK);
                            Ok(())
                        })
                        .unwrap()
                });
            }
        });
        assert_eq!(built.into_inner(), 1);
    }

    #[test]
    fn a_cache_that_cannot_be_used_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, b"").unwrap();
        let error = Cache::at(&file).unwrap_err().to_string();
        assert!(error.contains("set LOCALPLUS_CACHE"), "{error}");
    }

    #[test]
    fn a_disk_without_room_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let error = require_space(folder.path(), u64::MAX).unwrap_err().to_string();
        assert!(error.contains("MiB free"), "{error}");
        require_space(&folder.path().join("not").join("there"), 1).unwrap();
    }
}
