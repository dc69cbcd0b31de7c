//! Products: added once, read, listed.

use futures::future::join_all;
use lp_contracts::{giftcard::v1, merchant::v1::MerchantState};
use serde_json::json;
use tonic::Code;

use crate::support::{Ground, away, bytes, fields, forbidden, new_key, reason, refused, wanted};

#[tokio::test]
async fn a_product_is_read_as_it_was_added() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let created = client
        .create_product("k", wanted(true))
        .await
        .unwrap()
        .product
        .unwrap();
    assert!(created.product_id.starts_with("prd_") && created.created_at.is_some());
    let expected = v1::Product {
        product_id: created.product_id.clone(),
        name: "Carte cadeau".to_owned(),
        currency_code: "EUR".to_owned(),
        denominations: vec![1_000, 5_000],
        has_pin: true,
        created_at: created.created_at,
    };
    assert_eq!(created, expected);
    assert_eq!(client.get_product(&created.product_id).await.unwrap(), created);
    let path = format!("/v1/products/{}", created.product_id);
    let (status, found) = client.get(&path).await;
    assert_eq!(status, 200, "{found}");
    assert_eq!(found["product"]["denominations"], json!(["1000", "5000"]));
    assert_eq!(
        client.get("/v1/products").await.1["products"],
        json!([found["product"]])
    );

    // REST adds the same, under the same keys and fingerprints.
    let body = json!({"name": "Carte cadeau", "currencyCode": "EUR", "denominations": ["5000", 1000], "hasPin": true});
    let (status, again) = client.post("k", "/v1/products", &body).await;
    assert_eq!((status, &again["product"]), (200, &found["product"]));
    assert_eq!(ground.written().await, [1, 0, 0, 1]);
    let actor: String = sqlx::query_scalar("SELECT actor FROM products")
        .fetch_one(&mut ground.owner().await)
        .await
        .unwrap();
    assert_eq!(actor, "till-7");
}

#[tokio::test]
async fn a_key_adds_one_product() {
    let ground = Ground::new().await;
    let (one, other) = (ground.start().await, ground.start().await);
    let client = one.merchant();
    let elsewhere = other.client(client.merchant);
    let calls = (0..10).map(|n| {
        let client = if n % 2 == 0 { &client } else { &elsewhere };
        client.create_product("k", wanted(false))
    });
    let answers: Vec<_> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
    assert!(answers.iter().all(|answer| bytes(answer) == bytes(&answers[0])));
    assert_eq!(ground.written().await, [1, 0, 0, 1]);

    let asked = ground.merchants.asked();
    client.create_product("k", wanted(false)).await.unwrap();
    assert_eq!(
        ground.merchants.asked(),
        asked,
        "an answer is not asked for again"
    );
    refused(
        client.create_product("k", wanted(true)).await,
        Code::Aborted,
        "IDEMPOTENCY_KEY_REUSED",
    );
}

#[tokio::test]
async fn a_product_has_the_merchants_currency() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let dollars = || v1::CreateProductRequest {
        currency_code: "USD".to_owned(),
        ..wanted(false)
    };
    for _ in 0..2 {
        let refused = client.create_product("k", dollars()).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::FailedPrecondition, "CURRENCY_MISMATCH")
        );
        assert_eq!(fields(&refused), ["currencyCode"]);
    }
    assert_eq!(ground.merchants.asked(), 1, "the refusal is recorded");
    assert_eq!(ground.written().await, [0, 0, 0, 1]);
}

#[tokio::test]
async fn a_merchant_who_does_not_trade_adds_nothing() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    for state in [
        MerchantState::Suspended,
        MerchantState::Closed,
        MerchantState::InReview,
    ] {
        let client = instance.merchant();
        ground.merchants.set_state(client.merchant, state);
        forbidden(
            client.create_product("k", wanted(false)).await,
            "MERCHANT_NOT_ACTIVE",
        );
        // The refusal is the key's answer for ever; another key is asked anew.
        ground.merchants.set_state(client.merchant, MerchantState::Active);
        forbidden(
            client.create_product("k", wanted(false)).await,
            "MERCHANT_NOT_ACTIVE",
        );
        client.create_product(&new_key(), wanted(false)).await.unwrap();
    }
    let (unknown, new) = (instance.merchant(), instance.merchant());
    ground.merchants.forget(unknown.merchant);
    ground.merchants.never_activated(new.merchant);
    for client in [unknown, new] {
        forbidden(
            client.create_product("k", wanted(false)).await,
            "MERCHANT_NOT_ACTIVE",
        );
    }
    assert_eq!(ground.count("products").await, 3);
}

#[tokio::test]
async fn while_svc_merchant_is_away_nothing_is_written_and_the_key_stays_good() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    ground.merchants.set_away(true);
    away(
        client
            .within(std::time::Duration::from_secs(2))
            .create_product("k", wanted(false))
            .await,
    );
    assert_eq!(ground.written().await, [0, 0, 0, 0]);
    ground.merchants.set_away(false);
    crate::support::until("it is added", async || {
        client.create_product("k", wanted(false)).await.is_ok()
    })
    .await;
    assert_eq!(ground.written().await, [1, 0, 0, 1]);
}

#[tokio::test]
async fn pages_are_complete_newest_first_and_stable() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let mut added = Vec::new();
    for _ in 0..5 {
        added.push(client.product(false).await);
        // Somebody else's, in between.
        instance.merchant().product(false).await;
    }
    added.reverse();
    let ids = |answer: &v1::ListProductsResponse| -> Vec<String> {
        answer.products.iter().map(|p| p.product_id.clone()).collect()
    };
    assert_eq!(ids(&client.list(0, "").await.unwrap()), added);
    for size in [1, 2, 4, 5, 6] {
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let answer = client.list(size, &token).await.unwrap();
            assert!(answer.products.len() <= usize::try_from(size).unwrap());
            found.extend(ids(&answer));
            token = answer.page.unwrap().next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(found, added, "pages of {size}");
    }
    // What is added between two pages is on neither.
    let first = client.list(3, "").await.unwrap();
    client.product(false).await;
    let token = first.page.clone().unwrap().next_page_token;
    let second = client.list(3, &token).await.unwrap();
    assert_eq!([ids(&first), ids(&second)].concat(), added);
    let (status, page) = client
        .get(&format!("/v1/products?page.pageSize=3&page.pageToken={token}"))
        .await;
    assert_eq!((status, page["products"].as_array().unwrap().len()), (200, 2));

    for (size, token, field) in [
        (-1, "", "page.pageSize"),
        (501, "", "page.pageSize"),
        (2, "x", "page.pageToken"),
        (2, &format!("{token}x"), "page.pageToken"),
    ] {
        let refused = client.list(size, token).await.unwrap_err();
        assert_eq!(
            (reason(&refused).as_str(), fields(&refused)),
            ("INVALID_FIELD", vec![field.to_owned()])
        );
    }
}
