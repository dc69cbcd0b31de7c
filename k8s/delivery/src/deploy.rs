//! `cluster deploy`: from an empty cluster with Argo CD to the whole fleet in three environments, and the demo in it.

use std::time::Duration;

use anyhow::Context as _;
use lp_fleet::{Environment, Fleet, Service};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    argo::{self, Application},
    cli::Proof,
    cluster::Cluster,
    gateway,
    images::{self, Image},
    jobs::{self, Program},
    promotion,
    report::Report,
    repository::{BRANCH, Repository},
    secrets::Vault,
    stores::{self, OUTSIDE},
};

/// Where the repository's address stands in what Argo CD is given.
const REPOSITORY_FILE: &str = "platform-gitops/argocd/repository.yaml";

pub(crate) async fn run(proof: &Proof) -> anyhow::Result<()> {
    let mut report = Report::begin(proof, "deploy", &["step", "seconds", "what was seen"]).await?;
    let cluster = &proof.connect().await?;
    let fleet = lp_fleet::fleet();
    let node = stores::first_node(cluster).await?;

    images::make(&proof.root, &[], None)?;
    let images = images::make(&proof.root, &["data"], None)?;
    report.row("images made", summary(&images));
    images::load(&proof.load_images, &images.iter().collect::<Vec<_>>())?;
    report.row("images loaded", format!("{} into the nodes", images.len()));

    stores::define(cluster).await?;
    let vault = stores::start(cluster, &images, &node).await?;
    let proof_image = images::of(&images, "localplus-proof")?;
    stores::start_issuers(cluster, fleet, &vault, proof_image, &node).await?;
    let places = [stores::DATA, "observability", "monitoring", OUTSIDE];
    stores::until_ready(cluster, &places, Duration::from_mins(3)).await?;
    report.row(
        "data stores ready",
        "PostgreSQL, Kafka, Valkey, SMTP, issuers, collector, Prometheus".to_owned(),
    );
    stores::provision(cluster, fleet, &vault, &images).await?;
    report.row(
        "provisioned",
        format!("{} schemas in each of 3 databases", fleet.services.len()),
    );

    let repository = Repository::copy(&proof.root, &proof.repository_folder(), &proof.git_push)?;
    first_commits(proof, &repository, fleet, &images)?;
    report.row("pushed", format!("{} to {BRANCH}", &repository.head()?[..7]));

    let mut taken = 0;
    for (environment, service) in every(fleet) {
        let overlay = format!("k8s/services/{}/overlays/{}", service.binary(), environment.name);
        let rendered = proof.kustomize(&repository.folder.join(&overlay))?;
        taken += cluster
            .would_apply_all(&rendered)
            .await
            .with_context(|| overlay)?;
    }
    report.row(
        "dry run on the server",
        format!("{taken} objects would be taken, no unknown field"),
    );
    follow(proof, cluster, &repository, fleet).await?;
    let application = |(environment, service): (&Environment, &Service)| {
        (argo::application(&environment.name, &service.name), None)
    };
    let expected: Vec<_> = every(fleet).map(application).collect();
    let waiting = argo::until_well(cluster, &expected, Duration::from_mins(10));
    let well = tokio::select! {
        ended = stand_in(cluster, &vault) => return ended,
        well = waiting => well?,
    };
    report.row("Synced and Healthy", format!("{} Applications", well.len()));
    println!("{}", applications(&well));

    let environment = fleet.environments.last().context("no environment")?;
    let demo = Program {
        name: "demo",
        namespace: OUTSIDE,
        image: &proof_image.reference,
        command: vec!["/demo".to_owned()],
        env: proof.outside_env(fleet, environment, &vault)?,
        node: &node,
    };
    let ended = jobs::run(cluster, &demo, Duration::from_mins(3)).await?;
    println!("{}", ended.log);
    let checked = ended
        .log
        .lines()
        .find(|line| line.contains("nothing wrong"))
        .unwrap_or_default();
    let words = checked.split_whitespace().filter(|word| *word != "✓");
    let checked = words.collect::<Vec<_>>().join(" ");
    report.row("the demo, as a Job in the cluster", checked);
    report.end()
}

/// The images' digests and the repository's address; then staging and prod on that commit, as if both had been promoted.
fn first_commits(
    proof: &Proof,
    repository: &Repository,
    fleet: &Fleet,
    images: &[Image],
) -> anyhow::Result<()> {
    for service in &fleet.services {
        let name = format!("svc-{}", service.name);
        images::release(&repository.folder, images::of(images, &name)?)?;
    }
    repository.set(REPOSITORY_FILE, "  url: ", &proof.git_url)?;
    let released = repository.commit("Release the images of this commit; the repository's address")?;
    for environment in fleet.environments.iter().skip(1) {
        for service in &fleet.services {
            promotion::write(&repository.folder, &service.name, &environment.name, &released)?;
        }
    }
    repository.commit("Promote the first release everywhere")?;
    repository.push(false)
}

/// Lets Argo CD follow the repository: its settings, one cluster under three names, the root of all Applications.
async fn follow(
    proof: &Proof,
    cluster: &Cluster,
    repository: &Repository,
    fleet: &Fleet,
) -> anyhow::Result<()> {
    let access = argo::access(cluster).await?;
    // Argo CD knows a cluster by its address, so each environment's is another name of the same API server.
    let addresses = [
        "https://kubernetes.default.svc.cluster.local",
        "https://kubernetes.default.svc:443",
        "https://kubernetes.default:443",
    ];
    for (environment, address) in fleet.environments.iter().zip(addresses) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {
                "name": format!("cluster-{}", environment.name),
                "namespace": argo::NAMESPACE,
                "labels": {
                    "argocd.argoproj.io/secret-type": "cluster",
                    "localplus.example/environment": environment.name,
                },
            },
            "stringData": {"name": environment.name, "server": address, "config": access.to_string()},
        });
        cluster.apply(&secret).await?;
    }
    let argocd = proof.kustomize(&repository.folder.join("platform-gitops/argocd"))?;
    cluster.apply_all(&argocd).await?;
    argo::restart(cluster).await
}

/// Does what controllers would that the cluster has not, until something fails.
async fn stand_in(cluster: &Cluster, vault: &Vault) -> anyhow::Result<()> {
    loop {
        vault.serve(cluster).await?;
        gateway::accept(cluster).await?;
        sleep(Duration::from_secs(1)).await;
    }
}

/// Every service in every environment.
fn every(fleet: &Fleet) -> impl Iterator<Item = (&Environment, &Service)> {
    let environments = fleet.environments.iter();
    environments.flat_map(|environment| fleet.services.iter().map(move |service| (environment, service)))
}

fn summary(images: &[Image]) -> String {
    let services = images.iter().filter(|image| image.name.starts_with("svc-"));
    let sizes = services.map(|image| format!("{} {} MiB", image.name, image.bytes >> 20));
    sizes.collect::<Vec<_>>().join(", ")
}

fn applications(all: &[Application]) -> String {
    let rows: Vec<_> = all
        .iter()
        .map(|one| {
            let revision = one.revision.get(..7).unwrap_or_default().to_owned();
            vec![one.name.clone(), one.sync.clone(), one.health.clone(), revision]
        })
        .collect();
    crate::table::table(&["Application", "sync", "health", "revision"], &rows)
}
