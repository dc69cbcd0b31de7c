//! Rules about objects beside pods, and about how they fit together.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::rendered::{Object, Set, keys, list, number, selects, text};

/// Kinds that every service has under its own name.
const KINDS: [&str; 9] = [
    "Deployment",
    "Service",
    "ServiceAccount",
    "HorizontalPodAutoscaler",
    "PodDisruptionBudget",
    "NetworkPolicy",
    "ServiceMonitor",
    "ExternalSecret",
    "GRPCRoute",
];

pub(super) fn namespace(set: &Set<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for object in &set.objects {
        let title = object.title();
        if text(&object.0, "/metadata/namespace") != set.environment.namespace {
            faults.push(format!("{title}: is not in {}", set.environment.namespace));
        }
        let labels = object.0.pointer("/metadata/labels").unwrap_or(&Value::Null);
        if labels.get("app.kubernetes.io/part-of") != Some(&json!("local-plus"))
            || labels.get("app.kubernetes.io/name").is_none()
        {
            faults.push(format!("{title}: has not the labels that say whose it is"));
        }
        if !seen.insert(title.clone()) {
            faults.push(format!("{title}: is there twice"));
        }
    }
    faults
}

pub(super) fn complete(set: &Set<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    for service in &set.fleet.services {
        let name = service.binary();
        let mut wanted: Vec<(&str, String)> = KINDS.map(|kind| (kind, name.clone())).to_vec();
        wanted.push(("HTTPRoute", name.clone()));
        wanted.push(("Service", format!("{name}-edge")));
        wanted.push(("Job", format!("{name}-migration")));
        wanted.push(("ExternalSecret", format!("{name}-migration")));
        for job in &service.jobs {
            wanted.push(("CronJob", format!("{name}-{}", job.name)));
        }
        for (kind, name) in wanted {
            if set.find(kind, &name).is_none() {
                faults.push(format!("there is no {kind} {name}"));
            }
        }
    }
    faults
}

/// Settings, identities and permissions first, then the migration, then what serves.
pub(super) fn waves(set: &Set<'_>) -> Vec<String> {
    let wave = |object: &Object| match object.kind() {
        "ServiceAccount" | "ConfigMap" | "ExternalSecret" | "NetworkPolicy" => "-3",
        "Job" => "-1",
        _ => "0",
    };
    set.objects
        .iter()
        .filter(|object| object.annotation("argocd.argoproj.io/sync-wave") != wave(object))
        .map(|object| format!("{}: is not in wave {}", object.title(), wave(object)))
        .collect()
}

pub(super) fn migration(set: &Set<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    for job in set.of("Job") {
        let title = job.title();
        for (annotation, wanted) in [
            ("argocd.argoproj.io/hook", "Sync"),
            ("argocd.argoproj.io/hook-delete-policy", "BeforeHookCreation"),
        ] {
            if job.annotation(annotation) != wanted {
                faults.push(format!("{title}: {annotation} is not {wanted}"));
            }
        }
        for (pointer, wanted) in [
            ("/spec/parallelism", json!(1)),
            ("/spec/completions", json!(1)),
            ("/spec/podReplacementPolicy", json!("Failed")),
        ] {
            if job.0.pointer(pointer) != Some(&wanted) {
                faults.push(format!(
                    "{title}: {pointer} is not {wanted}: two could run at once"
                ));
            }
        }
        if number(&job.0, "/spec/activeDeadlineSeconds").is_none() {
            faults.push(format!("{title}: may run for ever"));
        }
        let arguments = list(&job.0, "/spec/template/spec/containers/0/args");
        if arguments != [json!("migrate")] {
            faults.push(format!("{title}: does not run `migrate`"));
        }
    }
    faults
}

pub(super) fn cron_jobs(set: &Set<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    for job in set.of("CronJob") {
        let wanted = [
            ("/spec/concurrencyPolicy", json!("Forbid")),
            ("/spec/timeZone", json!("Etc/UTC")),
        ];
        for (pointer, wanted) in wanted {
            if job.0.pointer(pointer) != Some(&wanted) {
                faults.push(format!("{}: {pointer} is not {wanted}", job.title()));
            }
        }
        if number(&job.0, "/spec/jobTemplate/spec/activeDeadlineSeconds").is_none() {
            faults.push(format!("{}: may run for ever", job.title()));
        }
    }
    faults
}

/// No pod leaves before its successor is ready, and a rollout that does not move is told of.
pub(super) fn rollout(set: &Set<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    for deployment in set.of("Deployment") {
        let title = deployment.title();
        for (pointer, wanted) in [
            ("/spec/strategy/type", json!("RollingUpdate")),
            ("/spec/strategy/rollingUpdate/maxUnavailable", json!(0)),
            ("/spec/strategy/rollingUpdate/maxSurge", json!(1)),
        ] {
            if deployment.0.pointer(pointer) != Some(&wanted) {
                faults.push(format!("{title}: {pointer} is not {wanted}"));
            }
        }
        if deployment.0.pointer("/spec/replicas").is_some() {
            faults.push(format!("{title}: has replicas, which the autoscaler owns"));
        }
        if number(&deployment.0, "/spec/progressDeadlineSeconds").is_none_or(|seconds| seconds > 120) {
            faults.push(format!(
                "{title}: a rollout that stands still is told of too late"
            ));
        }
    }
    faults
}

pub(super) fn scaling(set: &Set<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    for scaler in set.of("HorizontalPodAutoscaler") {
        let title = scaler.title();
        let target = text(&scaler.0, "/spec/scaleTargetRef/name");
        if scaler.0.pointer("/spec/scaleTargetRef")
            != Some(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": scaler.name()}))
            || set.find("Deployment", target).is_none()
        {
            faults.push(format!(
                "{title}: there is no Deployment {target}, or it is another's"
            ));
        }
        let least = number(&scaler.0, "/spec/minReplicas");
        let most = number(&scaler.0, "/spec/maxReplicas");
        if least != Some(u64::from(set.environment.replicas_minimum)) || most < least {
            faults.push(format!(
                "{title}: {least:?} to {most:?} pods are not this environment's"
            ));
        }
        if text(&scaler.0, "/spec/metrics/0/pods/metric/name") != "rpc_in_flight" {
            faults.push(format!("{title}: does not go by rpc_in_flight"));
        }
    }
    faults
}

/// The template of the Deployment that a selector selects: exactly one.
fn selected<'s>(set: &'s Set<'_>, selector: &Value) -> Option<&'s Object> {
    let empty = keys(selector, "/matchLabels").is_empty();
    let mut found = set
        .pods()
        .filter(|pod| !empty && selects(selector, pod.labels()))
        .map(|pod| pod.owner);
    let first = found.next();
    if found.next().is_some() { None } else { first }
}

/// A node can be drained: one pod at a time, also where there is only one.
pub(super) fn disruption_budget(set: &Set<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    for budget in set.of("PodDisruptionBudget") {
        let title = budget.title();
        let selector = budget.0.pointer("/spec/selector").unwrap_or(&Value::Null);
        if selected(set, selector).is_none_or(|owner| owner.name() != budget.name()) {
            faults.push(format!(
                "{title}: does not select the pods of the Deployment of its name"
            ));
        }
        if number(&budget.0, "/spec/maxUnavailable") != Some(1)
            || budget.0.pointer("/spec/minAvailable").is_some()
        {
            faults.push(format!("{title}: does not let exactly one pod go"));
        }
        if text(&budget.0, "/spec/unhealthyPodEvictionPolicy") != "AlwaysAllow" {
            faults.push(format!("{title}: a pod that does not run holds up a drain"));
        }
    }
    faults
}

pub(super) fn selectors(set: &Set<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    for deployment in set.of("Deployment") {
        let selector = deployment.0.pointer("/spec/selector").unwrap_or(&Value::Null);
        if selected(set, selector).is_none_or(|owner| owner.name() != deployment.name()) {
            faults.push(format!(
                "{}: selects not its own pods, or others as well",
                deployment.title()
            ));
        }
        // It can never be changed, so it must not hold what changes.
        if keys(selector, "/matchLabels").contains(&"app.kubernetes.io/version") {
            faults.push(format!("{}: selects by version", deployment.title()));
        }
    }
    for service in set.of("Service") {
        let labels = service.0.pointer("/spec/selector").cloned().unwrap_or_default();
        let owner = selected(set, &json!({ "matchLabels": labels }));
        let wanted = service.name().trim_end_matches("-edge");
        if owner.is_none_or(|owner| owner.kind() != "Deployment" || owner.name() != wanted) {
            faults.push(format!(
                "{}: does not select the pods of Deployment {wanted}",
                service.title()
            ));
        }
    }
    for monitor in set.of("ServiceMonitor") {
        let selector = monitor.0.pointer("/spec/selector").unwrap_or(&Value::Null);
        let services: Vec<_> = set
            .of("Service")
            .filter(|service| {
                selects(
                    selector,
                    service.0.pointer("/metadata/labels").unwrap_or(&Value::Null),
                )
            })
            .collect();
        let [service] = services.as_slice() else {
            faults.push(format!(
                "{}: selects {} Services",
                monitor.title(),
                services.len()
            ));
            continue;
        };
        for endpoint in list(&monitor.0, "/spec/endpoints") {
            let port = text(endpoint, "/port");
            if !list(&service.0, "/spec/ports")
                .iter()
                .any(|one| text(one, "/name") == port)
            {
                faults.push(format!(
                    "{}: {} has no port {port}",
                    monitor.title(),
                    service.title()
                ));
            }
            if text(endpoint, "/path") != "/metrics" {
                faults.push(format!("{}: does not read /metrics", monitor.title()));
            }
        }
    }
    faults
}

/// Callers find every pod: what they are told is a headless Service, at the pods' own port.
pub(super) fn headless(set: &Set<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    for service in set.of("Service") {
        let is_headless = text(&service.0, "/spec/clusterIP") == "None";
        if is_headless == service.name().ends_with("-edge") {
            let what = if is_headless { "is" } else { "is not" };
            faults.push(format!("{}: {what} headless", service.title()));
        }
    }
    for config in set.of("ConfigMap") {
        for variable in keys(&config.0, "/data") {
            if !(variable.starts_with("SVC_") && variable.ends_with("_URL")) {
                continue;
            }
            let url = text(&config.0, &format!("/data/{variable}"));
            let (host, port) = url
                .strip_prefix("http://")
                .and_then(|rest| rest.split_once(':'))
                .unwrap_or_default();
            let pod = set.find("Deployment", host).and_then(Object::pod);
            let listens = pod.and_then(|pod| pod.port(&json!("grpc")));
            if set.find("Service", host).is_none()
                || listens.map(|port| port.to_string()).as_deref() != Some(port)
            {
                faults.push(format!(
                    "{}: nothing serves gRPC at {variable}={url}",
                    config.title()
                ));
            }
        }
    }
    faults
}

pub(super) fn service_ports(set: &Set<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    for service in set.of("Service") {
        let name = service.name().trim_end_matches("-edge");
        let Some(pod) = set.find("Deployment", name).and_then(Object::pod) else {
            continue;
        };
        for port in list(&service.0, "/spec/ports") {
            let target = port.get("targetPort").unwrap_or(&Value::Null);
            let listens = pod.port(target);
            if port.get("name") != Some(target) {
                faults.push(format!(
                    "{}: a port leads to another's place: {port}",
                    service.title()
                ));
            }
            if listens.is_none() {
                faults.push(format!("{}: its pods have no port {target}", service.title()));
            }
            // DNS answers with pods: what a headless Service says of ports translates nothing.
            if text(&service.0, "/spec/clusterIP") == "None" && number(port, "/port") != listens {
                faults.push(format!("{}: its port is not that of its pods", service.title()));
            }
        }
    }
    for deployment in set.of("Deployment") {
        let Some(service) = set
            .fleet
            .services
            .iter()
            .find(|one| one.binary() == deployment.name())
        else {
            faults.push(format!("{}: is no service of fleet.yaml", deployment.title()));
            continue;
        };
        let Some(pod) = deployment.pod() else { continue };
        for (name, wanted) in [("grpc", service.ports.grpc), ("http", service.ports.http)] {
            if pod.port(&json!(name)) != Some(u64::from(wanted)) {
                faults.push(format!("{}: port {name} is not {wanted}", deployment.title()));
            }
            let variable = format!("{}_ADDR", name.to_uppercase());
            let config = pod
                .containers()
                .first()
                .and_then(|container| super::references::config_of(set, container));
            let address = config.map(|config| text(&config.0, &format!("/data/{variable}")));
            if address != Some(format!("0.0.0.0:{wanted}").as_str()) {
                faults.push(format!("{}: {variable} is not port {wanted}", deployment.title()));
            }
        }
    }
    faults
}

/// What of a service's contract callers from outside reach: the rpcs, and neither health nor reflection.
fn rpcs(binary: &str) -> Vec<Value> {
    let name = binary.trim_start_matches("svc-");
    let services = crate::contract::grpc_services(name).into_iter();
    services
        .map(|service| json!({"method": {"type": "Exact", "service": service.full_name()}}))
        .collect()
}

/// What of a service's HTTP callers from outside reach: neither metrics nor health.
fn paths() -> Vec<Value> {
    [
        ("PathPrefix", "/v1"),
        ("PathPrefix", "/docs"),
        ("Exact", "/openapi.json"),
    ]
    .map(|(kind, path)| json!({"path": {"type": kind, "value": path}}))
    .to_vec()
}

pub(super) fn routes(set: &Set<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut hosts = BTreeSet::new();
    for route in set.of("GRPCRoute").chain(set.of("HTTPRoute")) {
        let title = route.title();
        let gateway = &set.fleet.cluster.gateway;
        let (parent, is_grpc) = (list(&route.0, "/spec/parentRefs"), route.kind() == "GRPCRoute");
        if parent.len() != 1
            || parent.iter().any(|one| {
                (text(one, "/namespace"), text(one, "/name")) != (&gateway.namespace, &gateway.name)
            })
        {
            faults.push(format!("{title}: is not attached to the fleet's gateway alone"));
        }
        let matched: Vec<_> = list(&route.0, "/spec/rules")
            .iter()
            .flat_map(|rule| list(rule, "/matches"))
            .collect();
        let wanted = if is_grpc { rpcs(route.name()) } else { paths() };
        if matched.len() != wanted.len() || wanted.iter().any(|one| !matched.contains(&one)) {
            faults.push(format!("{title}: lets in something else than the API"));
        }
        let names = list(&route.0, "/spec/hostnames");
        if names.is_empty() {
            faults.push(format!("{title}: takes every host name"));
        }
        for host in names.iter().filter_map(Value::as_str) {
            if !host.ends_with(&format!(".{}", set.environment.domain)) {
                faults.push(format!("{title}: {host} is not this environment's"));
            }
            if !hosts.insert(host.to_owned()) {
                faults.push(format!("{title}: {host} belongs to another route"));
            }
        }
        for rule in list(&route.0, "/spec/rules") {
            for backend in list(rule, "/backendRefs") {
                let name = text(backend, "/name");
                let found = set.find("Service", name).is_some_and(|service| {
                    list(&service.0, "/spec/ports").iter().any(|port| {
                        let kind = if is_grpc { "grpc" } else { "http" };
                        port.get("port") == backend.get("port") && text(port, "/name") == kind
                    }) && text(&service.0, "/spec/clusterIP") != "None"
                });
                if !found || number(backend, "/weight") != Some(1) {
                    faults.push(format!(
                        "{title}: there is no Service {name} with that port and an address, or it gets no share"
                    ));
                }
            }
        }
    }
    faults
}
