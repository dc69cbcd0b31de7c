//! The images of a proof: made by `cargo xtask images`, and put into the cluster by a command of the cluster's owner.

use std::{path::Path, process::Command};

use anyhow::{Context as _, bail};
use lp_images::record;
pub(crate) use lp_images::record::Record as Image;

/// Makes the images of these names (all when none is named) from the work tree, as `release` where one is given.
pub(crate) fn make(root: &Path, names: &[&str], release: Option<&str>) -> anyhow::Result<Vec<Image>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut make = Command::new(cargo);
    make.args(["xtask", "images"]).args(names).current_dir(root);
    if let Some(release) = release {
        make.args(["--release", release]);
    }
    let status = make.status().context("cargo cannot be started")?;
    if !status.success() {
        bail!("`cargo xtask images` failed: {status}");
    }
    list(root)
}

/// What was made last.
pub(crate) fn list(root: &Path) -> anyhow::Result<Vec<Image>> {
    record::read(&root.join("target/images/images.json"))
}

/// The image of a name.
pub(crate) fn of<'a>(images: &'a [Image], name: &str) -> anyhow::Result<&'a Image> {
    let found = images.iter().find(|image| image.name == name);
    found.with_context(|| format!("there is no image {name}: run `cargo xtask images`"))
}

/// Writes the image of a service into its release component below `root`.
pub(crate) fn release(root: &Path, image: &Image) -> anyhow::Result<()> {
    let file = root.join(format!("k8s/services/{}/release/kustomization.yaml", image.name));
    let component = lp_images::release::component(image)?;
    std::fs::write(&file, component).with_context(|| format!("{} cannot be written", file.display()))
}

/// Hands the archives to the command that puts them into the cluster's nodes.
pub(crate) fn load(command: &str, images: &[&Image]) -> anyhow::Result<()> {
    let status = Command::new("sh")
        .args(["-c", command, "load"])
        .args(images.iter().map(|image| &image.archive))
        .stdout(std::process::Stdio::null())
        .status()
        .context("sh cannot be started")?;
    if !status.success() {
        bail!("the command that loads images failed: {status}");
    }
    Ok(())
}
