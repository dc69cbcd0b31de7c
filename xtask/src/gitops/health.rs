//! Rules over the health checks in `argocd-cm`; the tests run them, as Argo CD does, on objects of each kind.

use super::{Tree, datum, name, of_kind, text};

const KEY: &str = "resource.customizations.health.";

/// Kinds whose built-in health says something else than is; `argocd-cm.yaml` says what.
const JUDGED: [&str; 5] = [
    "argoproj.io_Application",
    "argoproj.io_ApplicationSet",
    "batch_CronJob",
    "external-secrets.io_ExternalSecret",
    "gateway.networking.k8s.io_GRPCRoute",
];

/// The annotation by which an ApplicationSet is as healthy as what it generated.
const WAIT: &str = "/metadata/annotations/localplus.example~1wait";

pub(super) fn faults(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    let settings = of_kind(&tree.argocd, "ConfigMap").find(|one| name(one) == "argocd-cm");
    for kind in JUDGED {
        if settings
            .and_then(|one| datum(one, &format!("{KEY}{kind}")))
            .is_none()
        {
            faults.push(format!("argocd-cm: no health check for {kind}"));
        }
    }
    let platform = of_kind(&tree.argocd, "ApplicationSet").find(|one| name(one) == "platform");
    if platform.is_none_or(|one| text(one, WAIT) != "applications") {
        faults.push("ApplicationSet platform: no annotation localplus.example/wait: applications, so services would not wait for their namespaces".to_owned());
    }
    faults
}

#[cfg(test)]
mod tests {
    use mlua::{Lua, LuaOptions, LuaSerdeExt as _, StdLib};
    use serde_json::{Value, json};

    use super::super::sound::{expect, object};
    use super::*;

    #[test]
    fn every_judged_kind_has_a_check() {
        for kind in JUDGED {
            expect(&format!("no health check for {kind}"), |tree| {
                let settings = object(tree, "ConfigMap", "argocd-cm");
                settings["data"]
                    .as_object_mut()
                    .unwrap()
                    .remove(&format!("{KEY}{kind}"));
            });
        }
        expect("would not wait for their namespaces", |tree| {
            object(tree, "ApplicationSet", "platform")["metadata"]["annotations"]["localplus.example/wait"] =
                json!("");
        });
    }

    /// What the committed check says of an object. Argo CD gives Lua 5.1 the base and table libraries only.
    fn health(kind: &str, object: &Value) -> String {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../platform-gitops/argocd/config/argocd-cm.yaml"
        );
        let settings: Value = serde_yaml_ng::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let script = settings["data"][format!("{KEY}{kind}")].as_str().unwrap();
        let lua = Lua::new_with(StdLib::TABLE, LuaOptions::default()).unwrap();
        lua.globals().set("obj", lua.to_value(object).unwrap()).unwrap();
        let result: mlua::Table = lua.load(script).eval().unwrap();
        result.get("status").unwrap()
    }

    #[test]
    fn an_application_is_as_healthy_as_it_says() {
        let of = |object| health("argoproj.io_Application", &object);
        assert_eq!(of(json!({"metadata": {}})), "Progressing");
        assert_eq!(of(json!({"status": {}})), "Progressing");
        assert_eq!(
            of(json!({"status": {"health": {"status": "Degraded"}}})),
            "Degraded"
        );
        assert_eq!(
            of(json!({"status": {"health": {"status": "Healthy"}}})),
            "Healthy"
        );
    }

    fn set(wait: bool, conditions: &Value, applications: &Value) -> String {
        let annotations = if wait {
            json!({"localplus.example/wait": "applications"})
        } else {
            json!({})
        };
        let object = json!({"metadata": {"annotations": annotations}, "status": {"conditions": conditions, "resources": applications}});
        health("argoproj.io_ApplicationSet", &object)
    }

    #[test]
    fn an_application_set_that_is_waited_for_is_as_healthy_as_its_applications() {
        let current = json!([{"type": "ErrorOccurred", "status": "False", "message": ""}, {"type": "ResourcesUpToDate", "status": "True", "message": ""}]);
        let well = json!({"name": "a", "status": "Synced", "health": {"status": "Healthy"}});
        let ill = json!({"name": "b", "status": "Synced", "health": {"status": "Degraded"}});
        let behind = json!({"name": "c", "status": "OutOfSync", "health": {"status": "Healthy"}});
        assert_eq!(set(true, &current, &json!([well])), "Healthy");
        assert_eq!(set(true, &current, &json!([well, ill])), "Progressing");
        assert_eq!(set(true, &current, &json!([well, behind])), "Progressing");
        assert_eq!(
            set(true, &current, &json!([well, {"name": "new"}])),
            "Progressing"
        );
        assert_eq!(set(false, &current, &json!([well, ill])), "Healthy");
    }

    #[test]
    fn an_application_set_that_cannot_be_generated_is_degraded() {
        let error = json!([{"type": "ErrorOccurred", "status": "True", "message": "missing key"}]);
        assert_eq!(set(false, &error, &json!([])), "Degraded");
        let behind = json!([{"type": "ResourcesUpToDate", "status": "False", "message": "no"}]);
        assert_eq!(set(false, &behind, &json!([])), "Degraded");
        assert_eq!(set(true, &json!([]), &json!([])), "Progressing");
        assert_eq!(
            health("argoproj.io_ApplicationSet", &json!({"metadata": {}})),
            "Progressing"
        );
    }

    fn route(conditions: &Value) -> String {
        let object =
            json!({"metadata": {"generation": 2}, "status": {"parents": [{"conditions": conditions}]}});
        health("gateway.networking.k8s.io_GRPCRoute", &object)
    }

    #[test]
    fn a_route_is_judged_by_what_was_said_of_this_generation() {
        let said = |what: &str, status: &str, generation: u64| json!({"type": what, "status": status, "observedGeneration": generation});
        assert_eq!(
            route(&json!([
                said("Accepted", "True", 2),
                said("ResolvedRefs", "True", 2)
            ])),
            "Healthy"
        );
        assert_eq!(route(&json!([said("Accepted", "True", 1)])), "Progressing");
        assert_eq!(route(&json!([said("Accepted", "False", 1)])), "Progressing");
        assert_eq!(route(&json!([said("ResolvedRefs", "False", 2)])), "Degraded");
        assert_eq!(route(&json!([])), "Progressing");
        assert_eq!(
            health(
                "gateway.networking.k8s.io_GRPCRoute",
                &json!({"metadata": {"generation": 1}})
            ),
            "Progressing"
        );
    }

    fn secret(ready: &str, synced: &str) -> String {
        let status = json!({"syncedResourceVersion": synced, "conditions": [{"type": "Ready", "status": ready, "message": "m"}]});
        health(
            "external-secrets.io_ExternalSecret",
            &json!({"metadata": {"generation": 3}, "status": status}),
        )
    }

    #[test]
    fn an_external_secret_is_healthy_when_its_secret_is_of_this_generation() {
        assert_eq!(secret("True", "3-abc"), "Healthy");
        assert_eq!(secret("False", "3-abc"), "Healthy");
        for other in ["2-abc", "33-abc", "30-abc", "4-abc", ""] {
            assert_eq!(secret("True", other), "Progressing", "{other}");
            assert_eq!(secret("False", other), "Degraded", "{other}");
        }
        let unseen = json!({"metadata": {"generation": 1}});
        assert_eq!(
            health("external-secrets.io_ExternalSecret", &unseen),
            "Progressing"
        );
    }

    #[test]
    fn a_failed_run_does_not_stop_a_deployment() {
        let failed = json!({"status": {"lastScheduleTime": "2026-01-02T00:00:00Z", "lastSuccessfulTime": "2026-01-01T00:00:00Z"}});
        assert_eq!(health("batch_CronJob", &failed), "Healthy");
    }
}
