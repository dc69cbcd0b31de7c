//! No rpc is reached without a caller.

use tonic::{Code, Request};

use crate::support::{Instance, MERCHANT, reason, request};

#[tokio::test]
async fn the_caller_is_who_the_headers_say() {
    let instance = Instance::start().await;
    let expected = format!("{MERCHANT} till-7");
    assert_eq!(instance.call("ok").await.unwrap().account_id, expected);
    let (status, answer) = instance.get("ok").await;
    assert_eq!((status, &answer["balance"]["accountId"]), (200, &expected.into()));
}

#[tokio::test]
async fn who_is_nobody_is_not_served() {
    let instance = Instance::start().await;
    let long = "x".repeat(65);
    for headers in [
        vec![],
        vec![("localplus-merchant", MERCHANT)],
        vec![("localplus-actor", "till-7")],
        vec![("localplus-merchant", "mer_1"), ("localplus-actor", "till-7")],
        vec![("localplus-merchant", ""), ("localplus-actor", "till-7")],
        vec![("localplus-merchant", MERCHANT), ("localplus-actor", "")],
        vec![("localplus-merchant", MERCHANT), ("localplus-actor", "a b")],
        vec![("localplus-merchant", MERCHANT), ("localplus-actor", &long)],
    ] {
        // A handler that is reached would panic, and the answer be another.
        let mut nobody = Request::new(request("panic").into_inner());
        let mut rest = instance.http.get(instance.url("/v1/accounts/panic/balance"));
        for (name, value) in &headers {
            nobody.metadata_mut().insert(*name, value.parse().unwrap());
            rest = rest.header(*name, *value);
        }
        let refused = instance.grpc.clone().get_balance(nobody).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::Unauthenticated, "UNAUTHENTICATED"),
            "{headers:?}"
        );
        let answer = rest.send().await.unwrap();
        assert_eq!(answer.status(), 401);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let problem: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(problem["reason"], "UNAUTHENTICATED", "{headers:?}");
    }
}
