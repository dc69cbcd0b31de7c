//! Metrics: one definition of each, exported as OpenMetrics text and, where an endpoint is set, over OTLP.
//!
//! The text comes from prometheus-client, because the OTel SDK exports no exemplars.

use std::{
    any::Any,
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use opentelemetry::{KeyValue, metrics as otlp};
use prometheus_client::{
    metrics::{
        counter::Counter as TextCounter,
        exemplar::HistogramWithExemplars,
        family::{Family, MetricConstructor},
        gauge::Gauge as TextGauge,
    },
    registry::Registry,
};

use crate::propagation::current_span;

/// Latency buckets, 1 ms to 10 s.
pub const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Buckets for the sizes of batches and queues, 1 to 4,096.
pub const COUNTS: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0,
];

/// The labels of one observation. Their values are few and known beforehand: never an id.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

/// All metrics of one process; clones share them.
///
/// Asking twice for one name gives the same metric. A name that already stands for another kind of metric
/// gives one that is not exported, and logs an error.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    meter: Option<otlp::Meter>,
    registered: Mutex<Registered>,
}

#[derive(Debug, Default)]
struct Registered {
    registry: Registry,
    by_name: HashMap<&'static str, Box<dyn Any + Send + Sync>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics that are rendered as text only.
    pub fn new() -> Self {
        Self::exported(None)
    }

    pub(crate) fn exported(meter: Option<otlp::Meter>) -> Self {
        Self(Arc::new(Inner {
            meter,
            registered: Mutex::default(),
        }))
    }

    /// What only ever grows. The text format adds `_total` to its name.
    pub fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        let name = name.strip_suffix("_total").unwrap_or(name);
        self.instrument(name, |registry, meter| {
            let text = Family::default();
            registry.register(name, sentence(help), text.clone());
            Counter {
                text,
                otlp: meter.map(|m| m.u64_counter(name).with_description(help).build()),
            }
        })
    }

    /// What goes up and down.
    pub fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        self.instrument(name, |registry, meter| {
            let text = Family::default();
            registry.register(name, sentence(help), text.clone());
            let otlp = meter.map(|m| Mutex::new(m.i64_gauge(name).with_description(help).build()));
            Gauge {
                text,
                otlp: otlp.map(Arc::new),
            }
        })
    }

    /// What has a distribution; `buckets` are the upper bounds, ascending ([`SECONDS`], [`COUNTS`]).
    pub fn histogram(&self, name: &'static str, help: &'static str, buckets: &[f64]) -> Histogram {
        self.instrument(name, |registry, meter| {
            let text = Family::new_with_constructor(Buckets(buckets.into()));
            registry.register(name, sentence(help), text.clone());
            let otlp = meter.map(|m| {
                m.f64_histogram(name)
                    .with_description(help)
                    .with_boundaries(buckets.to_vec())
                    .build()
            });
            Histogram { text, otlp }
        })
    }

    /// Everything as OpenMetrics text, `application/openmetrics-text; version=1.0.0; charset=utf-8`.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        let registered = self.0.registered.lock().unwrap_or_else(PoisonError::into_inner);
        prometheus_client::encoding::text::encode(&mut text, &registered.registry)?;
        Ok(text)
    }

    fn instrument<T: Any + Clone + Send + Sync>(
        &self,
        name: &'static str,
        make: impl FnOnce(&mut Registry, Option<&otlp::Meter>) -> T,
    ) -> T {
        let mut registered = self.0.registered.lock().unwrap_or_else(PoisonError::into_inner);
        let Registered { registry, by_name } = &mut *registered;
        match by_name.get(name).map(|known| known.downcast_ref::<T>()) {
            Some(Some(known)) => known.clone(),
            Some(None) => {
                tracing::error!(
                    name,
                    "a metric of this name and another kind exists: not exported"
                );
                make(&mut Registry::default(), None)
            }
            None => {
                let made = make(registry, self.0.meter.as_ref());
                by_name.insert(name, Box::new(made.clone()));
                made
            }
        }
    }
}

/// The text encoder ends each help text in a full stop.
fn sentence(help: &str) -> &str {
    help.strip_suffix('.').unwrap_or(help)
}

type LabelSet = Vec<(&'static str, String)>;
type TraceLabel = [(&'static str, String); 1];

/// Sorted, so that two orders of the same labels are one series.
fn text_labels(labels: Labels) -> LabelSet {
    let mut set: LabelSet = labels
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect();
    set.sort_unstable();
    set
}

fn otlp_labels(labels: Labels) -> Vec<KeyValue> {
    labels
        .iter()
        .map(|(name, value)| KeyValue::new(*name, (*value).to_owned()))
        .collect()
}

/// What only ever grows.
#[derive(Clone, Debug)]
pub struct Counter {
    text: Family<LabelSet, TextCounter>,
    otlp: Option<otlp::Counter<u64>>,
}

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64, labels: Labels) {
        self.text.get_or_create(&text_labels(labels)).inc_by(n);
        if let Some(otlp) = &self.otlp {
            otlp.add(n, &otlp_labels(labels));
        }
    }
}

/// What goes up and down.
#[derive(Clone, Debug)]
pub struct Gauge {
    text: Family<LabelSet, TextGauge>,
    /// Locked while both are written: OTLP has no addition for gauges, so that the last value must be the
    /// newest.
    otlp: Option<Arc<Mutex<otlp::Gauge<i64>>>>,
}

impl Gauge {
    /// Sets the value.
    pub fn set(&self, v: i64, labels: Labels) {
        self.write(labels, |text| {
            text.set(v);
            v
        });
    }

    /// Adds `v`, which may be negative.
    pub fn add(&self, v: i64, labels: Labels) {
        self.write(labels, |text| text.inc_by(v).wrapping_add(v));
    }

    fn write(&self, labels: Labels, change: impl FnOnce(&TextGauge) -> i64) {
        let otlp = self
            .otlp
            .as_ref()
            .map(|otlp| otlp.lock().unwrap_or_else(PoisonError::into_inner));
        let value = change(&self.text.get_or_create(&text_labels(labels)));
        if let Some(otlp) = otlp {
            otlp.record(value, &otlp_labels(labels));
        }
    }
}

/// What has a distribution.
#[derive(Clone, Debug)]
pub struct Histogram {
    text: Family<LabelSet, HistogramWithExemplars<TraceLabel>, Buckets>,
    otlp: Option<otlp::Histogram<f64>>,
}

impl Histogram {
    /// Records `v`, with the current trace id as its exemplar where the trace is sampled.
    pub fn record(&self, v: f64, labels: Labels) {
        let exemplar = current_span()
            .filter(opentelemetry::trace::SpanContext::is_sampled)
            .map(|span| [("trace_id", span.trace_id().to_string())]);
        self.text
            .get_or_create(&text_labels(labels))
            .observe(v, exemplar, None);
        if let Some(otlp) = &self.otlp {
            otlp.record(v, &otlp_labels(labels));
        }
    }
}

#[derive(Clone, Debug)]
struct Buckets(Arc<[f64]>);

impl MetricConstructor<HistogramWithExemplars<TraceLabel>> for Buckets {
    fn new_metric(&self) -> HistogramWithExemplars<TraceLabel> {
        HistogramWithExemplars::new(self.0.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        current_trace_id,
        testing::{settings, start},
    };

    #[test]
    fn a_histogram_names_the_trace_of_its_last_value() {
        let started = start(&settings());
        let latency = started
            .telemetry
            .metrics()
            .histogram("rpc_seconds", "Time of a call", SECONDS);
        let trace_id = tracing::info_span!("request").in_scope(|| {
            latency.record(0.003, &[("rpc", "Earn")]);
            current_trace_id().unwrap()
        });
        latency.record(7.0, &[("rpc", "Earn")]);

        let text = started.telemetry.metrics().render().unwrap();
        let exemplar =
            format!("rpc_seconds_bucket{{le=\"0.005\",rpc=\"Earn\"}} 1 # {{trace_id=\"{trace_id}\"}} 0.003");
        assert!(text.contains(&exemplar), "{text}");
        assert_eq!(
            text.matches('#').count(),
            4,
            "one exemplar, HELP, TYPE and EOF: {text}"
        );
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn an_unsampled_trace_is_no_exemplar() {
        let started = start(&settings());
        let latency = started
            .telemetry
            .metrics()
            .histogram("rpc_seconds", "Time of a call", SECONDS);
        let span = tracing::info_span!("request");
        crate::set_parent(&span, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
        span.in_scope(|| latency.record(0.003, &[]));
        assert!(!started.telemetry.metrics().render().unwrap().contains("trace_id"));
    }

    #[test]
    fn one_name_is_one_metric() {
        let metrics = Metrics::new();
        metrics
            .counter("calls", "Calls")
            .add(1, &[("rpc", "Earn"), ("code", "OK")]);
        metrics
            .clone()
            .counter("calls_total", "Calls.")
            .add(2, &[("code", "OK"), ("rpc", "Earn")]);
        // Another kind under the same name is not exported, and harms nothing.
        metrics.gauge("calls", "Calls").set(9, &[]);
        let text = metrics.render().unwrap();
        assert_eq!(
            text,
            "# HELP calls Calls.\n# TYPE calls counter\ncalls_total{code=\"OK\",rpc=\"Earn\"} 3\n# EOF\n"
        );
    }

    #[test]
    fn a_gauge_is_set_and_moved() {
        let metrics = Metrics::new();
        let depth = metrics.gauge("queue_depth", "Waiting requests");
        depth.set(5, &[]);
        depth.add(-7, &[]);
        let text = metrics.render().unwrap();
        assert!(text.contains("\nqueue_depth{} -2\n"), "{text}");
    }
}
