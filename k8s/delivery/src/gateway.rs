//! Stands in for a Gateway, which a proof's cluster has not: it accepts every route, as its controller would. Nothing is
//! routed; callers from outside come from the Gateway's namespace.

use anyhow::Context as _;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use crate::cluster::{Cluster, name, now};

const ROUTES: [(&str, &str); 2] = [
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("gateway.networking.k8s.io/v1", "GRPCRoute"),
];

/// Accepts every route whose present generation nobody has spoken about.
pub(crate) async fn accept(cluster: &Cluster) -> anyhow::Result<()> {
    for kind in ROUTES {
        for route in cluster.list(kind, None, "").await? {
            let seen = route
                .data
                .pointer("/status/parents/0/conditions/0/observedGeneration");
            if seen.and_then(Value::as_i64) != route.metadata.generation {
                let namespace = route.metadata.namespace.as_deref();
                let api = cluster.api(kind.0, kind.1, namespace).await?;
                let status = Patch::Merge(accepted(&route)?);
                api.patch_status(name(&route)?, &PatchParams::default(), &status)
                    .await?;
            }
        }
    }
    Ok(())
}

fn accepted(route: &DynamicObject) -> anyhow::Result<Value> {
    let parent = route
        .data
        .pointer("/spec/parentRefs/0")
        .context("a route without parent")?;
    let now = now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let condition = |kind: &str| {
        json!({
            "type": kind, "status": "True", "reason": kind, "message": "by the proof, in place of a gateway",
            "observedGeneration": route.metadata.generation, "lastTransitionTime": now,
        })
    };
    Ok(json!({"status": {"parents": [{
        "parentRef": parent,
        "controllerName": "localplus.example/proof",
        "conditions": [condition("Accepted"), condition("ResolvedRefs")],
    }]}}))
}
