//! Spending a card, and asking whether it could be.

use futures::future::join_all;
use lp_contracts::{giftcard::v1::CardState, merchant::v1::MerchantState};
use serde_json::json;
use tonic::Code;

use crate::{
    ledger::Step,
    support::{Ground, Held, bytes, eur, fields, forbidden, money, new_key, reason, refused, uuid_of},
};

#[tokio::test]
async fn a_redemption_takes_its_amount_to_what_was_sold() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let held = client.sold(true, 5_000).await;
    let spent = client.redeem("k", &held, 1_999).await.unwrap();
    assert_eq!(
        (spent.card_id.as_str(), &spent.balance),
        (held.id.as_str(), &eur(3_001))
    );
    assert!(spent.transaction_id.starts_with("txn_"));
    let sales = ground.merchants.accounts(client.merchant).sales_account_id;
    assert_eq!(
        (
            ground.ledger.balance(&held.account),
            ground.ledger.balance(&sales)
        ),
        (3_001, 1_999)
    );
    assert_eq!(client.stands(&held.id).await, (CardState::Active, 3_001));

    let row: (uuid::Uuid, i16, uuid::Uuid, String) =
        sqlx::query_as("SELECT redemption_id, state, transaction_id, actor FROM redemptions")
            .fetch_one(&mut ground.owner().await)
            .await
            .unwrap();
    assert_eq!(
        (row.1, row.2, row.3.as_str()),
        (2, uuid_of(&spent.transaction_id), "till-7")
    );
    let key = format!("red_{}:post", row.0.simple());
    assert!(ground.ledger.asked().iter().any(|asked| asked.key == key));

    // The same key, also over REST, tells the same balance, whatever was spent since.
    client.redeem("k2", &held, 1).await.unwrap();
    assert_eq!(
        bytes(&client.redeem("k", &held, 1_999).await.unwrap()),
        bytes(&spent)
    );
    let body =
        json!({"code": held.code, "pin": held.pin, "amount": {"minorUnits": "1999", "assetCode": "EUR"}});
    let (status, again) = client.post("k", "/v1/cards:redeem", &body).await;
    assert_eq!((status, &again["balance"]["minorUnits"]), (200, &json!("3001")));
    assert_eq!(ground.ledger.balance(&held.account), 3_000);
}

#[tokio::test]
async fn a_code_may_be_typed_in_many_ways() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let held = client.sold(false, 5_000).await;
    let plain = held.code.replace('-', "");
    let looks = plain.replace('0', "O").replace('1', "l");
    for code in [
        held.code.to_lowercase(),
        plain.clone(),
        format!(" {} ", held.code.replace('-', " - ")),
        looks,
    ] {
        let opened = client.authorize(&code, "").await.unwrap();
        assert_eq!(
            (opened.card_id.as_str(), opened.account_id.as_str()),
            (held.id.as_str(), held.account.as_str())
        );
        assert_eq!(opened.balance, eur(5_000));
    }
    assert_eq!(
        ground.ledger.balance(&held.account),
        5_000,
        "asking moves nothing"
    );
    let (status, opened) = client
        .post("", "/v1/cards:authorize", &json!({"code": plain}))
        .await;
    assert_eq!((status, &opened["balance"]["minorUnits"]), (200, &json!("5000")));
}

#[tokio::test]
async fn more_than_the_card_holds_is_refused_for_ever_under_its_key() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let held = client.sold(false, 1_000).await;
    for _ in 0..2 {
        let refused = client.redeem("k", &held, 1_001).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::FailedPrecondition, "INSUFFICIENT_FUNDS")
        );
        assert_eq!(fields(&refused), ["amount.minorUnits"]);
    }
    assert_eq!(
        ground.ledger.asked_for(Step::Transaction),
        2,
        "the sale, and one refusal that is recorded"
    );
    let states: Vec<i16> = sqlx::query_scalar("SELECT state FROM redemptions")
        .fetch_all(&mut ground.owner().await)
        .await
        .unwrap();
    assert_eq!(states, [3]);
    let spent = client.redeem("k2", &held, 1_000).await.unwrap();
    assert_eq!(spent.balance, eur(0));
    forbidden(client.redeem("k3", &held, 1).await, "INSUFFICIENT_FUNDS");
    let body = json!({"code": held.code, "amount": {"minorUnits": "1", "assetCode": "EUR"}});
    let (status, problem) = client.post("k4", "/v1/cards:redeem", &body).await;
    assert_eq!((status, &problem["reason"]), (400, &json!("INSUFFICIENT_FUNDS")));
}

#[tokio::test]
async fn another_currency_is_told_to_who_holds_the_card_only() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let held = client.sold(false, 1_000).await;
    let refused = client
        .redeem_for("k", &held.code, "", money(10, "USD"))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::FailedPrecondition, "CURRENCY_MISMATCH")
    );
    assert_eq!(fields(&refused), ["amount.assetCode"]);
    forbidden(
        client.redeem_for("k2", "0", "", money(10, "USD")).await,
        "CARD_REFUSED",
    );
    assert_eq!(ground.count("redemptions").await, 0);
}

#[tokio::test]
async fn a_merchant_who_does_not_trade_takes_no_card() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let held = client.sold(false, 1_000).await;
    ground
        .merchants
        .set_state(client.merchant, MerchantState::Suspended);
    forbidden(client.redeem("k", &held, 10).await, "MERCHANT_NOT_ACTIVE");
    ground.merchants.set_state(client.merchant, MerchantState::Active);
    forbidden(client.redeem("k", &held, 10).await, "MERCHANT_NOT_ACTIVE");
    assert_eq!(ground.ledger.balance(&held.account), 1_000);
    assert_eq!(ground.count("redemptions").await, 0);
}

#[tokio::test]
async fn one_key_spends_once_also_at_the_same_time() {
    let ground = Ground::new().await;
    let (one, other) = (ground.start().await, ground.start().await);
    let client = one.merchant();
    let elsewhere = other.client(client.merchant);
    let held = client.sold(false, 1_000).await;
    let calls = (0..10).map(|n| if n % 2 == 0 { &client } else { &elsewhere }.redeem("k", &held, 100));
    let answers: Vec<_> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
    assert!(answers.iter().all(|answer| bytes(answer) == bytes(&answers[0])));
    assert_eq!(ground.ledger.balance(&held.account), 900);
    assert_eq!(ground.count("redemptions").await, 1);

    refused(
        client.redeem("k", &held, 101).await,
        Code::Aborted,
        "IDEMPOTENCY_KEY_REUSED",
    );
    let guess = Held {
        pin: "000000".to_owned(),
        ..held
    };
    refused(
        client.redeem("k", &guess, 100).await,
        Code::Aborted,
        "IDEMPOTENCY_KEY_REUSED",
    );
}

#[tokio::test]
async fn a_refused_card_stays_refused_under_its_key() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let held = client.issued(false).await;
    forbidden(client.redeem("k", &held, 10).await, "CARD_REFUSED");
    client.activate(&new_key(), &held.id, 1_000).await.unwrap();
    forbidden(client.redeem("k", &held, 10).await, "CARD_REFUSED");
    client.redeem("k2", &held, 10).await.unwrap();
    assert_eq!(ground.count("redemptions").await, 1);
}
