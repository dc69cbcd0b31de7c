//! W3C trace context, as plain strings and as header maps.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator},
    trace::{SpanContext, TraceContextExt, TraceFlags},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing_opentelemetry::OpenTelemetrySpanExt;

const TRACEPARENT: &str = "traceparent";

/// The span that is entered on this thread; `None` outside of any span.
pub(crate) fn current_span() -> Option<SpanContext> {
    let span = Context::current().span().span_context().clone();
    span.is_valid().then_some(span)
}

/// The trace id of the current span, 32 hexadecimal digits.
pub fn current_trace_id() -> Option<String> {
    current_span().map(|span| span.trace_id().to_string())
}

/// The `traceparent` of the current span, to be kept with a row or a message that continues the trace.
pub fn current_traceparent() -> Option<String> {
    current_span().map(|span| {
        format!(
            "00-{}-{}-{:02x}",
            span.trace_id(),
            span.span_id(),
            span.trace_flags() & TraceFlags::SAMPLED
        )
    })
}

/// Makes `span` a child of `traceparent`. To be called before the span is first entered, since its ids are
/// fixed then. A malformed value is ignored: a caller's bad header must not fail the request.
pub fn set_parent(span: &tracing::Span, traceparent: &str) {
    adopt(span, &Carrier(traceparent));
}

/// Writes the current span's `traceparent` and `tracestate` into `headers`.
pub fn inject(headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject_context(&Context::current(), &mut HeadersMut(headers));
}

/// [`set_parent`] from a request's headers.
pub fn set_parent_from(span: &tracing::Span, headers: &HeaderMap) {
    adopt(span, &Headers(headers));
}

fn adopt(span: &tracing::Span, carrier: &dyn Extractor) {
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), carrier);
    if context.span().span_context().is_valid() {
        // It fails for a span that is filtered out or already entered; both keep their own trace.
        let _ = span.set_parent(context);
    }
}

struct Carrier<'a>(&'a str);

impl Extractor for Carrier<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then_some(self.0)
    }
    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }
    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{settings, start};

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_goes_on_over_a_string_and_over_headers() {
        let _started = start(&settings());
        let receiving = tracing::info_span!("receiving");
        set_parent(&receiving, PARENT);
        let mut headers = HeaderMap::new();
        let traceparent = receiving.in_scope(|| {
            inject(&mut headers);
            assert_eq!(current_trace_id().unwrap(), "4bf92f3577b34da6a3ce929d0e0e4736");
            current_traceparent().unwrap()
        });
        assert_ne!(traceparent, PARENT);
        assert_eq!(headers[TRACEPARENT], traceparent);

        headers.insert("tracestate", HeaderValue::from_static("vendor=1"));
        let next = tracing::info_span!("next");
        set_parent_from(&next, &headers);
        next.in_scope(|| {
            assert_eq!(current_trace_id().unwrap(), "4bf92f3577b34da6a3ce929d0e0e4736");
            let mut onward = HeaderMap::new();
            inject(&mut onward);
            assert_eq!(onward["tracestate"], "vendor=1");
        });
    }

    #[test]
    fn an_unsampled_trace_stays_unsampled() {
        let _started = start(&settings());
        let span = tracing::info_span!("receiving");
        set_parent(&span, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
        span.in_scope(|| assert!(current_traceparent().unwrap().ends_with("-00")));
    }

    #[test]
    fn a_malformed_parent_starts_a_new_trace() {
        let _started = start(&settings());
        let zero = format!("00-{:032}-{:016}-01", 0, 0);
        for malformed in [
            "",
            "00",
            "nonsense",
            &zero,
            &PARENT[..50],
            "00-é-00f067aa0ba902b7-01",
        ] {
            let span = tracing::info_span!("receiving");
            set_parent(&span, malformed);
            span.in_scope(|| {
                let trace_id = current_trace_id().unwrap();
                assert_ne!(trace_id, "4bf92f3577b34da6a3ce929d0e0e4736", "{malformed}");
                assert_ne!(trace_id, format!("{:032}", 0), "{malformed}");
            });
        }
    }

    #[test]
    fn without_a_span_there_is_nothing_to_pass_on() {
        let _started = start(&settings());
        assert_eq!(current_traceparent(), None);
        let mut headers = HeaderMap::new();
        inject(&mut headers);
        assert!(headers.is_empty());
    }
}
