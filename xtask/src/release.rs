//! `cargo xtask release`: the digests of images become what the manifests run.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use lp_images::{record, release};

use crate::terminal::say;
use crate::workspace::{Workspace, name_of};

#[derive(Debug, Args)]
pub(crate) struct Release {
    /// The services to release; all that have an image when none is named
    names: Vec<String>,
    /// What `cargo xtask images` wrote; target/images/images.json when absent
    #[arg(long)]
    images: Option<PathBuf>,
    /// Change nothing; fail when a release component is missing or wrong
    #[arg(long, conflicts_with_all = ["names", "images"])]
    check: bool,
}

pub(crate) fn run(workspace: &Workspace, arguments: &Release) -> anyhow::Result<()> {
    let services: Vec<String> = workspace
        .services()
        .iter()
        .map(|folder| name_of(folder))
        .collect();
    let folder = workspace.root.join("k8s").join("services");
    if arguments.check {
        return release::check_all(&folder, &services);
    }
    let file = arguments
        .images
        .clone()
        .unwrap_or_else(|| workspace.target.join("images").join("images.json"));
    let images = record::read(&file)?;
    let named = if arguments.names.is_empty() {
        images
            .iter()
            .map(|image| image.name.clone())
            .filter(|name| services.contains(name))
            .collect()
    } else {
        arguments.names.clone()
    };
    if named.is_empty() {
        bail!(
            "{} has no image of a service; make them with `cargo xtask images`",
            file.display()
        );
    }
    for name in named {
        if !services.contains(&name) {
            bail!("there is no service {name}; there are {}", services.join(", "));
        }
        let image = images.iter().find(|image| image.name == name).with_context(|| {
            format!(
                "{} has no {name}; make it with `cargo xtask images {name}`",
                file.display()
            )
        })?;
        let place = folder.join(&name).join("release");
        std::fs::create_dir_all(&place)?;
        std::fs::write(place.join("kustomization.yaml"), release::component(image)?)?;
        say(&format!("{name}  {}  {}", image.release, image.digest));
    }
    Ok(())
}
