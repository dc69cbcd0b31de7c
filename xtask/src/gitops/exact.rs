//! What Argo CD is told and may be told in one way only: which folders and commits become Applications, and where. A rule
//! that asks for less would let the gate of promotion be passed by.

use serde_json::{Value, json};

use super::{Tree, keys, kind, name, text};

const GIT: &str = "/spec/generators/0/matrix/generators/0/git";
const CLUSTERS: &str = "/spec/generators/0/matrix/generators/1/clusters/selector/matchLabels";
const TEMPLATE: &str = "/spec/template";

/// (kind, name, pointer, what stands there).
pub(super) fn wanted() -> Vec<(&'static str, &'static str, String, Value)> {
    let mut all = Vec::new();
    let sets = [
        (
            "services",
            json!({"files": [{"path": "k8s/services/*/promotion/*.yaml"}]}),
            "{{ .environment }}",
            "{{ .environment }}-{{ .service }}",
            "/k8s/services/{{ .service }}",
            (
                "k8s/services/{{ .service }}/overlays/{{ .environment }}",
                "{{ .revision }}",
            ),
        ),
        (
            "platform",
            json!({"directories": [
                {"path": "platform-gitops/platform/*/*"},
                {"path": "platform-gitops/platform/*/base", "exclude": true},
            ]}),
            "{{ .path.basename }}",
            "{{ .path.basename }}-{{ index .path.segments 2 }}",
            "/platform-gitops/platform/{{ index .path.segments 2 }}",
            ("{{ .path.path }}", "main"),
        ),
    ];
    for (set, found, environment, application, paths, (path, revision)) in sets {
        let mut at = |pointer: String, value: Value| all.push(("ApplicationSet", set, pointer, value));
        at(format!("{GIT}/revision"), json!("main"));
        for (key, value) in found.as_object().into_iter().flatten() {
            at(format!("{GIT}/{key}"), value.clone());
        }
        at(
            CLUSTERS.to_owned(),
            json!({"localplus.example/environment": environment}),
        );
        at(format!("{TEMPLATE}/metadata/name"), json!(application));
        let annotations = json!({"argocd.argoproj.io/manifest-generate-paths": paths});
        at(format!("{TEMPLATE}/metadata/annotations"), annotations);
        at(format!("{TEMPLATE}/spec/source/path"), json!(path));
        at(format!("{TEMPLATE}/spec/source/targetRevision"), json!(revision));
        let destination = json!({"name": "{{ .name }}", "namespace": format!("localplus-{environment}")});
        at(format!("{TEMPLATE}/spec/destination"), destination);
    }
    let mut root = |pointer: &str, value| all.push(("Application", "root", pointer.to_owned(), value));
    root("/spec/source/path", json!("platform-gitops/argocd"));
    root("/spec/source/targetRevision", json!("main"));
    all
}

pub(super) fn faults(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (of, named, pointer, value) in wanted() {
        let found = tree
            .argocd
            .iter()
            .find(|one| kind(one) == of && name(one) == named);
        match found {
            None => faults.push(format!("there is no {of} {named}")),
            Some(one) if one.pointer(&pointer) != Some(&value) => {
                faults.push(format!("{of} {named}: {pointer} is not {value}"));
            }
            Some(_) => {}
        }
    }
    for one in &tree.argocd {
        let spec = match kind(one) {
            "ApplicationSet" => format!("{TEMPLATE}/spec"),
            "Application" => "/spec".to_owned(),
            _ => continue,
        };
        let mut fault = |what: &str| faults.push(format!("{} {}: {what}", kind(one), name(one)));
        if !["platform", "services", "root"].contains(&name(one)) {
            fault("no rule knows it");
        }
        if keys(one, &format!("{spec}/source")) != ["path", "repoURL", "targetRevision"] {
            fault("its source is more than a folder at a commit: what is added there, no rule sees");
        }
        if keys(one, &format!("{spec}/syncPolicy/automated")) != ["prune", "selfHeal"] {
            fault("syncPolicy.automated is more than prune and selfHeal");
        }
        let options = one.pointer(&format!("{spec}/syncPolicy/syncOptions"));
        if options != Some(&json!(OPTIONS)) {
            fault("syncOptions are more, or less, than those whose effect is known");
        }
        if one.pointer("/metadata/finalizers").is_some()
            || one.pointer("/spec/template/metadata/finalizers").is_some()
        {
            fault("has a finalizer: with it would go what runs");
        }
    }
    for one in tree.argocd.iter().filter(|one| kind(one) == "ConfigMap") {
        let Some((_, known)) = SETTINGS.iter().find(|(map, _)| *map == name(one)) else {
            continue;
        };
        for key in keys(one, "/data").into_iter().filter(|key| !known.contains(key)) {
            faults.push(format!("{}: no rule knows {key}", name(one)));
        }
    }
    for line in tree
        .argocd
        .iter()
        .flat_map(|one| text(one, "/data/policy.csv").lines())
    {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        if let ["g", _, role] = fields.as_slice()
            && !["role:read", "role:platform"].contains(role)
        {
            faults.push(format!("`{line}` gives a role that is not defined here"));
        }
    }
    faults
}

/// How a sync applies.
const OPTIONS: [&str; 3] = [
    "PruneLast=true",
    "ServerSideApply=true",
    "FailOnSharedResource=true",
];

/// What may be set; whatever else Argo CD knows could let people in, or hide that something is broken.
const SETTINGS: [(&str, &[&str]); 3] = [
    (
        "argocd-cm",
        &[
            "admin.enabled",
            "application.resourceTrackingMethod",
            "exec.enabled",
            "oidc.config",
            "resource.customizations.health.argoproj.io_Application",
            "resource.customizations.health.argoproj.io_ApplicationSet",
            "resource.customizations.health.batch_CronJob",
            "resource.customizations.health.external-secrets.io_ExternalSecret",
            "resource.customizations.health.gateway.networking.k8s.io_GRPCRoute",
            "resource.customizations.ignoreResourceUpdates.all",
            "resource.customizations.ignoreResourceUpdates.apps_ReplicaSet",
            "resource.customizations.ignoreResourceUpdates.argoproj.io_Application",
            "resource.exclusions",
            "timeout.reconciliation",
            "timeout.reconciliation.jitter",
            "url",
            "users.anonymous.enabled",
        ],
    ),
    (
        "argocd-cmd-params-cm",
        &[
            "applicationsetcontroller.enable.leader.election",
            "applicationsetcontroller.enable.new.git.file.globbing",
            "applicationsetcontroller.enable.progressive.syncs",
            "controller.diff.server.side",
            "controller.sync.timeout.seconds",
            "controller.sync.wave.delay.seconds",
        ],
    ),
    ("argocd-rbac-cm", &["policy.csv", "policy.default", "scopes"]),
];

#[cfg(test)]
mod tests {
    use super::super::sound::{expect, object};
    use super::*;

    #[test]
    fn what_can_be_said_in_one_way_only_is() {
        for (kind, name, pointer, _) in wanted() {
            let said = format!("{kind} {name}: {pointer} is not");
            expect(&said, |tree| {
                *object(tree, kind, name).pointer_mut(&pointer).unwrap() = json!("main2");
            });
        }
    }

    #[test]
    fn what_no_rule_knows_is_named() {
        for (said, kind, name, pointer, key) in [
            (
                "more than a folder",
                "ApplicationSet",
                "services",
                "/spec/template/spec/source",
                "kustomize",
            ),
            (
                "more than prune",
                "Application",
                "root",
                "/spec/syncPolicy/automated",
                "allowEmpty",
            ),
            (
                "has a finalizer",
                "Application",
                "root",
                "/metadata",
                "finalizers",
            ),
            (
                "has a finalizer",
                "ApplicationSet",
                "services",
                "/spec/template/metadata",
                "finalizers",
            ),
            (
                "no rule knows server.disable.auth",
                "ConfigMap",
                "argocd-cmd-params-cm",
                "/data",
                "server.disable.auth",
            ),
            (
                "no rule knows resource.customizations.health.apps_Deployment",
                "ConfigMap",
                "argocd-cm",
                "/data",
                "resource.customizations.health.apps_Deployment",
            ),
            (
                "no rule knows policy.night.csv",
                "ConfigMap",
                "argocd-rbac-cm",
                "/data",
                "policy.night.csv",
            ),
        ] {
            expect(said, |tree| {
                object(tree, kind, name).pointer_mut(pointer).unwrap()[key] = json!("true");
            });
        }
        expect("syncOptions are more", |tree| {
            let spec = &mut object(tree, "ApplicationSet", "services")["spec"]["template"]["spec"];
            spec["syncPolicy"]["syncOptions"]
                .as_array_mut()
                .unwrap()
                .push(json!("Replace=true"));
        });
        expect("there is no ApplicationSet services", |tree| {
            tree.argocd.retain(|one| name(one) != "services");
        });
        expect("gives a role that is not defined here", |tree| {
            object(tree, "ConfigMap", "argocd-rbac-cm")["data"]["policy.csv"] =
                json!("g, localplus:sre, role:admin");
        });
    }
}
