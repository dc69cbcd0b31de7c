//! Conformance: what schemas refuse is refused, at the field.

use lp_fleet::{conformance::Schemas, fleet, rendered::Object};
use lp_stack::{cache::Cache, tools};
use serde_json::{Value, json};

use crate::{manifests, rendered};

fn schemas(version: &str) -> Schemas {
    let cache = Cache::open().unwrap();
    let folder = tools::kubernetes_schemas(&cache, &|_| ()).unwrap();
    let mut schemas = Schemas::of_version(&folder, version).unwrap();
    let definitions = tools::custom_resource_definitions(&cache, &|_| ()).unwrap();
    schemas.add_custom_resources(&definitions).unwrap();
    schemas
}

#[test]
fn what_an_api_server_would_refuse_or_warn_of_is_found() {
    let schemas = schemas("1.34");
    let set = rendered(fleet(), "dev", &manifests());
    for (kind, pointer, field, value, expected) in [
        (
            "Deployment",
            "/spec",
            "replica",
            json!(2),
            ".spec.replica: is unknown",
        ),
        (
            "Deployment",
            "/spec",
            "minReadySeconds",
            json!("5"),
            ".spec.minReadySeconds: is no",
        ),
        (
            "Deployment",
            "/spec/template/spec",
            "serviceAccount",
            json!("x"),
            "serviceAccount: is deprecated",
        ),
        (
            "Service",
            "/spec",
            "loadBalancerIP",
            json!("10.0.0.1"),
            "loadBalancerIP: is deprecated",
        ),
        (
            "HorizontalPodAutoscaler",
            "",
            "apiVersion",
            json!("autoscaling/v2beta2"),
            "v2beta2 may go away",
        ),
        (
            "HorizontalPodAutoscaler",
            "",
            "apiVersion",
            json!("autoscaling/v3"),
            "is not served",
        ),
        (
            "HorizontalPodAutoscaler",
            "/spec",
            "maxReplicas",
            Value::Null,
            ".spec.maxReplicas: is no",
        ),
        (
            "ServiceMonitor",
            "/spec/endpoints/0",
            "pth",
            json!("/m"),
            "pth: is unknown",
        ),
        (
            "ServiceMonitor",
            "/spec/endpoints/0",
            "interval",
            json!("often"),
            "does not match",
        ),
        (
            "ExternalSecret",
            "/spec/target",
            "creationPolicy",
            json!("Mine"),
            "is none of",
        ),
        (
            "GRPCRoute",
            "/spec",
            "hostnames",
            json!(["Not a host"]),
            "does not match",
        ),
        (
            "GRPCRoute",
            "/spec/rules/0/backendRefs/0",
            "port",
            json!(70000),
            "is out of range",
        ),
    ] {
        let mut object = set.of(kind).next().unwrap().clone();
        assert_eq!(schemas.faults(&object), [""; 0]);
        object.0.pointer_mut(pointer).unwrap()[field] = value;
        let faults = schemas.faults(&object).join("\n");
        assert!(faults.contains(expected), "{kind} {field}: {faults}");
    }
    let mut incomplete = set.of("HorizontalPodAutoscaler").next().unwrap().clone();
    incomplete.0["spec"]
        .as_object_mut()
        .unwrap()
        .remove("maxReplicas");
    assert!(
        schemas
            .faults(&incomplete)
            .join("\n")
            .contains("has no maxReplicas")
    );
    let removed =
        json!({"apiVersion": "policy/v1beta1", "kind": "PodSecurityPolicy", "metadata": {"name": "x"}});
    assert!(!schemas.faults(&Object(removed)).is_empty());
}
