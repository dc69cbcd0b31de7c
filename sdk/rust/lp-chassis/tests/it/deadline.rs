//! A deadline ends the request, the caller's or the server's, whichever is nearer.

use std::time::{Duration, Instant};

use serde_json::Value;
use tonic::Code;

use crate::support::{Instance, reason};

/// Over REST, where no client of gRPC has a deadline of its own.
async fn rest(instance: &Instance, timeout: &str) -> (u16, Value) {
    let request = instance.http.get(instance.url("/v1/accounts/never/balance"));
    let answer = instance
        .till
        .signed("", request)
        .header("grpc-timeout", timeout)
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// The bytes of a gRPC request, so that only the server has the deadline.
async fn raw(instance: &Instance, timeout: &str) -> tonic::Status {
    let http = reqwest::Client::builder()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let path = "/localplus.ledger.v1.LedgerService/GetBalance";
    let never = b"\0\0\0\0\x07\x0a\x05never";
    let request = http.post(format!("http://{}{path}", instance.running.grpc));
    let answer = instance
        .till
        .signed("", request)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", timeout)
        .body(never.to_vec())
        .send()
        .await
        .unwrap();
    tonic::Status::from_header_map(answer.headers()).expect("a status in the headers")
}

#[tokio::test]
async fn the_callers_deadline_ends_the_request() {
    let instance = Instance::start().await;
    // Each a moment before it, so that the answer comes in time.
    let (status, problem) = rest(&instance, "100m").await;
    assert_eq!((status, &problem["reason"]), (504, &"DEADLINE_EXCEEDED".into()));
    for timeout in ["100m", "100000u", "200m"] {
        let refused = raw(&instance, timeout).await;
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
            "{timeout}"
        );
    }
    instance.under_way(0).await;
    let counted = "rpc_requests_total{code=\"DEADLINE_EXCEEDED\",rpc=\"LedgerService/GetBalance\"} 4";
    assert!(
        instance.measured(counted),
        "{}",
        instance.metrics.render().unwrap()
    );
}

#[tokio::test]
async fn the_server_has_a_deadline_too() {
    let instance = Instance::start_with(|common| common.serve.request_timeout_ms = 100, |app| app).await;
    let started = Instant::now();
    let refused = instance.call("never").await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::DeadlineExceeded, "DEADLINE_EXCEEDED")
    );
    // A longer one of the caller's does not help, and one that is malformed does not hurt.
    for timeout in ["1H", "soon"] {
        let (status, problem) = rest(&instance, timeout).await;
        assert_eq!(
            (status, &problem["reason"]),
            (504, &"DEADLINE_EXCEEDED".into()),
            "{timeout}"
        );
    }
    assert!(started.elapsed() < Duration::from_secs(10));
    instance.call("ok").await.unwrap();
}
