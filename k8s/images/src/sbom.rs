//! What an image is made of, as SPDX: crates from the lists in the programs, Debian packages from their records.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use lp_stack::cache::Cache;
use lp_stack::{command, tools};
use serde::Deserialize;

const LIMIT: Duration = Duration::from_mins(10);

/// Writes the bill of materials of the image in `archive` to `to` (SPDX 2.3, JSON), by reading the image itself.
///
/// # Errors
/// When syft cannot be had, or cannot read the image.
pub fn write(
    cache: &Cache,
    name: &str,
    archive: &Path,
    to: &Path,
    note: tools::Note<'_>,
) -> anyhow::Result<()> {
    let mut output = std::ffi::OsString::from("spdx-json=");
    output.push(to);
    command::run(
        Command::new(tools::syft(cache, note)?)
            .arg("scan")
            .arg(format!("oci-archive:{}", archive.display()))
            .args(["--source-name", name, "--output"])
            .arg(output)
            .env("SYFT_CHECK_FOR_APP_UPDATE", "false"),
        &log(to),
        LIMIT,
    )
}

/// A package as SPDX names it.
#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    #[serde(rename = "versionInfo", default)]
    version: String,
}

/// That the bill in `file` names what every program of ours stands on: tokio, in the version of the workspace's
/// `Cargo.lock`, and Debian's OpenSSL. A scanner that finds nothing says so with an empty list and no error.
///
/// # Errors
/// When one is missing, which is named.
pub fn check(file: &Path, lock: &str) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Bill {
        packages: Vec<Package>,
    }
    let text = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let bill: Bill = serde_json::from_slice(&text).context("the bill of materials")?;
    let locked = lock
        .split("[[package]]")
        .find(|package| package.lines().any(|line| line == "name = \"tokio\""))
        .and_then(|package| package.lines().find_map(|line| line.strip_prefix("version = ")))
        .context("Cargo.lock has no tokio")?
        .trim_matches('"');
    let has = |name: &str, version: Option<&str>| {
        bill.packages
            .iter()
            .any(|found| found.name == name && version.is_none_or(|version| found.version == version))
    };
    if !has("tokio", Some(locked)) {
        bail!("{} does not name tokio {locked}", file.display());
    }
    if !has("libssl3", None) {
        bail!("{} does not name libssl3", file.display());
    }
    Ok(())
}

fn log(to: &Path) -> PathBuf {
    to.with_extension("log")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "[[package]]\nname = \"tokio-util\"\nversion = \"0.7.1\"\n\n\
        [[package]]\nname = \"tokio\"\nversion = \"1.54.1\"\n";

    fn checked(packages: &str) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("svc.spdx.json");
        std::fs::write(&file, format!("{{\"packages\":[{packages}]}}")).unwrap();
        check(&file, LOCK).map_err(|error| error.to_string())
    }

    #[test]
    fn a_bill_without_crates_or_packages_is_refused() {
        let tokio = r#"{"name":"tokio","versionInfo":"1.54.1"}"#;
        let openssl = r#"{"name":"libssl3","versionInfo":"3.0.17-1~deb12u2"}"#;
        checked(&format!("{tokio},{openssl}")).unwrap();
        assert!(checked(openssl).unwrap_err().contains("tokio 1.54.1"));
        assert!(checked(tokio).unwrap_err().contains("libssl3"));
        let old = tokio.replace("54.1", "54.0");
        assert!(
            checked(&format!("{old},{openssl}"))
                .unwrap_err()
                .contains("tokio")
        );
    }
}
