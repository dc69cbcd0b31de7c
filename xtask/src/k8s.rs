//! `cargo xtask k8s …`: the manifests of the fleet, and what is demanded of them.

use std::path::PathBuf;

use anyhow::{anyhow, bail};
use clap::Subcommand;
use lp_fleet::conformance::Schemas;
use lp_fleet::rendered::Set;
use lp_fleet::{Fleet, generate, rules};
use lp_stack::cache::Cache;
use lp_stack::tools;

use crate::terminal::{note, say};
use crate::workspace::Workspace;

/// The versions of Kubernetes that the manifests are for.
const VERSIONS: [&str; 5] = ["1.30", "1.31", "1.32", "1.33", "1.34"];

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Write bases and overlays from k8s/fleet.yaml and k8s/templates
    Generate {
        /// Change nothing; fail when what is committed differs
        #[arg(long)]
        check: bool,
    },
    /// Render every overlay with kustomize and hold it against the rules
    Rules,
    /// Hold every rendered overlay against the schemas of each version of Kubernetes and of the custom resources
    Conform,
}

pub(crate) fn run(workspace: &Workspace, task: &Task) -> anyhow::Result<()> {
    match task {
        Task::Generate { check: true } => generated(workspace),
        Task::Generate { check: false } => generate(workspace),
        Task::Rules => rules(workspace).map(|objects| say(&format!("{objects} objects, no fault."))),
        Task::Conform => conform(workspace).map(|objects| {
            say(&format!(
                "{objects} objects conform to Kubernetes {}.",
                VERSIONS.join(", ")
            ));
        }),
    }
}

/// Everything at once, for `cargo xtask check`: with the tools in the cache it takes seconds.
pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<()> {
    generated(workspace)?;
    rules(workspace)?;
    conform(workspace).map(drop)
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.root.join("k8s")
}

/// Read when it runs, unlike the description inside this program: who changes it wants to see it at once.
fn fleet(workspace: &Workspace) -> anyhow::Result<Fleet> {
    let yaml = std::fs::read_to_string(folder(workspace).join("fleet.yaml"))?;
    Ok(Fleet::parse(&yaml)?)
}

fn files(workspace: &Workspace) -> anyhow::Result<Vec<generate::File>> {
    Ok(generate::files(
        &fleet(workspace)?,
        &folder(workspace).join("templates"),
    )?)
}

fn generate(workspace: &Workspace) -> anyhow::Result<()> {
    let files = files(workspace)?;
    let changes = generate::differences(&files, &folder(workspace))?;
    generate::write(&files, &folder(workspace))?;
    say(&format!(
        "{} files, of which {} changed.",
        files.len(),
        changes.len()
    ));
    Ok(())
}

fn generated(workspace: &Workspace) -> anyhow::Result<()> {
    let differences = generate::differences(&files(workspace)?, &folder(workspace))?;
    if differences.is_empty() {
        Ok(())
    } else {
        bail!("{}\nrun `cargo xtask k8s generate`", differences.join("\n"))
    }
}

/// Renders every environment.
fn render<'a>(workspace: &Workspace, fleet: &'a Fleet) -> anyhow::Result<Vec<Set<'a>>> {
    let kustomize = tools::kustomize(&Cache::open()?, &|text| note(&format!("  kustomize: {text}")))?;
    let build = |overlay: &std::path::Path| tools::kustomize_build(&kustomize, overlay);
    fleet
        .environments
        .iter()
        .map(|environment| {
            Set::render(fleet, environment, &folder(workspace), build)
                .map_err(|error| anyhow!("{}: {error}", environment.name))
        })
        .collect()
}

fn fail_with(faults: &[String]) -> anyhow::Result<()> {
    if faults.is_empty() {
        Ok(())
    } else {
        bail!(faults.join("\n"))
    }
}

/// How many objects there are.
fn rules(workspace: &Workspace) -> anyhow::Result<usize> {
    let fleet = fleet(workspace)?;
    let sets = render(workspace, &fleet)?;
    let mut faults = Vec::new();
    for set in &sets {
        let found = rules::faults(set).into_iter();
        faults.extend(found.map(|(rule, fault)| format!("{}: {rule}: {fault}", set.environment.name)));
    }
    fail_with(&faults)?;
    Ok(sets.iter().map(|set| set.objects.len()).sum())
}

/// How many objects there are.
fn conform(workspace: &Workspace) -> anyhow::Result<usize> {
    let cache = Cache::open()?;
    let schemas = tools::kubernetes_schemas(&cache, &|text| note(&format!("  schemas: {text}")))?;
    let definitions =
        tools::custom_resource_definitions(&cache, &|text| note(&format!("  custom resources: {text}")))?;
    let fleet = fleet(workspace)?;
    let sets = render(workspace, &fleet)?;
    let mut faults = Vec::new();
    for version in VERSIONS {
        let mut schemas = Schemas::of_version(&schemas, version)?;
        schemas.add_custom_resources(&definitions)?;
        for set in &sets {
            for object in &set.objects {
                let found = schemas.faults(object).into_iter();
                faults.extend(
                    found.map(|fault| format!("{}: Kubernetes {version}: {fault}", set.environment.name)),
                );
            }
        }
    }
    fail_with(&faults)?;
    Ok(sets.iter().map(|set| set.objects.len()).sum())
}
