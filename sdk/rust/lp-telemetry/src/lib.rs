//! Logs, traces and metrics of one process, and the trace context that it shares with others.
//!
//! Owns: the one subscriber of a process ([`init`], [`Settings`]), its export over OTLP, the metrics that are
//! handed to whatever records them ([`Metrics`]), W3C trace context ([`set_parent`], [`inject`]), and what a
//! request cost ([`measured`]). No other crate names `opentelemetry` or `prometheus_client`. Start with
//! [`init`]; tests that only need metrics start with [`Metrics::new`].
//!
//! The SDK's own environment variables hold where the settings say nothing: `OTEL_METRIC_EXPORT_INTERVAL`
//! (60 s), `OTEL_BSP_*`, `OTEL_BLRP_*`, `OTEL_TRACES_SAMPLER`, `OTEL_RESOURCE_ATTRIBUTES`.
//!
//! Invariants and the tests that hold them:
//! - a receiver that is down neither fails, blocks nor floods: `init::tests::an_unreachable_endpoint_…`,
//!   `export::tests::failures_are_counted_each_and_warned_of_once_a_minute`;
//! - every log line inside a span carries its trace, with or without an endpoint:
//!   `json::tests::a_line_is_flat_and_carries_the_trace`;
//! - a trace goes on over strings and headers, and bad ones are ignored: `propagation::tests`;
//! - one name is one metric, and a sampled trace is its exemplar: `metrics::tests`;
//! - all three signals arrive at an OTLP receiver, without the exporter's own traffic: `lp-test`,
//!   `tests/otlp.rs`.

mod export;
mod init;
mod json;
mod metrics;
mod propagation;
mod request;
mod settings;
#[cfg(test)]
mod testing;

pub use init::{InitError, Telemetry, init};
pub use metrics::{COUNTS, Counter, Gauge, Histogram, Labels, Metrics, SECONDS};
pub use propagation::{current_trace_id, current_traceparent, inject, set_parent, set_parent_from};
pub use request::{RequestCost, add_database_time, measured};
pub use settings::Settings;
