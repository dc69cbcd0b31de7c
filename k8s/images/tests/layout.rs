//! The layout that is written: the same each time, and as its readers expect it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use lp_images::archive::Image;
use lp_images::commit::Commit;
use lp_images::layer::Layer;
use lp_images::record::{self, Record};
use lp_images::tree::Tree;
use serde_json::Value;

fn commit(release: &str) -> Commit {
    Commit {
        release: release.to_owned(),
        revision: "3ccf7e2a41b03ccf7e2a41b03ccf7e2a41b03ccf".to_owned(),
        time: "2026-11-21T10:00:00Z".parse().unwrap(),
    }
}

/// A program beside two libraries, made anew each time.
fn make(folder: &Path, release: &str) -> (Record, Vec<Layer>) {
    let program = folder.join("program");
    std::fs::write(&program, b"the program").unwrap();
    let mut base = Tree::default();
    base.file("/lib/b.so", 0o755, "b");
    base.file("/lib/a.so", 0o755, "a");
    let mut top = Tree::default();
    top.file("/svc-test", 0o755, program.as_path());
    let layers = [base, top].map(|tree| Layer::of(&tree, &folder.join("layers")).unwrap());
    let image = Image {
        name: "svc-test",
        commit: &commit(release),
        layers: &layers,
        entrypoint: Some("/svc-test"),
    };
    (image.write(&folder.join("svc-test.tar")).unwrap(), layers.into())
}

fn files(tar: impl std::io::Read) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(tar);
    let entry = |entry: std::io::Result<tar::Entry<'_, _>>| {
        let mut entry = entry.unwrap();
        let header = entry.header();
        assert_eq!(
            (
                header.mtime().unwrap(),
                header.uid().unwrap(),
                header.gid().unwrap()
            ),
            (0, 0, 0)
        );
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().to_string_lossy().into_owned(), bytes)
    };
    archive.entries().unwrap().map(entry).collect()
}

#[test]
fn the_same_inputs_are_the_same_bytes() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, _) = make(one.path(), "v1");
    // Another time, another folder.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let (second, _) = make(other.path(), "v1");
    assert_eq!(first.digest, second.digest);
    assert_eq!(
        std::fs::read(first.archive).unwrap(),
        std::fs::read(second.archive).unwrap()
    );
}

#[test]
fn a_release_changes_the_image_and_no_layer() {
    let folder = tempfile::tempdir().unwrap();
    let (first, old) = make(folder.path(), "v1");
    let (second, new) = make(folder.path(), "v2");
    assert_ne!(first.digest, second.digest);
    let digests = |layers: &[Layer]| {
        layers
            .iter()
            .map(|l| l.descriptor.digest().to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(digests(&old), digests(&new));
}

#[test]
fn a_reader_finds_the_image_by_its_digest() {
    let folder = tempfile::tempdir().unwrap();
    let (made, _) = make(folder.path(), "v1");
    let layout = files(std::fs::File::open(&made.archive).unwrap());
    let json = |path: &str| serde_json::from_slice::<Value>(&layout[path]).unwrap();
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap();
        let path = format!("blobs/{}", digest.replace(':', "/"));
        assert_eq!(layout[&path].len() as u64, descriptor["size"].as_u64().unwrap());
        path
    };
    assert_eq!(json("oci-layout")["imageLayoutVersion"], "1.0.0");
    let named = json("index.json")["manifests"][0].clone();
    assert_eq!(named["digest"], made.digest);
    assert_eq!(named["annotations"]["io.containerd.image.name"], made.reference);
    assert_eq!(
        made.reference,
        format!("registry.localplus.example/svc-test@{}", made.digest)
    );
    let manifest = json(&blob(&named));
    let config = json(&blob(&manifest["config"]));
    assert_eq!(config["config"]["Env"][0], "LOCALPLUS_RELEASE=v1");
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["Entrypoint"][0], "/svc-test");
    for labels in [&config["config"]["Labels"], &manifest["annotations"]] {
        assert_eq!(labels["org.opencontainers.image.title"], "svc-test");
        assert_eq!(labels["org.opencontainers.image.revision"], commit("v1").revision);
        assert_eq!(labels["org.opencontainers.image.version"], "v1");
    }
    let top = files(&layout[&blob(&manifest["layers"][1])][..]);
    assert_eq!(top["svc-test"], b"the program");
}

#[test]
fn records_of_other_images_stay() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("images.json");
    let (first, _) = make(folder.path(), "v1");
    let other = Record {
        name: "svc-other".to_owned(),
        ..first.clone()
    };
    record::add(&file, &[first.clone(), other.clone()]).unwrap();
    let (second, _) = make(folder.path(), "v2");
    record::add(&file, std::slice::from_ref(&second)).unwrap();
    assert_eq!(record::read(&file).unwrap(), [other, second]);
}

#[test]
fn a_root_has_the_files_of_its_layers() {
    let folder = tempfile::tempdir().unwrap();
    let mut tree = Tree::default();
    tree.file("/etc/group", 0o644, "root:x:0:\n");
    tree.folder("/data", 0o777);
    tree.write_below(folder.path()).unwrap();
    assert_eq!(
        std::fs::read_to_string(folder.path().join("etc/group")).unwrap(),
        "root:x:0:\n"
    );
    // It is not laid over another.
    tree.write_below(folder.path()).unwrap_err();
}
