//! One trace from the call to the e-mail, read back from an OTLP receiver.

use std::{collections::HashSet, time::Duration};

use lp_test::{
    mail,
    otlp::{Receiver, Span},
    servers,
};

use crate::fleet;

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_spans_the_call_the_outbox_kafka_the_consumers_and_the_e_mail() {
    let receiver = Receiver::start().await;
    let own = fleet::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint()),
        ("OTEL_BSP_SCHEDULE_DELAY", "200".to_owned()),
        ("OTEL_BLRP_SCHEDULE_DELAY", "200".to_owned()),
        ("OTEL_METRIC_EXPORT_INTERVAL", "500".to_owned()),
    ]);
    let till = own.till();
    let email = format!("{}@example.com", servers::unique("trace"));
    till.create_points("PTS").await.unwrap();
    let wallet = till.open_wallet("PTS", &email, "fr").await.unwrap();
    till.earn(&wallet.account_id, 7, "PTS").await.unwrap();
    mail::wait_for(&servers::mail_api_url(), &email, 1).await;

    let earn = |spans: &[Span]| {
        spans
            .iter()
            .find(|s| s.name == "LedgerService/Earn")
            .map(|s| s.trace_id.clone())
    };
    let wanted = ["svc-ledger", "svc-wallet", "svc-notification"];
    let spans = receiver
        .wait_for_spans(
            |spans| {
                let Some(trace) = earn(spans) else { return false };
                let of_trace: Vec<_> = spans.iter().filter(|s| s.trace_id == trace).collect();
                wanted
                    .iter()
                    .all(|service| of_trace.iter().any(|s| s.service == *service))
                    && ["publish", "consume", "WalletService/GetContact", "SMTP send"]
                        .iter()
                        .all(|name| of_trace.iter().any(|s| s.name.starts_with(name)))
                    // One tree: every span but the first hangs on another. Each program sends its spans when it comes
                    // to it, so that a child may arrive before its parent.
                    && roots(&of_trace) == 1
            },
            Duration::from_secs(20),
        )
        .await;

    let trace = earn(&spans).unwrap();
    // The log lines of the same request carry the same trace, and the metrics arrive as well.
    let lines = receiver.logs();
    assert!(
        lines.iter().any(|line| line.trace_id.as_ref() == Some(&trace)),
        "no log line of the trace among {}",
        lines.len()
    );
    assert!(
        receiver
            .metric_names()
            .iter()
            .any(|name| name.starts_with("rpc_requests"))
    );
}

/// How many spans hang on none of these.
fn roots(spans: &[&Span]) -> usize {
    let ids: HashSet<_> = spans.iter().map(|s| s.span_id.as_str()).collect();
    let hangs = |s: &&&Span| {
        s.parent_span_id
            .as_deref()
            .is_some_and(|parent| ids.contains(parent))
    };
    spans.iter().filter(|s| !hangs(s)).count()
}
