//! `cargo xtask sqlx`: the committed answers of PostgreSQL to every query that the compiler checks.
//!
//! A package takes part when it has a `sqlx.toml`, which names the variable of its database's URL. Its queries
//! are compiled against a database that was made for it from its migrations, and what sqlx learnt goes to its
//! `.sqlx` folder, which is read in every other build.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::SystemTime;

use anyhow::{Context as _, anyhow, bail};
use lp_stack::{Durability, ServerKind, Stack, StackName, cache, progress};
use serde::Deserialize;

use crate::terminal::{Terminal, say};
use crate::workspace::{Workspace, name_of};

#[derive(Debug, Deserialize)]
struct Settings {
    common: Common,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Common {
    database_url_var: String,
}

/// Makes the data of the services named, or of all.
pub(crate) fn run(workspace: &Workspace, only: &[String], check: bool) -> anyhow::Result<()> {
    let folders: Vec<PathBuf> = workspace
        .services()
        .into_iter()
        .filter(|folder| folder.join("sqlx.toml").exists())
        .filter(|folder| only.is_empty() || only.contains(&service_of(folder)))
        .collect();
    if folders.is_empty() {
        bail!("no such service has a sqlx.toml: {}", only.join(", "));
    }
    let terminal = Terminal::new();
    Stack::wipe(&workspace.target, StackName::Sqlx)?;
    let stack = Stack::start_some(
        &workspace.target,
        StackName::Sqlx,
        Durability::None,
        &[ServerKind::Postgres],
        &terminal,
    )?;
    let mut faults = Vec::new();
    for folder in folders {
        let title = name_of(&folder);
        let made = progress::step(&terminal, &title, || {
            regenerate(
                workspace,
                &folder,
                &stack.addresses().postgres_admin_url,
                stack.folder(),
                check,
            )
        });
        if let Err(error) = made {
            if error.is::<lp_stack::interrupt::Interrupted>() {
                return Err(error);
            }
            faults.push(format!("{title}: {error:#}"));
        }
    }
    if !faults.is_empty() {
        bail!(faults.join("\n"));
    }
    if !check {
        say("The query data is up to date.");
    }
    Ok(())
}

/// `ledger` for `services/svc-ledger`.
fn service_of(folder: &Path) -> String {
    let name = name_of(folder);
    name.strip_prefix("svc-").unwrap_or(&name).to_owned()
}

fn regenerate(
    workspace: &Workspace,
    folder: &Path,
    admin_url: &str,
    stack_folder: &Path,
    check: bool,
) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(folder.join("sqlx.toml"))?;
    let settings: Settings = toml::from_str(&text).context("sqlx.toml must name `database-url-var`")?;
    let url = prepare_database(workspace, folder, admin_url)?;
    let made = stack_folder.join(format!("{}-queries", name_of(folder)));
    let scratch = stack_folder.join("scratch");
    for path in [&made, &scratch] {
        cache::remove(path)?;
        std::fs::create_dir_all(path)?;
    }
    // The compiler must read the package anew, or its macros would not run.
    let library = folder.join("src").join("lib.rs");
    #[expect(
        clippy::disallowed_methods,
        reason = "the time of a file for cargo, which knows no injected clock"
    )]
    let now = SystemTime::now();
    File::options()
        .append(true)
        .open(&library)
        .and_then(|file| file.set_modified(now))
        .with_context(|| format!("{} could not be touched", library.display()))?;
    let compiles = Workspace::passes(
        workspace
            .cargo(&["check", "--quiet", "--package", &name_of(folder)])
            .env("SQLX_OFFLINE", "false")
            .env("SQLX_OFFLINE_DIR", &made)
            .env("SQLX_TMP", &scratch)
            .env(&settings.common.database_url_var, url),
    )?;
    let kept = folder.join(".sqlx");
    let (old, new) = (read(&kept)?, read(&made)?);
    if check {
        if !compiles {
            bail!("its queries do not compile against its migrations");
        }
        return match difference(&old, &new).as_slice() {
            [] => Ok(()),
            changed => bail!("out of date, run `cargo xtask sqlx`: {}", changed.join(", ")),
        };
    }
    std::fs::create_dir_all(&kept)?;
    for (name, text) in &new {
        if old.get(name) != Some(text) {
            std::fs::write(kept.join(name), text)?;
        }
    }
    if !compiles {
        // What was learnt so far is kept: with it, the next build shows the remaining errors only.
        bail!("it does not compile yet; {} queries were checked", new.len());
    }
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        std::fs::remove_file(kept.join(name))?;
    }
    Ok(())
}

/// A database with the service's schema; returns its owner's URL. The service itself cannot migrate it, since it
/// does not compile before its queries were checked.
fn prepare_database(workspace: &Workspace, folder: &Path, admin_url: &str) -> anyhow::Result<String> {
    let service = service_of(folder);
    let mut command = workspace.cargo(&[
        "run",
        "--quiet",
        "--package",
        "lp-test",
        "--bin",
        "prepare-db",
        "--",
        &service,
    ]);
    command
        .arg(folder.join("migrations"))
        .env("LP_TEST_POSTGRES_URL", admin_url)
        .stderr(Stdio::inherit());
    let output = command.output().context("`cargo` could not be started")?;
    let url = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && !url.is_empty() {
        Ok(url)
    } else {
        Err(anyhow!(
            "a database with the migrations of {service} could not be made; see above"
        ))
    }
}

/// Names and texts of a folder's `query-*.json`.
fn read(folder: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut queries = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("query-") {
            let text = std::fs::read_to_string(entry.path())
                .with_context(|| format!("{} cannot be read", entry.path().display()))?;
            queries.insert(name, text);
        }
    }
    Ok(queries)
}

/// What differs, in words.
fn difference(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<String> {
    let missing = new
        .keys()
        .filter(|name| !old.contains_key(*name))
        .map(|name| format!("{name} is missing"));
    let stale = old
        .keys()
        .filter(|name| !new.contains_key(*name))
        .map(|name| format!("{name} is no longer used"));
    let changed = new
        .iter()
        .filter(|(name, text)| old.get(*name).is_some_and(|known| known != *text))
        .map(|(name, _)| format!("{name} changed"));
    missing.chain(stale).chain(changed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_difference_is_named() {
        let set = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let old = set(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let new = set(&[("a", "1"), ("b", "2"), ("d", "1")]);
        assert_eq!(
            difference(&old, &new),
            ["d is missing", "c is no longer used", "b changed"]
        );
        assert!(difference(&old, &old).is_empty());
    }

    #[test]
    fn the_variable_is_read_from_the_settings() {
        let text = "[common]\ndatabase-url-var = \"X_URL\"\n[macros.type-overrides]\n'A' = \"b\"\n";
        let settings: Settings = toml::from_str(text).unwrap();
        assert_eq!(settings.common.database_url_var, "X_URL");
    }
}
