//! Starting and ending telemetry.

use std::{convert::Infallible, io::IsTerminal, time::Duration};

use http::Uri;
use opentelemetry::{metrics::MeterProvider as _, trace::TracerProvider as _};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Level, Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{DynFilterFn, FilterExt as _, dynamic_filter_fn},
    fmt::{MakeWriter, format::debug_fn},
    layer::{Context, SubscriberExt as _},
    util::SubscriberInitExt as _,
};

use lp_config::LogFormat;

use crate::{export::Exporters, json::JsonLine, metrics::Metrics, settings::Settings};

const SHUTDOWN: Duration = Duration::from_secs(5);

/// Why telemetry could not start. Each is a mistake in the configuration or the program; a receiver that
/// does not answer is none of them.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The log filter cannot be read.
    #[error("the log filter is not valid: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The OTLP endpoint is not a URL.
    #[error("the OTLP endpoint {0:?} is not an http:// or https:// URL")]
    Endpoint(String),
    /// The exporters cannot be built.
    #[error("the OTLP exporters cannot start: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// An endpoint is set, but there is no tokio runtime to send from.
    #[error("sending over OTLP needs a tokio runtime")]
    NoRuntime,
    /// A subscriber stands in this process already.
    #[error("telemetry cannot start twice: {0}")]
    Again(#[from] tracing_subscriber::util::TryInitError),
}

/// Holds the exporters until [`shutdown`](Self::shutdown).
#[derive(Debug)]
#[must_use = "what is not yet sent is lost without shutdown()"]
pub struct Telemetry {
    metrics: Metrics,
    exporters: Option<Exporters>,
}

/// Starts logs on standard output, traces, metrics and, where an endpoint is set, their export. To be called
/// once, inside the runtime. It neither connects nor waits.
///
/// Spans of INFO and above are traced, whatever the log's filter says; their fields `otel.name`, `otel.kind`
/// and `otel.status_code` are read as in `tracing_opentelemetry`.
pub fn init(settings: &Settings) -> Result<Telemetry, InitError> {
    let (subscriber, telemetry) = build_subscriber(settings, std::io::stdout)?;
    subscriber.try_init()?;
    Ok(telemetry)
}

impl Telemetry {
    /// The process's metrics, to be handed to whatever records them.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Sends what is still held, for five seconds at most.
    pub async fn shutdown(self) {
        let Some(Exporters {
            traces,
            metrics,
            logs,
            ..
        }) = self.exporters
        else {
            return;
        };
        let (running, mut ended) = tokio::sync::mpsc::channel::<Infallible>(1);
        let signals: [Box<dyn FnOnce() + Send>; 3] = [
            Box::new(move || drop(traces.shutdown_with_timeout(SHUTDOWN))),
            Box::new(move || drop(metrics.shutdown_with_timeout(SHUTDOWN))),
            Box::new(move || drop(logs.shutdown_with_timeout(SHUTDOWN))),
        ];
        for shut_down in signals {
            let running = running.clone();
            // It blocks: on the runtime it could wait for an export that needs the same thread, and a
            // blocking task of the runtime would hold up the process's end.
            let _ = std::thread::Builder::new().spawn(move || {
                shut_down();
                drop(running);
            });
        }
        drop(running);
        if tokio::time::timeout(SHUTDOWN, ended.recv()).await.is_err() {
            tracing::warn!("telemetry was not sent in full before the end");
        }
    }
}

/// All of [`init`] but the global part, with the log's writer as a seam for tests.
pub(crate) fn build_subscriber<W>(
    settings: &Settings,
    writer: W,
) -> Result<(impl Subscriber + Send + Sync + use<W>, Telemetry), InitError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let exporters = exporters(settings)?;
    let metrics = Metrics::exported(exporters.as_ref().map(|to| to.metrics.meter(settings.service)));
    if let Some(exporters) = &exporters {
        exporters.count_failures(&metrics);
    }
    // Without an exporter spans still get ids, which stand in logs and go on to other services.
    let traces = exporters
        .as_ref()
        .map_or_else(|| SdkTracerProvider::builder().build(), |to| to.traces.clone());

    let spans = tracing_opentelemetry::layer()
        .with_tracer(traces.tracer(settings.service))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(LevelFilter::INFO.and(only(|of| span_or_error(of) && not_transport(of))));
    let sent = match &exporters {
        Some(to) => {
            let bridge = OpenTelemetryTracingBridge::new(&to.logs);
            Some(bridge.with_filter(filter(settings)?.and(only(not_transport))))
        }
        None => None,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match settings.log_format {
        LogFormat::Json => lines
            .event_format(JsonLine { service: settings.service, version: settings.version.clone() })
            // The fields of spans go to traces; they need not be formatted here.
            .fmt_fields(debug_fn(|_, _, _| Ok(())))
            .boxed(),
        LogFormat::Text => lines.with_ansi(std::io::stdout().is_terminal()).boxed(),
    };
    let lines = lines.with_filter(filter(settings)?.and(only(not_noted)));

    let subscriber = tracing_subscriber::registry().with(spans).with(sent).with(lines);
    Ok((subscriber, Telemetry { metrics, exporters }))
}

fn exporters(settings: &Settings) -> Result<Option<Exporters>, InitError> {
    let Some(endpoint) = settings
        .otlp_endpoint
        .as_deref()
        .filter(|endpoint| !endpoint.is_empty())
    else {
        return Ok(None);
    };
    let url = endpoint.parse::<Uri>().ok();
    if !matches!(url.as_ref().and_then(Uri::scheme_str), Some("http" | "https")) {
        return Err(InitError::Endpoint(endpoint.to_owned()));
    }
    tokio::runtime::Handle::try_current().map_err(|_| InitError::NoRuntime)?;
    Ok(Some(Exporters::new(settings, endpoint)?))
}

fn filter(settings: &Settings) -> Result<EnvFilter, InitError> {
    Ok(EnvFilter::try_new(&settings.log_filter)?)
}

/// A condition that leaves the maximum level to the filter that it is joined to. Asked anew at each event:
/// the cached kind loses a span after a `log_enabled!` of some other crate
/// (<https://github.com/tokio-rs/tracing/issues/2519>).
fn only<S>(condition: fn(&Metadata) -> bool) -> DynFilterFn<S, impl Fn(&Metadata, &Context<S>) -> bool> {
    dynamic_filter_fn(move |metadata: &Metadata, _: &Context<S>| condition(metadata))
        .with_max_level_hint(LevelFilter::TRACE)
}

/// Errors mark their span; all other events are logs and would only be sent twice.
fn span_or_error(of: &Metadata) -> bool {
    of.is_span() || *of.level() == Level::ERROR
}

/// What the exporters themselves log and trace while they send: sent in turn, it would never end.
fn not_transport(of: &Metadata) -> bool {
    const TRANSPORT: [&str; 6] = ["opentelemetry", "tonic", "hyper", "h2", "tower", "rustls"];
    !TRANSPORT.iter().any(|name| of.target().starts_with(name))
}

/// The SDK logs each failed export; `export` warns of them less often.
fn not_noted(of: &Metadata) -> bool {
    !(of.target().starts_with("opentelemetry") && of.name().contains("Export"))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::testing::{settings, start};

    #[test]
    fn mistakes_in_the_configuration_are_refused() {
        let refused = |settings| build_subscriber(&settings, std::io::sink).err();
        let filter = Settings {
            log_filter: "info,=x=".to_owned(),
            ..settings()
        };
        assert!(matches!(refused(filter), Some(InitError::Filter(_))));
        let endpoint = |url: &str| Settings {
            otlp_endpoint: Some(url.to_owned()),
            ..settings()
        };
        assert!(matches!(
            refused(endpoint("localhost:4317")),
            Some(InitError::Endpoint(_))
        ));
        assert!(matches!(
            refused(endpoint("http://localhost:4317")),
            Some(InitError::NoRuntime)
        ));
        assert!(refused(endpoint("")).is_none());
    }

    /// Without a hint every `trace!` in every library would be looked at.
    #[test]
    fn levels_that_are_off_stay_off_at_their_source() {
        let (subscriber, _telemetry) = build_subscriber(&settings(), std::io::sink).unwrap();
        assert_eq!(subscriber.max_level_hint(), Some(LevelFilter::INFO));
    }

    #[test]
    fn text_lines_follow_the_filter() {
        let started = start(&Settings {
            log_format: LogFormat::Text,
            ..settings()
        });
        tracing::debug!("hidden");
        tracing::info!(points = 5, "shown");
        assert!(started.text().contains("shown points=5"));
        assert!(!started.text().contains("hidden"));
    }

    #[tokio::test]
    async fn an_unreachable_endpoint_neither_fails_nor_hangs() {
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap();
        let started = start(&Settings {
            otlp_endpoint: Some(format!("http://{closed}")),
            ..settings()
        });
        let metrics = started.telemetry.metrics().clone();
        tracing::info_span!("unsent").in_scope(|| tracing::info!("unsent"));
        metrics.gauge("unsent", "Recorded and not sent").set(1, &[]);

        let begun = Instant::now();
        started.telemetry.shutdown().await;
        assert!(begun.elapsed() < SHUTDOWN + Duration::from_secs(1));
        let text = metrics.render().unwrap();
        for signal in ["traces", "metrics", "logs"] {
            let line = format!("telemetry_export_failures_total{{signal=\"{signal}\"}} 1");
            assert!(text.contains(&line), "{text}");
        }
    }
}
