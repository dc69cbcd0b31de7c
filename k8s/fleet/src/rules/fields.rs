//! No object has a field that no rule has judged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::Value;

use crate::rendered::{Object, Set};

/// Kind → its fields; `Every` kind's, and `Pod` for the templates of pods.
static KNOWN: LazyLock<BTreeMap<String, BTreeSet<String>>> =
    // What does not parse knows no field, so that every object fails.
    LazyLock::new(|| serde_yaml_ng::from_str(include_str!("fields.yaml")).unwrap_or_default());

pub(super) fn fields(set: &Set<'_>) -> Vec<String> {
    set.objects.iter().flat_map(of_object).collect()
}

fn of_object(object: &Object) -> Vec<String> {
    let kind = object.kind();
    let template = match kind {
        "Deployment" | "Job" => "spec/template/",
        "CronJob" => "spec/jobTemplate/spec/template/",
        _ => "",
    };
    let mut paths = BTreeSet::new();
    for (key, value) in object.0.as_object().into_iter().flatten() {
        // What a ConfigMap holds is compared with the programs' settings.
        if !["apiVersion", "kind"].contains(&key.as_str()) && (kind, key.as_str()) != ("ConfigMap", "data") {
            leaves(value, key.clone(), &mut paths);
        }
    }
    let known = |list: &str, path: &str| KNOWN.get(list).is_some_and(|known| known.contains(path));
    let unknown = paths.into_iter().filter(|path| {
        let of_pod = path.strip_prefix(template).filter(|_| !template.is_empty());
        !of_pod.map_or_else(
            || known("Every", path) || known(kind, path),
            |of_pod| known("Pod", of_pod),
        )
    });
    unknown
        .map(|path| {
            format!(
                "{}: no rule has judged {path} (rules/fields.yaml)",
                object.title()
            )
        })
        .collect()
}

/// The paths of all values, with `*` for any place in a list.
fn leaves(value: &Value, path: String, paths: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let key = key.replace('~', "~0").replace('/', "~1");
                leaves(value, format!("{path}/{key}"), paths);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for value in items {
                leaves(value, format!("{path}/*"), paths);
            }
        }
        _ => drop(paths.insert(path)),
    }
}
