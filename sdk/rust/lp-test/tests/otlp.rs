//! Telemetry of a real process against a real OTLP receiver. One test, since `init` is once a process.

use std::time::Duration;

use lp_config::LogFormat;
use lp_telemetry::{SECONDS, Settings};
use lp_test::otlp::Receiver;

#[tokio::test]
async fn traces_logs_and_metrics_arrive() {
    let receiver = Receiver::start().await;
    let settings = Settings {
        service: "svc-test",
        version: "1.2.3".to_owned(),
        log_format: LogFormat::Json,
        // The exporter's own transport would log to no end here, if it were sent.
        log_filter: "info,h2=debug,hyper=debug,tonic=debug".to_owned(),
        otlp_endpoint: Some(receiver.endpoint()),
    };
    let telemetry = lp_telemetry::init(&settings).unwrap();
    assert!(lp_telemetry::init(&settings).is_err(), "once a process");

    let request = tracing::info_span!("request", rpc = "Earn");
    let (traceparent, trace_id) = request.in_scope(|| {
        tracing::info!(points = 5, "earned");
        telemetry
            .metrics()
            .counter("calls", "Calls")
            .add(1, &[("rpc", "Earn")]);
        telemetry.metrics().gauge("depth", "Waiting").set(1, &[]);
        telemetry
            .metrics()
            .histogram("call_seconds", "Time of a call", SECONDS)
            .record(0.1, &[]);
        (
            lp_telemetry::current_traceparent().unwrap(),
            lp_telemetry::current_trace_id().unwrap(),
        )
    });
    drop(request);
    let consumer = tracing::info_span!("consumer");
    lp_telemetry::set_parent(&consumer, &traceparent);
    consumer.in_scope(|| tracing::error!("it went wrong"));
    drop(consumer);

    // Not yet shut down: the batch processor sends by itself.
    let spans = receiver
        .wait_for_spans(|spans| spans.len() >= 2, Duration::from_secs(15))
        .await;
    let span = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    assert_eq!(span("request").service, "svc-test");
    assert_eq!(span("request").trace_id, trace_id);
    assert_eq!(span("request").parent_span_id, None);
    assert_eq!(span("request").attributes["rpc"], "Earn");
    assert_eq!(span("consumer").trace_id, trace_id);
    assert_eq!(
        span("consumer").parent_span_id.as_ref(),
        Some(&span("request").span_id)
    );

    telemetry.shutdown().await;
    assert_eq!(
        receiver.spans().len(),
        2,
        "the exporter's own spans are not sent: {:#?}",
        receiver.spans()
    );
    let logs = receiver.logs();
    assert_eq!(logs.len(), 2, "the exporter's own logs are not sent: {logs:#?}");
    assert_eq!(
        (logs[0].level.as_str(), logs[0].message.as_str()),
        ("INFO", "earned")
    );
    assert_eq!(logs[0].attributes["points"], "5");
    assert_eq!(logs[0].trace_id.as_ref(), Some(&trace_id));
    assert_eq!(logs[0].span_id.as_ref(), Some(&span("request").span_id));
    assert_eq!(logs[1].service, "svc-test");
    let metrics = receiver.metric_names();
    assert!(
        ["calls", "depth", "call_seconds"]
            .iter()
            .all(|name| metrics.contains(*name)),
        "{metrics:?}"
    );
}
