//! `cargo xtask images`: from the commit that is checked out to container images, as files.

use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use clap::Args;
use lp_images::archive::Image;
use lp_images::commit::Commit;
use lp_images::layer::Layer;
use lp_images::programs::{self, Program};
use lp_images::record::{self, Record};
use lp_images::tree::Tree;
use lp_images::{base, data, sbom};
use lp_stack::cache::Cache;
use lp_stack::tools;

use crate::terminal::{note, say};
use crate::workspace::{Workspace, name_of};

/// The programs of the proof, which run inside the cluster, and their packages.
const PROOF: [(&str, &str); 5] = [
    ("chaos", "collector"),
    ("chaos", "demo"),
    ("chaos", "load"),
    ("chaos", "probe"),
    ("e2e", "issuer"),
];

#[derive(Debug, Args)]
pub(crate) struct Images {
    /// `svc-ledger`, …, `proof`, `data`; when none is named, all that this workspace builds: all but `data`
    names: Vec<String>,
    /// Write the files of one image below this new folder, and pack nothing
    #[arg(long)]
    root: Option<PathBuf>,
    /// What the programs report as their release; the commit's tag or short id when absent
    #[arg(long)]
    release: Option<String>,
}

/// What an image is made of.
struct Plan {
    image: String,
    programs: Vec<Program>,
    entrypoint: Option<String>,
}

pub(crate) fn run(workspace: &Workspace, images: &Images) -> anyhow::Result<()> {
    let services: Vec<Plan> = workspace
        .services()
        .iter()
        .map(|folder| service(&name_of(folder)))
        .collect();
    let family: Vec<Program> = services.iter().flat_map(|plan| plan.programs.clone()).collect();
    let proof = proof();
    let known: Vec<&str> = services
        .iter()
        .map(|plan| plan.image.as_str())
        .chain(["proof", "data"])
        .collect();
    if let Some(unknown) = images.names.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("there is no image {unknown}; there are {}", known.join(", "));
    }
    let all = images.names.is_empty();
    let asked = |name: &str| images.names.iter().any(|asked| asked == name);
    let cache = Cache::open()?;

    let mut plans: Vec<Plan> = services
        .into_iter()
        .filter(|plan| all || asked(&plan.image))
        .collect();
    let wanted: Vec<Program> = plans.iter().flat_map(|plan| plan.programs.clone()).collect();
    build(workspace, &cache, &family, &wanted)?;
    if all || asked("proof") {
        build(workspace, &cache, &proof.programs, &proof.programs)?;
        plans.push(proof);
    }

    if let Some(root) = &images.root {
        let [plan] = plans.as_slice() else {
            bail!("--root writes one image of our programs: name it");
        };
        base::tree()?.write_below(root)?;
        return top(workspace, plan)?.write_below(root);
    }

    let out = workspace.target.join("images");
    let layers = out.join("layers");
    let commit = Commit::of(&workspace.root, images.release.as_deref())?;
    let mut made = Vec::new();
    if !plans.is_empty() {
        let lock = std::fs::read_to_string(workspace.root.join("Cargo.lock"))?;
        let bottom = Layer::of(&base::tree()?, &layers)?;
        for plan in plans {
            let bill = out.join(format!("{}.spdx.json", plan.image));
            let record = pack(
                &out,
                &commit,
                &plan.image,
                plan.entrypoint.as_deref(),
                &[bottom.clone(), Layer::of(&top(workspace, &plan)?, &layers)?],
            )?;
            sbom::write(&cache, &plan.image, &record.archive, &bill, &told("syft"))?;
            sbom::check(&bill, &lock)?;
            made.push(record);
        }
    }
    if asked("data") {
        let note = told("data");
        let bottom = Layer::of_tar(&data::debian(&cache, &note)?, &layers)?;
        let top = Layer::of(&data::tree(&cache, &note)?, &layers)?;
        made.push(pack(&out, &commit, "localplus-data", None, &[bottom, top])?);
    }
    record::add(&out.join("images.json"), &made)?;
    // The archives have them all.
    lp_stack::cache::remove(&layers)?;
    for record in &made {
        say(&format!("{}  {} MB", record.reference, record.bytes / 1_000_000));
    }
    Ok(())
}

fn service(name: &str) -> Plan {
    Plan {
        image: name.to_owned(),
        programs: vec![Program {
            package: name.to_owned(),
            name: name.to_owned(),
        }],
        entrypoint: Some(format!("/{name}")),
    }
}

fn proof() -> Plan {
    let program = |(package, name): (&str, &str)| Program {
        package: package.to_owned(),
        name: name.to_owned(),
    };
    Plan {
        image: "localplus-proof".to_owned(),
        programs: PROOF.into_iter().map(program).collect(),
        entrypoint: None,
    }
}

fn told(who: &str) -> impl Fn(&str) + use<'_> {
    move |text| note(&format!("  {who}: {text}"))
}

/// Builds programs as they go into images.
fn build(workspace: &Workspace, cache: &Cache, family: &[Program], wanted: &[Program]) -> anyhow::Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let auditable = tools::cargo_auditable(cache, &told("cargo-auditable"))?;
    let arguments = programs::arguments(family, wanted);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut cargo = workspace.cargo(&arguments);
    cargo.envs(programs::environment(&workspace.root, &workspace.target)?);
    let path = std::env::var_os("PATH").unwrap_or_default();
    cargo.env(
        "PATH",
        std::env::join_paths([auditable].into_iter().chain(std::env::split_paths(&path)))?,
    );
    if Workspace::passes(&mut cargo)? {
        Ok(())
    } else {
        Err(anyhow!("the programs of the images do not build; see above"))
    }
}

/// The layer of an image's programs, each looked into.
fn top(workspace: &Workspace, plan: &Plan) -> anyhow::Result<Tree> {
    let cargo = programs::cargo_home()?;
    let mut tree = Tree::default();
    for program in &plan.programs {
        let file = workspace.target.join(programs::PROFILE).join(&program.name);
        base::check(&file)?;
        programs::check(&file, &[&workspace.root, &workspace.target, &cargo])?;
        tree.file(&format!("/{}", program.name), 0o755, file.as_path());
    }
    Ok(tree)
}

fn pack(
    out: &Path,
    commit: &Commit,
    name: &str,
    entrypoint: Option<&str>,
    layers: &[Layer],
) -> anyhow::Result<Record> {
    let image = Image {
        name,
        commit,
        layers,
        entrypoint,
    };
    image.write(&out.join(format!("{name}.tar")))
}
