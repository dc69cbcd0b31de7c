//! The project names no folder of one machine and no registry's host: it must build on any machine, through
//! whatever mirror the package clients there are set to.

use anyhow::bail;

use crate::workspace::Workspace;

/// Written in halves, or this file would be the first one found.
const NAMES: [(&str, &str); 10] = [
    ("/wor", "k/"),
    ("/ro", "ot/"),
    ("/home", "/"),
    ("registry.", "npmjs.org"),
    ("index.", "crates.io"),
    ("static.", "crates.io"),
    ("repo.maven.", "apache.org"),
    ("repo1.", "maven.org"),
    ("pypi", ".org"),
    ("files.python", "hosted.org"),
];

pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<()> {
    let mut faults = Vec::new();
    for file in workspace.files()? {
        // Binary files hold no such name that anybody follows.
        let Ok(text) = std::fs::read_to_string(workspace.root.join(&file)) else {
            continue;
        };
        for (line, name) in found(&text) {
            faults.push(format!("{}:{line} names {name}", file.display()));
        }
    }
    if faults.is_empty() {
        Ok(())
    } else {
        bail!(faults.join("\n"))
    }
}

/// Line numbers and names.
fn found(text: &str) -> Vec<(usize, String)> {
    let names: Vec<String> = NAMES
        .iter()
        .map(|(first, second)| format!("{first}{second}"))
        .collect();
    text.lines()
        .enumerate()
        .flat_map(|(index, line)| {
            names
                .iter()
                .filter(move |name| begins_in(line, name))
                .map(move |name| (index + 1, name.clone()))
        })
        .collect()
}

/// A folder counts only where a path begins, so that `docs/work/x` is none.
fn begins_in(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        !name.starts_with('/')
            || before.is_none_or(|letter| !(letter.is_alphanumeric() || "._-})*/".contains(letter)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_a_machine_is_found_where_a_path_begins() {
        let line = ["see /wor", "k/main and npm at registry.", "npmjs.org"].concat();
        assert_eq!(found(&line).len(), 2);
        assert!(found(&["docs/wor", "k/main"].concat()).is_empty());
    }
}
