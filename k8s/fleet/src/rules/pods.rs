//! Rules about pods, whatever makes them.

use serde_json::{Value, json};

use crate::rendered::{Pod, Set, keys, list, number, selects, text};

/// The user of the images, which is not root.
const USER: u64 = 65_532;

/// The faults of every pod and container, each with its owner's title.
fn each(set: &Set<'_>, check: impl Fn(&Pod<'_>) -> Vec<String>) -> Vec<String> {
    let of = |pod: Pod<'_>| {
        let owner = pod.owner.title();
        check(&pod)
            .into_iter()
            .map(move |fault| format!("{owner}: {fault}"))
    };
    set.pods().flat_map(of).collect()
}

/// Says each of `wanted` (pointer, value) that `value` has not.
fn missing(value: &Value, wanted: &[(&str, Value)]) -> Vec<String> {
    wanted
        .iter()
        .filter(|(pointer, expected)| value.pointer(pointer) != Some(expected))
        .map(|(pointer, expected)| {
            format!(
                "{} is not {expected}",
                pointer.trim_start_matches('/').replace('/', ".")
            )
        })
        .collect()
}

pub(super) fn security(set: &Set<'_>) -> Vec<String> {
    each(set, |pod| {
        let spec = pod.template.get("spec").unwrap_or(&Value::Null);
        let mut faults = missing(
            spec,
            &[
                ("/automountServiceAccountToken", json!(false)),
                ("/enableServiceLinks", json!(false)),
                ("/securityContext/runAsNonRoot", json!(true)),
                ("/securityContext/runAsUser", json!(USER)),
                ("/securityContext/runAsGroup", json!(USER)),
                ("/securityContext/seccompProfile/type", json!("RuntimeDefault")),
            ],
        );
        if text(spec, "/serviceAccountName").is_empty() {
            faults.push("runs under the namespace's default service account".to_owned());
        }
        for host in ["hostNetwork", "hostPID", "hostIPC"] {
            if spec.get(host).is_some_and(|value| *value != json!(false)) {
                faults.push(format!("{host} is set"));
            }
        }
        for volume in list(spec, "/volumes") {
            if volume.get("hostPath").is_some() {
                faults.push(format!(
                    "volume {} is a folder of the node",
                    text(volume, "/name")
                ));
            }
        }
        let init = list(spec, "/initContainers");
        for container in pod.containers().iter().chain(init) {
            let name = text(container, "/name");
            let wanted = [
                ("/securityContext/allowPrivilegeEscalation", json!(false)),
                ("/securityContext/readOnlyRootFilesystem", json!(true)),
                ("/securityContext/capabilities/drop", json!(["ALL"])),
            ];
            let found = missing(container, &wanted);
            faults.extend(found.into_iter().map(|fault| format!("{name}: {fault}")));
            let context = keys(container, "/securityContext");
            for key in [
                "privileged",
                "runAsUser",
                "runAsNonRoot",
                "seccompProfile",
                "procMount",
            ] {
                if context.contains(&key) {
                    faults.push(format!("{name}: securityContext.{key} overrides the pod's"));
                }
            }
            if !list(container, "/securityContext/capabilities/add").is_empty() {
                faults.push(format!("{name}: adds capabilities"));
            }
        }
        faults
    })
}

pub(super) fn image_by_digest(set: &Set<'_>) -> Vec<String> {
    each(set, |pod| {
        let wrong = |image: &&str| {
            let name = text(pod.labels(), "/app.kubernetes.io~1name");
            let digest = image
                .strip_prefix(&format!("{}/{name}@sha256:", set.fleet.registry))
                .unwrap_or_default();
            digest.len() != 64 || !digest.chars().all(|letter| letter.is_ascii_hexdigit())
        };
        let images = pod.containers().iter().map(|container| text(container, "/image"));
        images
            .filter(wrong)
            .map(|image| format!("{image} is not its own image in {} by digest", set.fleet.registry))
            .collect()
    })
}

pub(super) fn resources(set: &Set<'_>) -> Vec<String> {
    each(set, |pod| {
        let mut faults = Vec::new();
        for container in pod.containers() {
            for side in ["requests", "limits"] {
                for resource in ["cpu", "memory"] {
                    if text(container, &format!("/resources/{side}/{resource}")).is_empty() {
                        faults.push(format!("{}: has no {side}.{resource}", text(container, "/name")));
                    }
                }
            }
        }
        faults
    })
}

pub(super) fn probes(set: &Set<'_>) -> Vec<String> {
    each(set, |pod| {
        if pod.owner.kind() != "Deployment" {
            return Vec::new();
        }
        let mut faults = Vec::new();
        for container in pod.containers() {
            for (probe, path) in [
                ("startupProbe", "/healthz/live"),
                ("readinessProbe", "/healthz/ready"),
                ("livenessProbe", "/healthz/live"),
            ] {
                let Some(found) = container.get(probe) else {
                    faults.push(format!("has no {probe}"));
                    continue;
                };
                if text(found, "/httpGet/path") != path {
                    faults.push(format!("{probe} does not ask {path}"));
                }
                let port = found.pointer("/httpGet/port").unwrap_or(&Value::Null);
                if pod.port(port).is_none() {
                    faults.push(format!("{probe} asks port {port}, which the container has not"));
                }
            }
        }
        faults
    })
}

/// A pod is not killed before its drain had its time, and leaves the Services before it stops listening.
pub(super) fn graceful_stop(set: &Set<'_>) -> Vec<String> {
    each(set, |pod| {
        if pod.owner.kind() != "Deployment" {
            return Vec::new();
        }
        let mut faults = Vec::new();
        for container in pod.containers() {
            let sleep = number(container, "/lifecycle/preStop/sleep/seconds").unwrap_or_default();
            if sleep < 33 {
                // 30 s for which DNS may answer of before, and 3 s between two looks of a client.
                faults.push("preStop sleeps less than 33 s: callers may know no other pod yet".to_owned());
            }
            let setting = |variable: &str| {
                super::references::config_of(set, container)
                    .and_then(|config| text(&config.0, &format!("/data/{variable}")).parse::<u64>().ok())
            };
            let (Some(delay), Some(drain)) = (setting("DRAIN_DELAY_MS"), setting("DRAIN_TIMEOUT_MS")) else {
                faults.push("its ConfigMap says no DRAIN_DELAY_MS or DRAIN_TIMEOUT_MS".to_owned());
                continue;
            };
            let grace = number(pod.template, "/spec/terminationGracePeriodSeconds").unwrap_or_default();
            let needed = sleep * 1_000 + delay + drain;
            if grace * 1_000 <= needed {
                faults.push(format!(
                    "is killed after {grace} s, and preStop and drain may take {needed} ms"
                ));
            }
        }
        faults
    })
}

pub(super) fn spread(set: &Set<'_>) -> Vec<String> {
    each(set, |pod| {
        if pod.owner.kind() != "Deployment" {
            return Vec::new();
        }
        let constraints = list(pod.template, "/spec/topologySpreadConstraints");
        let mut faults = Vec::new();
        for key in ["topology.kubernetes.io/zone", "kubernetes.io/hostname"] {
            let Some(found) = constraints
                .iter()
                .find(|constraint| text(constraint, "/topologyKey") == key)
            else {
                faults.push(format!("is not spread by {key}"));
                continue;
            };
            let selector = found.get("labelSelector").unwrap_or(&Value::Null);
            if !selects(selector, pod.labels()) || keys(selector, "/matchLabels").is_empty() {
                faults.push(format!("the spread by {key} counts other pods"));
            }
            if text(found, "/whenUnsatisfiable") != "ScheduleAnyway" {
                faults.push(format!("the spread by {key} would hold up a drain"));
            }
        }
        faults
    })
}
