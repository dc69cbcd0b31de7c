//! The description, what is made of it, and what is demanded of that.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod code;
mod generated;
mod jobs;
mod rules;
mod schemas;
mod validation;

use std::path::{Path, PathBuf};

use lp_fleet::rendered::Set;
use lp_fleet::{Fleet, generate};
use lp_stack::{cache::Cache, tools};

/// The folder `k8s`.
fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The description as text.
fn yaml() -> String {
    std::fs::read_to_string(manifests().join("fleet.yaml")).unwrap()
}

/// The description with one text in it replaced, which must be there.
fn changed(from: &str, to: &str) -> String {
    let yaml = yaml();
    assert!(yaml.contains(from), "{from}");
    yaml.replacen(from, to, 1)
}

/// The manifests of `fleet` in a folder of their own.
fn written(fleet: &Fleet) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let files = generate::files(fleet, &manifests().join("templates")).unwrap();
    generate::write(&files, folder.path()).unwrap();
    folder
}

/// The objects of an environment, out of manifests in `folder`.
fn rendered<'a>(fleet: &'a Fleet, environment: &str, folder: &Path) -> Set<'a> {
    let kustomize = tools::kustomize(&Cache::open().unwrap(), &|_| ()).unwrap();
    let environment = fleet.environment(environment).unwrap();
    Set::render(fleet, environment, folder, |overlay| {
        tools::kustomize_build(&kustomize, overlay)
    })
    .unwrap()
}
