//! The rpcs of the ledger as JSON: answers, failures, headers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "a test"
)]

mod support;

use http::{Method, StatusCode};
use serde_json::json;
use support::Api;

#[tokio::test]
async fn a_body_becomes_the_request() {
    let body =
        json!({"assetCode": "EUR", "type": "ACCOUNT_TYPE_CUSTOMER", "min_balance": "-9007199254740993"});
    let answer = Api::ledger().post("/v1/accounts", body.to_string()).await.json();
    assert_eq!(answer["account"]["assetCode"], "EUR");
    assert_eq!(answer["account"]["type"], "ACCOUNT_TYPE_CUSTOMER");
    assert_eq!(answer["account"]["minBalance"], "-9007199254740993");
    assert!(answer["account"].get("maxBalance").is_none());
}

#[tokio::test]
async fn a_query_becomes_the_request_under_either_name() {
    let api = Api::ledger();
    for query in [
        "accountId=a+b%26&page.pageSize=7&page.pageToken=x",
        "account_id=a%20b%26&page.page_size=7&page.page_token=x",
    ] {
        let answer = api.get(&format!("/v1/transactions?{query}")).await.json();
        assert_eq!(
            answer,
            json!({"transactions": [], "page": {"nextPageToken": "a b&|7|x"}})
        );
    }
}

#[tokio::test]
async fn chosen_headers_go_in_and_out() {
    let sent = [
        ("content-type", "application/json; charset=UTF-8"),
        ("Idempotency-Key", "key-1"),
        ("authorization", "Bearer t"),
        ("traceparent", "00-0-0-01"),
        ("localplus-merchant", "mer_1"),
        ("x-request-id", "req_1"),
        ("cookie", "secret"),
        ("te", "gzip"),
    ];
    let answer = Api::ledger()
        .send(Method::POST, "/v1/accounts", &sent, "{}")
        .await;
    let seen = answer.json()["account"]["reference"].as_str().unwrap().to_owned();
    for header in [
        "idempotency-key=key-1",
        "authorization=Bearer t",
        "traceparent=00-0-0-01",
        "localplus-merchant=mer_1",
    ] {
        assert!(seen.contains(header), "{header} in {seen}");
    }
    assert!(seen.contains("x-request-id=req_1"));
    assert!(!seen.contains("cookie") && !seen.contains("gzip"), "{seen}");
    assert_eq!(answer.header("x-request-id"), "req_layer");
    assert_eq!(answer.header("x-inner"), "");
}

#[tokio::test]
async fn a_failure_says_the_same_as_in_grpc() {
    let api = Api::ledger();
    let answer = api.get("/v1/accounts/acc_none").await;
    assert_eq!(
        answer.json(),
        json!({
            "type": "urn:localplus:error:ledger.localplus:UNKNOWN_ACCOUNT",
            "title": "Unknown account",
            "status": 404,
            "detail": "no such account",
            "reason": "UNKNOWN_ACCOUNT",
            "domain": "ledger.localplus",
            "metadata": {"accountId": "acc_none"},
            "violations": [],
            "requestId": "req_layer",
        })
    );
    assert_eq!(answer.header("x-request-id"), "req_layer");

    let earn = async |reference| {
        api.post(
            "/v1/transactions:earn",
            json!({"reference": reference}).to_string(),
        )
        .await
    };
    let busy = earn("busy").await;
    assert_eq!(busy.refusal(), (429, "OVERLOADED".into(), String::new()));
    assert_eq!(busy.header("retry-after"), "2");
    assert_eq!(
        earn("field").await.refusal(),
        (400, "INVALID_FIELD".into(), "entries[1].amount.minorUnits".into())
    );
    assert_eq!(
        earn("funds").await.refusal(),
        (400, "INSUFFICIENT_FUNDS".into(), String::new())
    );
    assert_eq!(earn("fine").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_status_that_is_not_ours_tells_nothing_of_the_inside() {
    let api = Api::ledger();
    let leak = api
        .post("/v1/transactions:earn", r#"{"reference": "leak"}"#)
        .await;
    assert_eq!(leak.refusal(), (500, "UNKNOWN".into(), String::new()));
    assert!(!String::from_utf8_lossy(&leak.body).contains("hunter2"));
    assert_eq!(
        api.get("/v1/assets/EUR").await.refusal(),
        (501, "UNIMPLEMENTED".into(), String::new())
    );
}
