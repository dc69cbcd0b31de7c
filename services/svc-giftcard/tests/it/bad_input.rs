//! What is malformed is refused by name, over gRPC and over REST, and leaves nothing.

use lp_contracts::{common::v1::Money, giftcard::v1};
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::support::{Ground, eur, fields, money, new_key, reason, wanted};

#[track_caller]
fn invalid<T: std::fmt::Debug>(outcome: Result<T, Status>, field: &str) {
    let status = outcome.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::InvalidArgument, "INVALID_FIELD"),
        "{status:?}"
    );
    assert_eq!(fields(&status), [field]);
}

#[track_caller]
fn invalid_json((status, problem): (u16, Value), why: &str, field: &str) {
    assert_eq!(
        (status, problem["reason"].as_str()),
        (400, Some(why)),
        "{problem}"
    );
    assert_eq!(problem["violations"][0]["field"], field, "{problem}");
}

#[tokio::test]
async fn fields_of_create_product() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let add = async |change: &dyn Fn(&mut v1::CreateProductRequest)| {
        let mut wanted = wanted(false);
        change(&mut wanted);
        client.create_product(&new_key(), wanted).await
    };
    for bad in [
        "",
        " ",
        "a\nb",
        "a\0",
        " a",
        "a ",
        &"x".repeat(101),
        &"x".repeat(100_000),
    ] {
        invalid(add(&|wanted| wanted.name = bad.to_owned()).await, "name");
    }
    for bad in ["", "E", "eur", "EUR ", "1EU", "E\0R", &"E".repeat(17)] {
        invalid(
            add(&|wanted| wanted.currency_code = bad.to_owned()).await,
            "currencyCode",
        );
    }
    for bad in [
        vec![],
        vec![0],
        vec![-1],
        vec![1_000, 1_000],
        vec![1_000_000_001],
        vec![i64::MAX],
        vec![i64::MIN],
        (1..=51).collect(),
        (1..=100_000).collect(),
    ] {
        invalid(
            add(&|wanted| wanted.denominations.clone_from(&bad)).await,
            "denominations",
        );
    }
    let body = |change: &dyn Fn(&mut Value)| {
        let mut body = json!({"name": "N", "currencyCode": "EUR", "denominations": ["1000"]});
        change(&mut body);
        body
    };
    let post = async |body: &Value| client.post(&new_key(), "/v1/products", body).await;
    for (changed, why, field) in [
        (body(&|b| b["name"] = json!("")), "INVALID_FIELD", "name"),
        (body(&|b| b["name"] = json!(7)), "INVALID_FIELD", "name"),
        (
            body(&|b| b["currencyCode"] = json!("euro")),
            "INVALID_FIELD",
            "currencyCode",
        ),
        (
            body(&|b| b["denominations"] = json!([])),
            "INVALID_FIELD",
            "denominations",
        ),
        (
            body(&|b| b["denominations"] = json!(["10.5"])),
            "INVALID_FIELD",
            "denominations[0]",
        ),
        (body(&|b| b["hasPin"] = json!("yes")), "INVALID_FIELD", "hasPin"),
        (
            body(&|b| b["merchantId"] = json!("mer_1")),
            "UNKNOWN_FIELD",
            "merchantId",
        ),
        (json!({}), "INVALID_FIELD", "name"),
    ] {
        invalid_json(post(&changed).await, why, field);
    }
    assert_eq!(ground.written().await, [0, 0, 0, 0]);
    assert_eq!(ground.merchants.asked(), 0);
    // The greatest that may be.
    let most = v1::CreateProductRequest {
        name: "é".repeat(100),
        denominations: (0..50).map(|n| 1_000_000_000 - n).collect(),
        ..wanted(false)
    };
    client.create_product(&new_key(), most).await.unwrap();
}

/// Ids that are none, of one prefix.
fn bad_ids(prefix: &str) -> Vec<String> {
    let digits = "0199f0c1d2e37a4b8c5d6e7f80912a3b";
    vec![
        String::new(),
        "x".to_owned(),
        format!("{prefix}_"),
        digits.to_owned(),
        format!("mer_{digits}"),
        format!("{prefix}_{digits}0"),
        format!("{prefix}_{}", digits.to_uppercase()),
        format!("{prefix}_{digits}\0"),
        format!("{prefix}_' OR 1=1 --"),
        "x".repeat(100_000),
    ]
}

#[tokio::test]
async fn ids_and_amounts_that_are_none() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    for bad in bad_ids("prd") {
        invalid(client.get_product(&bad).await, "productId");
        invalid(client.issue(&new_key(), &bad).await, "productId");
    }
    for bad in bad_ids("crd") {
        invalid(client.get_card(&bad).await, "cardId");
        invalid(client.activate(&new_key(), &bad, 1_000).await, "cardId");
    }
    invalid_json(client.get("/v1/products/x").await, "INVALID_FIELD", "productId");
    invalid_json(client.get("/v1/cards/x").await, "INVALID_FIELD", "cardId");
    let body = json!({"amount": {"minorUnits": "1000", "assetCode": "EUR"}});
    invalid_json(
        client.post("k", "/v1/cards/x:activate", &body).await,
        "INVALID_FIELD",
        "cardId",
    );
    invalid_json(
        client.post("k", "/v1/cards", &json!({"productId": "x"})).await,
        "INVALID_FIELD",
        "productId",
    );

    let card = "crd_0199f0c1d2e37a4b8c5d6e7f80912a3b";
    let cases: [(Option<Money>, &str); 7] = [
        (None, "amount"),
        (eur(0), "amount.minorUnits"),
        (eur(-1), "amount.minorUnits"),
        (eur(i64::MIN), "amount.minorUnits"),
        (eur(1_000_000_000_000_001), "amount.minorUnits"),
        (money(1, ""), "amount.assetCode"),
        (money(1, "eur"), "amount.assetCode"),
    ];
    for (amount, field) in cases {
        invalid(client.activate_for(&new_key(), card, amount.clone()).await, field);
        invalid(client.redeem_for(&new_key(), "0", "", amount).await, field);
    }
    for (amount, field) in [
        (
            json!({"minorUnits": "1.5", "assetCode": "EUR"}),
            "amount.minorUnits",
        ),
        (
            json!({"minorUnits": 1.5, "assetCode": "EUR"}),
            "amount.minorUnits",
        ),
        (
            json!({"minorUnits": "9223372036854775808", "assetCode": "EUR"}),
            "amount.minorUnits",
        ),
        (json!("10"), "amount"),
    ] {
        let path = format!("/v1/cards/{card}:activate");
        invalid_json(
            client.post(&new_key(), &path, &json!({"amount": amount})).await,
            "INVALID_FIELD",
            field,
        );
        let body = json!({"code": "0", "amount": amount});
        invalid_json(
            client.post(&new_key(), "/v1/cards:redeem", &body).await,
            "INVALID_FIELD",
            field,
        );
    }
    assert_eq!(ground.written().await, [0, 0, 0, 0]);
    assert_eq!(ground.ledger.asked(), []);
}

#[tokio::test]
async fn codes_and_pins_that_nobody_types() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let (long, huge) = ("0".repeat(65), "0".repeat(1_000_000));
    for bad in ["", &long, &huge] {
        invalid(client.authorize(bad, "").await, "code");
        invalid(client.redeem_for(&new_key(), bad, "", eur(1)).await, "code");
    }
    for bad in [&long, &huge] {
        invalid(client.authorize("0", bad).await, "pin");
        invalid(client.redeem_for(&new_key(), "0", bad, eur(1)).await, "pin");
    }
    for (body, why, field) in [
        (json!({}), "INVALID_FIELD", "code"),
        (json!({"code": 7}), "INVALID_FIELD", "code"),
        (json!({"code": "0", "pin": 7}), "INVALID_FIELD", "pin"),
        (json!({"code": "0", "colour": "red"}), "UNKNOWN_FIELD", "colour"),
    ] {
        invalid_json(client.post("", "/v1/cards:authorize", &body).await, why, field);
    }
    assert_eq!(ground.written().await, [0, 0, 0, 0]);
}

#[tokio::test]
async fn keys_and_bodies_that_are_none() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let product = "prd_0199f0c1d2e37a4b8c5d6e7f80912a3b";
    for bad in ["", "a b", &"k".repeat(129)] {
        for status in [
            client.create_product(bad, wanted(false)).await.map(drop),
            client.issue(bad, product).await.map(drop),
            client
                .activate(bad, "crd_0199f0c1d2e37a4b8c5d6e7f80912a3b", 1)
                .await
                .map(drop),
            client.redeem_for(bad, "0", "", eur(1)).await.map(drop),
        ] {
            let status = status.unwrap_err();
            assert_eq!(
                (status.code(), reason(&status).as_str()),
                (Code::InvalidArgument, "IDEMPOTENCY_KEY_INVALID")
            );
            assert_eq!(fields(&status), ["idempotency-key"]);
        }
        let (status, problem) = client
            .post(bad, "/v1/cards", &json!({"productId": product}))
            .await;
        assert_eq!(
            (status, &problem["reason"]),
            (400, &json!("IDEMPOTENCY_KEY_INVALID"))
        );
    }
    for path in ["/v1/products", "/v1/cards", "/v1/cards:redeem"] {
        let url = format!("{}{path}", client.base);
        for (kind, text, status, why) in [
            ("application/json", "{\"", 400, "MALFORMED_BODY"),
            ("text/plain", "{}", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ] {
            let request = client.http.post(&url).header("content-type", kind).body(text);
            let (found, problem) = client.send(&new_key(), request).await;
            assert_eq!(
                (found, problem["reason"].as_str()),
                (status, Some(why)),
                "{problem}"
            );
        }
    }
    assert_eq!(ground.written().await, [0, 0, 0, 0]);
}
