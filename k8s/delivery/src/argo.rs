//! What Argo CD says of its Applications.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::Secret,
};
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, field, name, now, until},
    stores,
};

/// Where Argo CD and its Applications are.
pub(crate) const NAMESPACE: &str = "argocd";
const APPLICATION: (&str, &str) = ("argoproj.io/v1alpha1", "Application");

/// An Application, as Argo CD last saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Application {
    pub(crate) name: String,
    pub(crate) sync: String,
    pub(crate) health: String,
    /// The commit that it compared with, in full.
    pub(crate) revision: String,
    /// Of its last operation.
    pub(crate) phase: String,
    /// The commit that its last operation was about.
    pub(crate) attempted: String,
    pub(crate) message: String,
    /// How often that operation was begun again after it had failed.
    pub(crate) retries: i64,
    /// The commit, or branch, that it is asked to deploy.
    target: String,
}

impl Application {
    fn of(object: &DynamicObject) -> anyhow::Result<Self> {
        let text = |pointer| field(object, pointer).to_owned();
        Ok(Self {
            name: name(object)?.to_owned(),
            sync: text("/status/sync/status"),
            health: text("/status/health/status"),
            revision: text("/status/sync/revision"),
            phase: text("/status/operationState/phase"),
            attempted: text("/status/operationState/syncResult/revision"),
            message: text("/status/operationState/message"),
            retries: object
                .data
                .pointer("/status/operationState/retryCount")
                .and_then(Value::as_i64)
                .unwrap_or(0),
            target: text("/spec/source/targetRevision"),
        })
    }

    /// Whether all that a commit says is in the cluster, and works: this commit, where one is asked for.
    pub(crate) fn is_well(&self, at: Option<&str>) -> bool {
        self.sync == "Synced"
            && self.health == "Healthy"
            && self.is_done()
            && at.is_none_or(|at| self.revision == at)
            && (self.target.len() != 40 || self.target == self.revision)
    }

    /// Whether its last operation says nothing against it.
    fn is_done(&self) -> bool {
        match self.phase.as_str() {
            // None where Argo CD found everything in place and had nothing to do.
            "Succeeded" | "" => true,
            // Of a commit that was taken back since: what runs is what ran before, and there was nothing to do.
            "Failed" | "Error" => !self.attempted.is_empty() && self.attempted != self.revision,
            _ => false,
        }
    }

    /// For people: what it lacks.
    pub(crate) fn state(&self) -> String {
        let revision = self.revision.get(..7).unwrap_or("no revision");
        format!(
            "{} {} {} at {revision}, {}, {} retries",
            self.name, self.sync, self.health, self.phase, self.retries
        )
    }
}

/// Lets Argo CD's programs read their settings, which they do when they start, and waits until they are back.
pub(crate) async fn restart(cluster: &Cluster) -> anyhow::Result<()> {
    let now = now().to_string();
    let patch = json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": now}}}}});
    let (patch, how) = (Patch::Merge(patch), PatchParams::default());
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    for one in ["argocd-repo-server", "argocd-applicationset-controller"] {
        deployments
            .patch(one, &how, &patch)
            .await
            .with_context(|| format!("Deployment {one}"))?;
    }
    const CONTROLLER: &str = "argocd-application-controller";
    let sets: Api<StatefulSet> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    sets.patch(CONTROLLER, &how, &patch)
        .await
        .with_context(|| format!("StatefulSet {CONTROLLER}"))?;
    stores::until_ready(cluster, &[NAMESPACE], Duration::from_mins(3)).await?;
    until("Argo CD's controller is back", Duration::from_mins(3), || async {
        let set = sets.get(CONTROLLER).await?;
        let status = set.status.unwrap_or_default();
        let back = status.observed_generation == set.metadata.generation
            && status.update_revision == status.current_revision
            && status.ready_replicas == Some(status.replicas);
        Ok(if back {
            Ok(())
        } else {
            Err(format!("{:?} ready", status.ready_replicas))
        })
    })
    .await
}

/// What Argo CD shows to a cluster that is not registered as its own: a token of its controller's account.
pub(crate) async fn access(cluster: &Cluster) -> anyhow::Result<Value> {
    const TOKEN: &str = "localplus-proof-controller";
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": {
            "name": TOKEN, "namespace": NAMESPACE,
            "annotations": {"kubernetes.io/service-account.name": "argocd-application-controller"},
        },
    });
    cluster.apply(&secret).await?;
    let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let data = until(
        "the controller's account has a token",
        Duration::from_secs(30),
        || async {
            let data = secrets.get(TOKEN).await?.data.unwrap_or_default();
            Ok(if data.contains_key("token") {
                Ok(data)
            } else {
                Err("not yet".to_owned())
            })
        },
    )
    .await?;
    let of = |key: &str| data.get(key).map(|value| value.0.as_slice()).unwrap_or_default();
    Ok(json!({
        "bearerToken": String::from_utf8(of("token").to_vec())?,
        "tlsClientConfig": {"insecure": false, "caData": BASE64_STANDARD.encode(of("ca.crt"))},
    }))
}

#[cfg(test)]
impl Application {
    /// One that runs `revision` well.
    pub(crate) fn well(name: &str, revision: &str) -> Self {
        let text = |text: &str| text.to_owned();
        Self {
            name: text(name),
            sync: text("Synced"),
            health: text("Healthy"),
            revision: text(revision),
            phase: text("Succeeded"),
            attempted: text(revision),
            message: String::new(),
            retries: 0,
            target: text("main"),
        }
    }
}

/// The name of a service's Application.
pub(crate) fn application(environment: &str, service: &str) -> String {
    format!("{environment}-svc-{service}")
}

/// All of them, by name.
pub(crate) async fn applications(cluster: &Cluster) -> anyhow::Result<BTreeMap<String, Application>> {
    let objects = cluster.list(APPLICATION, Some(NAMESPACE), "").await?;
    objects
        .iter()
        .map(|object| Application::of(object).map(|one| (one.name.clone(), one)))
        .collect()
}

/// Waits until each of these is well at its commit, where one is named.
pub(crate) async fn until_well(
    cluster: &Cluster,
    expected: &[(String, Option<String>)],
    limit: Duration,
) -> anyhow::Result<Vec<Application>> {
    until("all Applications are Synced and Healthy", limit, || async {
        let all = applications(cluster).await?;
        let mut well = Vec::new();
        let mut missing = Vec::new();
        for (name, at) in expected {
            match all.get(name) {
                Some(one) if one.is_well(at.as_deref()) => well.push(one.clone()),
                Some(one) => missing.push(one.state()),
                None => missing.push(format!("{name} does not exist")),
            }
        }
        Ok(if missing.is_empty() {
            Ok(well)
        } else {
            Err(missing.join("; "))
        })
    })
    .await
}
