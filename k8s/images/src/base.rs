//! The layer that all images of our programs share: shared libraries with their loader, certificates, one user.
//!
//! The libraries are a fixed list, so that the layer is the same whichever image is made; that each program needs
//! nothing beyond it is checked when its image is made. Beside them lie the package records of where they came
//! from, as scanners look for them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use lp_stack::command;

use crate::USER;
use crate::tree::Tree;

/// What our programs are linked with at run time. OpenSSL is librdkafka's.
const LIBRARIES: [&str; 5] = [
    "libc.so.6",
    "libcrypto.so.3",
    "libgcc_s.so.1",
    "libm.so.6",
    "libssl.so.3",
];

/// Packages whose files are no libraries.
const OTHERS: [&str; 2] = ["base-files", "ca-certificates"];

/// Certificates as the package has them; the machine's own bundle may have more.
const CERTIFICATES: &str = "/usr/share/ca-certificates/mozilla";

const LIMIT: Duration = Duration::from_mins(1);

/// The files of the base layer, taken from this machine, which must be a Debian.
///
/// # Errors
/// When a library or a package's record is missing here.
pub fn tree() -> anyhow::Result<Tree> {
    let mut tree = Tree::default();
    let user = USER.to_string();
    tree.file(
        "/etc/passwd",
        0o644,
        format!("root:x:0:0:root:/:/sbin/nologin\nnonroot:x:{user}:{user}:nonroot:/:/sbin/nologin\n"),
    );
    tree.file("/etc/group", 0o644, format!("root:x:0:\nnonroot:x:{user}:\n"));
    tree.file("/etc/nsswitch.conf", 0o644, "hosts: files dns\n");
    tree.file("/etc/os-release", 0o644, Path::new("/etc/os-release"));
    tree.file("/etc/ssl/certs/ca-certificates.crt", 0o644, certificates()?);
    let mut packages: BTreeSet<String> = OTHERS.map(str::to_owned).into();
    for library in libraries()? {
        packages.insert(package(&library)?);
        tree.file(&library, 0o755, Path::new(&library));
    }
    for package in packages {
        let record = command::output(Command::new("dpkg-query").args(["--status", &package]), LIMIT)?;
        let name = package.split(':').next().unwrap_or_default();
        tree.file(&format!("/var/lib/dpkg/status.d/{name}"), 0o644, record);
    }
    Ok(tree)
}

/// That a program needs no library which the base layer lacks.
///
/// # Errors
/// When it needs one, which is named.
pub fn check(program: &Path) -> anyhow::Result<()> {
    let base = libraries()?;
    let missing: Vec<String> = linked(program)?
        .into_iter()
        .filter(|library| !base.contains(library))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!(
        "{} needs {}, which the base layer of our images lacks: add it to LIBRARIES in k8s/images/src/base.rs",
        program.display(),
        missing.join(", ")
    )
}

/// Paths of the base layer's libraries and their loader.
fn libraries() -> anyhow::Result<BTreeSet<String>> {
    let known = command::output(Command::new("/sbin/ldconfig").arg("--print-cache"), LIMIT)?;
    let mut found = BTreeSet::new();
    for name in LIBRARIES {
        let path = in_cache(&known, name)
            .ok_or_else(|| anyhow!("{name} is not on this machine: install libssl3, libgcc-s1 and libc6"))?;
        found.extend(linked(Path::new(path))?);
        found.insert(path.to_owned());
    }
    Ok(found)
}

/// The path of a library of this processor, in what `ldconfig --print-cache` says.
fn in_cache<'a>(known: &'a str, name: &str) -> Option<&'a str> {
    let processor = if cfg!(target_arch = "aarch64") {
        "AArch64"
    } else {
        "x86-64"
    };
    known.lines().find_map(|line| {
        let (library, path) = line.trim().split_once(" => ")?;
        let (found, flags) = library.split_once(' ')?;
        (found == name && flags.contains(processor)).then_some(path)
    })
}

/// Paths of the libraries that a program or library is linked with, and of its loader.
fn linked(file: &Path) -> anyhow::Result<BTreeSet<String>> {
    linked_in(&command::output(Command::new("ldd").arg(file), LIMIT)?)
        .with_context(|| format!("what {} is linked with", file.display()))
}

fn linked_in(told: &str) -> anyhow::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for line in told.lines() {
        let place = line.split_once(" => ").map_or(line, |(_, place)| place).trim();
        if place == "not found" {
            bail!("a library is not on this machine: {}", line.trim());
        }
        // The kernel's own has no path.
        if let Some(path) = place
            .split_whitespace()
            .next()
            .filter(|path| path.starts_with('/'))
        {
            found.insert(path.to_owned());
        }
    }
    Ok(found)
}

/// The Debian package of a file, as `libssl3:amd64`. Its path there may be the one before /lib became a link.
fn package(file: &str) -> anyhow::Result<String> {
    let search = |path: &str| command::output(Command::new("dpkg-query").args(["--search", path]), LIMIT);
    let told = search(file)
        .or_else(|_| search(&format!("/usr{file}")))
        .with_context(|| format!("{file} belongs to no Debian package; images are made on Debian 12"))?;
    let (package, _) = told
        .split_once(": ")
        .ok_or_else(|| anyhow!("dpkg-query said {told:?}"))?;
    Ok(package.to_owned())
}

/// All certificates, one after the other, in the order of their names.
fn certificates() -> anyhow::Result<String> {
    let unreadable = || format!("{CERTIFICATES} cannot be read; install ca-certificates");
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(CERTIFICATES).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        let text = std::fs::read_to_string(&path).with_context(unreadable)?;
        found.insert(path, text);
    }
    if found.is_empty() {
        bail!("{CERTIFICATES} is empty; install ca-certificates");
    }
    Ok(found.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: &str = "\tlinux-vdso.so.1 (0x00007f72f5dfe000)\n\
        \tlibssl.so.3 => /lib/x86_64-linux-gnu/libssl.so.3 (0x00007f72f5d44000)\n\
        \t/lib64/ld-linux-x86-64.so.2 (0x00007f72f5e00000)\n";

    #[test]
    fn the_loader_counts_and_the_kernel_does_not() {
        let found = linked_in(TOLD).unwrap();
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            ["/lib/x86_64-linux-gnu/libssl.so.3", "/lib64/ld-linux-x86-64.so.2"]
        );
        assert!(linked_in("\tlibx.so.1 => not found\n").is_err());
    }

    #[test]
    fn a_program_that_needs_more_is_refused() {
        // The shell is linked with the C library alone; tar with libraries that no program of ours has.
        check(Path::new("/bin/sh")).unwrap();
        let refused = check(Path::new("/bin/tar")).unwrap_err().to_string();
        assert!(
            refused.contains("/bin/tar") && refused.contains("libacl.so.1"),
            "{refused}"
        );
    }

    #[test]
    fn the_base_has_what_its_libraries_came_from_and_no_shell() {
        let paths: Vec<String> = tree().unwrap().paths().collect();
        for wanted in [
            "/etc/passwd",
            "/etc/ssl/certs/ca-certificates.crt",
            "/var/lib/dpkg/status.d/libssl3",
        ] {
            assert!(paths.iter().any(|path| path == wanted), "{wanted}: {paths:?}");
        }
        assert!(paths.iter().any(|path| path.contains("/ld-linux")), "{paths:?}");
        assert!(!paths.iter().any(|path| path.contains("/bin")), "{paths:?}");
    }
}
