//! The tables of settings in the services' READMEs, written by the services themselves.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use lp_stack::command;

use crate::workspace::{Workspace, name_of};

const BEGIN: &str = "<!-- config:begin -->";
const END: &str = "<!-- config:end -->";

pub(crate) fn run(workspace: &Workspace, check: bool) -> anyhow::Result<()> {
    let mut old = Vec::new();
    for folder in workspace.services() {
        let name = name_of(&folder);
        if !Workspace::passes(&mut workspace.cargo(&[
            "build",
            "--quiet",
            "--package",
            &name,
            "--bin",
            &name,
        ]))? {
            bail!("{name} does not build, so its settings cannot be asked for");
        }
        let table = command::output(
            Command::new(workspace.binary(&name)).arg("config"),
            Duration::from_mins(1),
        )?;
        let readme = folder.join("README.md");
        let text = std::fs::read_to_string(&readme)
            .with_context(|| format!("{} cannot be read", readme.display()))?;
        let wanted = with_table(&text, &table).ok_or_else(|| {
            anyhow!(
                "{} needs the lines `{BEGIN}` and `{END}` under \"## Configuration\"",
                readme.display()
            )
        })?;
        if wanted == text {
            continue;
        }
        if check {
            old.push(format!("services/{name}/README.md"));
        } else {
            std::fs::write(&readme, wanted)?;
        }
    }
    if old.is_empty() {
        Ok(())
    } else {
        bail!("out of date, run `cargo xtask config`: {}", old.join(", "))
    }
}

/// The text with the table between the markers; `None` where they are missing.
fn with_table(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{}\n{END}{after}", table.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let text = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let new = with_table(&text, "| x |\n").unwrap();
        assert_eq!(new, format!("a\n{BEGIN}\n| x |\n{END}\nb\n"));
        assert_eq!(with_table(&new, "| x |").unwrap(), new);
        assert_eq!(with_table("no markers", "x"), None);
    }
}
