//! What `platform-gitops/` and the promotion files say, held to rules that no cluster is needed for.
//!
//! Start reading at [`check`]: it has kustomize render what Argo CD would render, and hands all of it to the rules,
//! one module per subject. A rule returns its faults as lines for people; each has a test that breaks it.

mod argocd;
mod exact;
mod health;
mod platform;
mod projects;
mod services;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use lp_stack::cache::Cache;
use lp_stack::tools;
use serde::Deserialize as _;
use serde_json::Value;

use crate::terminal::note;
use crate::workspace::{Workspace, name_of};

const ARGOCD: &str = "platform-gitops/argocd";
const PLATFORM: &str = "platform-gitops/platform";
const SERVICES: &str = "k8s/services";

/// Objects of one rendering, in its order.
type Objects = Vec<Value>;

/// One Application's worth: what of which (component or service) in which environment.
type Rendered = BTreeMap<(String, String), Objects>;

/// All that the rules look at.
#[derive(Debug, Clone, Default)]
struct Tree {
    /// What Argo CD is told: settings, projects, ApplicationSets, `root`.
    argocd: Objects,
    /// The Helm values that Argo CD is installed with.
    values: Value,
    platform: Rendered,
    services: Rendered,
    /// The promotion files, by path from the root.
    promotions: BTreeMap<String, Value>,
    /// What a `kustomization.yaml` takes in: file, from the root, to the paths as written.
    kustomizations: BTreeMap<String, Vec<String>>,
    /// Text of each file under `platform-gitops` and `k8s/services`.
    texts: BTreeMap<String, String>,
}

pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<()> {
    let kustomize = tools::kustomize(&Cache::open()?, &|text| note(&format!("  kustomize: {text}")))?;
    let faults = faults(&Tree::read(workspace, &kustomize)?);
    if faults.is_empty() {
        Ok(())
    } else {
        bail!(faults.join("\n"))
    }
}

fn faults(tree: &Tree) -> Vec<String> {
    let mut faults = argocd::faults(tree);
    faults.extend(exact::faults(tree));
    faults.extend(health::faults(tree));
    faults.extend(platform::faults(tree));
    faults.extend(services::faults(tree));
    faults
}

impl Tree {
    fn read(workspace: &Workspace, kustomize: &Path) -> anyhow::Result<Self> {
        let mut tree = Self {
            argocd: render(kustomize, &workspace.root.join(ARGOCD))?,
            ..Self::default()
        };
        for file in workspace.files()? {
            let path = file.to_string_lossy().into_owned();
            if !path.starts_with("platform-gitops/") && !path.starts_with(&format!("{SERVICES}/")) {
                continue;
            }
            let text = std::fs::read_to_string(workspace.root.join(&file)).unwrap_or_default();
            tree.take(&path, &text)?;
            if name_of(&file) == "kustomization.yaml" {
                tree.render(workspace, kustomize, &file)?;
            }
            tree.texts.insert(path, text);
        }
        Ok(tree)
    }

    fn take(&mut self, path: &str, text: &str) -> anyhow::Result<()> {
        let parts: Vec<&str> = path.split('/').collect();
        if path == format!("{ARGOCD}/install/values.yaml") {
            self.values = one(path, text)?;
        } else if let ["k8s", "services", _, "promotion", _] = parts.as_slice() {
            self.promotions.insert(path.to_owned(), one(path, text)?);
        } else if parts.last() == Some(&"kustomization.yaml") {
            self.kustomizations
                .insert(path.to_owned(), taken_in(&one(path, text)?));
        }
        Ok(())
    }

    /// Renders the folder of a kustomization, where it is the folder of an Application.
    fn render(&mut self, workspace: &Workspace, kustomize: &Path, file: &Path) -> anyhow::Result<()> {
        let folder = file.parent().unwrap_or(file);
        let path = folder.to_string_lossy();
        let (of, into) = match path.split('/').collect::<Vec<_>>().as_slice() {
            ["platform-gitops", "platform", component, environment] if *environment != "base" => {
                ((*component, *environment), &mut self.platform)
            }
            ["k8s", "services", service, "overlays", environment] => {
                ((*service, *environment), &mut self.services)
            }
            _ => return Ok(()),
        };
        let objects = render(kustomize, &workspace.root.join(folder))?;
        into.insert((of.0.to_owned(), of.1.to_owned()), objects);
        Ok(())
    }
}

/// What Argo CD would make of a folder.
fn render(kustomize: &Path, folder: &Path) -> anyhow::Result<Objects> {
    objects(&tools::kustomize_build(kustomize, folder)?)
        .with_context(|| format!("what kustomize made of {}", folder.display()))
}

/// The keys of what is at a pointer, sorted.
fn keys<'v>(object: &'v Value, pointer: &str) -> Vec<&'v str> {
    let map = object.pointer(pointer).and_then(Value::as_object);
    let mut keys: Vec<&str> = map
        .into_iter()
        .flat_map(|map| map.keys().map(String::as_str))
        .collect();
    keys.sort_unstable();
    keys
}

fn objects(text: &str) -> anyhow::Result<Objects> {
    let documents = serde_yaml_ng::Deserializer::from_str(text).map(Value::deserialize);
    let objects: Result<Objects, _> = documents.collect();
    Ok(objects?.into_iter().filter(|object| !object.is_null()).collect())
}

fn one(path: &str, text: &str) -> anyhow::Result<Value> {
    serde_yaml_ng::from_str(text).with_context(|| format!("{path} is not YAML"))
}

/// The paths that a kustomization takes in, as written.
fn taken_in(kustomization: &Value) -> Vec<String> {
    let mut paths: Vec<&Value> = Vec::new();
    for key in ["/resources", "/components", "/bases", "/configurations", "/crds"] {
        paths.extend(list(kustomization, key));
    }
    for patch in list(kustomization, "/patches") {
        paths.extend(patch.get("path"));
    }
    for generator in list(kustomization, "/configMapGenerator") {
        paths.extend(list(generator, "/files"));
        paths.extend(list(generator, "/envs"));
        paths.extend(generator.get("env"));
    }
    let paths = paths.into_iter().filter_map(Value::as_str);
    // A generator's file may be written `key=path`.
    paths
        .map(|path| path.rsplit('=').next().unwrap_or(path).to_owned())
        .collect()
}

/// Text at a JSON pointer; empty where there is none.
fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Elements at a JSON pointer; none where there is no list.
fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// A value of a ConfigMap.
fn datum<'a>(map: &'a Value, key: &str) -> Option<&'a str> {
    map.get("data")?.get(key)?.as_str()
}

fn kind(object: &Value) -> &str {
    text(object, "/kind")
}

fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// `apps` of `apps/v1`; empty for the core group.
fn group(object: &Value) -> &str {
    text(object, "/apiVersion")
        .rsplit_once('/')
        .map_or("", |(group, _)| group)
}

/// The objects of a kind.
fn of_kind<'a>(objects: &'a [Value], wanted: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| kind(object) == wanted)
}

/// Where a path, taken in by a file, leads: without `.` and `..`. None where it leaves the repository.
fn leads_to(file: &str, path: &str) -> Option<PathBuf> {
    let mut to = Path::new(file).parent()?.to_owned();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if !to.pop() {
                    return None;
                }
            }
            name => to.push(name),
        }
    }
    Some(to)
}

/// A tree without a fault, of what is committed as far as it needs no rendering.
#[cfg(test)]
mod sound;
