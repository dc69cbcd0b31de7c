//! What images are made of: a commit, and the name of its release.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use lp_stack::command;

/// A commit of this repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// What the services report as `LOCALPLUS_RELEASE`.
    pub release: String,
    /// Its id, 40 hexadecimal digits.
    pub revision: String,
    /// When it was made.
    pub time: Timestamp,
}

impl Commit {
    /// The commit that `root` has checked out. Without a name its release is its tag or short id, with `-dirty` when
    /// files were changed since.
    ///
    /// # Errors
    /// When git is missing or `root` is no repository of its.
    pub fn of(root: &Path, release: Option<&str>) -> anyhow::Result<Self> {
        let seconds = git(root, &["log", "-1", "--format=%ct"])?;
        Ok(Self {
            release: match release {
                Some(name) => name.to_owned(),
                None => git(root, &["describe", "--always", "--dirty", "--abbrev=12"])?,
            },
            revision: git(root, &["rev-parse", "HEAD"])?,
            time: Timestamp::from_second(seconds.parse().context("git told no time")?)?,
        })
    }
}

fn git(root: &Path, args: &[&str]) -> anyhow::Result<String> {
    let output = command::output(
        Command::new("git").args(args).current_dir(root),
        Duration::from_mins(1),
    )?;
    Ok(output.trim().to_owned())
}
