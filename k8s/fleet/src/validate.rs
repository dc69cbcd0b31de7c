//! What a description must satisfy beyond its form.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Environment, Fleet, Service, Store, contract, settings};

/// Every fault, each a line that names service or environment, field and value.
pub(crate) fn faults(fleet: &Fleet) -> Vec<String> {
    let mut faults = Vec::new();
    if fleet.services.is_empty() {
        faults.push("services: there are none".to_owned());
    }
    if fleet.environments.is_empty() {
        faults.push("environments: there are none".to_owned());
    }
    names(fleet, &mut faults);
    ports(fleet, &mut faults);
    shutdown(fleet, &mut faults);
    for service in &fleet.services {
        let mut of_service = Vec::new();
        calls(fleet, service, &mut of_service);
        topics(service, &mut of_service);
        variables(fleet, service, &mut of_service);
        stores(fleet, service, &mut of_service);
        sizes(service, &mut of_service);
        jobs(service, &mut of_service);
        faults.extend(
            of_service
                .into_iter()
                .map(|fault| format!("svc-{}: {fault}", service.name)),
        );
    }
    for environment in &fleet.environments {
        let of_environment = environment_faults(fleet, environment);
        faults.extend(
            of_environment
                .into_iter()
                .map(|fault| format!("environment {}: {fault}", environment.name)),
        );
    }
    faults
}

/// A name that may be part of a DNS label.
fn is_name(text: &str) -> bool {
    text.len() <= 40
        && text.starts_with(|letter: char| letter.is_ascii_lowercase())
        && !text.ends_with('-')
        && text
            .chars()
            .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-')
}

/// What stands more than once.
fn doubled<T: Ord + Clone>(all: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut seen = BTreeSet::new();
    all.into_iter().filter(|one| !seen.insert(one.clone())).collect()
}

fn names(fleet: &Fleet, faults: &mut Vec<String>) {
    for service in &fleet.services {
        let name = &service.name;
        // Part of SVC_X_URL, of a schema and of a package in the contract as well.
        if !is_name(name) || name.contains('-') {
            faults.push(format!("svc-{name}: name: must be lower-case letters and digits"));
        }
        if contract::grpc_services(name).is_empty() {
            faults.push(format!(
                "svc-{name}: name: the contract has no service in the package localplus.{name}.v1"
            ));
        }
    }
    for name in doubled(fleet.services.iter().map(|service| &service.name)) {
        faults.push(format!("svc-{name}: name: stands twice"));
    }
    for environment in &fleet.environments {
        if !is_name(&environment.name) {
            faults.push(format!(
                "environment {}: name: must be lower-case letters, digits and hyphens",
                environment.name
            ));
        }
    }
    for name in doubled(fleet.environments.iter().map(|one| &one.name)) {
        faults.push(format!("environment {name}: name: stands twice"));
    }
    for namespace in doubled(fleet.environments.iter().map(|one| &one.namespace)) {
        faults.push(format!("environments: namespace: {namespace} stands twice"));
    }
    for url in doubled(fleet.environments.iter().map(|one| &one.issuer.url)) {
        faults.push(format!(
            "environments: issuer.url: {url} stands twice, so that one's tokens count in the other"
        ));
    }
    for domain in doubled(fleet.environments.iter().map(|one| &one.domain)) {
        faults.push(format!("environments: domain: {domain} stands twice"));
    }
}

/// On a laptop all services share one machine.
fn ports(fleet: &Fleet, faults: &mut Vec<String>) {
    let mut owners = BTreeMap::new();
    for service in &fleet.services {
        for (field, port) in [("grpc", service.ports.grpc), ("http", service.ports.http)] {
            let here = format!("svc-{}: ports.{field}", service.name);
            if port < 1024 {
                faults.push(format!("{here}: {port} is for root, which no service is"));
            }
            if let Some(first) = owners.insert(port, here.clone()) {
                faults.push(format!("{here}: {port} is taken by {first}"));
            }
        }
    }
}

fn shutdown(fleet: &Fleet, faults: &mut Vec<String>) {
    let times = fleet.shutdown;
    let needed = times.pre_stop_seconds * 1_000 + times.drain_delay_ms + times.drain_timeout_ms;
    if times.grace_seconds * 1_000 <= needed {
        faults.push(format!(
            "shutdown.grace_seconds: {} s are not longer than the {needed} ms of preStop and drain: a pod would be \
             killed in the middle of a request",
            times.grace_seconds
        ));
    }
}

fn calls(fleet: &Fleet, service: &Service, faults: &mut Vec<String>) {
    for (callee, rpcs) in &service.calls {
        if *callee == service.name {
            faults.push(format!("calls.{callee}: a service does not call itself"));
        }
        if fleet.service(callee).is_none() {
            faults.push(format!("calls.{callee}: there is no service svc-{callee}"));
            continue;
        }
        if rpcs.is_empty() {
            faults.push(format!("calls.{callee}: names no rpc"));
        }
        for rpc in rpcs.iter().filter(|rpc| contract::rpc(callee, rpc).is_none()) {
            faults.push(format!("calls.{callee}: the contract has no rpc {rpc}"));
        }
        for rpc in doubled(rpcs) {
            faults.push(format!("calls.{callee}: {rpc} stands twice"));
        }
    }
}

fn topics(service: &Service, faults: &mut Vec<String>) {
    let topics = match lp_contracts::topics::all() {
        Ok(topics) => topics,
        Err(error) => {
            faults.push(format!("consumes: {error}"));
            return;
        }
    };
    for name in &service.consumes {
        match topics.iter().find(|topic| topic.name == *name) {
            None => faults.push(format!("consumes: {name} is not in contracts-proto/topics.yaml")),
            Some(topic) if topic.owner == service.binary() => {
                faults.push(format!("consumes: {name} is its own"));
            }
            Some(_) => {}
        }
    }
    for name in doubled(&service.consumes) {
        faults.push(format!("consumes: {name} stands twice"));
    }
}

/// Each variable is given once, by the description or by what follows from it, and as what it is.
fn variables(fleet: &Fleet, service: &Service, faults: &mut Vec<String>) {
    let is_variable = |text: &str| {
        text.starts_with(|letter: char| letter.is_ascii_uppercase())
            && text
                .chars()
                .all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_')
    };
    let mut plain = service.clone();
    plain.config.clear();
    plain.secrets.clear();
    let mut bare = fleet.clone();
    bare.config.clear();
    let mut derived: BTreeSet<String> = settings::config(&bare, &plain).into_keys().collect();
    for environment in &fleet.environments {
        derived.extend(settings::environment_config(fleet, &plain, environment).into_keys());
    }
    derived.extend(settings::secrets(fleet, &plain));
    for variable in fleet.config.keys().filter(|one| derived.contains(*one)) {
        faults.push(format!(
            "config.{variable} of the fleet: is derived, and would be lost"
        ));
    }
    for (variable, value) in &service.config {
        if !is_variable(variable) {
            faults.push(format!("config.{variable}: is no environment variable"));
        }
        if value.contains('\n') {
            faults.push(format!("config.{variable}: has more than one line"));
        }
        if derived.contains(variable) || fleet.config.contains_key(variable) {
            faults.push(format!("config.{variable}: is derived, and would be lost"));
        }
    }
    for secret in &service.secrets {
        let variable = &secret.variable;
        if !is_variable(variable) {
            faults.push(format!("secrets.{variable}: is no environment variable"));
        }
        if secret.laptop.is_empty() {
            faults.push(format!("secrets.{variable}: has no value for laptops"));
        }
        if derived.contains(variable) {
            faults.push(format!(
                "secrets.{variable}: follows from what the service uses and calls; remove it"
            ));
        }
        if service.config.contains_key(variable) || fleet.config.contains_key(variable) {
            faults.push(format!("secrets.{variable}: stands under config as well"));
        }
    }
    for variable in doubled(service.secrets.iter().map(|secret| &secret.variable)) {
        faults.push(format!("secrets.{variable}: stands twice"));
    }
}

fn stores(fleet: &Fleet, service: &Service, faults: &mut Vec<String>) {
    for store in service.uses.iter().filter(|store| fleet.uses.contains(store)) {
        faults.push(format!("uses: {store:?} is used by every service anyway"));
    }
    if !service.consumes.is_empty() && !fleet.stores(service).contains(&Store::Kafka) {
        faults.push("consumes: needs kafka under uses".to_owned());
    }
    if !service.calls.is_empty() && !fleet.stores(service).contains(&Store::Issuer) {
        faults.push("calls: needs issuer under uses".to_owned());
    }
}

/// Thousandths of a core.
fn millicores(quantity: &str) -> Option<u64> {
    match quantity.strip_suffix('m') {
        Some(number) => number.parse().ok(),
        None => quantity.parse::<u64>().ok().map(|cores| cores * 1_000),
    }
}

/// Bytes, of a quantity in MiB or GiB.
fn bytes(quantity: &str) -> Option<u64> {
    let number = |suffix| quantity.strip_suffix(suffix)?.parse::<u64>().ok();
    number("Mi")
        .map(|mebi| mebi << 20)
        .or_else(|| number("Gi").map(|gibi| gibi << 30))
}

fn sizes(service: &Service, faults: &mut Vec<String>) {
    let resources = &service.resources;
    let mut pair = |field: &str, (least, most): (&str, &str), read: fn(&str) -> Option<u64>| match (
        read(least),
        read(most),
    ) {
        (Some(least), Some(most)) if least > 0 && least <= most => {}
        (Some(_), Some(_)) => faults.push(format!(
            "resources.{field}: {least} is none, or above its limit {most}"
        )),
        _ => faults.push(format!(
            "resources.{field}: {least} or {most} is no quantity of the form used here"
        )),
    };
    pair("cpu", (&resources.cpu, &resources.cpu_limit), millicores);
    pair("memory", (&resources.memory, &resources.memory_limit), bytes);
    if service.scaling.in_flight == 0 {
        faults.push("scaling.in_flight: must be above 0".to_owned());
    }
}

fn jobs(service: &Service, faults: &mut Vec<String>) {
    for job in &service.jobs {
        let name = &job.name;
        // The pods of a CronJob have 25 letters more than it has.
        if !is_name(name) || service.binary().len() + name.len() > 37 {
            faults.push(format!(
                "jobs.{name}: name: must be lower-case letters, digits and hyphens, 37 with the service's name"
            ));
        }
        if name == "migration" || name == "edge" || name == "stores" {
            faults.push(format!(
                "jobs.{name}: name: is taken by another object of the service"
            ));
        }
        if job.schedule.split_whitespace().count() != 5 {
            faults.push(format!(
                "jobs.{name}: schedule: {} has not five fields",
                job.schedule
            ));
        }
        if job.args.is_empty() {
            faults.push(format!("jobs.{name}: args: names no subcommand"));
        }
        if job.deadline_seconds == 0 {
            faults.push(format!("jobs.{name}: deadline_seconds: must be above 0"));
        }
    }
    for name in doubled(service.jobs.iter().map(|job| &job.name)) {
        faults.push(format!("jobs.{name}: name: stands twice"));
    }
}

fn environment_faults(fleet: &Fleet, environment: &Environment) -> Vec<String> {
    let mut faults = Vec::new();
    if environment.replicas_minimum == 0 {
        faults.push("replicas_minimum: must be above 0".to_owned());
    }
    let kafka = &environment.kafka;
    if kafka.replication == 0 {
        faults.push("kafka.replication: must be above 0".to_owned());
    }
    let reason = kafka.replication_reason.as_deref().unwrap_or_default().trim();
    if (kafka.replication < 3) == reason.is_empty() {
        faults.push(format!(
            "kafka.replication_reason: {} copies need {}",
            kafka.replication,
            if reason.is_empty() { "one" } else { "none" }
        ));
    }
    let modes = ["disable", "prefer", "require", "verify-full"];
    if !modes.contains(&environment.database.ssl_mode.as_str()) {
        faults.push(format!("database.ssl_mode: is none of {}", modes.join(", ")));
    }
    let used: BTreeSet<Store> = fleet.services.iter().flat_map(|one| fleet.stores(one)).collect();
    for store in used.iter().filter(|store| !environment.at.contains_key(store)) {
        faults.push(format!("at: does not say where {store:?} is"));
    }
    for (store, place) in &environment.at {
        if !used.contains(store) {
            faults.push(format!("at: no service uses {store:?}"));
        }
        if place.namespace.is_some() != place.cidrs.is_empty() {
            faults.push(format!("at: {store:?} is either in a namespace or at cidrs"));
        }
    }
    faults
}
