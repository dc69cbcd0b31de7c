//! A merchant applies, and operators take it through its life: each step with actor and reason, and no other.

use futures::future::join_all;
use lp_contracts::{
    common::v1::PageRequest,
    merchant::v1::{self, MerchantState},
};
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::{Client, Ground, application, application_json, bytes, fields, new_key, reason};

use MerchantState::{Active, Applied, Approved, Closed, InReview, Suspended};

fn is(status: &Status, code: Code, expected: &str) {
    assert_eq!((status.code(), reason(status).as_str()), (code, expected));
}

#[tokio::test]
async fn an_application_is_recorded_once() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    is(
        &client.merchant().await.unwrap_err(),
        Code::NotFound,
        "UNKNOWN_MERCHANT",
    );
    is(
        &client.events(PageRequest::default()).await.unwrap_err(),
        Code::NotFound,
        "UNKNOWN_MERCHANT",
    );
    let applied = client.apply("k", application()).await.unwrap();
    assert_eq!(applied.merchant_id, client.merchant.to_string());
    assert_eq!(applied.state(), Applied);
    assert_eq!(
        (applied.name.as_str(), applied.currency_code.as_str()),
        ("Boulangerie Ô Blé", "EUR")
    );
    assert_eq!(
        (applied.currency_exponent, applied.points_code.as_str()),
        (2, "PTS")
    );
    assert_eq!(applied.time_zone, "Europe/Paris");
    assert!(applied.created_at.is_some() && applied.accounts.is_none());
    assert_eq!(client.merchant().await.unwrap(), applied);

    assert_eq!(
        bytes(&client.apply("k", application()).await.unwrap()),
        bytes(&applied)
    );
    // REST has the same keys and fingerprints.
    let (status, again) = client.post("k", "/v1/merchant:apply", &application_json()).await;
    assert_eq!(
        (status, &again["merchant"]["state"]),
        (200, &json!("MERCHANT_STATE_APPLIED"))
    );
    let other = v1::ApplyMerchantRequest {
        name: "Another".to_owned(),
        ..application()
    };
    let reused = client.apply("k", other).await.unwrap_err();
    is(&reused, Code::Aborted, "IDEMPOTENCY_KEY_REUSED");
    for _ in 0..2 {
        let exists = client.apply("second", application()).await.unwrap_err();
        is(&exists, Code::AlreadyExists, "MERCHANT_EXISTS");
    }
    assert_eq!(ground.written().await, [1, 1, 0, 0, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_applications_at_once_are_one() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let calls = (0..16).map(|n| {
        let client = client.clone();
        // Half of them with one key.
        let key = if n % 2 == 0 {
            "k".to_owned()
        } else {
            format!("k-{n}")
        };
        async move { client.apply(&key, application()).await }
    });
    let answers = join_all(calls).await;
    for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        is(refused, Code::AlreadyExists, "MERCHANT_EXISTS");
    }
    let taken = answers.iter().filter_map(|answer| answer.as_ref().ok());
    assert!([1, 8].contains(&taken.count()));
    assert_eq!(ground.written().await, [1, 1, 0, 0, 9]);
}

#[tokio::test]
async fn a_whole_life_is_told_with_actor_and_reason() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    client.apply(&new_key(), application()).await.unwrap();
    let operators =
        ["mara", "jonas"].map(|name| Client::from(instance.caller(client.merchant).as_operator(name)));
    let steps = [InReview, Approved, Active, Suspended, Active, Suspended, Closed];
    for (n, to) in steps.into_iter().enumerate() {
        let changed = operators[n % 2]
            .change_for(&new_key(), to, &format!("case/{n}"))
            .await;
        let changed = changed.unwrap();
        assert_eq!(changed.state(), to);
        assert_eq!(client.merchant().await.unwrap(), changed);
    }
    let told = client.events(PageRequest::default()).await.unwrap();
    let shown: Vec<_> = told
        .events
        .iter()
        .rev()
        .map(|e| (e.from_state(), e.to_state(), e.actor.as_str(), e.reason.as_str()))
        .collect();
    let expected = [
        (MerchantState::Unspecified, Applied, "till-7", "application"),
        (Applied, InReview, "mara", "case/0"),
        (InReview, Approved, "jonas", "case/1"),
        (Approved, Active, "mara", "case/2"),
        (Active, Suspended, "jonas", "case/3"),
        (Suspended, Active, "mara", "case/4"),
        (Active, Suspended, "jonas", "case/5"),
        (Suspended, Closed, "mara", "case/6"),
    ];
    assert_eq!(shown, expected);
    assert!(told.events.iter().all(|event| event.occurred_at.is_some()));
    let (status, listed) = client.get("/v1/merchant/events?page.pageSize=1").await;
    assert_eq!((status, &listed["events"][0]["reason"]), (200, &json!("case/6")));

    for size in [1, 3, 8] {
        let (mut found, mut page_token) = (Vec::new(), String::new());
        loop {
            let page = PageRequest {
                page_size: size,
                page_token,
            };
            let answer = client.events(page).await.unwrap();
            found.extend(answer.events);
            page_token = answer.page.unwrap().next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(found, told.events, "pages of {size}");
    }
}

#[tokio::test]
async fn no_step_leads_where_the_life_does_not_go() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let all = [Applied, InReview, Approved, Active, Suspended, Closed];
    let lives: [(&[MerchantState], &[MerchantState]); 6] = [
        (&[], &[InReview]),
        (&[InReview], &[Approved, Closed]),
        (&[InReview, Approved], &[Active, Closed]),
        (&[InReview, Approved, Active], &[Suspended, Closed]),
        (&[InReview, Approved, Active, Suspended], &[Active, Closed]),
        (&[InReview, Closed], &[]),
    ];
    for (life, allowed) in lives {
        let client = instance.merchant();
        client.apply(&new_key(), application()).await.unwrap();
        let operator = instance.operator(client.merchant);
        for to in life {
            operator.change(&new_key(), *to).await.unwrap();
        }
        let before = client.merchant().await.unwrap();
        for to in all.into_iter().filter(|to| !allowed.contains(to)) {
            let refused = operator.change(&new_key(), to).await.unwrap_err();
            is(&refused, Code::FailedPrecondition, "WRONG_STATE");
            assert_eq!(fields(&refused), ["toState"]);
            let told = refused.get_details_error_info().unwrap().metadata["state"].clone();
            assert_eq!(format!("MERCHANT_STATE_{told}"), before.state().as_str_name());
        }
        assert_eq!(client.merchant().await.unwrap(), before);
    }
}

#[tokio::test]
async fn steps_are_for_operators_only() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    client.apply(&new_key(), application()).await.unwrap();
    let refused = client.change(&new_key(), InReview).await.unwrap_err();
    is(&refused, Code::PermissionDenied, "PERMISSION_DENIED");
    let body = json!({"toState": "MERCHANT_STATE_IN_REVIEW", "reason": "x"});
    let (status, problem) = client.post(&new_key(), "/v1/merchant:changeState", &body).await;
    assert_eq!((status, &problem["reason"]), (403, &json!("PERMISSION_DENIED")));
    // An operator acts for the merchant whom the header names, and no other.
    let nobody = instance.operator(instance.merchant().merchant);
    let refused = nobody.change(&new_key(), InReview).await.unwrap_err();
    is(&refused, Code::NotFound, "UNKNOWN_MERCHANT");
    assert_eq!(client.merchant().await.unwrap().state(), Applied);
    let operator = instance.operator(client.merchant);
    let (status, changed) = operator.post("k", "/v1/merchant:changeState", &body).await;
    assert_eq!(
        (status, &changed["merchant"]["state"]),
        (200, &json!("MERCHANT_STATE_IN_REVIEW"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_is_taken_once_under_its_key() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    client.apply(&new_key(), application()).await.unwrap();
    let operator = instance.operator(client.merchant);
    let calls = (0..8).map(|_| operator.change("k", InReview));
    let answers = join_all(calls).await;
    for answer in &answers {
        assert_eq!(
            bytes(answer.as_ref().unwrap()),
            bytes(answers[0].as_ref().unwrap())
        );
    }
    operator.change("next", Approved).await.unwrap();
    // The first answer for ever, whatever has become of the merchant.
    assert_eq!(operator.change("k", InReview).await.unwrap().state(), InReview);
    let reused = operator.change("k", Closed).await.unwrap_err();
    is(&reused, Code::Aborted, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(ground.count("merchant_events").await, 3);
}
