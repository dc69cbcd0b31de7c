//! One log event as one line of JSON.

use std::fmt::{self, Debug, Write as _};

use serde_json::Value;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

use crate::propagation::current_span;

/// The keys of a line that no field of an event may take; such a field is written as `field.<name>`.
const RESERVED: [&str; 7] = [
    "timestamp",
    "level",
    "service",
    "version",
    "target",
    "trace_id",
    "span_id",
];

pub(crate) struct JsonLine {
    pub(crate) service: &'static str,
    pub(crate) version: String,
}

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let target = fields.target.unwrap_or_else(|| event.metadata().target().into());

        let mut line = Line::default();
        line.put("timestamp", timestamp);
        line.put("level", event.metadata().level().as_str());
        line.put("service", self.service);
        line.put("version", self.version.as_str());
        line.put("target", target);
        line.put("message", fields.message);
        line.0.push_str(&fields.others.0);
        if let Some(span) = current_span() {
            line.put("trace_id", span.trace_id().to_string());
            line.put("span_id", span.span_id().to_string());
        }
        writeln!(writer, "{{{}}}", line.0.trim_start_matches(','))
    }
}

/// The inside of a JSON object, each entry after a comma.
#[derive(Default)]
struct Line(String);

impl Line {
    fn put(&mut self, key: &str, value: impl Into<Value>) {
        // A String takes whatever is written.
        let _ = write!(self.0, ",{}:{}", Value::from(key), value.into());
    }
}

#[derive(Default)]
struct Fields {
    message: Value,
    target: Option<Value>,
    others: Line,
}

impl Fields {
    fn take(&mut self, field: &Field, value: impl Into<Value>) {
        match field.name().trim_start_matches("r#") {
            "message" => self.message = value.into(),
            // What the `log` crate's records carry: the target is theirs, the rest is where they were made.
            "log.target" => self.target = Some(value.into()),
            "log.module_path" | "log.file" | "log.line" => {}
            name if RESERVED.contains(&name) => self.others.put(&format!("field.{name}"), value),
            name => self.others.put(name, value),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.take(field, format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, value);
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, value);
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Settings, current_trace_id,
        testing::{settings, start},
    };

    #[test]
    fn a_line_is_flat_and_carries_the_trace() {
        // The filter of the log takes no span from the trace.
        let started = start(&Settings {
            log_filter: "warn".to_owned(),
            ..settings()
        });
        let trace_id = tracing::info_span!("request", merchant = "mer_1").in_scope(|| {
            tracing::warn!(
                points = 5_u64,
                due = -2,
                share = 0.5,
                done = true,
                reason = "late\"\n",
                "earned {}",
                5
            );
            current_trace_id().unwrap()
        });

        let [line] = &started.lines()[..] else {
            panic!("one line: {}", started.text())
        };
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["service"], "svc-test");
        assert_eq!(line["version"], "1.2.3");
        assert_eq!(line["target"], module_path!());
        assert_eq!(line["message"], "earned 5");
        assert_eq!(line["points"], 5);
        assert_eq!(line["due"], -2);
        assert_eq!(line["share"], 0.5);
        assert_eq!(line["done"], true);
        assert_eq!(line["reason"], "late\"\n");
        assert_eq!(line["trace_id"], trace_id);
        assert_eq!(line["span_id"].as_str().unwrap().len(), 16);
        assert_eq!(line.as_object().unwrap().len(), 13);
    }

    #[test]
    fn a_field_cannot_take_the_place_of_the_lines_own() {
        let started = start(&settings());
        tracing::info!(
            service = "forged",
            trace_id = "forged",
            r#type = "earn",
            "outside of any span"
        );
        let line = &started.lines()[0];
        assert_eq!(line["service"], "svc-test");
        assert_eq!(line["field.service"], "forged");
        assert_eq!(line["field.trace_id"], "forged");
        assert_eq!(line["type"], "earn");
        assert!(line.get("trace_id").is_none());
    }
}
