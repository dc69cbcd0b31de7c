//! Programs of the proof, run as Jobs inside the cluster.

use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    Api,
    api::{DeleteParams, ListParams, LogParams, PropagationPolicy},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::cluster::{Cluster, until};

/// What a Job runs.
pub(crate) struct Program<'a> {
    /// Of the Job.
    pub(crate) name: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) image: &'a str,
    pub(crate) command: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// The node that it must run on.
    pub(crate) node: &'a str,
}

/// How it ended.
pub(crate) struct Ended {
    pub(crate) ok: bool,
    pub(crate) log: String,
}

impl Ended {
    /// The last line of its log that is a JSON object.
    pub(crate) fn result(&self) -> anyhow::Result<Value> {
        let objects = self.log.lines().rev().filter(|line| line.starts_with('{'));
        let parsed = objects.filter_map(|line| serde_json::from_str(line).ok()).next();
        parsed.with_context(|| format!("the Job printed no result; its last lines:\n{}", self.tail()))
    }

    /// Its last lines.
    pub(crate) fn tail(&self) -> String {
        let lines: Vec<_> = self.log.lines().rev().take(15).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

/// What the policy "restricted" asks of a container.
pub(crate) fn restricted() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "runAsNonRoot": true,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    })
}

/// Environment variables as a container has them.
pub(crate) fn env(variables: &[(String, String)]) -> Value {
    variables
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect()
}

/// Removes a Job that an earlier proof left: what it runs cannot be changed.
pub(crate) async fn remove(cluster: &Cluster, namespace: &str, name: &str) -> anyhow::Result<()> {
    let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), namespace);
    if jobs.get_opt(name).await?.is_none() {
        return Ok(());
    }
    let with_pods = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Foreground),
        ..DeleteParams::default()
    };
    jobs.delete(name, &with_pods).await?;
    until(&format!("Job {name} is gone"), Duration::from_mins(1), || async {
        let left = jobs.get_opt(name).await?;
        Ok(left.map_or(Ok(()), |_| Err("it is being deleted".to_owned())))
    })
    .await
}

/// Starts it, in place of an earlier one of the same name.
async fn start(cluster: &Cluster, program: &Program<'_>) -> anyhow::Result<()> {
    let Program {
        name,
        namespace,
        image,
        command,
        env: variables,
        node,
    } = program;
    remove(cluster, namespace, name).await?;
    let job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "backoffLimit": 0,
            "template": {
                "metadata": {"labels": {"app.kubernetes.io/name": name}},
                "spec": {
                    "restartPolicy": "Never",
                    // Asked to end, a load still has to judge what it saw.
                    "terminationGracePeriodSeconds": 300,
                    "automountServiceAccountToken": false,
                    "nodeSelector": {"kubernetes.io/hostname": node},
                    "containers": [{
                        "name": name,
                        "image": image,
                        "imagePullPolicy": "IfNotPresent",
                        "command": command,
                        // Callers that are kept waiting would count as a slow fleet.
                        "resources": {"requests": {"cpu": "150m"}},
                        "env": env(variables),
                        "securityContext": restricted(),
                    }],
                },
            },
        },
    });
    cluster.apply(&job).await?;
    Ok(())
}

/// A Job whose pod runs, and whose log is read as it is written.
pub(crate) struct Running {
    pods: Api<Pod>,
    pod: String,
    log: JoinHandle<anyhow::Result<String>>,
}

impl Running {
    /// Starts a program, and waits until its pod runs.
    pub(crate) async fn start(cluster: &Cluster, program: &Program<'_>) -> anyhow::Result<Self> {
        start(cluster, program).await?;
        let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), program.namespace);
        let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={}", program.name));
        let pod = until(
            &format!("Job {} runs", program.name),
            Duration::from_mins(1),
            || async {
                let all = pods.list(&of_job).await?;
                let Some(pod) = all.items.into_iter().next() else {
                    return Ok(Err("it has no pod".to_owned()));
                };
                let phase = pod.status.and_then(|status| status.phase).unwrap_or_default();
                let name = pod.metadata.name.context("a pod without name")?;
                Ok(if phase == "Pending" {
                    Err("its pod is pending".to_owned())
                } else {
                    Ok(name)
                })
            },
        )
        .await?;
        let (reader, name) = (pods.clone(), pod.clone());
        let log = tokio::spawn(async move {
            let follow = LogParams {
                follow: true,
                ..LogParams::default()
            };
            let mut lines = reader.log_stream(&name, &follow).await?.lines();
            let mut text = String::new();
            while let Some(line) = lines.try_next().await? {
                text.push_str(&line);
                text.push('\n');
            }
            Ok(text)
        });
        Ok(Self { pods, pod, log })
    }

    /// Whether it has not ended yet.
    pub(crate) fn runs(&self) -> bool {
        !self.log.is_finished()
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(self, limit: Duration) -> anyhow::Result<Ended> {
        let log = tokio::time::timeout(limit, self.log).await;
        let log =
            log.with_context(|| format!("{} has not ended after {} s", self.pod, limit.as_secs()))???;
        let (pods, pod) = (&self.pods, &self.pod);
        // A moment passes between the end of the log and the pod's phase.
        let ok = until(
            &format!("the end of {pod} is known"),
            Duration::from_secs(30),
            || async {
                let Some(pod) = pods.get_opt(pod).await? else {
                    return Ok(Ok(false));
                };
                let phase = pod.status.and_then(|status| status.phase).unwrap_or_default();
                Ok(match phase.as_str() {
                    "Succeeded" => Ok(true),
                    "Failed" => Ok(false),
                    _ => Err(format!("it is {phase}")),
                })
            },
        )
        .await?;
        Ok(Ended { ok, log })
    }

    /// Asks it to end, as an orchestrator does, and waits until it has; its result is in its log.
    pub(crate) async fn stop(self, limit: Duration) -> anyhow::Result<Ended> {
        self.pods.delete(&self.pod, &DeleteParams::default()).await?;
        self.ended(limit).await
    }
}

/// Starts it and waits until it has ended well.
pub(crate) async fn run(cluster: &Cluster, program: &Program<'_>, limit: Duration) -> anyhow::Result<Ended> {
    let ended = Running::start(cluster, program).await?.ended(limit).await?;
    if !ended.ok {
        bail!("Job {} failed:\n{}", program.name, ended.tail());
    }
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_is_the_last_object() {
        let log = "{\"sent\":1}\nprogress\n{\"sent\":2}\nnot {json}\n".to_owned();
        assert_eq!(Ended { ok: true, log }.result().unwrap(), json!({"sent": 2}));
        let log = "nothing".to_owned();
        assert!(Ended { ok: true, log }.result().is_err());
    }
}
