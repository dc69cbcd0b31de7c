//! What a cache tells about itself.

use std::time::Duration;

use lp_telemetry::{Counter, Histogram, Metrics, SECONDS};

use crate::{cache::Source, valkey::Unavailable};

#[derive(Debug, Clone)]
pub(crate) struct CacheMetrics {
    cache: &'static str,
    requests: Counter,
    errors: Counter,
    seconds: Histogram,
    evictions: Counter,
}

impl CacheMetrics {
    pub(crate) fn new(cache: &'static str, metrics: &Metrics) -> Self {
        Self {
            cache,
            requests: metrics.counter("cache_requests_total", "Reads, by the level that answered."),
            errors: metrics.counter(
                "cache_errors_total",
                "Uses of the shared level that failed or were skipped, and values that did not (de)serialize.",
            ),
            seconds: metrics.histogram("cache_operation_seconds", "Time of uses of the shared level.", SECONDS),
            evictions: metrics.counter("cache_evictions_total", "Local entries that made room for others."),
        }
    }

    pub(crate) fn answered(&self, source: Source) {
        let result = match source {
            Source::Local => "local",
            Source::Shared => "shared",
            Source::Loader => "miss",
        };
        self.requests.add(1, &[("cache", self.cache), ("result", result)]);
    }

    pub(crate) fn failed(&self, operation: &str) {
        self.errors
            .add(1, &[("cache", self.cache), ("operation", operation)]);
    }

    pub(crate) fn used<T>(&self, operation: &str, took: Duration, result: &Result<T, Unavailable>) {
        if !matches!(result, Err(Unavailable::Skipped)) {
            self.seconds.record(
                took.as_secs_f64(),
                &[("cache", self.cache), ("operation", operation)],
            );
        }
        if result.is_err() {
            self.failed(operation);
        }
    }

    pub(crate) fn evicted(&self) {
        self.evictions.add(1, &[("cache", self.cache)]);
    }
}
