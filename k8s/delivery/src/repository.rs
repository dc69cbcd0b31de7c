//! The Git repositories that commits are written to: that of a promotion, which is the caller's, and that of a proof,
//! which is a copy with commits of its own on top.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};

/// The branch that `dev` follows.
pub(crate) const BRANCH: &str = "main";

/// Who a proof's commits are by.
const WHO: [(&str, &str); 2] = [
    ("user.name", "Local-Plus delivery"),
    ("user.email", "delivery@localplus.example"),
];

/// A work tree, and where its commits are pushed.
pub(crate) struct Repository {
    pub(crate) folder: PathBuf,
    push: String,
}

impl Repository {
    /// A copy of the last commit of `source` in `folder`, in place of what was there, pushed to `push`: a bare
    /// repository, which is made where it is a folder that does not exist.
    pub(crate) fn copy(source: &Path, folder: &Path, push: &str) -> anyhow::Result<Self> {
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        std::fs::create_dir_all(folder)?;
        if push.starts_with('/') && !Path::new(push).exists() {
            std::fs::create_dir_all(push)?;
            git(Path::new(push), &["init", "--bare", "--initial-branch", BRANCH])?;
        }
        let source_url = source.canonicalize()?;
        let source_url = source_url.to_str().context("the work tree's path is no text")?;
        git(folder, &["clone", "--no-hardlinks", source_url, "."])?;
        git(folder, &["checkout", "-B", BRANCH])?;
        for (key, value) in WHO {
            git(folder, &["config", key, value])?;
        }
        let copied = Self::at(folder, push)?;
        copied.push(true)?;
        Ok(copied)
    }

    /// What an earlier proof left.
    pub(crate) fn at(folder: &Path, push: &str) -> anyhow::Result<Self> {
        ensure!(
            folder.join(".git").exists(),
            "there is no proof's repository in {}: run `cargo xtask cluster deploy` first",
            folder.display()
        );
        Ok(Self {
            folder: folder.to_owned(),
            push: push.to_owned(),
        })
    }

    /// A new one, not pushed anywhere.
    #[cfg(test)]
    pub(crate) fn begin(folder: &Path) -> anyhow::Result<Self> {
        git(folder, &["init", "--quiet", "--initial-branch", BRANCH])?;
        git(folder, &["config", "user.name", "Ada"])?;
        git(folder, &["config", "user.email", "ada@example.com"])?;
        Self::at(folder, "")
    }

    /// Commits everything, and says which commit that is.
    pub(crate) fn commit(&self, message: &str) -> anyhow::Result<String> {
        git(&self.folder, &["add", "--all"])?;
        git(&self.folder, &["commit", "--quiet", "--message", message])?;
        self.head()
    }

    /// Commits these files alone, whatever else was changed or added, as whoever calls; says which commit that is.
    ///
    /// # Errors
    /// When another branch than the one that environments follow is checked out.
    pub(crate) fn commit_only(&self, message: &str, files: &[String]) -> anyhow::Result<String> {
        let branch = git(&self.folder, &["branch", "--show-current"])?;
        ensure!(
            branch == BRANCH,
            "{BRANCH} is what is deployed, and {branch:?} is checked out"
        );
        let files: Vec<_> = files.iter().map(String::as_str).collect();
        git(&self.folder, &[&["add", "--"], &files[..]].concat())?;
        let commit = ["commit", "--quiet", "--message", message, "--only", "--"];
        git(&self.folder, &[&commit[..], &files].concat())?;
        self.head()
    }

    /// Takes a commit back by a new one.
    pub(crate) fn revert(&self, commit: &str) -> anyhow::Result<String> {
        git(&self.folder, &["revert", "--no-edit", commit])?;
        self.head()
    }

    /// The last commit, in full.
    pub(crate) fn head(&self) -> anyhow::Result<String> {
        git(&self.folder, &["rev-parse", "HEAD"])
    }

    /// Pushes the branch; with force, whatever was there.
    pub(crate) fn push(&self, force: bool) -> anyhow::Result<()> {
        let forced: &[&str] = if force { &["--force"] } else { &[] };
        git(
            &self.folder,
            &[
                &["push", "--quiet"],
                forced,
                &[&self.push, &format!("HEAD:{BRANCH}")],
            ]
            .concat(),
        )?;
        Ok(())
    }

    /// Whether the history of the last commit has this one.
    pub(crate) fn has(&self, commit: &str) -> bool {
        git(&self.folder, &["merge-base", "--is-ancestor", commit, "HEAD"]).is_ok()
    }

    /// What changed below `path` between two commits, but for what lies below `except`: a line a file; empty where
    /// nothing did.
    pub(crate) fn changes(&self, from: &str, to: &str, path: &str, except: &str) -> anyhow::Result<String> {
        let except = format!(":(exclude){except}");
        git(&self.folder, &["diff", "--stat", from, to, "--", path, &except])
    }

    /// Puts `new` in the place of the one line of a file that begins with `start`, which stays.
    pub(crate) fn set(&self, file: &str, start: &str, new: &str) -> anyhow::Result<()> {
        let path = self.folder.join(file);
        let text = std::fs::read_to_string(&path).with_context(|| format!("{file} cannot be read"))?;
        let found = text.lines().filter(|line| line.starts_with(start)).count();
        ensure!(
            found == 1,
            "{file} has {found} lines that begin with {start:?}, and not one"
        );
        let lines = text.lines().map(|line| {
            if line.starts_with(start) {
                format!("{start}{new}\n")
            } else {
                format!("{line}\n")
            }
        });
        std::fs::write(path, lines.collect::<String>())?;
        Ok(())
    }
}

fn git(folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .output()
        .context("git cannot be started")?;
    if !output.status.success() {
        bail!(
            "git {} failed: {}",
            arguments.first().unwrap_or(&""),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promotion_takes_in_nothing_but_its_files_and_says_who() {
        let room = tempfile::tempdir().unwrap();
        let own = Repository::begin(room.path()).unwrap();
        let write = |file: &str, text: &str| std::fs::write(room.path().join(file), text).unwrap();
        write("a", "1");
        let first = own.commit("first").unwrap();
        write("a", "half done");
        write("staged", "half done");
        git(room.path(), &["add", "staged"]).unwrap();
        write("secret", "");
        write("promotion", "1");
        let files = ["promotion".to_owned()];
        let second = own.commit_only("Promote", &files).unwrap();
        let shown = git(room.path(), &["show", "--name-only", "--format=%an", &second]).unwrap();
        assert_eq!(shown, "Ada\n\npromotion");
        assert!(own.changes(&first, &second, "a", "b").unwrap().is_empty());

        git(room.path(), &["checkout", "--quiet", "-b", "mine"]).unwrap();
        write("promotion", "2");
        let refused = own.commit_only("Promote", &files).unwrap_err();
        assert!(
            refused.to_string().contains("\"mine\" is checked out"),
            "{refused}"
        );
    }

    #[test]
    fn commits_are_pushed_and_taken_back() {
        let room = tempfile::tempdir().unwrap();
        let source = room.path().join("source");
        std::fs::create_dir_all(&source).unwrap();
        let own = Repository::begin(&source).unwrap();
        git(&source, &["checkout", "--quiet", "-b", "work"]).unwrap();
        std::fs::write(source.join("a"), "one: 1\n").unwrap();
        let first = own.commit("first").unwrap();

        let bare = room.path().join("bare");
        let copy = Repository::copy(&source, &room.path().join("copy"), bare.to_str().unwrap()).unwrap();
        let pushed = || git(&bare, &["rev-parse", BRANCH]).unwrap();
        assert_eq!(pushed(), first);
        copy.set("a", "one: ", "2").unwrap();
        assert!(copy.set("a", "two: ", "2").is_err(), "there is no such line");
        let second = copy.commit("second").unwrap();
        copy.push(false).unwrap();
        assert_eq!(pushed(), second);
        assert!(copy.has(&first) && !Repository::at(&source, "").unwrap().has(&second));
        assert!(
            copy.changes(&first, &second, "a", "b")
                .unwrap()
                .contains("1 file changed")
        );
        assert_eq!(copy.changes(&first, &second, ".", "a").unwrap(), "");
        copy.revert(&second).unwrap();
        assert_eq!(
            std::fs::read_to_string(copy.folder.join("a")).unwrap(),
            "one: 1\n"
        );
    }
}
