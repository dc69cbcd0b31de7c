//! Bad input: each its reason and field, and nothing reaches the service.

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

use axum::body::Body;
use http::Method;
use support::{Answer, Api};

const TRANSACTIONS: &str = "/v1/transactions";

fn refused(answer: &Answer, status: u16, reason: &str, field: &str) {
    assert_eq!(
        answer.refusal(),
        (status, reason.to_owned(), field.to_owned()),
        "{}",
        answer.json()
    );
}

#[tokio::test]
async fn unknown_fields_are_named_wherever_they_stand() {
    let api = Api::ledger();
    for (body, field) in [
        (r#"{"nope": 1}"#, "nope"),
        (
            r#"{"entries": [{}, {"amount": {"minor_units": "1", "nope": 1}}]}"#,
            "entries[1].amount.nope",
        ),
        (r#"{"entries": [{"nope": null}]}"#, "entries[0].nope"),
    ] {
        refused(&api.post(TRANSACTIONS, body).await, 400, "UNKNOWN_FIELD", field);
    }
    for (query, field) in [
        ("nope=1", "nope"),
        ("page.nope=1", "page.nope"),
        ("page=1", "page"),
        ("a.b.c", "a.b.c"),
    ] {
        refused(
            &api.get(&format!("{TRANSACTIONS}?{query}")).await,
            400,
            "UNKNOWN_FIELD",
            field,
        );
    }
    refused(
        &api.post("/v1/accounts?assetCode=EUR", "{}").await,
        400,
        "UNKNOWN_FIELD",
        "assetCode",
    );
    assert_eq!(api.calls(), 0);
}

#[tokio::test]
async fn wrong_values_are_named_wherever_they_stand() {
    let api = Api::ledger();
    for (body, field) in [
        (r#"{"reference": 5}"#, "reference"),
        (r#"{"entries": {}}"#, "entries"),
        (r#"{"entries": [null]}"#, "entries[0]"),
        (r#"{"entries": [{"account_id": []}]}"#, "entries[0].accountId"),
        (
            r#"{"entries": [{}, {"amount": {"minor_units": "1.5"}}]}"#,
            "entries[1].amount.minorUnits",
        ),
        (
            r#"{"entries": [{"amount": {"minorUnits": "9223372036854775808"}}]}"#,
            "entries[0].amount.minorUnits",
        ),
        (
            r#"{"entries": [{"amount": {"minorUnits": 1e400}}]}"#,
            "entries[0].amount.minorUnits",
        ),
        (r#"{"entries": [{"amount": 1}]}"#, "entries[0].amount"),
        (
            r#"{"entries": [{"direction": "SIDEWAYS"}]}"#,
            "entries[0].direction",
        ),
        (r#"{"reference": "\ud800"}"#, "reference"),
    ] {
        refused(&api.post(TRANSACTIONS, body).await, 400, "INVALID_FIELD", field);
    }
    for (query, field) in [
        ("page.pageSize=many", "page.pageSize"),
        ("page.page_size=2147483648", "page.pageSize"),
        ("accountId=%FF", "accountId"),
        ("accountId=1&account_id=2", "accountId"),
    ] {
        refused(
            &api.get(&format!("{TRANSACTIONS}?{query}")).await,
            400,
            "INVALID_FIELD",
            field,
        );
    }
    refused(
        &api.get("/v1/accounts/%FF").await,
        400,
        "INVALID_FIELD",
        "accountId",
    );
    assert_eq!(api.calls(), 0);
}

#[tokio::test]
async fn one_field_may_not_stand_twice() {
    let api = Api::ledger();
    for (body, field) in [
        (r#"{"reference": "a", "reference": "b"}"#, "reference"),
        (
            r#"{"entries": [{"accountId": "a", "account_id": "b"}]}"#,
            "entries[0].accountId",
        ),
    ] {
        refused(&api.post(TRANSACTIONS, body).await, 400, "INVALID_FIELD", field);
    }
    let account = api.get("/v1/accounts/acc_1?accountId=acc_2").await;
    refused(&account, 400, "INVALID_FIELD", "accountId");
    assert_eq!(api.calls(), 0);
}

#[tokio::test]
async fn a_malformed_body_is_shown_by_line_and_column() {
    let api = Api::ledger();
    for (body, line, column) in [
        (&b"{\n  \"reference\": \"a\",,\n}"[..], "2", "20"),
        (b"{", "1", "1"),
        (b" ", "1", "1"),
        (b"{} {}", "1", "4"),
        (b"[]", "1", "1"),
        (b"null", "1", "1"),
        (b"{\n\"reference\": \"\xff\"}", "2", "15"),
    ] {
        let answer = api.post(TRANSACTIONS, body).await;
        refused(&answer, 400, "MALFORMED_BODY", "");
        let metadata = &answer.json()["metadata"];
        assert_eq!(
            (&metadata["line"], &metadata["column"]),
            (&line.into(), &column.into()),
            "{body:?}"
        );
    }
    let deep = format!("{}{}", r#"{"entries":"#, "[".repeat(100_000));
    refused(&api.post(TRANSACTIONS, deep).await, 400, "MALFORMED_BODY", "");
    assert_eq!(api.calls(), 0);
}

#[tokio::test]
async fn a_body_must_be_json_within_the_limit() {
    let api = Api::ledger();
    for kind in [
        "text/plain",
        "application/json; charset=latin1",
        "application/json; q",
        "application/jsonx",
        "",
    ] {
        let answer = api
            .send(Method::POST, TRANSACTIONS, &[("content-type", kind)], "{}")
            .await;
        refused(&answer, 415, "UNSUPPORTED_MEDIA_TYPE", "");
    }
    refused(
        &api.send(Method::POST, TRANSACTIONS, &[], "{}").await,
        415,
        "UNSUPPORTED_MEDIA_TYPE",
        "",
    );
    let large = " ".repeat(lp_rest::BODY_LIMIT + 1);
    refused(&api.post(TRANSACTIONS, large).await, 413, "BODY_TOO_LARGE", "");
    refused(
        &api.json(Method::GET, TRANSACTIONS, "{}").await,
        400,
        "INVALID_FIELD",
        "body",
    );
    assert_eq!(api.calls(), 0);

    let most = format!("{{}}{}", " ".repeat(lp_rest::BODY_LIMIT - 2));
    assert!(api.post(TRANSACTIONS, most).await.status.is_success());
    assert!(
        api.send(Method::POST, TRANSACTIONS, &[], Body::empty())
            .await
            .status
            .is_success()
    );
}

#[tokio::test]
async fn unknown_paths_and_methods() {
    let api = Api::ledger();
    for path in [
        "/",
        "/v1",
        "/v1/accounts/",
        "/v1/accounts/a/b",
        "/v1/transactions:nope",
        "/v2/accounts",
        "//v1/accounts",
        "/docs/x",
    ] {
        refused(&api.get(path).await, 404, "UNKNOWN_PATH", "");
    }
    for (path, allow) in [
        ("/v1/transactions", "GET, POST"),
        ("/v1/transactions:earn", "POST"),
        ("/v1/accounts/acc_1", "GET"),
        ("/openapi.json", "GET,HEAD"),
        ("/docs", "GET,HEAD"),
        ("/docs/swagger-ui.css", "GET,HEAD"),
    ] {
        let answer = api
            .send(Method::DELETE, path, &[("x-request-id", "req_1")], Body::empty())
            .await;
        refused(&answer, 405, "METHOD_NOT_ALLOWED", "");
        let mut methods: Vec<_> = answer.header("allow").split(',').map(str::trim).collect();
        methods.sort_unstable();
        assert_eq!(methods, allow.split(',').map(str::trim).collect::<Vec<_>>());
    }
    let answer = api
        .send(Method::GET, "/nope", &[("x-request-id", "req_1")], Body::empty())
        .await;
    assert_eq!(
        (answer.json()["requestId"].as_str(), answer.header("x-request-id")),
        (Some("req_1"), "req_1")
    );
    assert_eq!(api.calls(), 0);
}
