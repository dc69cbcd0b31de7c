//! What a proof's cluster has beside the fleet and Argo CD: data stores, issuers of tokens, definitions of kinds.

use std::{collections::BTreeMap, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, bail};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Node};
use kube::{Api, api::ListParams};
use lp_fleet::{Fleet, Service};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, until},
    images::{self, Image},
    jobs,
    secrets::Vault,
};

/// The namespace of the data stores.
pub(crate) const DATA: &str = "localplus-data";
/// The namespace from which callers outside of the fleet come.
pub(crate) const OUTSIDE: &str = "gateway";

const STORES: &str = include_str!("../manifests/stores.yaml");
const METRICS: &str = include_str!("../manifests/metrics.yaml");

/// Definitions of the kinds that the fleet's manifests use and Kubernetes has not: a Go module, and files in it.
const DEFINITIONS: [(&str, &[&str]); 3] = [
    (
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        &["example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml"],
    ),
    (
        "github.com/external-secrets/external-secrets@v1.3.2",
        &[
            "config/crds/bases/external-secrets.io_externalsecrets.yaml",
            "config/crds/bases/external-secrets.io_clustersecretstores.yaml",
        ],
    ),
    (
        "sigs.k8s.io/gateway-api@v1.4.1",
        &[
            "config/crd/standard/gateway.networking.k8s.io_gatewayclasses.yaml",
            "config/crd/standard/gateway.networking.k8s.io_gateways.yaml",
            "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
            "config/crd/standard/gateway.networking.k8s.io_grpcroutes.yaml",
        ],
    ),
];

/// The secrets that `provision` takes.
const PROVISIONING: [&str; 3] = ["ADMIN_DATABASE_URL", "MIGRATION_DATABASE_URL", "DATABASE_URL"];

/// The node that data stores and the proof's own programs stay on: the oldest.
pub(crate) async fn first_node(cluster: &Cluster) -> anyhow::Result<String> {
    let nodes = nodes(cluster).await?;
    nodes.into_iter().next().context("the cluster has no node")
}

/// All nodes, the oldest first.
pub(crate) async fn nodes(cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let mut nodes = nodes.list(&ListParams::default()).await?.items;
    nodes.sort_by_key(|node| node.metadata.creation_timestamp.clone().map(|time| time.0));
    Ok(nodes.into_iter().filter_map(|node| node.metadata.name).collect())
}

/// Applies the definitions of kinds.
pub(crate) async fn define(cluster: &Cluster) -> anyhow::Result<()> {
    for (module, files) in DEFINITIONS {
        let folder = tokio::task::spawn_blocking(|| go_module(module)).await??;
        for file in files {
            let text = std::fs::read_to_string(folder.join(file))
                .with_context(|| format!("{module} has no {file}"))?;
            cluster
                .apply_all(&text)
                .await
                .with_context(|| format!("{file} of {module}"))?;
        }
    }
    Ok(())
}

/// The folder of a Go module, downloaded if need be.
fn go_module(module: &str) -> anyhow::Result<PathBuf> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Downloaded {
        dir: PathBuf,
    }
    let output = Command::new("go")
        .args(["mod", "download", "-json", module])
        .current_dir(std::env::temp_dir())
        .output()
        .context("go cannot be started: definitions of kinds come in Go modules")?;
    if !output.status.success() {
        bail!(
            "`go mod download {module}` failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let downloaded: Downloaded = serde_json::from_slice(&output.stdout)?;
    Ok(downloaded.dir)
}

/// Starts the data stores, and waits until they answer.
pub(crate) async fn start(cluster: &Cluster, images: &[Image], node: &str) -> anyhow::Result<Vault> {
    let fill = |text: &str| {
        anyhow::Ok(
            text.replace("@NODE@", node)
                .replace("@DATA@", &images::of(images, "localplus-data")?.reference)
                .replace("@PROOF@", &images::of(images, "localplus-proof")?.reference),
        )
    };
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": DATA}});
    cluster.apply(&namespace).await?;
    let vault = Vault::open(cluster).await?;
    cluster.apply_all(&fill(STORES)?).await?;
    cluster.apply_all(&fill(METRICS)?).await?;
    Ok(vault)
}

/// Waits until every Deployment of these namespaces has all its pods.
pub(crate) async fn until_ready(
    cluster: &Cluster,
    namespaces: &[&str],
    limit: Duration,
) -> anyhow::Result<()> {
    for namespace in namespaces {
        let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), namespace);
        until(&format!("everything in {namespace} is ready"), limit, || async {
            let all = deployments.list(&ListParams::default()).await?;
            let waiting: Vec<_> = all
                .items
                .into_iter()
                .filter(|one| {
                    let status = one.status.clone().unwrap_or_default();
                    let wanted = one.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
                    status.ready_replicas.unwrap_or(0) < wanted
                        || status.observed_generation < one.metadata.generation
                })
                .filter_map(|one| one.metadata.name)
                .collect();
            Ok(if waiting.is_empty() {
                Ok(())
            } else {
                Err(waiting.join(", "))
            })
        })
        .await?;
    }
    Ok(())
}

/// An issuer of tokens for each environment, each with keys of its own.
pub(crate) async fn start_issuers(
    cluster: &Cluster,
    fleet: &Fleet,
    vault: &Vault,
    image: &Image,
    node: &str,
) -> anyhow::Result<()> {
    let clients = lp_stack::fleet::issuer_clients(vault.client_secret()?);
    for environment in &fleet.environments {
        let name = format!("issuer-{}", environment.name);
        let url = environment.issuer.url.to_string();
        let labels = json!({"app.kubernetes.io/name": name});
        let variables = [
            ("ISSUER_ADDR", "0.0.0.0:7100"),
            ("ISSUER_URL", url.trim_end_matches('/')),
            ("ISSUER_FOLDER", "/keys"),
            ("ISSUER_AUDIENCE", &environment.issuer.audience),
            ("ISSUER_CLIENTS", &clients.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": DATA},
            "spec": {"selector": labels, "ports": [{"name": "http", "port": 7100}]},
        });
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": DATA},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "automountServiceAccountToken": false,
                        "nodeSelector": {"kubernetes.io/hostname": node},
                        "securityContext": {"runAsUser": 65532, "fsGroup": 65532},
                        "volumes": [{"name": "keys", "emptyDir": {}}],
                        "containers": [{
                            "name": "issuer",
                            "image": image.reference,
                            "imagePullPolicy": "IfNotPresent",
                            "command": ["/issuer"],
                            "resources": {"requests": {"cpu": "10m"}},
                            "env": jobs::env(&variables),
                            "ports": [{"containerPort": 7100}],
                            "readinessProbe": {"httpGet": {"path": "/healthz/ready", "port": 7100}, "periodSeconds": 1},
                            "volumeMounts": [{"name": "keys", "mountPath": "/keys"}],
                            "securityContext": jobs::restricted(),
                        }],
                    },
                },
            },
        });
        cluster.apply(&service).await?;
        cluster.apply(&deployment).await?;
    }
    Ok(())
}

/// Makes the databases, roles and schemas of every environment: one Job each, one service after the other.
pub(crate) async fn provision(
    cluster: &Cluster,
    fleet: &Fleet,
    vault: &Vault,
    images: &[Image],
) -> anyhow::Result<()> {
    for environment in &fleet.environments {
        let name = format!("provision-{}", environment.name);
        jobs::remove(cluster, DATA, &name).await?;
        let mut values = BTreeMap::new();
        for service in &fleet.services {
            for variable in PROVISIONING {
                let value = vault.value(&environment.name, &service.name, variable)?;
                values.insert(format!("{}.{variable}", service.name), value);
            }
        }
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": name, "namespace": DATA},
            "stringData": values,
        });
        cluster.apply(&secret).await?;
        let container = |service: &Service| provisioning(&name, service, images);
        let mut containers = fleet
            .services
            .iter()
            .map(container)
            .collect::<anyhow::Result<Vec<_>>>()?;
        let last = containers.pop().context("the fleet has no service")?;
        let job = json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": name, "namespace": DATA},
            "spec": {"backoffLimit": 3, "template": {"spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": false,
                "initContainers": containers,
                "containers": [last],
            }}},
        });
        cluster.apply(&job).await?;
        let jobs: Api<k8s_openapi::api::batch::v1::Job> = Api::namespaced(cluster.client.clone(), DATA);
        until(&format!("{name} has ended"), Duration::from_mins(3), || async {
            let succeeded = jobs.get(&name).await?.status.and_then(|status| status.succeeded);
            Ok(if succeeded == Some(1) {
                Ok(())
            } else {
                Err("it has not succeeded".to_owned())
            })
        })
        .await?;
    }
    Ok(())
}

/// A container that provisions a service with the values of a Secret.
fn provisioning(secret: &str, service: &Service, images: &[Image]) -> anyhow::Result<Value> {
    let name = service.binary();
    let of_secret = PROVISIONING.iter().map(|variable| {
        let key = format!("{}.{variable}", service.name);
        json!({"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}})
    });
    let schema = json!({"name": "DATABASE_SCHEMA", "value": service.schema()});
    Ok(json!({
        "name": name,
        "image": images::of(images, &name)?.reference,
        "imagePullPolicy": "IfNotPresent",
        "command": [format!("/{name}"), "provision"],
        "env": of_secret.chain([schema]).collect::<Vec<_>>(),
        "securityContext": jobs::restricted(),
    }))
}
