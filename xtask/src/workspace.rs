//! Where the workspace and its target folder are, and how cargo is called in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, anyhow};
use lp_stack::command;

/// The workspace this command belongs to.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// The nearest folder upwards that holds the workspace's `Cargo.toml`.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let start = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(std::env::current_dir, |dir| Ok(dir.into()))?;
        let root = start
            .ancestors()
            .find(|folder| folder.join("xtask").join("Cargo.toml").exists())
            .ok_or_else(|| anyhow!("this is not inside the Local-Plus workspace; change into its folder"))?
            .to_owned();
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
        Ok(Self { root, target })
    }

    /// Where the development build puts a program.
    pub(crate) fn binary(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(name)
    }

    /// `cargo` in the root of the workspace.
    pub(crate) fn cargo(&self, args: &[&str]) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(args).current_dir(&self.root).stdin(Stdio::null());
        // What `cargo run` set for xtask itself means nothing to the packages it builds, and would make them
        // look changed.
        for (name, _) in std::env::vars_os() {
            if name
                .to_str()
                .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
            {
                cargo.env_remove(name);
            }
        }
        cargo
    }

    /// Runs a command whose output the person sees; false when it failed.
    pub(crate) fn passes(command: &mut Command) -> anyhow::Result<bool> {
        Ok(command::finish(command, None)?.success())
    }

    /// What git tracks, or would track once added: paths relative to the root.
    pub(crate) fn files(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut git = Command::new("git");
        git.args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(&self.root);
        let output = git
            .stdin(Stdio::null())
            .output()
            .context("`git` could not be started; install it")?;
        if !output.status.success() {
            return Err(anyhow!(
                "`git ls-files` failed: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            ));
        }
        let mut files: Vec<PathBuf> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(PathBuf::from)
            .filter(|file| self.root.join(file).is_file())
            .collect();
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// The folders of the services, `services/svc-*`.
    pub(crate) fn services(&self) -> Vec<PathBuf> {
        let mut folders: Vec<PathBuf> = std::fs::read_dir(self.root.join("services"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.join("Cargo.toml").exists())
            .collect();
        folders.sort();
        folders
    }
}

/// The last part of a path as text.
pub(crate) fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
