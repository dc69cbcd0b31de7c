//! A card is made once, and its code and PIN are told again under the same key only.

use futures::future::join_all;
use lp_contracts::{giftcard::v1::CardState, merchant::v1::MerchantState};
use serde_json::json;
use tonic::Code;

use crate::support::{Ground, away, bytes, fields, forbidden, new_key, reason, refused, until};

#[tokio::test]
async fn a_card_is_made_without_value_and_tells_its_code_and_pin() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let product = client.product(true).await;
    let issued = client.issue("k", &product).await.unwrap();
    let card = issued.card.unwrap();
    assert!(card.card_id.starts_with("crd_") && card.created_at.is_some());
    assert_eq!(
        (card.product_id.as_str(), card.state()),
        (product.as_str(), CardState::Issued)
    );
    assert_eq!(
        (card.account_id.as_str(), &card.face_value, &card.activated_at),
        ("", &None, &None)
    );
    // Six groups of four, and six digits.
    let groups: Vec<_> = issued.code.split('-').collect();
    assert!(
        groups.len() == 6 && groups.iter().all(|group| group.len() == 4),
        "{groups:?}"
    );
    assert_eq!(card.code_suffix, groups[5]);
    assert!(issued.pin.len() == 6 && issued.pin.bytes().all(|b| b.is_ascii_digit()));

    let found = client.get_card(&card.card_id).await.unwrap();
    assert_eq!(found.card, Some(card.clone()));
    assert_eq!(found.balance, crate::support::eur(0));
    let (status, found) = client.get(&format!("/v1/cards/{}", card.card_id)).await;
    assert_eq!(status, 200, "{found}");
    assert_eq!(found["balance"], json!({"minorUnits": "0", "assetCode": "EUR"}));
    assert_eq!(
        ground.ledger.asked(),
        [],
        "a card without account has no balance to ask for"
    );

    let without = client.product(false).await;
    assert_eq!(client.issue(&new_key(), &without).await.unwrap().pin, "");
}

#[tokio::test]
async fn the_same_key_tells_the_same_code_also_after_a_restart_and_a_sale() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let product = client.product(true).await;
    let first = client.issue("k", &product).await.unwrap();
    assert_eq!(bytes(&client.issue("k", &product).await.unwrap()), bytes(&first));
    client
        .activate("sale", &first.card.clone().unwrap().card_id, 1_000)
        .await
        .unwrap();
    instance.stop().await;

    let instance = ground.start().await;
    let client = instance.client(client.merchant);
    assert_eq!(bytes(&client.issue("k", &product).await.unwrap()), bytes(&first));
    let (status, told) = client
        .post("k", "/v1/cards", &json!({"productId": product}))
        .await;
    assert_eq!(
        (status, told["code"].as_str(), told["pin"].as_str()),
        (200, Some(&*first.code), Some(&*first.pin))
    );
    assert_eq!(ground.written().await, [1, 1, 0, 3]);

    // Another key is another card, and the same key of another product another request.
    let other = client.issue("k2", &product).await.unwrap();
    assert!(other.code != first.code && other.card.unwrap().card_id != first.card.unwrap().card_id);
    let product = client.product(true).await;
    refused(
        client.issue("k", &product).await,
        Code::Aborted,
        "IDEMPOTENCY_KEY_REUSED",
    );
}

#[tokio::test]
async fn an_instance_with_another_key_tells_no_wrong_code() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let product = client.product(false).await;
    client.issue("k", &product).await.unwrap();
    let other = ground
        .start_with(|config| {
            config.card_secret_key = "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=".to_owned().into();
        })
        .await;
    let refused = other
        .client(client.merchant)
        .issue("k", &product)
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::Internal, "INTERNAL")
    );
}

#[tokio::test]
async fn one_key_makes_one_card_also_at_the_same_time() {
    let ground = Ground::new().await;
    let (one, other) = (ground.start().await, ground.start().await);
    let client = one.merchant();
    let elsewhere = other.client(client.merchant);
    let product = client.product(false).await;
    let calls = (0..12).map(|n| if n % 2 == 0 { &client } else { &elsewhere }.issue("k", &product));
    let answers: Vec<_> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
    assert!(answers.iter().all(|answer| bytes(answer) == bytes(&answers[0])));
    assert_eq!(ground.written().await, [1, 1, 0, 2]);
}

#[tokio::test]
async fn an_unknown_product_and_a_suspended_merchant_make_no_card() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let product = client.product(false).await;
    let unknown = "prd_0199f0c1d2e37a4b8c5d6e7f80912a3b";
    let status = client.issue("k", unknown).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::NotFound, "UNKNOWN_PRODUCT")
    );
    assert_eq!(fields(&status), ["productId"]);

    ground
        .merchants
        .set_state(client.merchant, MerchantState::Suspended);
    forbidden(client.issue("k2", &product).await, "MERCHANT_NOT_ACTIVE");
    ground.merchants.set_state(client.merchant, MerchantState::Active);
    forbidden(client.issue("k2", &product).await, "MERCHANT_NOT_ACTIVE");
    assert_eq!(ground.written().await, [1, 0, 0, 3]);

    ground.merchants.set_away(true);
    let hasty = client.within(std::time::Duration::from_secs(2));
    away(hasty.issue("k3", &product).await);
    assert_eq!(ground.written().await, [1, 0, 0, 3]);
    ground.merchants.set_away(false);
    until("it is made", async || client.issue("k3", &product).await.is_ok()).await;
    assert_eq!(ground.written().await, [1, 1, 0, 4]);
}
