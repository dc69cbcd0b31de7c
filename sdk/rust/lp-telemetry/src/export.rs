//! Sending traces, metrics and logs over OTLP, without ever holding up what they tell of.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use opentelemetry::KeyValue;
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter as OtlpLogs, MetricExporter as OtlpMetrics, SpanExporter as OtlpSpans,
    WithExportConfig, WithTonicConfig, tonic_types::transport::ClientTlsConfig,
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    logs::{LogBatch, LogExporter, SdkLoggerProvider},
    metrics::{SdkMeterProvider, Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};

use crate::{
    metrics::{Counter, Metrics},
    settings::Settings,
};

/// One export, its retries included; below the time that shutdown waits.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(3);
const BETWEEN_WARNINGS: Duration = Duration::from_secs(60);

/// The three signals' senders. Each batches on a thread of its own and drops what does not fit its queue.
#[derive(Debug)]
pub(crate) struct Exporters {
    pub(crate) traces: SdkTracerProvider,
    pub(crate) metrics: SdkMeterProvider,
    pub(crate) logs: SdkLoggerProvider,
    failures: [Arc<Failures>; 3],
}

impl Exporters {
    /// Connects lazily, so that a receiver that is down is no error here.
    pub(crate) fn new(settings: &Settings, endpoint: &str) -> Result<Self, ExporterBuildError> {
        let failures = ["traces", "metrics", "logs"].map(|signal| Arc::new(Failures::of(signal)));
        let [traces, metrics, logs] = failures.clone();
        let traces = Watched(to(OtlpSpans::builder().with_tonic(), endpoint).build()?, traces);
        let metrics = Watched(
            to(OtlpMetrics::builder().with_tonic(), endpoint).build()?,
            metrics,
        );
        let logs = Watched(to(OtlpLogs::builder().with_tonic(), endpoint).build()?, logs);
        let resource = resource(settings);
        Ok(Self {
            traces: SdkTracerProvider::builder()
                .with_resource(resource.clone())
                .with_batch_exporter(traces)
                .build(),
            metrics: SdkMeterProvider::builder()
                .with_resource(resource.clone())
                .with_periodic_exporter(metrics)
                .build(),
            logs: SdkLoggerProvider::builder()
                .with_resource(resource)
                .with_batch_exporter(logs)
                .build(),
            failures,
        })
    }

    /// Counts failed exports in `metrics`, which exists only after the exporters.
    pub(crate) fn count_failures(&self, metrics: &Metrics) {
        let counter = metrics.counter(
            "telemetry_export_failures",
            "Batches of telemetry that were not sent",
        );
        for failures in &self.failures {
            let _ = failures.counter.set(counter.clone());
        }
    }
}

fn resource(settings: &Settings) -> Resource {
    Resource::builder()
        .with_service_name(settings.service)
        .with_attribute(KeyValue::new("service.version", settings.version.clone()))
        .build()
}

fn to<B: WithExportConfig + WithTonicConfig>(builder: B, endpoint: &str) -> B {
    let builder = builder.with_endpoint(endpoint).with_timeout(EXPORT_TIMEOUT);
    if endpoint.starts_with("https:") {
        // The exporter's own default trusts no certificate authority.
        builder.with_tls_config(ClientTlsConfig::new().with_enabled_roots())
    } else {
        builder
    }
}

/// Counts one signal's failed exports and warns of them, once a minute at most.
#[derive(Debug)]
struct Failures {
    signal: &'static str,
    counter: OnceLock<Counter>,
    warned: Mutex<Option<Instant>>,
}

impl Failures {
    fn of(signal: &'static str) -> Self {
        Self {
            signal,
            counter: OnceLock::new(),
            warned: Mutex::default(),
        }
    }

    fn note(&self, result: OTelSdkResult) -> OTelSdkResult {
        if let Err(error) = &result {
            if let Some(counter) = self.counter.get() {
                counter.add(1, &[("signal", self.signal)]);
            }
            if self.may_warn(Instant::now()) {
                tracing::warn!(signal = self.signal, %error, "telemetry could not be sent");
            }
        }
        result
    }

    fn may_warn(&self, now: Instant) -> bool {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        let due = warned.is_none_or(|last| now.duration_since(last) >= BETWEEN_WARNINGS);
        if due {
            *warned = Some(now);
        }
        due
    }
}

/// An exporter whose failures are noted.
#[derive(Debug)]
struct Watched<E>(E, Arc<Failures>);

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.1.note(self.0.export(batch).await)
    }
    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }
    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }
    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

impl<E: LogExporter> LogExporter for Watched<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        self.1.note(self.0.export(batch).await)
    }
    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }
    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Watched<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.1.note(self.0.export(metrics).await)
    }
    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }
    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }
    fn temporality(&self) -> Temporality {
        self.0.temporality()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{settings, start};
    use opentelemetry_sdk::error::OTelSdkError;

    #[test]
    fn failures_are_counted_each_and_warned_of_once_a_minute() {
        let started = start(&settings());
        let failures = Failures::of("logs");
        let _ = failures
            .counter
            .set(started.telemetry.metrics().counter("failures", "Failures"));
        for _ in 0..3 {
            let failed = failures.note(Err(OTelSdkError::InternalFailure("refused".to_owned())));
            assert!(failed.is_err());
        }
        assert!(failures.note(Ok(())).is_ok());

        let lines = started.lines();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["signal"], "logs");
        let text = started.telemetry.metrics().render().unwrap();
        assert!(text.contains("failures_total{signal=\"logs\"} 3"), "{text}");
        assert!(failures.may_warn(Instant::now() + BETWEEN_WARNINGS));
    }
}
