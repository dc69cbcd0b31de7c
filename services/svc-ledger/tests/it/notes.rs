//! What is noted on transactions and accounts, when they take effect, and what would happen.

use std::collections::BTreeMap;

use lp_contracts::ledger::v1;
use prost_types::Timestamp;
use serde_json::json;
use tonic::{Code, Response, Status};

use crate::{
    audit::audit,
    support::{Client, Ground, fields, new_key, points, reason},
};

const EARLIER: Timestamp = Timestamp {
    seconds: 1_767_225_600,
    nanos: 123_456_789,
};

fn earn(account: &str) -> v1::EarnRequest {
    v1::EarnRequest {
        account_id: account.to_owned(),
        amount: points(5),
        ..Default::default()
    }
}

fn noted(name: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(name.to_owned(), value.to_owned())])
}

impl Client {
    async fn ask_earn(&self, key: &str, wanted: v1::EarnRequest) -> Result<v1::EarnResponse, Status> {
        let request = self.request(key, wanted);
        self.grpc.clone().earn(request).await.map(Response::into_inner)
    }
}

#[tokio::test]
async fn a_transaction_keeps_its_effective_date_and_metadata() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(10).await;
    let wanted = v1::EarnRequest {
        effective_at: Some(EARLIER),
        metadata: noted("order_id", "A-7"),
        ..earn(&account)
    };
    let key = new_key();
    let posted = client.ask_earn(&key, wanted.clone()).await.unwrap();
    let transaction = posted.transaction.clone().unwrap();
    // To the microsecond, which is what is kept, so that every answer is the same.
    let kept = Timestamp {
        nanos: 123_456_000,
        ..EARLIER
    };
    assert_eq!(transaction.effective_at, Some(kept));
    assert_ne!(transaction.posted_at, transaction.effective_at);
    assert_eq!(transaction.metadata, noted("order_id", "A-7"));
    assert_eq!(client.ask_earn(&key, wanted).await.unwrap(), posted);
    let (status, found) = client
        .get(&format!("/v1/transactions/{}", transaction.transaction_id))
        .await;
    assert_eq!(status, 200);
    assert_eq!(found["transaction"]["metadata"], json!({"order_id": "A-7"}));
    assert_eq!(found["transaction"]["effectiveAt"], "2026-01-01T00:00:00.123456Z");

    // Without one it takes effect when it is posted.
    let plain = client
        .ask_earn(&new_key(), earn(&account))
        .await
        .unwrap()
        .transaction
        .unwrap();
    assert_eq!(plain.effective_at, plain.posted_at);
    assert_eq!(plain.metadata, BTreeMap::new());
    audit(&ground).await;
}

#[tokio::test]
async fn the_order_in_which_metadata_comes_is_none_of_the_request() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(10).await;
    let key = new_key();
    let body = |metadata: &str| {
        let amount = json!({"minorUnits": "5", "assetCode": "PTS"});
        let mut body = json!({"accountId": account, "amount": amount});
        body["metadata"] = serde_json::from_str(metadata).unwrap();
        body
    };
    let first = client
        .post(
            &key,
            "/v1/transactions:earn",
            &body(r#"{"a": "1", "b": "2", "c": "3"}"#),
        )
        .await;
    assert_eq!(first.0, 200, "{}", first.1);
    for _ in 0..5 {
        let again = client
            .post(
                &key,
                "/v1/transactions:earn",
                &body(r#"{"c": "3", "b": "2", "a": "1"}"#),
            )
            .await;
        assert_eq!(again, first);
    }
}

#[tokio::test]
async fn bad_notes_are_refused_by_name() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(10).await;
    let before = ground.written().await;
    let far = Timestamp {
        seconds: i64::MAX,
        nanos: 0,
    };
    let soon = Timestamp {
        seconds: 4_102_444_800,
        nanos: 0,
    };
    let many: BTreeMap<_, _> = (0..17).map(|n| (format!("n{n}"), "x".to_owned())).collect();
    let wanted = earn(&account);
    for (wanted, field) in [
        (
            v1::EarnRequest {
                effective_at: Some(far),
                ..wanted.clone()
            },
            "effectiveAt",
        ),
        (
            v1::EarnRequest {
                effective_at: Some(soon),
                ..wanted.clone()
            },
            "effectiveAt",
        ),
        (
            v1::EarnRequest {
                metadata: noted("Order", "1"),
                ..wanted.clone()
            },
            "metadata",
        ),
        (
            v1::EarnRequest {
                metadata: noted("order", "claire@example.com"),
                ..wanted.clone()
            },
            "metadata",
        ),
        (
            v1::EarnRequest {
                metadata: noted("order", "\0"),
                ..wanted.clone()
            },
            "metadata",
        ),
        (
            v1::EarnRequest {
                metadata: many,
                ..wanted
            },
            "metadata",
        ),
    ] {
        let refused = client.ask_earn(&new_key(), wanted).await.unwrap_err();
        assert_eq!(
            (refused.code(), fields(&refused)),
            (Code::InvalidArgument, vec![field.to_owned()])
        );
    }
    assert_eq!(ground.written().await, before);
}

#[tokio::test]
async fn an_account_keeps_its_metadata() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    client.points("PTS").await;
    let wanted = v1::CreateAccountRequest {
        asset_code: "PTS".to_owned(),
        r#type: v1::AccountType::Customer.into(),
        metadata: noted("shop", "lyon/2"),
        ..Default::default()
    };
    let account = client.open(wanted).await;
    let (status, found) = client.get(&format!("/v1/accounts/{account}")).await;
    assert_eq!(
        (status, &found["account"]["metadata"]),
        (200, &json!({"shop": "lyon/2"}))
    );
    let (_, plain) = client
        .get(&format!("/v1/accounts/{}", client.customer("PTS").await))
        .await;
    assert_eq!(plain["account"]["metadata"], json!({}));
}

#[tokio::test]
async fn what_would_happen_is_answered_and_does_not_happen() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(10).await;
    let before = ground.written().await;
    let key = new_key();
    let wanted = v1::EarnRequest {
        validate_only: true,
        reference: "order:1".to_owned(),
        ..earn(&account)
    };
    let tried = client.ask_earn(&key, wanted.clone()).await.unwrap();
    let balance = tried.balance.unwrap();
    assert_eq!((balance.balance, balance.sequence), (points(15), 2));
    assert_eq!(balance.consistency_token, "");
    let transaction = tried.transaction.unwrap();
    assert_eq!(
        (transaction.transaction_id.as_str(), transaction.entries.len()),
        ("", 2)
    );
    assert!(
        transaction
            .entries
            .iter()
            .all(|entry| entry.transaction_id.is_empty())
    );
    assert_eq!(ground.written().await, before);
    assert_eq!(client.units(&account).await, 10);

    // What would be refused is refused, and the key stays free for what is meant.
    let burn = v1::BurnRequest {
        account_id: account.clone(),
        amount: points(11),
        validate_only: true,
        ..Default::default()
    };
    let request = client.request(&key, burn);
    let refused = client.grpc.clone().burn(request).await.unwrap_err();
    assert_eq!(reason(&refused), "INSUFFICIENT_FUNDS");
    let meant = v1::EarnRequest {
        validate_only: false,
        ..wanted.clone()
    };
    client.ask_earn(&key, meant).await.unwrap();
    let taken = client.ask_earn(&key, wanted).await.unwrap_err();
    assert_eq!(reason(&taken), "REFERENCE_TAKEN");
    audit(&ground).await;
}

#[tokio::test]
async fn every_rpc_that_posts_can_be_tried() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let account = client.customer_with(10).await;
    let earned = client
        .earn(&new_key(), &account, 5)
        .await
        .unwrap()
        .transaction
        .unwrap();
    let hold = v1::PlaceHoldRequest {
        account_id: account.clone(),
        amount: points(4),
        expires_at: Some(Timestamp {
            seconds: EARLIER.seconds + 400 * 86_400,
            nanos: 0,
        }),
        ..Default::default()
    };
    let mut grpc = client.grpc.clone();
    let hold = grpc
        .place_hold(client.request(&new_key(), hold))
        .await
        .unwrap()
        .into_inner()
        .hold
        .unwrap();
    let before = ground.written().await;
    let reversal = v1::ReverseTransactionRequest {
        transaction_id: earned.transaction_id.clone(),
        validate_only: true,
        ..Default::default()
    };
    let reversed = grpc
        .reverse_transaction(client.request(&new_key(), reversal))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        reversed.transaction.unwrap().reverses_transaction_id,
        earned.transaction_id
    );
    let capture = v1::CaptureHoldRequest {
        hold_id: hold.hold_id.clone(),
        destination_account_id: client.customer("PTS").await,
        validate_only: true,
        ..Default::default()
    };
    let captured = grpc
        .capture_hold(client.request(&new_key(), capture))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(captured.hold.unwrap().captured, 4);
    let after = ground.written().await;
    assert_eq!([after[0], after[1]], [before[0], before[1]]);
    let (_, found) = client.get(&format!("/v1/holds/{}", hold.hold_id)).await;
    assert_eq!(found["hold"]["remaining"], "4");
    audit(&ground).await;
}
