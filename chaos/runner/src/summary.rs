//! What was run on which commit, kept as JSON.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde::{Deserialize, Serialize};

use crate::run::Outcomes;

/// The runs of one commit with one set of settings.
#[derive(Debug)]
pub(crate) struct Summary {
    file: PathBuf,
    kept: Kept,
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    commit: String,
    settings: String,
    runs: Vec<Outcomes>,
}

impl Summary {
    /// A new one; or, to resume, the one in `file` without its failures, if it is of this commit and settings.
    pub(crate) fn open(file: PathBuf, settings: String, resume: bool) -> Self {
        Self::of_commit(file, commit(), settings, resume)
    }

    fn of_commit(file: PathBuf, commit: String, settings: String, resume: bool) -> Self {
        let old = std::fs::read(&file)
            .ok()
            .and_then(|text| serde_json::from_slice::<Kept>(&text).ok());
        // Nobody knows what stands in a changed work tree, so nothing of it is taken over.
        let fits =
            |old: &Kept| resume && old.commit == commit && old.settings == settings && !commit.contains('+');
        let runs = old.filter(fits).map(|old| old.runs).unwrap_or_default();
        let runs = runs.into_iter().filter(|run| run.verdict == "ok").collect();
        Self {
            file,
            kept: Kept {
                commit,
                settings,
                runs,
            },
        }
    }

    /// The commit, with `+` when files were changed.
    pub(crate) fn commit(&self) -> &str {
        &self.kept.commit
    }

    pub(crate) fn settings(&self) -> &str {
        &self.kept.settings
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Whether a seed was found ok.
    pub(crate) fn has(&self, seed: u64) -> bool {
        self.kept.runs.iter().any(|run| run.seed == seed)
    }

    pub(crate) fn len(&self) -> usize {
        self.kept.runs.len()
    }

    pub(crate) fn failed(&self) -> usize {
        self.kept.runs.iter().filter(|run| run.verdict != "ok").count()
    }

    /// Adds a run and writes the file, so that a session that is stopped keeps what it did.
    pub(crate) fn add(&mut self, run: Outcomes) -> anyhow::Result<()> {
        self.kept.runs.push(run);
        Ok(std::fs::write(
            &self.file,
            serde_json::to_vec_pretty(&self.kept)?,
        )?)
    }
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown+".to_owned());
    let changed = git(&["status", "--porcelain"]).is_none_or(|files| !files.is_empty());
    if changed && !commit.ends_with('+') {
        format!("{commit}+")
    } else {
        commit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seed: u64, verdict: &str) -> Outcomes {
        Outcomes {
            seed,
            verdict: verdict.to_owned(),
            ok: 0,
            refused: 0,
            unknown: 0,
            seconds: 0,
            faults: Vec::new(),
            violations: Vec::new(),
        }
    }

    #[test]
    fn only_what_was_ok_on_the_same_commit_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let open = |commit: &str, settings: &str, resume| {
            let (commit, settings) = (commit.to_owned(), settings.to_owned());
            Summary::of_commit(folder.path().join("summary.json"), commit, settings, resume)
        };
        let mut first = open("a", "20 s", false);
        first.add(run(1, "ok")).unwrap();
        first.add(run(2, "violations")).unwrap();
        assert_eq!((first.len(), first.failed()), (2, 1));

        let again = open("a", "20 s", true);
        assert!(again.has(1) && !again.has(2));
        for other in [
            open("a", "20 s", false),
            open("b", "20 s", true),
            open("a", "30 s", true),
        ] {
            assert!(!other.has(1));
        }
        open("a+", "20 s", false).add(run(1, "ok")).unwrap();
        assert!(!open("a+", "20 s", true).has(1));
    }
}
