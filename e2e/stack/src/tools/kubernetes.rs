//! What renders and judges manifests: kustomize, and the schemas of the APIs that they are written for.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use super::{Note, find_below, folder_name, pip_install};
use crate::cache::Cache;
use crate::command::{self, FETCH_LIMIT};

const KUSTOMIZE: &str = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1";

/// Strict schemas of every version of Kubernetes, made from its OpenAPI.
const SCHEMAS: &str = "kubernetes-validate==1.37.0";

/// Go modules that hold the custom resource definitions which the manifests use, and where.
const DEFINITIONS: [(&str, &str); 3] = [
    (
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "example/prometheus-operator-crd",
    ),
    (
        "github.com/external-secrets/external-secrets@v1.3.2",
        "deploy/crds",
    ),
    ("sigs.k8s.io/gateway-api@v1.4.1", "config/crd/standard"),
];

/// The `kustomize` program, built by Go; it takes a minute or two.
///
/// # Errors
/// When Go is missing or cannot build it.
pub fn kustomize(cache: &Cache, note: Note<'_>) -> anyhow::Result<PathBuf> {
    let place = cache.get("kustomize-5.7.1", |making| {
        note("built with Go, once");
        command::run(
            Command::new("go")
                .args(["install", KUSTOMIZE])
                .env("GOBIN", making.join("bin")),
            &making.join("fetch.log"),
            FETCH_LIMIT,
        )
    })?;
    Ok(place.join("bin").join("kustomize"))
}

/// The folder with a folder of JSON schemas for each version of Kubernetes, `v1.34.0-local-strict`, fetched by pip.
///
/// # Errors
/// When pip cannot fetch it.
pub fn kubernetes_schemas(cache: &Cache, note: Note<'_>) -> anyhow::Result<PathBuf> {
    let place = cache.get(&folder_name(SCHEMAS), |making| pip_install(making, SCHEMAS, note))?;
    let file = find_below(&place, "_definitions.json", 9);
    let folder = file.as_deref().and_then(Path::parent).and_then(Path::parent);
    folder.map(Path::to_owned).ok_or_else(|| {
        anyhow!(
            "there are no schemas in {}; remove that folder and try again",
            place.display()
        )
    })
}

/// The folder with the custom resource definitions, `*.yaml`, fetched by Go.
///
/// # Errors
/// When Go is missing or cannot fetch the modules.
pub fn custom_resource_definitions(cache: &Cache, note: Note<'_>) -> anyhow::Result<PathBuf> {
    cache.get("crds-1", |making| {
        note("fetched with Go, once");
        for (module, folder) in DEFINITIONS {
            let json = command::output(
                Command::new("go")
                    .args(["mod", "download", "-json", module])
                    .current_dir(making),
                FETCH_LIMIT,
            )?;
            // What Go tells of its progress may stand before it.
            let json = json.get(json.find('{').unwrap_or_default()..).unwrap_or_default();
            let answer: serde_json::Value = serde_json::from_str(json)
                .with_context(|| format!("`go mod download -json {module}` wrote no JSON"))?;
            let home = answer
                .get("Dir")
                .and_then(serde_json::Value::as_str)
                .ok_or_else(|| anyhow!("Go has not fetched {module}"))?;
            for entry in std::fs::read_dir(Path::new(home).join(folder))? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "yaml")
                    && let Some(name) = path.file_name()
                {
                    // Written, not copied: what Go keeps may only be read.
                    std::fs::write(making.join(name), std::fs::read(&path)?)?;
                }
            }
        }
        Ok(())
    })
}

/// What `kustomize build` makes of a folder.
///
/// # Errors
/// When it refuses: with what it says.
pub fn kustomize_build(kustomize: &Path, folder: &Path) -> anyhow::Result<String> {
    command::output(
        Command::new(kustomize).arg("build").arg(folder),
        Duration::from_mins(1),
    )
}
