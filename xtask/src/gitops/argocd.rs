//! Rules over what Argo CD is told: its settings, its ApplicationSets and `root`, and the address of the repository.

use serde_json::{Value, json};

use super::{ARGOCD, Tree, datum, kind, list, name, of_kind, projects, text};

pub(super) fn faults(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for set in of_kind(&tree.argocd, "ApplicationSet") {
        faults.extend(application_set(set, tree));
    }
    for one in of_kind(&tree.argocd, "Application") {
        faults.extend(application(one, "/spec", tree));
    }
    for project in of_kind(&tree.argocd, "AppProject") {
        faults.extend(projects::scope(project));
    }
    faults.extend(address(tree));
    faults.extend(waves(tree));
    faults.extend(settings(tree));
    faults.extend(values(&tree.values));
    faults.extend(projects::allowed("argocd", &tree.argocd, "argocd", tree));
    faults
}

fn application_set(set: &Value, tree: &Tree) -> Vec<String> {
    let mut faults = application(set, "/spec/template/spec", tree);
    let mut fault = |what: &str| faults.push(format!("ApplicationSet {}: {what}", name(set)));
    if set.pointer("/spec/goTemplate") != Some(&json!(true)) {
        fault("goTemplate is not true");
    }
    if set.pointer("/spec/goTemplateOptions") != Some(&json!(["missingkey=error"])) {
        fault("goTemplateOptions is not [missingkey=error]: a missing key would become the text <no value>");
    }
    if set.pointer("/spec/strategy").is_some() {
        fault("has a strategy: RollingSync must not gate production, a promotion commit does");
    }
    if set.pointer("/spec/templatePatch").is_some() {
        fault("has a templatePatch, which escapes these rules");
    }
    if set.pointer("/spec/syncPolicy/preserveResourcesOnDeletion") != Some(&json!(true)) {
        fault("preserveResourcesOnDeletion is not true: a lost file would delete what runs");
    }
    let generators = list(set, "/spec/generators/0/matrix/generators");
    let labels = "/clusters/selector/matchLabels/localplus.example~1environment";
    if list(set, "/spec/generators").len() != 1
        || generators.len() != 2
        || generators.first().is_none_or(|git| git.get("git").is_none())
        || generators
            .get(1)
            .is_none_or(|clusters| !text(clusters, labels).contains("{{"))
    {
        fault("is not made of Git times the clusters of that environment");
    }
    if generators.iter().filter_map(|one| one.get("git")).any(|git| {
        git.get("requeueAfterSeconds")
            .and_then(Value::as_u64)
            .is_none_or(|seconds| seconds > 30)
    }) {
        fault(
            "requeueAfterSeconds is missing or over 30: without a webhook a promotion would wait for minutes",
        );
    }
    faults
}

/// An Application, or the template of one, at `spec`.
fn application(object: &Value, spec: &str, tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |what: &str| faults.push(format!("{} {}: {what}", kind(object), name(object)));
    let empty = Value::Null;
    let spec = object.pointer(spec).unwrap_or(&empty);
    let project = text(spec, "/project");
    if project.contains("{{") {
        fault("its project is templated: whoever writes a parameter would choose his own rights");
    } else if !of_kind(&tree.argocd, "AppProject").any(|one| name(one) == project) {
        fault(&format!("its project `{project}` does not exist"));
    }
    for automated in ["prune", "selfHeal"] {
        if spec.pointer(&format!("/syncPolicy/automated/{automated}")) != Some(&json!(true)) {
            fault(&format!("syncPolicy.automated.{automated} is not true"));
        }
    }
    if spec.pointer("/syncPolicy/retry/refresh") != Some(&json!(true)) {
        fault(
            "retry.refresh is not true: a failed sync would be tried again at its own commit, and the revert would wait",
        );
    }
    if spec.pointer("/ignoreDifferences").is_some() {
        fault("ignores differences: say why in argocd-cm, for all, or do not");
    }
    faults
}

/// The address stands in one file; whatever else carries one was given it by kustomize.
fn address(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    let source = of_kind(&tree.argocd, "ConfigMap").find(|one| name(one) == "localplus-repository");
    let url = source.map_or("", |one| text(one, "/data/url"));
    if url.is_empty() {
        return vec![format!(
            "{ARGOCD}: no ConfigMap localplus-repository with the repository's address"
        )];
    }
    let places: Vec<&String> = tree
        .texts
        .iter()
        .filter(|(_, text)| text.contains(url))
        .map(|(path, _)| path)
        .collect();
    let own = format!("{ARGOCD}/repository.yaml");
    for place in places.into_iter().filter(|place| **place != own) {
        faults.push(format!(
            "{place} names the repository's address, which stands in {own}"
        ));
    }
    let mut found = Vec::new();
    for object in &tree.argocd {
        addresses(object, &mut found);
    }
    for other in found.into_iter().filter(|found| *found != url) {
        faults.push(format!(
            "{ARGOCD} renders the address `{other}`, which is not the repository's"
        ));
    }
    faults
}

fn addresses<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match (key.as_str(), value) {
                    ("repoURL", Value::String(url)) => found.push(url),
                    ("sourceRepos", Value::Array(urls)) => {
                        found.extend(urls.iter().filter_map(Value::as_str));
                    }
                    _ => addresses(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| addresses(value, found)),
        _ => {}
    }
}

/// Settings before projects before the platform before services before `root`.
fn waves(tree: &Tree) -> Vec<String> {
    let rank = |object: &Value| match (kind(object), name(object)) {
        ("ConfigMap", _) => 0,
        ("AppProject", _) => 1,
        ("ApplicationSet", "platform") => 2,
        ("ApplicationSet", _) => 3,
        _ => 4,
    };
    let wave = |object: &Value| {
        let wave = text(object, "/metadata/annotations/argocd.argoproj.io~1sync-wave");
        wave.parse::<i32>().ok()
    };
    let mut faults = Vec::new();
    for object in &tree.argocd {
        let Some(own) = wave(object) else {
            faults.push(format!("{} {}: no sync wave", kind(object), name(object)));
            continue;
        };
        for later in tree.argocd.iter().filter(|other| rank(other) > rank(object)) {
            if wave(later).is_some_and(|wave| wave <= own) {
                faults.push(format!(
                    "{} {} comes in no earlier wave than {} {}",
                    kind(object),
                    name(object),
                    kind(later),
                    name(later)
                ));
            }
        }
    }
    faults
}

fn settings(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    let wanted = [
        ("argocd-cm", "admin.enabled", "false"),
        ("argocd-cm", "users.anonymous.enabled", "false"),
        ("argocd-cm", "exec.enabled", "false"),
        ("argocd-cmd-params-cm", "controller.diff.server.side", "true"),
        ("argocd-cmd-params-cm", "controller.sync.timeout.seconds", "300"),
        (
            "argocd-cmd-params-cm",
            "applicationsetcontroller.enable.progressive.syncs",
            "false",
        ),
        ("argocd-rbac-cm", "policy.default", ""),
    ];
    for (map, key, value) in wanted {
        let found = of_kind(&tree.argocd, "ConfigMap").find(|one| name(one) == map);
        if found.and_then(|one| datum(one, key)) != Some(value) {
            faults.push(format!("{map}: {key} is not \"{value}\""));
        }
    }
    for map in of_kind(&tree.argocd, "ConfigMap").filter(|one| name(one).starts_with("argocd-")) {
        if text(map, "/metadata/labels/app.kubernetes.io~1part-of") != "argocd" {
            faults.push(format!(
                "{}: no label app.kubernetes.io/part-of: argocd, so that Argo CD does not look at it",
                name(map)
            ));
        }
        faults.extend(projects::rights(
            datum(map, "policy.csv").unwrap_or_default().lines(),
        ));
    }
    faults
}

/// The values install; they say nothing that the settings say.
fn values(values: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for map in ["cm", "params", "rbac"] {
        if values.pointer(&format!("/configs/{map}")) != Some(&json!({"create": false})) {
            faults.push(format!(
                "{ARGOCD}/install/values.yaml: configs.{map} is more than `create: false`; settings stand in {ARGOCD}/config"
            ));
        }
    }
    if !text(values, "/global/image/tag").starts_with('v') {
        faults.push(format!(
            "{ARGOCD}/install/values.yaml: global.image.tag pins no version"
        ));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::sound::{expect, object};
    use super::*;

    /// Breaks the ApplicationSet `services` at a pointer.
    fn set(said: &str, pointer: &str, value: Value) {
        expect(said, |tree| {
            *object(tree, "ApplicationSet", "services")
                .pointer_mut(pointer)
                .unwrap() = value;
        });
    }

    #[test]
    fn an_application_set_keeps_its_rules() {
        set("goTemplate is not true", "/spec/goTemplate", json!(false));
        set(
            "goTemplateOptions",
            "/spec/goTemplateOptions",
            json!(["missingkey=zero"]),
        );
        set("preserveResourcesOnDeletion", "/spec/syncPolicy", json!({}));
        set("times the clusters", "/spec/generators", json!([{"git": {}}]));
        set(
            "requeueAfterSeconds",
            "/spec/generators/0/matrix/generators/0/git",
            json!({"repoURL": "https://git/one"}),
        );
        expect("RollingSync", |tree| {
            object(tree, "ApplicationSet", "services")["spec"]["strategy"] = json!({"type": "RollingSync"});
        });
        expect("templatePatch", |tree| {
            object(tree, "ApplicationSet", "services")["spec"]["templatePatch"] = json!("{}");
        });
    }

    #[test]
    fn an_application_keeps_its_rules_also_as_a_template() {
        set(
            "project is templated",
            "/spec/template/spec/project",
            json!("{{ .project }}"),
        );
        set(
            "`nobody` does not exist",
            "/spec/template/spec/project",
            json!("nobody"),
        );
        set(
            "automated.prune",
            "/spec/template/spec/syncPolicy/automated/prune",
            json!(false),
        );
        set(
            "automated.selfHeal",
            "/spec/template/spec/syncPolicy/automated/selfHeal",
            json!(false),
        );
        set(
            "syncOptions are more, or less",
            "/spec/template/spec/syncPolicy/syncOptions",
            json!(["ServerSideApply=true"]),
        );
        set(
            "syncOptions are more, or less",
            "/spec/template/spec/syncPolicy/syncOptions",
            json!(["PruneLast=true"]),
        );
        set(
            "syncOptions are more, or less",
            "/spec/template/spec/syncPolicy/syncOptions/0",
            json!("CreateNamespace=true"),
        );
        set(
            "retry.refresh",
            "/spec/template/spec/syncPolicy/retry",
            json!({"limit": 5}),
        );
        expect("ignores differences", |tree| {
            object(tree, "Application", "root")["spec"]["ignoreDifferences"] = json!([]);
        });
    }

    #[test]
    fn the_address_stands_once() {
        expect("names the repository's address", |tree| {
            tree.texts.insert(
                "platform-gitops/argocd/root.yaml".to_owned(),
                "https://git/one".to_owned(),
            );
        });
        expect("renders the address `https://git/two`", |tree| {
            object(tree, "Application", "root")["spec"]["source"]["repoURL"] = json!("https://git/two");
        });
        expect("renders the address `*`", |tree| {
            object(tree, "AppProject", "product")["spec"]["sourceRepos"] = json!(["*"]);
        });
        expect("no ConfigMap localplus-repository", |tree| {
            tree.argocd.remove(0);
        });
    }

    #[test]
    fn waves_are_in_order() {
        let wave = |said: &str, kind: &str, name: &str, wave: &str| {
            expect(said, |tree| {
                object(tree, kind, name)["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"] =
                    json!(wave);
            });
        };
        wave(
            "ApplicationSet platform comes in no earlier wave than ApplicationSet services",
            "ApplicationSet",
            "platform",
            "0",
        );
        wave(
            "AppProject product comes in no earlier wave",
            "AppProject",
            "product",
            "3",
        );
        wave("no sync wave", "Application", "root", "last");
    }

    #[test]
    fn settings_close_what_they_must() {
        for (map, key) in [
            ("argocd-cm", "admin.enabled"),
            ("argocd-cm", "users.anonymous.enabled"),
            ("argocd-cm", "exec.enabled"),
            ("argocd-cmd-params-cm", "controller.diff.server.side"),
            ("argocd-cmd-params-cm", "controller.sync.timeout.seconds"),
            (
                "argocd-cmd-params-cm",
                "applicationsetcontroller.enable.progressive.syncs",
            ),
            ("argocd-rbac-cm", "policy.default"),
        ] {
            expect(key, |tree| {
                object(tree, "ConfigMap", map)["data"][key] = json!("role:admin");
            });
        }
        expect("what Git does not say", |tree| {
            let policy = "p, role:sre, exec, get, */*, allow";
            object(tree, "ConfigMap", "argocd-rbac-cm")["data"]["policy.csv"] = json!(policy);
        });
        expect("does not look at it", |tree| {
            object(tree, "ConfigMap", "argocd-cm")["metadata"]["labels"] = json!({});
        });
    }

    #[test]
    fn the_values_repeat_no_setting() {
        expect("configs.cm is more", |tree| {
            tree.values["configs"]["cm"] = json!({"create": true, "timeout.reconciliation": "3m"});
        });
        expect("pins no version", |tree| tree.values["global"] = json!({}));
    }
}
