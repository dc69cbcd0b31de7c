//! Groups of settings that services share.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum, builder::NonEmptyStringValueParser};
use secrecy::SecretString;
use url::Url;

use crate::SecretUrl;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For a person at a terminal.
    Text,
}

/// How far TLS to PostgreSQL goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SslMode {
    /// Never.
    Disable,
    /// If the server offers it.
    Prefer,
    /// Always, whoever the server is.
    Require,
    /// Always, with the certificate and the host name checked.
    VerifyFull,
}

/// Where and how a service serves.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Address for gRPC, host:port.
    #[arg(long, env = "GRPC_ADDR")]
    pub grpc_addr: SocketAddr,
    /// Address for REST, /metrics, /version and /healthz, host:port.
    #[arg(long, env = "HTTP_ADDR")]
    pub http_addr: SocketAddr,
    /// The certificate chain, PEM, with which gRPC is served over TLS; absent: in the clear. Read at the start.
    #[arg(long, env = "TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, env = "TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Requests under way at once; one more is refused with OVERLOADED.
    #[arg(long, env = "MAX_IN_FLIGHT", default_value_t = 512)]
    pub max_in_flight: usize,
    /// Longest time for a request, in milliseconds; a caller's shorter deadline holds.
    #[arg(long, env = "REQUEST_TIMEOUT_MS", default_value_t = 10_000)]
    pub request_timeout_ms: u64,
    /// Time between "not ready" and the closing of the listeners, in milliseconds: clients learn of it.
    #[arg(long, env = "DRAIN_DELAY_MS", default_value_t = 0)]
    pub drain_delay_ms: u64,
    /// Longest time for requests under way to finish after SIGTERM, in milliseconds.
    #[arg(long, env = "DRAIN_TIMEOUT_MS", default_value_t = 20_000)]
    pub drain_timeout_ms: u64,
}

/// Whose tokens are believed.
#[derive(Debug, Clone, Args)]
pub struct Auth {
    /// Who issues the tokens of callers: the exact `iss`.
    #[arg(long, env = "AUTH_ISSUER", value_parser = NonEmptyStringValueParser::new())]
    pub auth_issuer: String,
    /// For whom they must be: one of the `aud`.
    #[arg(long, env = "AUTH_AUDIENCE", value_parser = NonEmptyStringValueParser::new())]
    pub auth_audience: String,
    /// Where the issuer's public keys are, http:// or https://.
    #[arg(long, env = "AUTH_JWKS_URL", value_parser = http_url)]
    pub auth_jwks_url: Url,
}

/// How a service that calls others asks for its own token.
#[derive(Debug, Clone, Args)]
pub struct Client {
    /// Where the issuer gives tokens, http:// or https://.
    #[arg(long, env = "AUTH_TOKEN_URL", value_parser = http_url)]
    pub auth_token_url: Url,
    /// Who we are to the issuer.
    #[arg(long, env = "AUTH_CLIENT_ID", value_parser = NonEmptyStringValueParser::new())]
    pub auth_client_id: String,
    /// What proves it.
    #[arg(long, env = "AUTH_CLIENT_SECRET", hide_env_values = true, value_parser = secret)]
    pub auth_client_secret: SecretString,
}

fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("not a URL: {e}"))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        _ => Err("must begin with http:// or https://".to_owned()),
    }
}

/// Refuses the empty one only: clap prints what it refuses.
fn secret(text: &str) -> Result<SecretString, &'static str> {
    if text.is_empty() {
        Err("must not be empty")
    } else {
        Ok(SecretString::from(text.to_owned()))
    }
}

/// What a service tells about itself.
#[derive(Debug, Clone, Args)]
pub struct Telemetry {
    /// How log lines look.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value = "json")]
    pub log_format: LogFormat,
    /// Which lines are written, as `tracing` filters say it.
    #[arg(long, env = "LOG_FILTER", default_value = "info")]
    pub log_filter: String,
    /// Where traces, metrics and logs go over OTLP/gRPC; absent: nowhere.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otel_exporter_otlp_endpoint: Option<String>,
    /// What runs: the release that the image was made of.
    #[arg(long, env = "LOCALPLUS_RELEASE", default_value = "dev", value_parser = NonEmptyStringValueParser::new())]
    pub localplus_release: String,
}

/// The service's own schema, under the role that serves.
#[derive(Debug, Clone, Args)]
pub struct Database {
    /// PostgreSQL under the role that serves; PgBouncer in transaction mode will do.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: SecretUrl,
    /// PostgreSQL itself, for what needs a session (poster, relay); absent: DATABASE_URL.
    #[arg(long, env = "DATABASE_DIRECT_URL", hide_env_values = true)]
    pub database_direct_url: Option<SecretUrl>,
    /// The schema that holds the service's tables.
    #[arg(long, env = "DATABASE_SCHEMA")]
    pub database_schema: String,
    /// How far TLS goes.
    #[arg(long, env = "DATABASE_SSL_MODE", value_enum, default_value = "prefer")]
    pub database_ssl_mode: SslMode,
    /// Connections in the pool at most.
    #[arg(long, env = "DATABASE_MAX_CONNECTIONS", default_value_t = 16)]
    pub database_max_connections: u32,
}

/// The role that owns the schema and migrates it.
#[derive(Debug, Clone, Args)]
pub struct Owner {
    /// PostgreSQL itself under the role that owns the schema.
    #[arg(long, env = "MIGRATION_DATABASE_URL", hide_env_values = true)]
    pub migration_database_url: SecretUrl,
}

/// The role that makes databases and roles.
#[derive(Debug, Clone, Args)]
pub struct Admin {
    /// PostgreSQL itself under a role that may create databases and roles.
    #[arg(long, env = "ADMIN_DATABASE_URL", hide_env_values = true)]
    pub admin_database_url: SecretUrl,
}

/// Kafka.
#[derive(Debug, Clone, Args)]
pub struct Kafka {
    /// Brokers to ask first, host:port, separated by commas.
    #[arg(long, env = "KAFKA_BROKERS")]
    pub kafka_brokers: String,
    /// Stands before every topic and consumer group, so that fleets can share a cluster.
    #[arg(long, env = "KAFKA_PREFIX", default_value = "")]
    pub kafka_prefix: String,
    /// Copies of each partition that `migrate` asks for.
    #[arg(long, env = "KAFKA_REPLICATION", default_value_t = 1)]
    pub kafka_replication: i32,
}

/// Valkey.
#[derive(Debug, Clone, Args)]
pub struct Valkey {
    /// Valkey, redis:// or rediss://.
    #[arg(long, env = "VALKEY_URL", hide_env_values = true)]
    pub valkey_url: SecretUrl,
    /// Stands before every key, so that fleets can share a server.
    #[arg(long, env = "VALKEY_PREFIX", default_value = "")]
    pub valkey_prefix: String,
}

/// What every service of the fleet needs.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Where and how it serves.
    #[command(flatten)]
    pub serve: Serve,
    /// Who may call it.
    #[command(flatten)]
    pub auth: Auth,
    /// What it tells about itself.
    #[command(flatten)]
    pub telemetry: Telemetry,
    /// Its own schema.
    #[command(flatten)]
    pub database: Database,
    /// Its events.
    #[command(flatten)]
    pub kafka: Kafka,
}
