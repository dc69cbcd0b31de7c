//! Rules over what the platform puts into each environment.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{PLATFORM, Tree, leads_to, name, of_kind, projects, text};

pub(super) fn faults(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for ((component, environment), objects) in &tree.platform {
        let namespace = format!("localplus-{environment}");
        let found = projects::allowed("platform", objects, &namespace, tree);
        faults.extend(
            found
                .into_iter()
                .map(|fault| format!("{PLATFORM}/{component}/{environment}: {fault}")),
        );
        if component == "environment" {
            faults.extend(ground(objects, &namespace));
        }
    }
    for environment in environments(tree) {
        if !tree
            .platform
            .contains_key(&("environment".to_owned(), environment.to_owned()))
        {
            faults.push(format!(
                "{PLATFORM}/environment/{environment} is missing, so that nothing makes its namespace"
            ));
        }
    }
    faults.extend(outside(&tree.kustomizations, PLATFORM));
    faults
}

/// The environments that services are in.
fn environments(tree: &Tree) -> impl Iterator<Item = &str> {
    tree.services.keys().map(|(_, environment)| environment.as_str())
}

/// What every pod stands on: pod security and the default deny.
fn ground(objects: &[Value], namespace: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let own = of_kind(objects, "Namespace").find(|one| name(one) == namespace);
    for mode in ["enforce", "warn", "audit"] {
        let label = |label: &str| own.map_or("", |one| text(one, &format!("/metadata/labels/{label}")));
        if label(&format!("pod-security.kubernetes.io~1{mode}")) != "restricted" {
            faults.push(format!("{namespace}: pod security `{mode}` is not restricted"));
        }
        if !label(&format!("pod-security.kubernetes.io~1{mode}-version")).starts_with("v1.") {
            faults.push(format!(
                "{namespace}: the version of pod security `{mode}` is not pinned"
            ));
        }
    }
    let kept = "/metadata/annotations/argocd.argoproj.io~1sync-options";
    if !own.is_some_and(|one| text(one, kept).contains("Prune=false")) {
        faults.push(format!(
            "{namespace}: a commit could prune the namespace with all that is in it"
        ));
    }
    let everything = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]});
    let mut policies = of_kind(objects, "NetworkPolicy");
    if policies.next().and_then(|one| one.get("spec")) != Some(&everything) || policies.next().is_some() {
        faults.push(format!(
            "{namespace}: its one NetworkPolicy is not that which denies every pod both ways: another one opens"
        ));
    }
    faults
}

/// A folder that takes in something outside itself: Argo CD renders an Application anew only for a change in its own
/// folder (`manifest-generate-paths`), so it would miss that one. `under/<folder>` is what an Application belongs to.
pub(super) fn outside(kustomizations: &BTreeMap<String, Vec<String>>, under: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (file, paths) in kustomizations {
        let Some(folder) = file
            .strip_prefix(&format!("{under}/"))
            .and_then(|rest| rest.split('/').next())
        else {
            continue;
        };
        for path in paths {
            if !leads_to(file, path).is_some_and(|to| to.starts_with(format!("{under}/{folder}"))) {
                faults.push(format!(
                    "{file} takes in {path}, outside {under}/{folder}: Argo CD would not see it change"
                ));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::sound::expect;
    use super::*;

    /// Breaks the environment `dev` at a pointer into its objects.
    fn dev(said: &str, object: usize, pointer: &str, value: Value) {
        expect(said, |tree| {
            let objects = tree.platform.values_mut().next().unwrap();
            *objects[object].pointer_mut(pointer).unwrap() = value;
        });
    }

    #[test]
    fn every_environment_stands_on_restricted_pods_and_a_default_deny() {
        let label = |mode: &str| format!("/metadata/labels/pod-security.kubernetes.io~1{mode}");
        for mode in ["enforce", "warn", "audit"] {
            dev(
                &format!("`{mode}` is not restricted"),
                0,
                &label(mode),
                json!("baseline"),
            );
            dev(
                "is not pinned",
                0,
                &label(&format!("{mode}-version")),
                json!("latest"),
            );
        }
        dev("could prune the namespace", 0, "/metadata/annotations", json!({}));
        dev(
            "denies every pod both ways",
            1,
            "/spec/policyTypes",
            json!(["Ingress"]),
        );
        dev(
            "denies every pod both ways",
            1,
            "/spec/podSelector",
            json!({"matchLabels": {"a": "b"}}),
        );
        expect("another one opens", |tree| {
            for objects in tree.platform.values_mut() {
                objects.push(json!({"kind": "NetworkPolicy", "metadata": {"name": "debug"}, "spec": {"ingress": [{}]}}));
            }
        });
        expect("platform/environment/prod is missing", |tree| {
            tree.platform.pop_last();
        });
    }

    #[test]
    fn the_platform_makes_only_what_its_project_allows() {
        dev("does not allow ClusterRole", 0, "/kind", json!("ClusterRole"));
        dev(
            "is in namespace kube-system",
            1,
            "/metadata/namespace",
            json!("kube-system"),
        );
    }

    #[test]
    fn a_folder_takes_in_nothing_of_another() {
        for (file, path) in [
            ("k8s/services/svc-a/base/kustomization.yaml", "../../svc-b/base"),
            (
                "k8s/services/svc-a/base/kustomization.yaml",
                "../../../components/pod",
            ),
            (
                "platform-gitops/platform/environment/dev/kustomization.yaml",
                "../../other/base",
            ),
        ] {
            expect("would not see it change", |tree| {
                tree.kustomizations.insert(file.to_owned(), vec![path.to_owned()]);
            });
        }
    }
}
