use lp_config::LogFormat;

/// What [`init`](crate::init) needs to know; a service fills it from its configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The service's name, `svc-ledger`.
    pub service: &'static str,
    /// What runs: the release, as `service.version` and in each log line.
    pub version: String,
    /// How a log line looks on standard output.
    pub log_format: LogFormat,
    /// Which events are logged, in `tracing_subscriber::EnvFilter`'s words: `info,sqlx=warn`.
    pub log_filter: String,
    /// Where traces, metrics and logs are sent (OTLP over gRPC); without it they stay in the process.
    pub otlp_endpoint: Option<String>,
}
