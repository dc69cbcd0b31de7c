//! What NetworkPolicies let through is what is declared: no more, and at both ends.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::rendered::{Object, Pod, Set, keys, list, number, selects, text};

/// The pods of the environment that a peer selects; a peer elsewhere selects none.
fn peers<'s>(set: &'s Set<'_>, peer: &Value) -> Vec<Pod<'s>> {
    if peer.get("namespaceSelector").is_some() || peer.get("ipBlock").is_some() {
        return Vec::new();
    }
    let selector = peer.get("podSelector").unwrap_or(&Value::Null);
    set.pods().filter(|pod| selects(selector, pod.labels())).collect()
}

/// The rules of one direction that hold for a pod.
fn rules_for<'s>(set: &'s Set<'_>, pod: &Pod<'_>, side: &'s str) -> Vec<&'s Value> {
    set.of("NetworkPolicy")
        .filter(|policy| {
            selects(
                policy.0.pointer("/spec/podSelector").unwrap_or(&Value::Null),
                pod.labels(),
            )
        })
        .flat_map(|policy| list(&policy.0, side))
        .collect()
}

/// Whether a rule has that port.
fn has_port(rule: &Value, port: u16) -> bool {
    list(rule, "/ports")
        .iter()
        .any(|one| number(one, "/port") == Some(u64::from(port)))
}

/// (from, to) of every pair of which the one's egress or the other's ingress is open, by the owners' names.
fn pairs(set: &Set<'_>, side: &str, peers_at: &str) -> BTreeSet<(String, String)> {
    let mut pairs = BTreeSet::new();
    for pod in set.pods() {
        for rule in rules_for(set, &pod, side) {
            for peer in list(rule, peers_at) {
                for other in peers(set, peer) {
                    let (here, there) = (pod.owner.name().to_owned(), other.owner.name().to_owned());
                    pairs.insert(if side == "/spec/egress" {
                        (here, there)
                    } else {
                        (there, here)
                    });
                }
            }
        }
    }
    pairs
}

/// What the description declares, jobs included.
fn declared(set: &Set<'_>) -> BTreeSet<(String, String)> {
    let mut pairs = BTreeSet::new();
    for caller in &set.fleet.services {
        for callee in caller.calls.keys() {
            let callee = format!("svc-{callee}");
            pairs.insert((caller.binary(), callee.clone()));
            for job in &caller.jobs {
                pairs.insert((format!("{}-{}", caller.binary(), job.name), callee.clone()));
            }
        }
    }
    pairs
}

pub(super) fn network(set: &Set<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    for policy in set.of("NetworkPolicy") {
        form(set, policy, &mut faults);
    }
    for (name, side, peers_at) in [
        ("egress", "/spec/egress", "/to"),
        ("ingress", "/spec/ingress", "/from"),
    ] {
        let (open, declared) = (pairs(set, side, peers_at), declared(set));
        for (from, to) in declared.difference(&open) {
            faults.push(format!("{name}: {from} calls {to}, and may not"));
        }
        for (from, to) in open.difference(&declared) {
            faults.push(format!("{name}: {from} may call {to}, and does not"));
        }
    }
    for pod in set.pods() {
        of_pod(set, &pod, &mut faults);
    }
    faults
}

/// A policy that selects pods which exist, and peers that are named.
fn form(set: &Set<'_>, policy: &Object, faults: &mut Vec<String>) {
    let title = policy.title();
    let selector = policy.0.pointer("/spec/podSelector").unwrap_or(&Value::Null);
    if keys(selector, "/matchLabels").is_empty() || !set.pods().any(|pod| selects(selector, pod.labels())) {
        faults.push(format!("{title}: selects no pod that there is, or all"));
    }
    for (side, peers_at) in [("/spec/egress", "/to"), ("/spec/ingress", "/from")] {
        for rule in list(&policy.0, side) {
            let named = list(rule, peers_at);
            if named.is_empty() || list(rule, "/ports").is_empty() {
                faults.push(format!("{title}: a rule is open to all, or on all ports"));
            }
            for peer in named {
                let everywhere = ["0.0.0.0/0", "::/0"].contains(&text(peer, "/ipBlock/cidr"));
                let nameless = peer.pointer("/namespaceSelector").is_some_and(|selector| {
                    keys(selector, "/matchLabels").is_empty()
                        && list(selector, "/matchExpressions").is_empty()
                });
                let here = peer.get("namespaceSelector").is_none() && peer.get("ipBlock").is_none();
                if everywhere || nameless || (here && peers(set, peer).is_empty()) {
                    faults.push(format!("{title}: a rule's peer is everybody, or nobody there is"));
                }
                if !is_declared(set, side, peer, rule) {
                    faults.push(format!("{title}: {peer} is not declared, or not on these ports"));
                }
                // Ports of egress are the peer's, those of ingress are one's own.
                let own = set.pods().filter(|pod| selects(selector, pod.labels()));
                let serving: Vec<_> = match (peers(set, peer), side) {
                    (found, _) if found.is_empty() => found,
                    (found, "/spec/egress") => found,
                    _ => own.collect(),
                };
                for pod in serving {
                    if pod.port(&json!("grpc")) != number(rule, "/ports/0/port") {
                        let owner = pod.owner.title();
                        faults.push(format!("{title}: {owner} does not serve gRPC on that port"));
                    }
                }
            }
        }
    }
}

/// Whether a peer outside the namespace, and the protocols on which it is spoken with, are of those that the description
/// names.
fn is_declared(set: &Set<'_>, side: &str, peer: &Value, rule: &Value) -> bool {
    let (cluster, places) = (&set.fleet.cluster, &set.environment.at);
    let protocols: Vec<_> = list(rule, "/ports")
        .iter()
        .map(|one| text(one, "/protocol"))
        .collect();
    let by_tcp = protocols.iter().all(|protocol| *protocol == "TCP");
    if let Some(range) = peer.get("ipBlock") {
        let mut known = places.values().flat_map(|place| &place.cidrs);
        return by_tcp && known.any(|cidr| *range == json!({"cidr": cidr}));
    }
    let Some(namespace) = peer.get("namespaceSelector") else {
        return by_tcp;
    };
    let is = |name: &str| *namespace == json!({"matchLabels": {"kubernetes.io/metadata.name": name}});
    if side == "/spec/ingress" {
        let known = [&cluster.gateway.namespace, &cluster.monitoring.namespace];
        return by_tcp && peer.get("podSelector").is_none() && known.into_iter().any(|name| is(name));
    }
    let dns = &cluster.dns;
    if is(&dns.namespace) && peer.get("podSelector") == Some(&json!({"matchLabels": dns.pods})) {
        return ["UDP", "TCP"].iter().all(|protocol| protocols.contains(protocol));
    }
    let mut known = places.values().filter_map(|place| place.namespace.as_deref());
    by_tcp && peer.get("podSelector").is_none() && known.any(is)
}

/// What every pod needs, and what only services let in.
fn of_pod(set: &Set<'_>, pod: &Pod<'_>, faults: &mut Vec<String>) {
    let title = pod.owner.title();
    let policies = set.of("NetworkPolicy").filter(|policy| {
        selects(
            policy.0.pointer("/spec/podSelector").unwrap_or(&Value::Null),
            pod.labels(),
        )
    });
    let types: BTreeSet<&str> = policies
        .flat_map(|policy| list(&policy.0, "/spec/policyTypes"))
        .filter_map(Value::as_str)
        .collect();
    if types.len() != 2 {
        faults.push(format!("{title}: no policy holds for it in both directions"));
    }
    let egress = rules_for(set, pod, "/spec/egress");
    let in_namespace = |rule: &Value, at: &str, namespace: &str| {
        list(rule, at).iter().any(|peer| {
            text(
                peer,
                "/namespaceSelector/matchLabels/kubernetes.io~1metadata.name",
            ) == namespace
        })
    };
    let dns = &set.fleet.cluster.dns;
    if !egress
        .iter()
        .any(|rule| in_namespace(rule, "/to", &dns.namespace) && has_port(rule, dns.port))
    {
        faults.push(format!("{title}: may not ask DNS"));
    }
    let name = text(pod.labels(), "/app.kubernetes.io~1name");
    let Some(service) = set.fleet.services.iter().find(|one| one.binary() == name) else {
        faults.push(format!("{title}: belongs to no service of fleet.yaml"));
        return;
    };
    let migrates = pod.owner.kind() == "Job";
    for store in set.fleet.stores(service) {
        let Some(place) = set.environment.at.get(&store) else {
            continue;
        };
        let open = egress.iter().any(|rule| {
            let there = match &place.namespace {
                Some(namespace) => in_namespace(rule, "/to", namespace),
                None => list(rule, "/to")
                    .iter()
                    .all(|peer| place.cidrs.iter().any(|cidr| text(peer, "/ipBlock/cidr") == cidr)),
            };
            there && has_port(rule, place.port)
        });
        let needed = !migrates || matches!(store, crate::Store::Postgres | crate::Store::Kafka);
        if open != needed {
            let what = if needed {
                "may not reach"
            } else {
                "has no business with"
            };
            faults.push(format!("{title}: {what} {store:?}"));
        }
    }
    let ingress = rules_for(set, pod, "/spec/ingress");
    let serves = pod.owner.kind() == "Deployment";
    if !serves && !ingress.is_empty() {
        faults.push(format!("{title}: serves nothing, and lets in"));
    }
    let cluster = &set.fleet.cluster;
    for (who, namespace, port) in [
        ("the gateway", &cluster.gateway.namespace, service.ports.grpc),
        ("the gateway", &cluster.gateway.namespace, service.ports.http),
        ("monitoring", &cluster.monitoring.namespace, service.ports.http),
    ] {
        let open = ingress
            .iter()
            .any(|rule| in_namespace(rule, "/from", namespace) && has_port(rule, port));
        if serves && !open {
            faults.push(format!("{title}: does not let {who} in on {port}"));
        }
    }
}
