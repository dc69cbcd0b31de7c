//! The form of `fleet.yaml`: what each field says, and in which unit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Callee without `svc-` → names of its rpcs.
pub type Calls = BTreeMap<String, Vec<String>>;
/// Environment variable → value.
pub type Config = BTreeMap<String, String>;

/// Why a description cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DescriptionError {
    /// It has another form.
    #[error("k8s/fleet.yaml: {0}")]
    Form(#[from] serde_yaml_ng::Error),
    /// It has this form and says what cannot be; a line for each fault, which names service or environment, field
    /// and value.
    #[error("k8s/fleet.yaml:\n{}", .0.join("\n"))]
    Faults(Vec<String>),
}

/// All of it.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// The host of the images.
    pub registry: String,
    /// How a pod ends.
    pub shutdown: Shutdown,
    /// Stores that every service uses.
    pub uses: Vec<Store>,
    /// Settings of every service, the same wherever it runs.
    pub config: Config,
    /// The services.
    pub services: Vec<Service>,
    /// What stands in every cluster.
    pub cluster: Cluster,
    /// In the order of promotion.
    pub environments: Vec<Environment>,
}

/// The times of a pod's end.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Shutdown {
    /// From "leaves the Services" to SIGTERM, in seconds.
    pub pre_stop_seconds: u64,
    /// `DRAIN_DELAY_MS`.
    pub drain_delay_ms: u64,
    /// `DRAIN_TIMEOUT_MS`.
    pub drain_timeout_ms: u64,
    /// After which a pod is killed, in seconds: longer than the others together.
    pub grace_seconds: u64,
}

/// One service.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// `ledger` for `svc-ledger`. It is the service's schema and its package in the contract, too.
    pub name: String,
    /// Where it listens.
    pub ports: Ports,
    /// Which objectives it is held to.
    pub slo: SloClass,
    /// Stores beyond those of every service.
    #[serde(default)]
    pub uses: Vec<Store>,
    /// What it calls at other services.
    #[serde(default)]
    pub calls: Calls,
    /// Topics that it reads. Those that it publishes have it as owner in `contracts-proto/topics.yaml`.
    #[serde(default)]
    pub consumes: Vec<String>,
    /// Settings of its own that are the same wherever it runs.
    #[serde(default)]
    pub config: Config,
    /// Secrets of its own, beyond those that its stores and calls need.
    #[serde(default)]
    pub secrets: Vec<Secret>,
    /// What a pod of it gets.
    pub resources: Resources,
    /// How many pods there are.
    pub scaling: Scaling,
    /// What runs at fixed times.
    #[serde(default)]
    pub jobs: Vec<Job>,
}

/// Where a service listens; the same in the cluster and on a laptop.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ports {
    /// gRPC.
    pub grpc: u16,
    /// REST, health and metrics.
    pub http: u16,
}

/// Which objectives a service is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SloClass {
    /// 99.9 % of requests, latencies as in its README.
    Critical,
    /// 99.5 % of requests.
    Standard,
}

/// What a service uses that is no service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// Its schema.
    Postgres,
    /// Its events.
    Kafka,
    /// Its cache.
    Valkey,
    /// The mail server.
    Mail,
    /// Who issues tokens, and publishes the keys to check them.
    Issuer,
    /// Where telemetry goes.
    Collector,
}

/// A setting that no ConfigMap may hold.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// The environment variable; in Vault the property of `localplus/<environment>/svc-x`.
    pub variable: String,
    /// What stands for it on a laptop, where it guards nothing.
    pub laptop: String,
}

/// What a pod gets, as Kubernetes writes quantities.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Processor time that is kept for it.
    pub cpu: String,
    /// Memory that is kept for it.
    pub memory: String,
    /// Processor time at most; also how many threads the service starts.
    pub cpu_limit: String,
    /// Memory at most: beyond it the pod is killed.
    pub memory_limit: String,
}

/// How many pods there are.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scaling {
    /// Requests under way in a pod (`rpc_in_flight`) above which another is started.
    pub in_flight: u32,
    /// How many pods there may be beyond the environment's `replicas_minimum`.
    pub replicas_over_minimum: u32,
}

/// What runs at fixed times, as a program of the service's image.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Its name, after the service's.
    pub name: String,
    /// When, in UTC, as cron writes it.
    pub schedule: String,
    /// The subcommand and its options.
    pub args: Vec<String>,
    /// After which it is ended, in seconds.
    pub deadline_seconds: u64,
}

/// What stands in every cluster.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Who resolves names.
    pub dns: Dns,
    /// Who scrapes metrics.
    pub monitoring: Monitoring,
    /// Through which calls come from outside.
    pub gateway: Gateway,
    /// The ClusterSecretStore of External Secrets.
    pub secret_store: String,
}

/// Who resolves names.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Dns {
    /// Its namespace.
    pub namespace: String,
    /// Its pods' labels.
    pub pods: BTreeMap<String, String>,
    /// Its port, over UDP and TCP.
    pub port: u16,
}

/// Who scrapes metrics.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Monitoring {
    /// Its namespace.
    pub namespace: String,
}

/// A Gateway of the Gateway API.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// Its namespace, from which its data plane connects as well.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// One environment.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// `dev`.
    pub name: String,
    /// The namespace of its services.
    pub namespace: String,
    /// Under which its services have host names: `ledger.{domain}` for REST, `ledger-grpc.{domain}` for gRPC.
    pub domain: String,
    /// Pods of each service at least.
    pub replicas_minimum: u32,
    /// What differs in Kafka.
    pub kafka: Kafka,
    /// What differs in PostgreSQL.
    pub database: Database,
    /// Whose tokens count.
    pub issuer: Issuer,
    /// Addresses that are no secret.
    pub endpoints: Endpoints,
    /// Where each store is, for NetworkPolicies.
    pub at: At,
}

/// Store → place.
pub type At = BTreeMap<Store, Place>;

/// What differs in Kafka.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    /// Copies of each partition.
    pub replication: u16,
    /// Why there are fewer than three; absent where there are three.
    pub replication_reason: Option<String>,
}

/// What differs in PostgreSQL.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `DATABASE_SSL_MODE`.
    pub ssl_mode: String,
}

/// Whose tokens count. Keys are at `{url}/jwks.json`, tokens at `{url}/token`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The `iss` of its tokens.
    pub url: String,
    /// The `aud` of its tokens.
    pub audience: String,
}

/// Addresses that are no secret. Those of PostgreSQL, Valkey and the mail server may hold a password.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoints {
    /// `KAFKA_BROKERS`.
    pub kafka: String,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub collector: String,
}

/// Where a store is: in a namespace of the cluster, or at addresses outside of it.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The namespace of its pods.
    pub namespace: Option<String>,
    /// Its address ranges.
    #[serde(default)]
    pub cidrs: Vec<String>,
    /// The port of its pods, which need not be the one of their Service.
    pub port: u16,
}

impl Fleet {
    /// Parses a description and checks it.
    ///
    /// # Errors
    /// When it has another form, or says what cannot be: every fault, each with service or environment and field.
    pub fn parse(yaml: &str) -> Result<Self, DescriptionError> {
        // By way of a value: a map of YAML refuses a key that stands twice, a map of serde keeps the last one.
        let value: serde_yaml_ng::Value = serde_yaml_ng::from_str(yaml)?;
        let fleet: Self = serde_yaml_ng::from_value(value)?;
        let faults = crate::validate::faults(&fleet);
        if faults.is_empty() {
            Ok(fleet)
        } else {
            Err(DescriptionError::Faults(faults))
        }
    }

    /// The service of that name, without `svc-`.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }

    /// The environment of that name.
    pub fn environment(&self, name: &str) -> Option<&Environment> {
        self.environments
            .iter()
            .find(|environment| environment.name == name)
    }

    /// Who calls `callee`.
    pub fn callers<'a>(&'a self, callee: &'a Service) -> impl Iterator<Item = &'a Service> {
        self.services
            .iter()
            .filter(|service| service.calls.contains_key(&callee.name))
    }

    /// What a service uses, its own and everybody's, each once.
    pub fn stores(&self, service: &Service) -> Vec<Store> {
        let mut stores = [self.uses.as_slice(), &service.uses].concat();
        stores.sort_unstable();
        stores.dedup();
        stores
    }
}

impl Service {
    /// The name of its program, package, image, Deployment and Service: `svc-ledger`.
    pub fn binary(&self) -> String {
        format!("svc-{}", self.name)
    }

    /// Its schema in PostgreSQL.
    pub fn schema(&self) -> &str {
        &self.name
    }

    /// `SVC_LEDGER_URL` for the ledger.
    pub fn url_variable(&self) -> String {
        format!("SVC_{}_URL", self.name.to_uppercase())
    }
}
