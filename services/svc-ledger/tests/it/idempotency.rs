//! One key, one transaction, one answer.

use std::collections::HashMap;

use futures::future::join_all;
use lp_contracts::ledger::v1::{self, AccountType};
use serde_json::json;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

use crate::{
    audit::audit,
    support::{Client, Ground, bytes, earn, fields, new_key, reason},
};

#[tokio::test]
async fn the_same_key_gives_the_same_answer_also_after_a_restart() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(100).await;
    let first = client.burn("burn", &account, 30).await.unwrap();
    let written = ground.written().await;
    let again = client.burn("burn", &account, 30).await.unwrap();
    assert_eq!(bytes(&again), bytes(&first));
    instance.stop().await;

    let instance = ground.start().await;
    let client = instance.client(client.merchant);
    let again = client.burn("burn", &account, 30).await.unwrap();
    assert_eq!(bytes(&again), bytes(&first));
    assert_eq!(ground.written().await, written);
    assert_eq!(client.units(&account).await, 70);
}

fn metadata(status: &Status) -> HashMap<String, String> {
    let details = status.get_error_details();
    details.error_info().unwrap().metadata.clone()
}

/// 64 calls with one key, dealt out to `clients`, give one transaction and equal answers.
async fn sixty_four_calls(clients: &[Client], account: &str) {
    let calls = (0..64).map(|n| {
        let client = clients[n % clients.len()].clone();
        async move { client.earn("once", account, 7).await.unwrap() }
    });
    let answers = join_all(calls).await;
    for answer in &answers {
        assert_eq!(bytes(answer), bytes(&answers[0]));
    }
    assert_eq!(clients[0].units(account).await, 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_calls_with_one_key_post_once() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    client.points("PTS").await;
    let account = client.customer("PTS").await;
    sixty_four_calls(&[client], &account).await;
    assert_eq!(ground.written().await, [1, 2, 3]);
    audit(&ground).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_calls_with_one_key_to_two_replicas_post_once() {
    let ground = Ground::new().await;
    let (one, other) = (ground.start().await, ground.start().await);
    let client = one.merchant();
    client.points("PTS").await;
    let account = client.customer("PTS").await;
    let there = other.client(client.merchant);
    sixty_four_calls(&[client, there], &account).await;
    assert_eq!(ground.written().await, [1, 2, 3]);
    audit(&ground).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_calls_with_one_key_open_one_account() {
    let ground = Ground::new().await;
    let (one, other) = (ground.start().await, ground.start().await);
    let client = one.merchant();
    let there = other.client(client.merchant);
    client.points("PTS").await;
    let calls = (0..64).map(|n| {
        let client = if n % 2 == 0 { &client } else { &there };
        let wanted = v1::CreateAccountRequest {
            asset_code: "PTS".to_owned(),
            r#type: AccountType::Customer.into(),
            reference: "customer/1".to_owned(),
            ..Default::default()
        };
        let mut grpc = client.grpc.clone();
        let request = client.request("open", wanted);
        async move {
            grpc.create_account(request)
                .await
                .map(Response::into_inner)
                .unwrap()
        }
    });
    let answers = join_all(calls).await;
    for answer in &answers {
        assert_eq!(bytes(answer), bytes(&answers[0]));
    }
    // The internal accounts of the points, and this one.
    assert_eq!(ground.count("accounts").await, 3);
}

#[tokio::test]
async fn a_key_with_another_request_is_refused_and_writes_nothing() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(100).await;
    client.burn("key", &account, 30).await.unwrap();
    let written = ground.written().await;
    let reused = client.burn("key", &account, 31).await.unwrap_err();
    assert_eq!(
        (reused.code(), reason(&reused)),
        (Code::Aborted, "IDEMPOTENCY_KEY_REUSED".to_owned())
    );
    assert_eq!(fields(&reused), ["idempotency-key"]);
    let body = json!({"accountId": account, "amount": {"minorUnits": "31", "assetCode": "PTS"}});
    let (status, problem) = client.post("key", "/v1/transactions:burn", &body).await;
    assert_eq!(
        (status, &problem["reason"]),
        (409, &json!("IDEMPOTENCY_KEY_REUSED"))
    );

    let wanted = |reference: &str| v1::CreateAccountRequest {
        asset_code: "PTS".to_owned(),
        r#type: AccountType::Customer.into(),
        reference: reference.to_owned(),
        ..Default::default()
    };
    let open = async |reference| {
        let request = client.request("open", wanted(reference));
        client.grpc.clone().create_account(request).await
    };
    open("a").await.unwrap();
    assert_eq!(reason(&open("b").await.unwrap_err()), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(ground.written().await, [written[0], written[1], written[2] + 1]);
    assert_eq!(client.units(&account).await, 70);
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_stays() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(10).await;
    let refused = client.burn("too-much", &account, 11).await.unwrap_err();
    assert_eq!(reason(&refused), "INSUFFICIENT_FUNDS");
    client.earn(&new_key(), &account, 90).await.unwrap();
    let again = client.burn("too-much", &account, 11).await.unwrap_err();
    assert_eq!(
        (again.code(), again.message()),
        (refused.code(), refused.message())
    );
    assert_eq!(metadata(&again), metadata(&refused));
    assert_eq!(client.units(&account).await, 100);

    let open = async || {
        let wanted = v1::CreateAccountRequest {
            asset_code: "LATER".to_owned(),
            r#type: AccountType::Customer.into(),
            ..Default::default()
        };
        let request = client.request("open", wanted);
        client.grpc.clone().create_account(request).await.unwrap_err()
    };
    assert_eq!(reason(&open().await), "UNKNOWN_ASSET");
    client.points("LATER").await;
    assert_eq!(reason(&open().await), "UNKNOWN_ASSET");

    let taken = async |key: &str| {
        let wanted = v1::CreateAssetRequest {
            code: "PTS".to_owned(),
            kind: v1::AssetKind::Points.into(),
            exponent: 0,
        };
        let request = client.request(key, wanted);
        client.grpc.clone().create_asset(request).await.unwrap_err()
    };
    for _ in 0..2 {
        let refused = taken("taken").await;
        assert_eq!(
            (reason(&refused), fields(&refused)),
            ("ASSET_TAKEN".to_owned(), vec!["code".to_owned()])
        );
    }
}

#[tokio::test]
async fn a_key_is_one_over_grpc_and_rest() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(100).await;
    let burnt = client.burn("both", &account, 30).await.unwrap();
    // Spaces, order and the names of fields are the same to a message.
    let body = json!({"amount": {"asset_code": "PTS", "minorUnits": 30}, "account_id": account});
    let (status, answer) = client.post("both", "/v1/transactions:burn", &body).await;
    assert_eq!(status, 200);
    assert_eq!(
        answer["transaction"]["transactionId"],
        burnt.transaction.unwrap().transaction_id
    );
    assert_eq!(client.units(&account).await, 70);
}

#[tokio::test]
async fn a_key_belongs_to_its_merchant_and_its_rpc() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let (client, other) = (instance.merchant(), instance.merchant());
    let (account, theirs) = (client.customer_with(100).await, other.customer_with(100).await);
    client.earn("same", &account, 1).await.unwrap();
    client.burn("same", &account, 2).await.unwrap();
    other.earn("same", &theirs, 3).await.unwrap();
    assert_eq!(
        (client.units(&account).await, other.units(&theirs).await),
        (99, 103)
    );
}

#[tokio::test]
async fn bad_input_does_not_use_up_a_key() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(100).await;
    let refused = client.burn("key", &account, 0).await.unwrap_err();
    assert_eq!(reason(&refused), "INVALID_FIELD");
    client.burn("key", &account, 1).await.unwrap();
}

#[tokio::test]
async fn of_two_idempotency_keys_none_is_taken() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(100).await;
    let mut request = client.request(&new_key(), earn(&account, 5));
    let headers = request.metadata_mut();
    headers.append("idempotency-key", new_key().parse().unwrap());
    let refused = client.grpc.clone().earn(request).await.unwrap_err();
    let (reason, held) = (reason(&refused), client.units(&account).await);
    assert_eq!((reason.as_str(), held), ("IDEMPOTENCY_KEY_INVALID", 100));
}
