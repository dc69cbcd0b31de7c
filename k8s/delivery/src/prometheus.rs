//! What Prometheus knows of the fleet's pods. The API server itself cannot ask them: their NetworkPolicies let in those
//! who call, and those who scrape.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::cluster::Cluster;

/// An instant vector, as the query API answers it: <https://prometheus.io/docs/prometheus/latest/querying/api/>.
#[derive(Debug, Deserialize)]
struct Answer {
    status: String,
    #[serde(default)]
    data: Vector,
}

#[derive(Debug, Default, Deserialize)]
struct Vector {
    result: Vec<Series>,
}

#[derive(Debug, Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    /// Time and value.
    value: (f64, String),
}

/// The present value of each series, with its labels.
async fn query(cluster: &Cluster, text: &str) -> anyhow::Result<Vec<Series>> {
    let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let path = "/api/v1/namespaces/monitoring/services/prometheus:9090/proxy/api/v1/query?query=";
    let answer = cluster.get(&format!("{path}{encoded}")).await?;
    let answer: Answer = serde_json::from_str(&answer).context("Prometheus' answer")?;
    ensure!(answer.status == "success", "Prometheus refuses {text}");
    Ok(answer.data.result)
}

/// Pod → release, of a namespace.
pub(crate) async fn releases(cluster: &Cluster, namespace: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let series = query(cluster, &format!("build_info{{namespace=\"{namespace}\"}}")).await?;
    let labels = series.into_iter().map(|one| one.metric);
    let pair = |mut labels: BTreeMap<String, String>| labels.remove("pod").zip(labels.remove("release"));
    Ok(labels.filter_map(pair).collect())
}

/// Pod → requests that it has answered since it started, of a service.
pub(crate) async fn answered(
    cluster: &Cluster,
    namespace: &str,
    service: &str,
) -> anyhow::Result<BTreeMap<String, u64>> {
    let of = format!("namespace=\"{namespace}\",service=\"{service}\"");
    let series = query(cluster, &format!("sum by (pod) (rpc_requests_total{{{of}}})")).await?;
    series
        .into_iter()
        .map(|mut one| {
            let pod = one.metric.remove("pod").context("a series without pod")?;
            Ok((pod, one.value.1.parse()?))
        })
        .collect()
}
