//! No Rust file over 500 lines, unless `xtask/long-files.toml` says why.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::workspace::Workspace;

const LIMIT: usize = 500;
const LIST: &str = "xtask/long-files.toml";

/// The list: path to reason.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowed {
    #[serde(default)]
    files: BTreeMap<String, String>,
}

pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(workspace.root.join(LIST))
        .with_context(|| format!("{LIST} cannot be read"))?;
    let allowed: Allowed = toml::from_str(&text).with_context(|| format!("{LIST} is not of its form"))?;
    let mut lengths = BTreeMap::new();
    for file in workspace.files()? {
        if file.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(workspace.root.join(&file)).unwrap_or_default();
            lengths.insert(file.to_string_lossy().into_owned(), text.lines().count());
        }
    }
    let faults = faults(&lengths, &allowed.files);
    if faults.is_empty() {
        Ok(())
    } else {
        bail!(faults.join("\n"))
    }
}

fn faults(lengths: &BTreeMap<String, usize>, allowed: &BTreeMap<String, String>) -> Vec<String> {
    let mut faults = Vec::new();
    for (file, lines) in lengths.iter().filter(|(_, lines)| **lines > LIMIT) {
        if allowed.get(file).is_none_or(|reason| reason.trim().is_empty()) {
            faults.push(format!(
                "{file} has {lines} lines, over {LIMIT}: split it, or give a reason in {LIST}"
            ));
        }
    }
    for file in allowed
        .keys()
        .filter(|file| lengths.get(*file).is_none_or(|lines| *lines <= LIMIT))
    {
        faults.push(format!(
            "{LIST} lists {file}, which is not over {LIMIT} lines: remove the entry"
        ));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_needs_a_reason_and_a_reason_needs_a_long_file() {
        let lengths = BTreeMap::from([
            ("a.rs".to_owned(), 501),
            ("b.rs".to_owned(), 500),
            ("c.rs".to_owned(), 900),
        ]);
        let allowed = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(file, reason)| ((*file).to_owned(), (*reason).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        assert!(
            faults(
                &lengths,
                &allowed(&[("a.rs", "one table"), ("c.rs", "one table")])
            )
            .is_empty()
        );
        assert_eq!(
            faults(&lengths, &allowed(&[("a.rs", " "), ("c.rs", "x")])).len(),
            1
        );
        assert_eq!(
            faults(
                &lengths,
                &allowed(&[("a.rs", "x"), ("c.rs", "x"), ("b.rs", "x"), ("gone.rs", "x")])
            )
            .len(),
            2
        );
    }
}
