//! `cluster push-to-prod`: how long it takes from `git push` to the new version answering in production, through every
//! environment and its gate.

use std::time::Duration;

use anyhow::Context as _;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};
use lp_fleet::{Environment, Fleet, Service};

use crate::{
    argo,
    cli::Proof,
    cluster::{Cluster, now, until},
    images::{self, Image},
    prometheus, promotion,
    report::Report,
    repository::Repository,
};

/// A leg that takes longer has failed: the goal for all of them together is 5 minutes.
const LEG: Duration = Duration::from_mins(5);

pub(crate) async fn run(proof: &Proof) -> anyhow::Result<()> {
    let mut report = Report::begin(proof, "push-to-prod", &["leg", "seconds", "what was seen"]).await?;
    let cluster = &proof.connect().await?;
    let repository = proof.repository()?;
    let fleet = lp_fleet::fleet();
    let images = new_release(proof, &repository, fleet, "push")?;
    let release = images.first().context("no images")?.release.clone();
    report.row(
        "images packed and loaded",
        format!("release {release}, no code recompiled; before the push"),
    );

    let before = report.seconds();
    let commit = repository.commit(&format!("Release {release}"))?;
    let mut tell = |environment: &str, seen| report.row(&format!("{environment} runs it"), seen);
    promote_through(cluster, &repository, fleet, 0, &commit, &release, &mut tell).await?;
    let seconds = report.seconds() - before;
    report.note(format!(
        "From `git push` to the last pod of prod answering the new release: **{seconds:.0} s** (goal 300 s). Argo CD \
         polls the repository; no webhook is set up in this cluster."
    ));
    anyhow::ensure!(
        seconds < 300.0,
        "from push to production took {seconds:.0} s, and the goal is 300 s"
    );
    report.end()
}

/// Packs the services' images under a release of its own, loads them, and writes their digests into the work tree of
/// the copy; commits nothing.
pub(crate) fn new_release(
    proof: &Proof,
    repository: &Repository,
    fleet: &Fleet,
    why: &str,
) -> anyhow::Result<Vec<Image>> {
    let names: Vec<_> = fleet.services.iter().map(Service::binary).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    // Every run needs digests of its own.
    let stamp = now().as_second();
    let images = images::make(&proof.root, &names, Some(&format!("{why}-{stamp}")))?;
    let images: Vec<_> = images
        .into_iter()
        .filter(|image| names.contains(&image.name.as_str()))
        .collect();
    images::load(&proof.load_images, &images.iter().collect::<Vec<_>>())?;
    for image in &images {
        images::release(&repository.folder, image)?;
    }
    Ok(images)
}

/// Pushes what is committed, and promotes it through the fleet's environments but the last `without`, each when the one
/// before is well; tells each environment that runs it, and what was seen there.
pub(crate) async fn promote_through(
    cluster: &Cluster,
    repository: &Repository,
    fleet: &Fleet,
    without: usize,
    commit: &str,
    release: &str,
    tell: &mut dyn FnMut(&str, String),
) -> anyhow::Result<()> {
    repository.push(false)?;
    let through = fleet.environments.len().saturating_sub(without);
    for (number, environment) in fleet.environments.iter().take(through).enumerate() {
        let gate = if number > 0 {
            promote_to(cluster, repository, fleet, environment, &[]).await?;
            ", after the gate of the environment before"
        } else {
            ""
        };
        until_runs(cluster, environment, &fleet.services, commit).await?;
        let pods = until_answers(cluster, environment, fleet, release).await?;
        let seen = format!(
            "{} Applications Synced and Healthy, {pods} pods answer {release}{gate}",
            fleet.services.len()
        );
        tell(&environment.name, seen);
    }
    Ok(())
}

/// Promotes these services (all when none is named), and pushes that.
pub(crate) async fn promote_to(
    cluster: &Cluster,
    repository: &Repository,
    fleet: &Fleet,
    environment: &Environment,
    services: &[String],
) -> anyhow::Result<()> {
    let promoted = promotion::promote(cluster, repository, fleet, &environment.name, services).await?;
    promoted.with_context(|| format!("nothing was to promote to {}", environment.name))?;
    repository.push(false)
}

/// Waits until these services run a commit, and run it well.
pub(crate) async fn until_runs(
    cluster: &Cluster,
    environment: &Environment,
    services: &[Service],
    commit: &str,
) -> anyhow::Result<()> {
    let expected: Vec<_> = services
        .iter()
        .map(|service| {
            (
                argo::application(&environment.name, &service.name),
                Some(commit.to_owned()),
            )
        })
        .collect();
    argo::until_well(cluster, &expected, LEG).await.map(drop)
}

/// Waits until every pod of an environment says that it is this release, as Prometheus hears it; says how many there are.
pub(crate) async fn until_answers(
    cluster: &Cluster,
    environment: &Environment,
    fleet: &Fleet,
    release: &str,
) -> anyhow::Result<usize> {
    let namespace = &environment.namespace;
    until(
        &format!("{} answers {release}", environment.name),
        LEG,
        || async {
            let services = fleet.services.iter();
            let asked = services.map(|service| serving(cluster, namespace, service));
            let pods = try_join_all(asked).await?;
            let told = prometheus::releases(cluster, namespace).await?;
            let mut other = pods
                .iter()
                .flatten()
                .filter(|pod| told.get(*pod).is_none_or(|told| told != release));
            Ok(match other.next() {
                Some(pod) => Err(format!("{pod} says {:?}", told.get(pod))),
                None if pods.iter().any(Vec::is_empty) => Err("not every service has a pod".to_owned()),
                None => Ok(pods.iter().flatten().count()),
            })
        },
    )
    .await
}

/// The names of a service's pods that run and are not ending.
pub(crate) async fn serving(
    cluster: &Cluster,
    namespace: &str,
    service: &Service,
) -> anyhow::Result<Vec<String>> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let labels = format!(
        "app.kubernetes.io/name={},app.kubernetes.io/component=service",
        service.binary()
    );
    let pods = pods.list(&ListParams::default().labels(&labels)).await?;
    let serving = pods.items.into_iter().filter(|pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        pod.metadata.deletion_timestamp.is_none() && phase == Some("Running")
    });
    Ok(serving.filter_map(|pod| pod.metadata.name).collect())
}
