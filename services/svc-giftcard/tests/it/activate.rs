//! A card is sold once, for one of its product's amounts.

use futures::future::join_all;
use lp_contracts::{giftcard::v1::CardState, merchant::v1::MerchantState};
use serde_json::json;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::{
    ledger::{Asked, Step},
    support::{Ground, bytes, eur, fields, forbidden, money, new_key, reason, refused, uuid_of},
};

#[tokio::test]
async fn a_sale_puts_its_value_into_an_account_of_the_card() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let held = client.issued(true).await;
    let activated = client.activate("k", &held.id, 5_000).await.unwrap();
    let card = activated.card.clone().unwrap();
    assert_eq!((card.state(), &card.face_value), (CardState::Active, &eur(5_000)));
    assert!(card.account_id.starts_with("acc_") && activated.transaction_id.starts_with("txn_"));
    assert!(card.activated_at.is_some());

    let found = client.get_card(&held.id).await.unwrap();
    assert_eq!((found.card, found.balance), (Some(card.clone()), eur(5_000)));
    let till = ground.merchants.accounts(client.merchant).external_account_id;
    assert_eq!(ground.ledger.balance(&card.account_id), 5_000);
    assert_eq!(ground.ledger.balance(&till), -5_000);
    let asked = |step, key: &str| Asked {
        step,
        merchant: client.merchant.to_string(),
        actor: "till-7".to_owned(),
        key: key.to_owned(),
    };
    let expected = [
        asked(Step::Account, &format!("{}:open-account", held.id)),
        asked(Step::Transaction, &format!("{}:sell", held.id)),
        asked(Step::Balance, ""),
    ];
    assert_eq!(ground.ledger.asked(), expected);

    let row: (i16, uuid::Uuid, uuid::Uuid, String) =
        sqlx::query_as("SELECT state, account_id, transaction_id, sale_actor FROM cards")
            .fetch_one(&mut ground.owner().await)
            .await
            .unwrap();
    let ids = (uuid_of(&card.account_id), uuid_of(&activated.transaction_id));
    assert_eq!(row, (3, ids.0, ids.1, "till-7".to_owned()));

    // Again, also over REST, it is the same answer, and nobody is asked.
    let asked = (ground.ledger.asked().len(), ground.merchants.asked());
    assert_eq!(
        bytes(&client.activate("k", &held.id, 5_000).await.unwrap()),
        bytes(&activated)
    );
    let body = json!({"amount": {"minorUnits": "5000", "assetCode": "EUR"}});
    let (status, again) = client
        .post("k", &format!("/v1/cards/{}:activate", held.id), &body)
        .await;
    assert_eq!(
        (status, &again["transactionId"]),
        (200, &json!(activated.transaction_id))
    );
    assert_eq!((ground.ledger.asked().len(), ground.merchants.asked()), asked);
    refused(
        client.activate("k", &held.id, 1_000).await,
        Code::Aborted,
        "IDEMPOTENCY_KEY_REUSED",
    );
}

#[tokio::test]
async fn a_card_is_sold_for_a_denomination_in_its_currency() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let held = client.issued(false).await;
    for amount in [eur(999), eur(6_000), money(1_000, "USD")] {
        let key = new_key();
        for _ in 0..2 {
            let refused = client
                .activate_for(&key, &held.id, amount.clone())
                .await
                .unwrap_err();
            assert_eq!(
                (refused.code(), reason(&refused).as_str()),
                (Code::FailedPrecondition, "NOT_A_DENOMINATION")
            );
            assert_eq!(fields(&refused), ["amount"]);
        }
    }
    assert_eq!(ground.merchants.asked(), 5, "refusals are recorded");
    assert_eq!(client.stands(&held.id).await, (CardState::Issued, 0));
    assert_eq!(ground.ledger.asked(), []);
}

#[tokio::test]
async fn a_card_is_sold_once() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let held = client.sold(false, 1_000).await;
    for (key, amount) in [("again", 1_000), ("more", 5_000)] {
        let refused = client.activate(key, &held.id, amount).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::FailedPrecondition, "WRONG_STATE")
        );
        let info = refused.get_error_details().error_info().cloned().unwrap();
        assert_eq!(info.metadata["state"], "ACTIVE");
    }
    assert_eq!(client.stands(&held.id).await, (CardState::Active, 1_000));
    assert_eq!(ground.ledger.written(), [1, 1]);

    let unknown = "crd_0199f0c1d2e37a4b8c5d6e7f80912a3b";
    let refused = client.activate(&new_key(), unknown, 1_000).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::NotFound, "UNKNOWN_CARD")
    );
    assert_eq!(fields(&refused), ["cardId"]);
}

#[tokio::test]
async fn of_many_sales_at_the_same_time_one_is_made_and_one_is_told_so() {
    let ground = Ground::new().await;
    let (one, other) = (ground.start().await, ground.start().await);
    let client = one.merchant();
    let elsewhere = other.client(client.merchant);
    let held = client.issued(false).await;
    let calls = (0..16).map(|n| {
        let client = if n % 2 == 0 {
            client.clone()
        } else {
            elsewhere.clone()
        };
        let (held, amount) = (held.id.clone(), if n % 3 == 0 { 5_000 } else { 1_000 });
        async move { client.activate(&format!("k{n}"), &held, amount).await }
    });
    let (sold, not): (Vec<_>, Vec<_>) = join_all(calls).await.into_iter().partition(Result::is_ok);
    assert_eq!(sold.len(), 1);
    for refused in not {
        forbidden(refused, "WRONG_STATE");
    }
    let amount = sold[0]
        .as_ref()
        .unwrap()
        .card
        .clone()
        .unwrap()
        .face_value
        .unwrap()
        .minor_units;
    assert_eq!(client.stands(&held.id).await, (CardState::Active, amount));
    assert_eq!(ground.ledger.written(), [1, 1]);
}

#[tokio::test]
async fn one_key_at_the_same_time_is_one_sale_and_one_answer() {
    let ground = Ground::new().await;
    let (one, other) = (ground.start().await, ground.start().await);
    let client = one.merchant();
    let elsewhere = other.client(client.merchant);
    let held = client.issued(false).await;
    let calls = (0..10).map(|n| if n % 2 == 0 { &client } else { &elsewhere }.activate("k", &held.id, 1_000));
    let answers: Vec<_> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
    assert!(answers.iter().all(|answer| bytes(answer) == bytes(&answers[0])));
    assert_eq!(ground.ledger.written(), [1, 1]);
}

#[tokio::test]
async fn a_merchant_who_does_not_trade_sells_nothing() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let held = client.issued(false).await;
    ground
        .merchants
        .set_state(client.merchant, MerchantState::Suspended);
    forbidden(client.activate("k", &held.id, 1_000).await, "MERCHANT_NOT_ACTIVE");
    ground.merchants.set_state(client.merchant, MerchantState::Active);
    forbidden(client.activate("k", &held.id, 1_000).await, "MERCHANT_NOT_ACTIVE");
    assert_eq!(client.stands(&held.id).await, (CardState::Issued, 0));
    client.activate("k2", &held.id, 1_000).await.unwrap();
    assert_eq!(ground.ledger.written(), [1, 1]);
}
