//! No rpc is reached but by a caller who may call it, over gRPC and REST alike. What a token must be is held in
//! `lp-auth`, what each rpc needs in `e2e`.

use lp_auth::{ACT_FOR_MERCHANTS, ACTOR, MERCHANT as FOR};
use lp_test_service::{Caller, issuer};
use tonic::{Code, Status};

use crate::support::{Instance, MERCHANT, reason, wanted};

const NEEDED: &str = "ledger.accounts.read";
const OTHER: &str = "mer_0199f0c1d2e37a4b8c5d6e7f80912a3c";

/// Code and reason over gRPC, status and reason over REST. A handler that is reached would panic, and the
/// answer be another.
async fn refusals(instance: &Instance, caller: &Caller) -> [(String, String); 2] {
    let asked = caller.request("", wanted("panic"));
    let refused: Status = instance.grpc.clone().get_balance(asked).await.unwrap_err();
    let rest = instance.http.get(instance.url("/v1/accounts/panic/balance"));
    let answer = caller.signed("", rest).send().await.unwrap();
    let status = answer.status();
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let challenge = answer.headers().get("www-authenticate").cloned();
    assert_eq!(challenge.is_some_and(|c| c == "Bearer"), status == 401);
    let problem: serde_json::Value = answer.json().await.unwrap();
    [
        (format!("{:?}", refused.code()), reason(&refused)),
        (
            status.as_u16().to_string(),
            problem["reason"].as_str().unwrap().to_owned(),
        ),
    ]
}

#[tokio::test]
async fn the_caller_is_who_the_token_says() {
    let instance = Instance::start().await;
    let expected = format!("{MERCHANT} till-7");
    assert_eq!(instance.call("ok").await.unwrap().account_id, expected);
    let (status, answer) = instance.get("ok").await;
    assert_eq!((status, &answer["balance"]["accountId"]), (200, &expected.into()));
}

#[tokio::test]
async fn the_platform_acts_for_the_merchant_whom_it_names() {
    let instance = Instance::start().await;
    let token = issuer::token("svc-wallet", None, [NEEDED, ACT_FOR_MERCHANTS]);
    let service = instance.till.with_token(&token).with_header(FOR, OTHER);
    for (caller, expected) in [
        (service.clone(), format!("{OTHER} svc-wallet")),
        (service.with_header(ACTOR, "till-9"), format!("{OTHER} till-9")),
    ] {
        let answer = instance
            .grpc
            .clone()
            .get_balance(caller.request("", wanted("ok")))
            .await;
        assert_eq!(answer.unwrap().into_inner().balance.unwrap().account_id, expected);
        let (status, answer) = caller.get("/v1/accounts/ok/balance").await;
        assert_eq!((status, &answer["balance"]["accountId"]), (200, &expected.into()));
    }
}

#[tokio::test]
async fn who_is_nobody_is_not_served() {
    let instance = Instance::start().await;
    let till = &instance.till;
    let good = issuer::token("till-7", None, [NEEDED, ACT_FOR_MERCHANTS]);
    let late = serde_json::json!({
        "iss": issuer::auth().auth_issuer, "aud": "localplus", "sub": "till-7", "exp": 1, "scope": NEEDED,
        "merchant_id": MERCHANT,
    });
    let nobody = till.as_nobody();
    for caller in [
        nobody.clone(),
        // What was believed before there were tokens.
        nobody.with_header(FOR, MERCHANT).with_header(ACTOR, "till-7"),
        nobody.with_header("authorization", "Basic dGlsbDp0aWxs"),
        till.with_token("nonsense"),
        till.with_token(""),
        till.with_token(&issuer::sign(&late)),
        till.with_token(&good)
            .with_header("authorization", "Bearer other"),
    ] {
        let expected = [
            (
                format!("{:?}", Code::Unauthenticated),
                "UNAUTHENTICATED".to_owned(),
            ),
            ("401".to_owned(), "UNAUTHENTICATED".to_owned()),
        ];
        assert_eq!(refusals(&instance, &caller).await, expected);
    }
}

#[tokio::test]
async fn who_may_not_call_is_not_served() {
    let instance = Instance::start().await;
    let till = &instance.till;
    for caller in [
        till.with_scopes([""; 0]),
        till.with_scopes(["ledger.accounts.write", "ledger.accounts.readers"]),
        till.with_header(FOR, OTHER),
        till.with_header(ACTOR, "somebody-else"),
        // Of no merchant, and not the platform's.
        till.with_token(&issuer::token("till-7", None, [NEEDED]))
            .with_header(FOR, MERCHANT),
        // The platform's, for nobody.
        till.with_token(&issuer::token("svc-wallet", None, [NEEDED, ACT_FOR_MERCHANTS])),
    ] {
        let expected = [
            (
                format!("{:?}", Code::PermissionDenied),
                "PERMISSION_DENIED".to_owned(),
            ),
            ("403".to_owned(), "PERMISSION_DENIED".to_owned()),
        ];
        assert_eq!(refusals(&instance, &caller).await, expected);
    }
}

#[tokio::test]
async fn while_nobody_can_tell_who_calls_the_call_is_refused_and_may_be_tried_again() {
    let away = |common: &mut lp_config::Common| {
        common.auth.auth_jwks_url = "http://127.0.0.1:1/jwks.json".parse().unwrap();
    };
    let instance = Instance::start_with(away, |app| app).await;
    let refused = instance.call("ok").await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::Unavailable, "DEPENDENCY_UNAVAILABLE")
    );
    assert_eq!(instance.get("ok").await.0, 503);
    // Without a token there is nothing to be told.
    let nobody = instance.grpc.clone().get_balance(wanted("ok")).await.unwrap_err();
    assert_eq!(nobody.code(), Code::Unauthenticated);
    instance.under_way(0).await;
}
