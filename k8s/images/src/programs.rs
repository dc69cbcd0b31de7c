//! How the programs of an image are built so that their bytes depend on the commit and the toolchain alone.
//!
//! Paths of this machine are replaced in the programs; the list of crates lies in each (cargo-auditable), where
//! scanners find it. Packages of one image family are always named together, since Cargo unites the features of what
//! it builds together: a program is the same whether it was asked for alone or with others.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use lp_stack::command;

/// The profile of the workspace's `Cargo.toml`, and the folder below `target`.
pub const PROFILE: &str = "image";

/// Cargo separates flags by this; they may have spaces.
const SEPARATOR: &str = "\x1f";

/// A program and the package that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The package.
    pub package: String,
    /// The program, and its file's name.
    pub name: String,
}

/// What is passed to `cargo auditable` to build `wanted`, of the packages of `family`.
#[must_use]
pub fn arguments(family: &[Program], wanted: &[Program]) -> Vec<String> {
    let mut arguments: Vec<String> = ["auditable", "build", "--locked", "--profile", PROFILE]
        .map(str::to_owned)
        .into();
    let mut packages: Vec<&String> = family.iter().map(|program| &program.package).collect();
    packages.sort();
    packages.dedup();
    for package in packages {
        arguments.extend(["--package".to_owned(), package.clone()]);
    }
    for program in wanted {
        arguments.extend(["--bin".to_owned(), program.name.clone()]);
    }
    arguments
}

/// The variables to build with, for a workspace in `root` that is built in `target`.
///
/// # Errors
/// When rustc does not say where it is, or there is no home folder.
pub fn environment(root: &Path, target: &Path) -> anyhow::Result<Vec<(&'static str, String)>> {
    let asked = |argument: &[&str]| {
        command::output(
            Command::new("rustc").args(argument).current_dir(root),
            Duration::from_mins(1),
        )
    };
    let sysroot = asked(&["--print", "sysroot"])?;
    let version = asked(&["--version", "--verbose"])?;
    let hash = version
        .lines()
        .find_map(|line| line.strip_prefix("commit-hash: "))
        .ok_or_else(|| anyhow!("rustc does not say of which commit it is"))?;
    let cargo = cargo_home()?;
    let ours = [
        (root, "/localplus"),
        (target, "/localplus/target"),
        (&cargo, "/cargo"),
    ]
    .map(|(from, to)| format!("{}={to}", from.display()));
    let c = ours
        .clone()
        .map(|pair| format!("-ffile-prefix-map={pair}"))
        .join(" ");
    let rust = ours
        .into_iter()
        // What the toolchain itself writes into programs where its sources are not installed.
        .chain([format!("{}/lib/rustlib/src/rust=/rustc/{hash}", sysroot.trim())])
        .map(|pair| format!("--remap-path-prefix={pair}"));
    Ok(vec![
        (
            "CARGO_ENCODED_RUSTFLAGS",
            rust.collect::<Vec<_>>().join(SEPARATOR),
        ),
        ("CARGO_TARGET_DIR", target.display().to_string()),
        ("CFLAGS", c.clone()),
        ("CXXFLAGS", c),
    ])
}

/// Where Cargo keeps the sources of crates.
///
/// # Errors
/// When there is no home folder.
pub fn cargo_home() -> anyhow::Result<PathBuf> {
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
        .ok_or_else(|| anyhow!("set CARGO_HOME or HOME"))
}

/// That a program names none of these folders of the machine that built it.
///
/// # Errors
/// When it does: what it says there.
pub fn check(program: &Path, folders: &[&Path]) -> anyhow::Result<()> {
    let bytes = std::fs::read(program).with_context(|| format!("{} cannot be read", program.display()))?;
    for folder in folders {
        let wanted = folder.as_os_str().as_encoded_bytes();
        if let Some(at) = bytes.windows(wanted.len()).position(|found| found == wanted) {
            let said: Vec<u8> = bytes
                .into_iter()
                .skip(at)
                .take_while(|byte| (b' '..=b'~').contains(byte))
                .take(200)
                .collect();
            bail!(
                "{} names a folder of this machine, so another would not build the same: {}",
                program.display(),
                String::from_utf8_lossy(&said)
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_do_not_depend_on_what_is_asked_for() {
        let program = |name: &str| Program {
            package: name.to_owned(),
            name: name.to_owned(),
        };
        let family = [program("svc-a"), program("svc-b")];
        let packages = |wanted: &[Program]| {
            let arguments = arguments(&family, wanted);
            let at = arguments.iter().position(|word| word == "--bin").unwrap();
            arguments.into_iter().take(at).collect::<Vec<_>>()
        };
        assert_eq!(packages(&family), packages(&[program("svc-b")]));
    }

    #[test]
    fn the_folders_of_this_machine_get_names_of_their_own() {
        let clone = tempfile::tempdir().unwrap();
        let set = environment(clone.path(), Path::new("/elsewhere/target")).unwrap();
        let flags: Vec<_> = set.iter().filter(|(name, _)| name.ends_with("FLAGS")).collect();
        assert_eq!(flags.len(), 3, "{set:?}");
        for (name, value) in flags {
            let root = format!("{}=/localplus", clone.path().display());
            assert!(value.contains(&root), "{name}: {value}");
            assert!(
                value.contains("/elsewhere/target=/localplus/target"),
                "{name}: {value}"
            );
        }
    }

    #[test]
    fn a_program_that_names_a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        let text = format!("\0src\0{}/lib.rs\0", folder.path().display());
        std::fs::write(&program, text).unwrap();
        check(&program, &[Path::new("/not/there")]).unwrap();
        let refused = check(&program, &[folder.path()]).unwrap_err().to_string();
        assert!(refused.contains("/lib.rs"), "{refused}");
    }
}
