//! One trace from the cause to the mail server, and no address anywhere. A process of its own: telemetry starts
//! once a process, and everything that it is told here is this test's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    unreachable_pub,
    reason = "tests fail by panicking, and share their support"
)]

#[path = "it/support/mod.rs"]
mod support;

use std::time::Duration;

use lp_config::LogFormat;
use lp_contracts::notification::v1::NotificationStatus;
use lp_telemetry::Settings;
use lp_test::otlp::{Receiver, Span};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
};

use crate::support::{Customer, Ground, gate::Gate};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A mail server that refuses every receiver, and repeats who it was.
async fn rude_mail_server() -> Gate {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (from, mut to) = stream.into_split();
                let mut lines = BufReader::new(from).lines();
                to.write_all(b"220 rude\r\n").await.unwrap();
                while let Ok(Some(line)) = lines.next_line().await {
                    let answer = if line.starts_with("RCPT") {
                        format!("550 no {line}")
                    } else {
                        "250 ok".to_owned()
                    };
                    to.write_all(format!("{answer}\r\n").as_bytes()).await.unwrap();
                }
            });
        }
    });
    Gate::to(address).await
}

/// Everything that stands in the service's own tables.
async fn kept(ground: &Ground) -> String {
    sqlx::query_scalar(
        "SELECT concat((SELECT string_agg(n::text, E'\\n') FROM notifications n),
                       (SELECT string_agg(i::text, E'\\n') FROM inbox i))",
    )
    .fetch_one(&mut ground.database.owner_session().await)
    .await
    .unwrap()
}

#[tokio::test]
async fn one_trace_leads_to_the_mail_server_and_no_address_is_told() {
    let receiver = Receiver::start().await;
    let settings = Settings {
        service: "svc-notification",
        version: "1".to_owned(),
        log_format: LogFormat::Json,
        log_filter: "info".to_owned(),
        otlp_endpoint: Some(receiver.endpoint()),
    };
    let telemetry = lp_telemetry::init(&settings).unwrap();
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let marie = ground.customer("fr");
    let mut event = marie.earns(1_250, 1_250);
    event.traceparent = Some(format!("00-{TRACE}-00f067aa0ba902b7-01"));
    ground.publish(vec![event]).await;
    marie.gets(1).await;
    let names = ["consume", "deliver", "WalletService/GetContact", "SMTP send"];
    let traced = |spans: &[Span], name: &str| {
        spans
            .iter()
            .find(|s| s.trace_id == TRACE && s.name == name)
            .cloned()
    };
    let all = |spans: &[Span]| names.iter().all(|name| traced(spans, name).is_some());
    let spans = receiver.wait_for_spans(all, Duration::from_secs(20)).await;
    let [consume, deliver, contact, send] = names.map(|name| traced(&spans, name).unwrap());
    assert_eq!(deliver.parent_span_id.as_ref(), Some(&consume.span_id));
    assert_eq!(contact.parent_span_id.as_ref(), Some(&deliver.span_id));
    assert_eq!(send.parent_span_id.as_ref(), Some(&deliver.span_id));
    let asked = &ground.wallet.asked()[0]["traceparent"];
    assert_eq!(
        asked.to_str().unwrap(),
        format!("00-{TRACE}-{}-01", contact.span_id)
    );
    let exemplar = format!("trace_id=\"{TRACE}\"");
    let metrics = instance.metrics.render().unwrap();
    assert!(
        metrics
            .lines()
            .any(|l| l.starts_with("notification_delivery_seconds_bucket") && l.contains(&exemplar))
    );
    instance.stop().await;

    let rude = Ground {
        mail_gate: rude_mail_server().await,
        ..ground.clone()
    };
    let instance = rude.start().await;
    let jean = rude.customer("fr");
    let odd = Customer {
        email: "not.an.address.of@".to_owned(),
        ..rude.customer("fr")
    };
    rude.wallet.knows(&odd, "fr", true);
    rude.publish(vec![jean.earns(1, 1), odd.earns(1, 1)]).await;
    let (jeans, odds) = (instance.client(jean.merchant), instance.client(odd.merchant));
    let refused = jeans.newest("refused", |n| !n.last_error.is_empty()).await;
    assert_eq!(refused.last_error, "the mail server answered 550");
    odds.newest("suppressed", |n| n.status() == NotificationStatus::Suppressed)
        .await;
    instance.stop().await;
    let kept = kept(&rude).await;
    telemetry.shutdown().await;

    let logs = receiver.logs();
    assert!(
        logs.iter()
            .any(|log| log.message == "notification" && log.trace_id.as_deref() == Some(TRACE)),
        "{logs:#?}"
    );
    let told = format!("{logs:?} {:?} {kept} {refused:?}", receiver.spans());
    assert!(
        told.contains(&jean.account.uuid().to_string()),
        "the search finds what is there"
    );
    let names = [&marie, &jean, &odd].map(|customer| customer.email.split_once('@').unwrap().0);
    for private in names.into_iter().chain(["Bonne nouvelle", "Vous avez gagné"]) {
        assert!(!told.contains(private), "{private} stands in {told}");
    }
}
