//! Which settings a service gets: what its ConfigMap holds in an environment, and what its Secrets must.

use std::collections::BTreeMap;

use crate::{Environment, Fleet, Service, Store};

/// What `svc-x migrate` needs beyond `serve`'s settings; in a Secret that only the migration Job reads.
pub const MIGRATION_SECRETS: [&str; 1] = ["MIGRATION_DATABASE_URL"];

/// What the ConfigMap of `service` holds wherever it runs: variable → value.
pub fn config(fleet: &Fleet, service: &Service) -> BTreeMap<String, String> {
    let shutdown = fleet.shutdown;
    let mut config = fleet.config.clone();
    config.extend(service.config.clone());
    let mut set = |variable: &str, value: String| config.insert(variable.to_owned(), value);
    set("GRPC_ADDR", format!("0.0.0.0:{}", service.ports.grpc));
    set("HTTP_ADDR", format!("0.0.0.0:{}", service.ports.http));
    set("DRAIN_DELAY_MS", shutdown.drain_delay_ms.to_string());
    set("DRAIN_TIMEOUT_MS", shutdown.drain_timeout_ms.to_string());
    set("DATABASE_SCHEMA", service.schema().to_owned());
    if !service.calls.is_empty() {
        set("AUTH_CLIENT_ID", service.binary());
    }
    for callee in fleet
        .services
        .iter()
        .filter(|callee| service.calls.contains_key(&callee.name))
    {
        set(
            &callee.url_variable(),
            format!("http://{}:{}", callee.binary(), callee.ports.grpc),
        );
    }
    config
}

/// What it holds besides in `environment`.
pub fn environment_config(
    fleet: &Fleet,
    service: &Service,
    environment: &Environment,
) -> BTreeMap<String, String> {
    let Environment { name, issuer, .. } = environment;
    let mut config = BTreeMap::new();
    let mut set = |variable: &str, value: String| config.insert(variable.to_owned(), value);
    for store in fleet.stores(service) {
        match store {
            Store::Postgres => {
                set("DATABASE_SSL_MODE", environment.database.ssl_mode.clone());
            }
            Store::Kafka => {
                set("KAFKA_BROKERS", environment.endpoints.kafka.clone());
                set("KAFKA_PREFIX", format!("{name}."));
                set("KAFKA_REPLICATION", environment.kafka.replication.to_string());
            }
            Store::Valkey => {
                set("VALKEY_PREFIX", format!("{name}:"));
            }
            Store::Mail => {}
            Store::Issuer => {
                set("AUTH_ISSUER", issuer.url.clone());
                set("AUTH_AUDIENCE", issuer.audience.clone());
                set("AUTH_JWKS_URL", format!("{}/jwks.json", issuer.url));
                if !service.calls.is_empty() {
                    set("AUTH_TOKEN_URL", format!("{}/token", issuer.url));
                }
            }
            Store::Collector => {
                set(
                    "OTEL_EXPORTER_OTLP_ENDPOINT",
                    environment.endpoints.collector.clone(),
                );
            }
        }
    }
    config
}

/// The variables of the Secret `svc-x`, sorted.
pub fn secrets(fleet: &Fleet, service: &Service) -> Vec<String> {
    let mut secrets: Vec<String> = fleet
        .stores(service)
        .into_iter()
        .filter_map(|store| match store {
            Store::Postgres => Some("DATABASE_URL"),
            Store::Valkey => Some("VALKEY_URL"),
            Store::Mail => Some("SMTP_URL"),
            Store::Kafka | Store::Issuer | Store::Collector => None,
        })
        .map(str::to_owned)
        .collect();
    if !service.calls.is_empty() {
        secrets.push("AUTH_CLIENT_SECRET".to_owned());
    }
    secrets.extend(service.secrets.iter().map(|secret| secret.variable.clone()));
    secrets.sort_unstable();
    secrets
}
