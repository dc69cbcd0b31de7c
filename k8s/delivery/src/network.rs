//! `cluster network`: every declared call passes, and every other pair is cut, tried with real connections from inside the
//! services' own pods.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::{core::v1::Pod, discovery::v1::EndpointSlice};
use kube::{
    Api,
    api::{ListParams, LogParams, Patch, PatchParams},
};
use lp_fleet::{Environment, Fleet, Service, Store};
use serde::Deserialize;
use serde_json::json;

use crate::{
    cli::Proof,
    cluster::{self, Cluster, now, until},
    images, jobs,
    push::serving,
    report::Report,
    stores::{DATA, OUTSIDE},
};

const LIMIT: Duration = Duration::from_mins(2);
const API_SERVER: &str = "the API server";

/// An address that is tried.
#[derive(Debug, Clone)]
struct Target {
    /// For people.
    name: String,
    /// `host:port`.
    address: String,
}

/// Who tries, what it may reach, and what it reached.
struct Seen {
    from: String,
    tried: Vec<(Target, bool, bool)>,
}

#[derive(Debug, Deserialize)]
struct Probed {
    results: Vec<One>,
}

#[derive(Debug, Deserialize)]
struct One {
    to: String,
    open: bool,
}

pub(crate) async fn run(proof: &Proof) -> anyhow::Result<()> {
    let headings = ["from", "declared and open", "undeclared and cut", "wrong"];
    let mut report = Report::begin(proof, "network", &headings).await?;
    let cluster = &proof.connect().await?;
    let fleet = lp_fleet::fleet();
    let environment = fleet.environments.last().context("no environment")?;
    let image = images::of(&images::list(&proof.root)?, "localplus-proof")?
        .reference
        .clone();
    let targets = targets(cluster, fleet, environment).await?;

    let api_servers = api_servers(cluster).await?;
    let from_pods = fleet.services.iter().map(|service| async {
        let (pod, elsewhere) = prober(cluster, &environment.namespace, service, &api_servers).await?;
        let others: Vec<_> = targets
            .iter()
            .filter(|(target, _)| !is_own(target, service))
            .filter(|(target, _)| elsewhere || target.name != API_SERVER)
            .collect();
        let addresses: Vec<_> = others.iter().map(|(target, _)| target.address.clone()).collect();
        let probed = probe_inside(cluster, &environment.namespace, &pod, &image, &addresses).await?;
        let allowed = |place: &Place| may(fleet, service, place);
        Ok(seen(service.binary(), &others, &allowed, &probed))
    });
    let mut all: Vec<Seen> = try_join_all(from_pods)
        .await
        .map_err(|error: anyhow::Error| error)?;

    let services: Vec<_> = targets
        .iter()
        .filter(|(_, place)| matches!(place, Place::Service(..)))
        .collect();
    let addresses: Vec<_> = services
        .iter()
        .map(|(target, _)| target.address.clone())
        .collect();
    for (namespace, name, grpc, http) in [
        (OUTSIDE, "outside", true, true),
        ("monitoring", "prometheus", false, true),
        (DATA, "valkey", false, false),
    ] {
        let labels = format!("app.kubernetes.io/name={name}");
        let pods = cluster.list(("v1", "Pod"), Some(namespace), &labels).await?;
        let pod = pods
            .first()
            .with_context(|| format!("{namespace} has no {name}"))?;
        let probed = probe_inside(cluster, namespace, cluster::name(pod)?, &image, &addresses).await?;
        let allowed = |place: &Place| match place {
            Place::Service(_, Port::Grpc) => grpc,
            Place::Service(_, Port::Http) => http,
            _ => false,
        };
        all.push(seen(
            format!("namespace {namespace}"),
            &services,
            &allowed,
            &probed,
        ));
    }
    judge(&all, &mut report)?;
    report.end()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    Grpc,
    Http,
}

/// What a target is, as far as a declaration may name it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Service(String, Port),
    Store(Store),
    /// Nobody declares it.
    Nobody,
}

/// Whether the description lets a service reach a place.
fn may(fleet: &Fleet, service: &Service, place: &Place) -> bool {
    match place {
        Place::Service(name, Port::Grpc) => service.calls.contains_key(name),
        Place::Store(store) => fleet.stores(service).contains(store),
        Place::Service(_, Port::Http) | Place::Nobody => false,
    }
}

/// Whether a target is a pod of the service itself: a pod always reaches itself.
fn is_own(target: &Target, service: &Service) -> bool {
    target.name.starts_with(&format!("{} ", service.binary()))
}

/// Everything that somebody could try to reach.
async fn targets(
    cluster: &Cluster,
    fleet: &Fleet,
    environment: &Environment,
) -> anyhow::Result<Vec<(Target, Place)>> {
    let mut targets = Vec::new();
    let mut add = |name: String, address: String, place| targets.push((Target { name, address }, place));
    for service in &fleet.services {
        let ip = address(cluster, &environment.namespace, service).await?;
        let name = service.binary();
        for (port, number) in [(Port::Grpc, service.ports.grpc), (Port::Http, service.ports.http)] {
            let place = Place::Service(service.name.clone(), port);
            add(
                format!("{name} {port:?}").to_lowercase(),
                format!("{ip}:{number}"),
                place,
            );
        }
        // By name, as callers do: name service is a declared way as well.
        let host = format!("{name}.{}:{}", environment.namespace, service.ports.grpc);
        add(
            format!("{name} by name"),
            host,
            Place::Service(service.name.clone(), Port::Grpc),
        );
    }
    for (store, name, port) in [
        (Store::Postgres, format!("postgres.{DATA}"), 5432),
        (Store::Kafka, format!("kafka.{DATA}"), 9092),
        (Store::Valkey, format!("valkey.{DATA}"), 6379),
        (Store::Mail, format!("mail.{DATA}"), 1025),
        (Store::Issuer, format!("issuer-{}.{DATA}", environment.name), 7100),
        (Store::Collector, "otel-collector.observability".to_owned(), 4317),
    ] {
        add(name.clone(), format!("{name}:{port}"), Place::Store(store));
    }
    add(
        "the mail server's page".to_owned(),
        format!("mail.{DATA}:1080"),
        Place::Nobody,
    );
    add(
        "Prometheus".to_owned(),
        "prometheus.monitoring:9090".to_owned(),
        Place::Nobody,
    );
    add(
        API_SERVER.to_owned(),
        "kubernetes.default:443".to_owned(),
        Place::Nobody,
    );
    for other in fleet
        .environments
        .iter()
        .filter(|other| other.name != environment.name)
    {
        let service = fleet.services.first().context("no services")?;
        let ip = address(cluster, &other.namespace, service).await?;
        let name = format!("{} of {}", service.binary(), other.name);
        add(name, format!("{ip}:{}", service.ports.grpc), Place::Nobody);
    }
    Ok(targets)
}

/// The addresses of the API server.
async fn api_servers(cluster: &Cluster) -> anyhow::Result<BTreeSet<String>> {
    let slices: Api<EndpointSlice> = Api::namespaced(cluster.client.clone(), "default");
    let of_api = ListParams::default().labels("kubernetes.io/service-name=kubernetes");
    let slices = slices.list(&of_api).await?.items.into_iter();
    let addresses = slices.flat_map(|slice| slice.endpoints);
    Ok(addresses.flat_map(|endpoint| endpoint.addresses).collect())
}

/// A pod of a service, and whether it is on a node without API server: no policy keeps a pod from its own node.
async fn prober(
    cluster: &Cluster,
    namespace: &str,
    service: &Service,
    api_servers: &BTreeSet<String>,
) -> anyhow::Result<(String, bool)> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let mut last = None;
    for name in serving(cluster, namespace, service).await? {
        let status = pods.get(&name).await?.status.unwrap_or_default();
        if status.host_ip.is_some_and(|host| !api_servers.contains(&host)) {
            return Ok((name, true));
        }
        last = Some((name, false));
    }
    last.with_context(|| format!("{} has no pod", service.binary()))
}

/// The address of a pod of a service.
async fn address(cluster: &Cluster, namespace: &str, service: &Service) -> anyhow::Result<String> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let names = serving(cluster, namespace, service).await?;
    let name = names
        .first()
        .with_context(|| format!("{} has no pod", service.binary()))?;
    let status = pods.get(name).await?.status.unwrap_or_default();
    status.pod_ip.with_context(|| format!("{name} has no address"))
}

fn command(addresses: &[String]) -> Vec<String> {
    let mut command = vec!["/probe".to_owned(), "--timeout-ms".to_owned(), "2000".to_owned()];
    for address in addresses {
        command.extend(["--to".to_owned(), address.clone()]);
    }
    command
}

/// Runs the probe in a running pod, in its network, as a container beside the service's.
async fn probe_inside(
    cluster: &Cluster,
    namespace: &str,
    pod: &str,
    image: &str,
    addresses: &[String],
) -> anyhow::Result<Probed> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    // They stay in the pod for ever, so each needs a name of its own.
    let name = format!("probe-{}", now().as_millisecond());
    let patch = json!({"spec": {"ephemeralContainers": [{
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command(addresses),
        "securityContext": jobs::restricted(),
    }]}});
    pods.patch_ephemeral_containers(pod, &PatchParams::default(), &Patch::Strategic(patch))
        .await?;
    until(&format!("the probe in {pod} has ended"), LIMIT, || async {
        let status = pods.get(pod).await?.status.unwrap_or_default();
        let all = status.ephemeral_container_statuses.unwrap_or_default();
        let state = all
            .into_iter()
            .find(|one| one.name == name)
            .and_then(|one| one.state);
        let ended = state.as_ref().is_some_and(|state| state.terminated.is_some());
        Ok(if ended { Ok(()) } else { Err(format!("{state:?}")) })
    })
    .await?;
    let of_probe = LogParams {
        container: Some(name),
        ..LogParams::default()
    };
    let log = pods.logs(pod, &of_probe).await?;
    let line = log.lines().rev().find(|line| line.starts_with('{'));
    Ok(serde_json::from_str(
        line.with_context(|| format!("the probe in {pod} said: {log}"))?,
    )?)
}

fn seen(
    from: String,
    targets: &[&(Target, Place)],
    allowed: &dyn Fn(&Place) -> bool,
    probed: &Probed,
) -> Seen {
    let tried = targets.iter().map(|(target, place)| {
        let open = probed
            .results
            .iter()
            .any(|one| one.to == target.address && one.open);
        (target.clone(), allowed(place), open)
    });
    Seen {
        from,
        tried: tried.collect(),
    }
}

/// Fails on the first pair that is not as declared, or where there were none of a kind to try.
fn judge(all: &[Seen], report: &mut Report) -> anyhow::Result<()> {
    let mut wrong = Vec::new();
    for Seen { from, tried } in all {
        let count = |declared: bool, open: bool| {
            tried
                .iter()
                .filter(|(_, d, o)| (*d, *o) == (declared, open))
                .count()
        };
        let wrongs = tried.iter().filter(|(_, declared, open)| declared != open);
        let wrongs: Vec<_> = wrongs
            .map(|(target, declared, _)| {
                let state = if *declared {
                    "declared, and cut"
                } else {
                    "undeclared, and open"
                };
                format!("{from} → {} ({}) is {state}", target.name, target.address)
            })
            .collect();
        report.cells(vec![
            from.clone(),
            count(true, true).to_string(),
            count(false, false).to_string(),
            wrongs.len().to_string(),
        ]);
        wrong.extend(wrongs);
    }
    ensure!(
        wrong.is_empty(),
        "the network is not as declared:\n{}",
        wrong.join("\n")
    );
    let tried = |declared| {
        all.iter()
            .flat_map(|one| &one.tried)
            .any(|(_, d, _)| *d == declared)
    };
    ensure!(tried(true) && tried(false), "there was nothing to try");
    let mut targets = all
        .iter()
        .flat_map(|one| &one.tried)
        .map(|(target, _, _)| &target.name);
    ensure!(
        targets.any(|name| name == API_SERVER),
        "every pod runs on a node of the API server: add a node"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_reached_is_what_is_declared() {
        let fleet = lp_fleet::fleet();
        let wallet = fleet.service("wallet").unwrap();
        let service = |name: &str, port| Place::Service(name.to_owned(), port);
        assert!(may(fleet, wallet, &service("ledger", Port::Grpc)));
        assert!(!may(fleet, wallet, &service("ledger", Port::Http)));
        assert!(!may(fleet, wallet, &service("merchant", Port::Grpc)));
        assert!(may(fleet, wallet, &Place::Store(Store::Valkey)));
        assert!(!may(fleet, wallet, &Place::Store(Store::Mail)));
        assert!(!may(fleet, wallet, &Place::Nobody));
    }
}
