//! What objects name exists.

use serde_json::Value;

use crate::rendered::{Object, Set, keys, list, text};

/// The ConfigMap that a container's settings come from.
pub(super) fn config_of<'s>(set: &'s Set<'_>, container: &Value) -> Option<&'s Object> {
    let sources = list(container, "/envFrom");
    let mut names = sources.iter().map(|source| text(source, "/configMapRef/name"));
    names
        .find(|name| !name.is_empty())
        .and_then(|name| set.find("ConfigMap", name))
}

/// The variables of a Secret, as its ExternalSecret makes it.
fn secret_keys<'s>(set: &'s Set<'_>, name: &str) -> Option<Vec<&'s str>> {
    let source = set
        .of("ExternalSecret")
        .find(|secret| text(&secret.0, "/spec/target/name") == name)?;
    let data = list(&source.0, "/spec/data");
    Some(data.iter().map(|one| text(one, "/secretKey")).collect())
}

pub(super) fn references(set: &Set<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    for pod in set.pods() {
        let owner = pod.owner.title();
        let account = text(pod.template, "/spec/serviceAccountName");
        if set.find("ServiceAccount", account).is_none() {
            faults.push(format!("{owner}: there is no ServiceAccount {account}"));
        }
        for container in pod.containers() {
            // A serving pod must not know the owner of the schema, and the migration needs no more.
            let name = text(pod.labels(), "/app.kubernetes.io~1name");
            let wanted = match pod.owner.kind() {
                "Job" => format!("{name}-migration"),
                _ => name.to_owned(),
            };
            let sources = list(container, "/envFrom").iter();
            let secrets: Vec<_> = sources
                .filter_map(|source| source.pointer("/secretRef/name"))
                .collect();
            if secrets != [&wanted] {
                faults.push(format!("{owner}: reads {secrets:?}, and not the Secret {wanted}"));
            }
            let mut given: Vec<String> = Vec::new();
            for source in list(container, "/envFrom") {
                let config = text(source, "/configMapRef/name");
                let secret = text(source, "/secretRef/name");
                let found = if config.is_empty() {
                    secret_keys(set, secret)
                } else {
                    set.find("ConfigMap", config).map(|found| keys(&found.0, "/data"))
                };
                match found {
                    Some(keys) => given.extend(keys.into_iter().map(str::to_owned)),
                    None => faults.push(format!(
                        "{owner}: there is no ConfigMap or Secret {config}{secret}"
                    )),
                }
            }
            for one in list(container, "/env") {
                let variable = text(one, "/name");
                given.push(variable.to_owned());
                if one.get("value").is_some() {
                    faults.push(format!(
                        "{owner}: {variable} stands in the manifest, not in a ConfigMap"
                    ));
                }
                let (name, key) = (
                    text(one, "/valueFrom/secretKeyRef/name"),
                    text(one, "/valueFrom/secretKeyRef/key"),
                );
                if !secret_keys(set, name).is_some_and(|keys| keys.contains(&key)) {
                    faults.push(format!(
                        "{owner}: {variable}: there is no Secret {name} with {key}"
                    ));
                }
            }
            given.sort_unstable();
            for pair in given.windows(2) {
                if let [first, second] = pair
                    && first == second
                {
                    faults.push(format!("{owner}: {first} is given twice"));
                }
            }
        }
    }
    // A name with the hash of what is in it: a change makes new pods, and the old ones keep theirs.
    for config in set.of("ConfigMap") {
        let hash = config.name().rsplit('-').next().unwrap_or_default();
        if hash.len() != 10 {
            faults.push(format!("{}: its name has no hash of its content", config.title()));
        }
    }
    for secret in set.of("ExternalSecret") {
        for one in list(&secret.0, "/spec/data") {
            let property = text(one, "/remoteRef/property");
            if property != text(one, "/secretKey") {
                faults.push(format!("{}: {property} is renamed", secret.title()));
            }
            let own = text(&secret.0, "/metadata/labels/app.kubernetes.io~1name");
            let place = format!("localplus/{}/{own}", set.environment.name);
            if text(one, "/remoteRef/key") != place {
                faults.push(format!("{}: {property} is not read at {place}", secret.title()));
            }
        }
    }
    faults
}
