//! `images.json`: the images that were made, for whoever loads, pushes or releases them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// An image that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its name in the registry, `svc-ledger`.
    pub name: String,
    /// Registry, name and digest.
    pub reference: String,
    /// `sha256:` and 64 hexadecimal digits: of its manifest.
    pub digest: String,
    /// The tar of its OCI layout.
    pub archive: PathBuf,
    /// What its programs report as their release.
    pub release: String,
    /// The size of the archive.
    pub bytes: u64,
}

/// The records in `file`, in the order of their names; none when there is no file.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn read(file: &Path) -> anyhow::Result<Vec<Record>> {
    if !file.exists() {
        return Ok(Vec::new());
    }
    let unreadable = || format!("{} cannot be read", file.display());
    let text = std::fs::read_to_string(file).with_context(unreadable)?;
    serde_json::from_str(&text).with_context(unreadable)
}

/// Adds `made` to the records in `file`, in place of older ones of the same names.
///
/// # Errors
/// When the file cannot be read or written.
pub fn add(file: &Path, made: &[Record]) -> anyhow::Result<()> {
    let mut records = read(file)?;
    records.retain(|old| made.iter().all(|new| new.name != old.name));
    records.extend(made.iter().cloned());
    records.sort_by(|a, b| a.name.cmp(&b.name));
    let text = serde_json::to_string_pretty(&records)?;
    std::fs::write(file, text + "\n").with_context(|| format!("{} cannot be written", file.display()))
}
