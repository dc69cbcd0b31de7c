//! What is refused before a message is read, each wire in its own way.

use prost::Message as _;
use serde_json::json;
use tonic::{Code, Status};

use crate::{
    support::{Client, Ground, Instance, earn, new_key, reason},
    wire::Refused,
};

fn refused(reason: &str, fields: &[&str], status: u16) -> Refused {
    Refused {
        reason: reason.to_owned(),
        fields: fields.iter().map(|f| (*f).to_owned()).collect(),
        status,
    }
}

#[tokio::test]
async fn a_body_that_is_no_request_is_refused_over_rest() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(100).await;
    let before = ground.written().await;
    let good = json!({"accountId": account, "amount": {"minorUnits": "5", "assetCode": "PTS"}}).to_string();
    let json = "application/json";
    let unknown = good.replacen('{', r#"{"colour": "red", "#, 1);
    let inner = good.replace(r#""assetCode""#, r#""currency": "EUR", "assetCode""#);
    let huge = format!("{}{good}", " ".repeat(lp_rest::BODY_LIMIT));
    let overflow = good.replace(r#""5""#, r#""9223372036854775808""#);
    let fraction = good.replace(r#""5""#, "5.5");
    let cases = [
        (unknown, json, refused("UNKNOWN_FIELD", &["colour"], 400)),
        (inner, json, refused("UNKNOWN_FIELD", &["amount.currency"], 400)),
        (huge, json, refused("BODY_TOO_LARGE", &[], 413)),
        (
            overflow,
            json,
            refused("INVALID_FIELD", &["amount.minorUnits"], 400),
        ),
        (
            fraction,
            json,
            refused("INVALID_FIELD", &["amount.minorUnits"], 400),
        ),
        (
            good.clone(),
            "text/plain",
            refused("UNSUPPORTED_MEDIA_TYPE", &[], 415),
        ),
        (
            good.clone(),
            "application/grpc",
            refused("UNSUPPORTED_MEDIA_TYPE", &[], 415),
        ),
        ("{".to_owned(), json, refused("MALFORMED_BODY", &[], 400)),
        ("[]".to_owned(), json, refused("MALFORMED_BODY", &[], 400)),
        (String::new(), json, refused("INVALID_FIELD", &["accountId"], 400)),
    ];
    for (body, kind, expected) in cases {
        let request = client.http.post(format!("{}/v1/transactions:earn", client.base));
        let request = request.header("content-type", kind).body(body.clone());
        let answer = client.send(&new_key(), request).await;
        assert_eq!(Refused::of_problem(&answer), expected, "{kind} {body:.100}");
    }
    let (status, problem) = client.get("/v1/nothing").await;
    assert_eq!((status, &problem["reason"]), (404, &json!("UNKNOWN_PATH")));
    let (status, problem) = client
        .send("", client.http.delete(format!("{}/v1/assets", client.base)))
        .await;
    assert_eq!((status, &problem["reason"]), (405, &json!("METHOD_NOT_ALLOWED")));
    assert_eq!(ground.written().await, before);
}

/// What a server answers to bytes that no gRPC client would send.
async fn raw(instance: &Instance, client: &Client, kind: &str, framed: Vec<u8>) -> (u16, Option<Status>) {
    let http = reqwest::Client::builder()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let address = instance.running.grpc;
    let request = http.post(format!("http://{address}/localplus.ledger.v1.LedgerService/Earn"));
    let answer = client
        .signed(&new_key(), request)
        .header("content-type", kind)
        .header("te", "trailers")
        .body(framed)
        .send()
        .await
        .unwrap();
    (
        answer.status().as_u16(),
        Status::from_header_map(answer.headers()),
    )
}

fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[0], length.to_be_bytes().as_slice(), message].concat()
}

#[tokio::test]
async fn bytes_that_are_no_request_are_refused_over_grpc() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(100).await;
    let before = ground.written().await;
    let good = earn(&account, 5).encode_to_vec();
    let grpc = "application/grpc";
    let mut no_text = good.clone();
    // Within the account's id, which must be UTF-8.
    no_text[4] = 0xff;
    let mut huge = earn(&account, 5);
    huge.reference = "x".repeat(5 << 20);
    let cut = &good[..good.len() - 3];
    for (what, framed, code, expected) in [
        (
            "garbage",
            frame(&[0xff; 16]),
            Code::InvalidArgument,
            "MALFORMED_BODY",
        ),
        (
            "a message cut off",
            frame(cut),
            Code::InvalidArgument,
            "MALFORMED_BODY",
        ),
        (
            "bytes for text",
            frame(&no_text),
            Code::InvalidArgument,
            "MALFORMED_BODY",
        ),
        ("no message", Vec::new(), Code::InvalidArgument, "MALFORMED_BODY"),
        (
            "too much",
            frame(&huge.encode_to_vec()),
            Code::ResourceExhausted,
            "BODY_TOO_LARGE",
        ),
    ] {
        let (_, status) = raw(&instance, &client, grpc, framed).await;
        let status = status.unwrap_or_else(|| panic!("{what}: no status"));
        assert_eq!(
            (status.code(), reason(&status)),
            (code, expected.to_owned()),
            "{what}: {status:?}"
        );
    }
    // gRPC itself says 415 here (PROTOCOL-HTTP2.md), as there is nobody who would read a status.
    let (http, status) = raw(&instance, &client, "application/json", frame(&good)).await;
    let refused = status.map(|s| (s.code(), reason(&s)));
    assert!(
        http == 415 || refused == Some((Code::InvalidArgument, "UNSUPPORTED_MEDIA_TYPE".to_owned())),
        "{http} {refused:?}"
    );
    assert_eq!(ground.written().await, before);
    let (http, _) = raw(&instance, &client, grpc, frame(&good)).await;
    assert_eq!(http, 200);
    assert_eq!(client.units(&account).await, 105);
}

#[tokio::test]
async fn nobody_is_served_who_may_not_call() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(100).await;
    let before = ground.written().await;
    let body = json!({"accountId": account, "amount": {"minorUnits": "5", "assetCode": "PTS"}});
    let others = crate::support::new_merchant().to_string();
    let reader = [
        "ledger.accounts.read",
        "ledger.accounts.write",
        "ledger.transactions.read",
    ];
    for (caller, code, reason, status) in [
        (client.as_nobody(), Code::Unauthenticated, "UNAUTHENTICATED", 401),
        (
            client.with_token("nobody's"),
            Code::Unauthenticated,
            "UNAUTHENTICATED",
            401,
        ),
        (
            client.with_scopes(reader),
            Code::PermissionDenied,
            "PERMISSION_DENIED",
            403,
        ),
        (
            client.with_header("localplus-merchant", &others),
            Code::PermissionDenied,
            "PERMISSION_DENIED",
            403,
        ),
    ] {
        let expected = refused(reason, &[], status);
        let refused = client
            .grpc
            .clone()
            .earn(caller.request("key", earn(&account, 5)))
            .await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), code);
        assert_eq!(Refused::of(&refused), expected);
        let answer = caller.post("key", "/v1/transactions:earn", &body).await;
        assert_eq!(Refused::of_problem(&answer), expected);
    }
    assert_eq!(ground.written().await, before);
}
