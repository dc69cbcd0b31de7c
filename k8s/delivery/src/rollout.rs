//! `cluster rollout`: traffic at a fixed rate from inside the cluster, while a commit rolls the fleet forward, a broken
//! image is pushed and taken back, pods are killed, a node is drained, and an environment grows. No request may fail, and
//! the history checker may find nothing lost or doubled.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    time::Duration,
};

use anyhow::{Context as _, anyhow, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api,
    api::{DeleteParams, EvictParams, ListParams, Patch, PatchParams},
};
use lp_fleet::{Environment, Fleet};
use serde::Deserialize;
use serde_json::json;
use tokio::{sync::Mutex, time::sleep};

use crate::{
    argo,
    cli::Proof,
    cluster::{Cluster, until},
    images,
    jobs::{Program, Running},
    prometheus, promotion, push,
    report::Report,
    repository::Repository,
    secrets::Vault,
    stores::{self, OUTSIDE},
};

/// Requests each second.
const RATE: u32 = 300;
/// A load that was not stopped by then has run into nothing.
const LONGEST: Duration = Duration::from_mins(15);
/// Of traffic before and after what is done under it.
const AROUND: Duration = Duration::from_secs(10);
/// After so long every caller has heard of a new pod: DNS may answer for 30 s what was so before, and clients look
/// every 3 s.
const KNOWN: Duration = Duration::from_secs(35);

/// After so long a Deployment counts no pod that was evicted.
const NOTICED: Duration = Duration::from_secs(2);

/// What a load saw, as it prints it.
#[derive(Debug, Deserialize)]
struct Load {
    sent: u64,
    ok: u64,
    refused: u64,
    failed: u64,
    retried: u64,
    failures: BTreeMap<String, u64>,
    p50_ms: f64,
    p99_ms: f64,
    violations: Vec<String>,
}

/// What every phase needs.
struct Stage<'a> {
    proof: &'a Proof,
    cluster: &'a Cluster,
    fleet: &'a Fleet,
    repository: Repository,
    vault: Vault,
    image: String,
    node: String,
}

pub(crate) async fn run(proof: &Proof) -> anyhow::Result<()> {
    let headings = [
        "under load",
        "seconds",
        "what was seen",
        "sent",
        "failed",
        "retried",
        "p50 ms",
        "p99 ms",
        "checker",
    ];
    let mut report = Report::begin(proof, "rollout", &headings).await?;
    let cluster = &proof.connect().await?;
    let fleet = lp_fleet::fleet();
    let stage = Stage {
        proof,
        cluster,
        fleet,
        repository: proof.repository()?,
        vault: Vault::open(cluster).await?,
        image: images::of(&images::list(&proof.root)?, "localplus-proof")?
            .reference
            .clone(),
        node: stores::first_node(cluster).await?,
    };
    let prod = fleet.environments.last().context("no environment")?;
    let staging = fleet
        .environments
        .iter()
        .rev()
        .nth(1)
        .context("no environment before it")?;

    let (commit, release) = stage.stage_release().await?;
    stage
        .under_load(
            prod,
            "a new image and configuration of each service",
            &mut report,
            stage.roll(prod, &commit, &release),
        )
        .await?;
    stage
        .under_load(
            prod,
            "a broken image, and its revert",
            &mut report,
            stage.break_and_revert(prod),
        )
        .await?;
    stage
        .under_load(
            prod,
            "a pod of each service killed",
            &mut report,
            stage.kill(prod),
        )
        .await?;
    stage
        .under_load(prod, "the second node drained", &mut report, stage.drain(prod))
        .await?;
    stage
        .under_load(
            staging,
            "from 1 pod of each service to 3",
            &mut report,
            stage.grow(staging),
        )
        .await?;
    report.note(format!(
        "Load: {RATE} requests/s from a Job inside the cluster, through the project's own balancing channel: of a \
         hundred 91 read balances, 9 move value or look at cards. “Failed” \
         is a request without an answer that the contract allows, after the client's own retries; each latency is from \
         the moment at which the request was due."
    ));
    report.end()
}

impl Stage<'_> {
    /// Does something while the load runs on `environment`; fails when a request failed or the checker found something.
    async fn under_load(
        &self,
        environment: &Environment,
        what: &str,
        report: &mut Report,
        deed: impl Future<Output = anyhow::Result<String>>,
    ) -> anyhow::Result<()> {
        println!("  … {what}");
        self.settle(environment).await?;
        let begun = report.seconds();
        let load = Program {
            name: "load",
            namespace: OUTSIDE,
            image: &self.image,
            command: [
                "/load",
                "--rate",
                &RATE.to_string(),
                "--seconds",
                &LONGEST.as_secs().to_string(),
            ]
            .map(ToOwned::to_owned)
            .to_vec(),
            env: self.proof.outside_env(self.fleet, environment, &self.vault)?,
            node: &self.node,
        };
        let running = Running::start(self.cluster, &load).await?;
        sleep(AROUND).await;
        let done = if running.runs() {
            deed.await
        } else {
            Err(anyhow!("there is no load"))
        };
        sleep(AROUND).await;
        let lasted = running.runs();
        let ended = running.stop(Duration::from_mins(5)).await?;
        ensure!(lasted, "the load ended before {what} was over:\n{}", ended.tail());
        let seen = done.with_context(|| what.to_owned())?;
        let load: Load = serde_json::from_value(ended.result()?).context("the load's result")?;
        println!("  ✓ {what}: {seen}; {load:?}");
        report.cells(vec![
            what.to_owned(),
            format!("{:.0}", report.seconds() - begun),
            seen,
            load.sent.to_string(),
            load.failed.to_string(),
            load.retried.to_string(),
            format!("{:.0}", load.p50_ms),
            format!("{:.0}", load.p99_ms),
            format!("{} violations", load.violations.len()),
        ]);
        ensure!(
            load.failed == 0,
            "{what}: {} requests failed: {:?}",
            load.failed,
            load.failures
        );
        ensure!(
            load.violations.is_empty(),
            "{what}: {}",
            load.violations.join("; ")
        );
        ensure!(
            load.ok > 0 && load.sent == load.ok + load.refused,
            "{what}: the load's figures do not add up"
        );
        Ok(())
    }

    /// Waits until every service has the pods that the environment asks for, and all of them are ready.
    async fn settle(&self, environment: &Environment) -> anyhow::Result<()> {
        let limit = Duration::from_mins(3);
        let least = usize::try_from(environment.replicas_minimum)?;
        for service in &self.fleet.services {
            let what = format!("{} has {least} pods in {}", service.binary(), environment.name);
            until(&what, limit, || async {
                let pods = push::serving(self.cluster, &environment.namespace, service).await?;
                Ok(if pods.len() >= least {
                    Ok(())
                } else {
                    Err(format!("it has {}", pods.len()))
                })
            })
            .await?;
        }
        stores::until_ready(self.cluster, &[&environment.namespace], limit).await
    }

    /// All services' images and a setting of all, committed and running in every environment but the last; returns the
    /// commit and the release.
    async fn stage_release(&self) -> anyhow::Result<(String, String)> {
        println!("  … a new release, up to the environment before the last");
        let images = push::new_release(self.proof, &self.repository, self.fleet, "roll")?;
        let release = images.first().context("no images")?.release.clone();
        let mut changed = self.fleet.clone();
        changed
            .config
            .insert("LOG_FILTER".to_owned(), "info,h2=warn".to_owned());
        self.generate(&changed)?;
        let commit = self
            .repository
            .commit(&format!("Release {release}; h2 logs less"))?;
        push::promote_through(
            self.cluster,
            &self.repository,
            self.fleet,
            1,
            &commit,
            &release,
            &mut |_, _| {},
        )
        .await?;
        Ok((commit, release))
    }

    /// Promotes a release to production, one service after the other.
    async fn roll(&self, prod: &Environment, commit: &str, release: &str) -> anyhow::Result<String> {
        for service in &self.fleet.services {
            let one = std::slice::from_ref(&service.name);
            push::promote_to(self.cluster, &self.repository, self.fleet, prod, one).await?;
            push::until_runs(self.cluster, prod, std::slice::from_ref(service), commit).await?;
        }
        let pods = push::until_answers(self.cluster, prod, self.fleet, release).await?;
        Ok(format!("{pods} pods replaced, all answer {release}"))
    }

    /// A digest that svc-ledger's images do not have, forced past the gates; then back.
    async fn break_and_revert(&self, prod: &Environment) -> anyhow::Result<String> {
        let images = images::list(&self.proof.root)?;
        let mut broken = images::of(&images, "svc-ledger")?.clone();
        let other = images::of(&images, "svc-analytics")?;
        broken.digest.clone_from(&other.digest);
        images::release(&self.repository.folder, &broken)?;
        let bad = self.repository.commit("A broken image of svc-ledger")?;
        promotion::write(&self.repository.folder, "ledger", &prod.name, &bad)?;
        let forced = self.repository.commit("Force it into production")?;
        let ledger = self.fleet.service("ledger").context("no ledger")?;
        let before = push::serving(self.cluster, &prod.namespace, ledger).await?;
        self.repository.push(false)?;

        let name = argo::application(&prod.name, "ledger");
        let state = until(
            "Argo CD says that the rollout failed",
            Duration::from_mins(6),
            || async {
                let all = argo::applications(self.cluster).await?;
                let one = all.get(&name).context("no Application")?;
                let failed = one.attempted == bad && (one.health == "Degraded" || one.retries > 0);
                Ok(if failed { Ok(one.state()) } else { Err(one.state()) })
            },
        )
        .await?;
        let after = push::serving(self.cluster, &prod.namespace, ledger).await?;
        ensure!(
            before.iter().all(|pod| after.contains(pod)),
            "an old pod ended although the new image is broken: {before:?}, then {after:?}"
        );
        self.repository.revert(&forced)?;
        let healed = self.repository.revert(&bad)?;
        self.repository.push(false)?;
        let first = self.fleet.environments.first().context("no environment")?;
        let expected = [
            (name, None),
            (argo::application(&first.name, "ledger"), Some(healed)),
        ];
        argo::until_well(self.cluster, &expected, Duration::from_mins(6)).await?;
        Ok(format!(
            "{state}; {} old pods served on; the revert healed it",
            before.len()
        ))
    }

    /// One pod of each service, without a moment to end.
    async fn kill(&self, prod: &Environment) -> anyhow::Result<String> {
        let pods: Api<Pod> = Api::namespaced(self.cluster.client.clone(), &prod.namespace);
        let mut killed = 0_u32;
        for service in &self.fleet.services {
            let running = push::serving(self.cluster, &prod.namespace, service).await?;
            let pod = running
                .first()
                .with_context(|| format!("{} has no pod", service.binary()))?;
            pods.delete(
                pod,
                &DeleteParams {
                    grace_period_seconds: Some(0),
                    ..DeleteParams::default()
                },
            )
            .await?;
            killed += 1;
            sleep(Duration::from_secs(5)).await;
        }
        stores::until_ready(self.cluster, &[&prod.namespace], Duration::from_mins(3)).await?;
        Ok(format!("{killed} pods killed, and replaced"))
    }

    /// Evicts every pod from the youngest node, one after the other, and lets it take pods again.
    async fn drain(&self, prod: &Environment) -> anyhow::Result<String> {
        let nodes = stores::nodes(self.cluster).await?;
        ensure!(nodes.len() > 1, "there is no second node to drain");
        let second = nodes.last().context("no node")?;
        let all: Api<Node> = Api::all(self.cluster.client.clone());
        let cordon = |closed: bool| Patch::Merge(json!({"spec": {"unschedulable": closed}}));
        all.patch(second, &PatchParams::default(), &cordon(true)).await?;
        let evicted = self.evict_all(second).await;
        let ready = stores::until_ready(self.cluster, &[&prod.namespace], Duration::from_mins(3)).await;
        all.patch(second, &PatchParams::default(), &cordon(false)).await?;
        let evicted = evicted?;
        ready?;
        ensure!(evicted > 0, "{second} had no pod to evict");
        Ok(format!(
            "{evicted} pods evicted from {second}, as their budgets allowed"
        ))
    }

    /// Evicts until a node is empty, each pod when the one before has its successor: all at once would show how many
    /// starts the other nodes have the processors for. Says how many pods that took.
    async fn evict_all(&self, node: &str) -> anyhow::Result<usize> {
        let pods: Api<Pod> = Api::all(self.cluster.client.clone());
        let on_node = ListParams::default().fields(&format!("spec.nodeName={node}"));
        let evicted = Mutex::new(BTreeSet::new());
        until(&format!("{node} is empty"), Duration::from_mins(8), || async {
            let left = pods.list(&on_node).await?.items.into_iter().filter(|pod| {
                let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
                !matches!(phase, Some("Succeeded" | "Failed"))
            });
            let left: Vec<_> = left.collect();
            for pod in left
                .iter()
                .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            {
                let name = pod.metadata.name.as_deref().context("a pod without name")?;
                let namespace = pod
                    .metadata
                    .namespace
                    .as_deref()
                    .context("a pod without namespace")?;
                let of: Api<Pod> = Api::namespaced(self.cluster.client.clone(), namespace);
                // 429 says that a disruption budget wants another pod to be ready first.
                if of.evict(name, &EvictParams::default()).await.is_ok() {
                    evicted.lock().await.insert(name.to_owned());
                    sleep(NOTICED).await;
                    stores::until_ready(self.cluster, &[namespace], Duration::from_mins(3)).await?;
                }
            }
            Ok(if left.is_empty() {
                Ok(())
            } else {
                Err(format!("{} pods are left", left.len()))
            })
        })
        .await?;
        Ok(evicted.into_inner().len())
    }

    /// Three pods in place of one, by a commit for each service; then who answered how much.
    async fn grow(&self, staging: &Environment) -> anyhow::Result<String> {
        let ledger = self.fleet.service("ledger").context("no ledger")?;
        let few = push::serving(self.cluster, &staging.namespace, ledger)
            .await?
            .len();
        ensure!(
            few == 1,
            "{} has {few} pods of svc-ledger before it grows",
            staging.name
        );
        let mut changed = self.fleet.clone();
        let own = changed
            .environments
            .iter_mut()
            .find(|one| one.name == staging.name);
        own.context("no such environment")?.replicas_minimum = 3;
        self.generate(&changed)?;
        let commit = self.repository.commit("Three pods of each service in staging")?;
        let mut promoted = Vec::new();
        for service in &self.fleet.services {
            promotion::write(&self.repository.folder, &service.name, &staging.name, &commit)?;
            let subject = format!("Let {} grow in staging", service.binary());
            promoted.push(self.repository.commit(&subject)?);
            self.repository.push(false)?;
            push::until_runs(self.cluster, staging, std::slice::from_ref(service), &commit).await?;
        }
        until(
            "staging has 3 pods of svc-ledger",
            Duration::from_mins(4),
            || async {
                let pods = push::serving(self.cluster, &staging.namespace, ledger).await?;
                Ok(if pods.len() == 3 {
                    Ok(())
                } else {
                    Err(format!("it has {}", pods.len()))
                })
            },
        )
        .await?;
        stores::until_ready(self.cluster, &[&staging.namespace], Duration::from_mins(3)).await?;
        sleep(KNOWN).await;
        let before = prometheus::answered(self.cluster, &staging.namespace, &ledger.binary()).await?;
        sleep(Duration::from_secs(20)).await;
        let after = prometheus::answered(self.cluster, &staging.namespace, &ledger.binary()).await?;
        let mut shares = Vec::new();
        for (pod, count) in &after {
            shares.push(count.saturating_sub(before.get(pod).copied().unwrap_or(0)));
        }
        let total: u64 = shares.iter().sum();
        let least = shares.iter().min().copied().unwrap_or(0);
        ensure!(
            shares.len() == 3 && total > 0 && least * 5 >= total,
            "the load does not spread over three pods: {shares:?}"
        );
        let percent: Vec<_> = shares
            .iter()
            .map(|share| format!("{} %", share * 100 / total.max(1)))
            .collect();
        for grown in promoted.iter().rev().chain([&commit]) {
            self.repository.revert(grown)?;
        }
        self.repository.push(false)?;
        Ok(format!(
            "svc-ledger's pods answered {} of 20 s",
            percent.join(", ")
        ))
    }

    /// Writes the manifests of a description into the copy.
    fn generate(&self, fleet: &Fleet) -> anyhow::Result<()> {
        let folder = self.repository.folder.join("k8s");
        std::fs::write(folder.join("fleet.yaml"), serde_yaml_ng::to_string(fleet)?)?;
        let files = lp_fleet::generate::files(fleet, &folder.join("templates"))?;
        lp_fleet::generate::write(&files, &folder)?;
        Ok(())
    }
}
