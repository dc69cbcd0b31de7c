//! What is malformed is refused by name, over gRPC and REST, and leaves nothing.

use lp_contracts::{
    common::v1::{Money, PageRequest},
    merchant::v1,
};
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::support::{
    Client, Ground, application, application_json, external, fields, new_key, points, program, purchase,
    reason,
};

fn invalid(status: &Status, field: &str) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert_eq!(
        (reason(status).as_str(), fields(status)),
        ("INVALID_FIELD", vec![field.to_owned()])
    );
}

/// Over REST: a problem document that says the same.
async fn invalid_json(client: &Client, path: &str, body: &Value, field: &str) {
    let (status, problem) = client.post(&new_key(), path, body).await;
    assert_eq!(
        (status, &problem["reason"], &problem["violations"][0]["field"]),
        (400, &json!("INVALID_FIELD"), &json!(field)),
        "{problem}"
    );
}

/// A copy of `body` with one field changed.
fn with(body: &Value, field: &str, value: Value) -> Value {
    let mut changed = body.clone();
    changed[field] = value;
    changed
}

#[tokio::test]
async fn fields_of_apply_merchant() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let long = "x".repeat(101);
    let code = "P".repeat(17);
    let texts: [(&str, &[&str]); 4] = [
        ("name", &["", " ", " x", "x ", "a\nb", "a\0", &long]),
        (
            "currencyCode",
            &["", "E", "eur", "1EU", "EUR ", "É1", "EU\0R", &code],
        ),
        ("pointsCode", &["", "P", "pts", "_PT", "PT S", &code, "EUR"]),
        (
            "timeZone",
            &[
                "",
                "europe/paris",
                "Europe/Atlantis",
                "+01:00",
                "Europe/Paris\0",
                "../etc/passwd",
                "localtime",
            ],
        ),
    ];
    for (field, bad) in texts {
        for bad in bad {
            let mut wanted = application();
            let text = match field {
                "name" => &mut wanted.name,
                "currencyCode" => &mut wanted.currency_code,
                "pointsCode" => &mut wanted.points_code,
                _ => &mut wanted.time_zone,
            };
            *text = (*bad).to_owned();
            invalid(&client.apply(&new_key(), wanted).await.unwrap_err(), field);
            let body = with(&application_json(), field, json!(bad));
            invalid_json(&client, "/v1/merchant:apply", &body, field).await;
        }
    }
    for bad in [-1, 9, i32::MIN, i32::MAX] {
        let wanted = v1::ApplyMerchantRequest {
            currency_exponent: bad,
            ..application()
        };
        invalid(
            &client.apply(&new_key(), wanted).await.unwrap_err(),
            "currencyExponent",
        );
    }
    let body = with(&application_json(), "currencyExponent", json!(9));
    invalid_json(&client, "/v1/merchant:apply", &body, "currencyExponent").await;
    assert_eq!(ground.written().await, [0; 5]);
    client.apply(&new_key(), application()).await.unwrap();
}

#[tokio::test]
async fn fields_of_change_merchant_state() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    client.apply("k", application()).await.unwrap();
    let operator = instance.operator(client.merchant);
    for bad in [0, 7, -1, i32::MAX] {
        let wanted = v1::ChangeMerchantStateRequest {
            to_state: bad,
            reason: "x".to_owned(),
        };
        let request = operator.request(&new_key(), wanted);
        let refused = operator
            .grpc
            .clone()
            .change_merchant_state(request)
            .await
            .unwrap_err();
        invalid(&refused, "toState");
    }
    for bad in ["", "a b", "a@b.example", "é", "a\0", &"x".repeat(65)] {
        let refused = operator
            .change_for(&new_key(), v1::MerchantState::InReview, bad)
            .await;
        invalid(&refused.unwrap_err(), "reason");
        let body = json!({"toState": "MERCHANT_STATE_IN_REVIEW", "reason": bad});
        invalid_json(&operator, "/v1/merchant:changeState", &body, "reason").await;
    }
    let body = json!({"reason": "x"});
    invalid_json(&operator, "/v1/merchant:changeState", &body, "toState").await;
    assert_eq!(ground.written().await, [1, 1, 0, 0, 1]);
}

#[tokio::test]
async fn fields_of_the_reads() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    client.apply("k", application()).await.unwrap();
    for (page_size, page_token, field) in [
        (-1, "", "page.pageSize"),
        (501, "", "page.pageSize"),
        (1, "x", "page.pageToken"),
        (1, "AAAAAAAAAAAAAAAA", "page.pageToken"),
    ] {
        let page = PageRequest {
            page_size,
            page_token: page_token.to_owned(),
        };
        invalid(&client.events(page).await.unwrap_err(), field);
    }
    for bad in [-1, i32::MIN] {
        invalid(&client.program(bad).await.unwrap_err(), "version");
    }
    let digits = "0199f0c1d2e37a4b8c5d6e7f80912a3b";
    for bad in [
        "",
        "x",
        "pur_",
        digits,
        &format!("mer_{digits}"),
        &format!("pur_{digits}0"),
    ] {
        invalid(&client.purchase(bad).await.unwrap_err(), "purchaseId");
    }
    let unknown = client.purchase(&format!("pur_{digits}")).await.unwrap_err();
    assert_eq!(
        (unknown.code(), reason(&unknown).as_str()),
        (Code::NotFound, "NOT_FOUND")
    );
    for (path, field) in [
        ("/v1/merchant/events?page.pageSize=501", "page.pageSize"),
        ("/v1/program?version=-1", "version"),
        ("/v1/purchases/x", "purchaseId"),
    ] {
        let (status, problem) = client.get(path).await;
        assert_eq!(
            (status, &problem["violations"][0]["field"]),
            (400, &json!(field)),
            "{problem}"
        );
    }
}

#[tokio::test]
async fn fields_of_publish_program() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    for bad in [-1, i32::MIN] {
        let refused = client.publish(&new_key(), program(bad)).await.unwrap_err();
        invalid(&refused, "basedOnVersion");
    }
    let body = json!({"basedOnVersion": -1, "earnPer": "1", "burnPoints": "1", "burnValue": "1"});
    invalid_json(&client, "/v1/programs", &body, "basedOnVersion").await;
    let body = json!({"earnPoints": "1.5", "earnPer": "100", "burnPoints": "100", "burnValue": "1"});
    invalid_json(&client, "/v1/programs", &body, "earnPoints").await;
    assert_eq!(ground.written().await, [0; 5]);
}

const WALLET: &str = "wal_0199f0c1d2e37a4b8c5d6e7f80912a3b";

fn by_code(card_code: &str, card_pin: &str) -> v1::Tender {
    v1::Tender {
        kind: v1::TenderKind::GiftCard.into(),
        minor_units: 100,
        card_code: card_code.to_owned(),
        card_pin: card_pin.to_owned(),
    }
}

/// Purchases of which one field is wrong, with its name.
fn wrong_purchases() -> Vec<(v1::SubmitPurchaseRequest, &'static str)> {
    let good = || purchase("", [external(100), external(200)]);
    let change = |change: &dyn Fn(&mut v1::SubmitPurchaseRequest)| {
        let mut wanted = good();
        change(&mut wanted);
        wanted
    };
    let amount = |minor_units, asset_code: &str| {
        change(&|wanted| {
            wanted.amount = Some(Money {
                minor_units,
                asset_code: asset_code.to_owned(),
            });
        })
    };
    let mut wrong = vec![
        (change(&|wanted| wanted.amount = None), "amount"),
        (change(&|wanted| wanted.tenders.clear()), "tenders"),
        (
            change(&|wanted| wanted.tenders = vec![external(1); 11]),
            "tenders",
        ),
        (
            change(&|wanted| wanted.tenders = vec![external(1); 10_000]),
            "tenders",
        ),
        (
            purchase(WALLET, [points(1), external(1), points(1)]),
            "tenders[2].kind",
        ),
        (purchase("", [external(100), points(100)]), "walletId"),
    ];
    for bad in [0, -1, i64::MIN, 1_000_000_000_000_001, i64::MAX] {
        wrong.push((amount(bad, "EUR"), "amount.minorUnits"));
        let tender = change(&|wanted| wanted.tenders[1].minor_units = bad);
        wrong.push((tender, "tenders[1].minorUnits"));
    }
    for bad in ["", "eur", "E", "EU\0"] {
        wrong.push((amount(300, bad), "amount.assetCode"));
    }
    for bad in [0, 4, -1] {
        wrong.push((change(&|wanted| wanted.tenders[1].kind = bad), "tenders[1].kind"));
    }
    for bad in ["x", "wal_", "mer_0199f0c1d2e37a4b8c5d6e7f80912a3b"] {
        wrong.push((purchase(bad, [external(1)]), "walletId"));
    }
    for bad in ["a b", "é", "a\0", &"x".repeat(65)] {
        let reference = bad.to_owned();
        wrong.push((
            change(&|wanted| wanted.reference.clone_from(&reference)),
            "reference",
        ));
    }
    for (code, pin, field) in [
        ("", "", "tenders[0].cardCode"),
        ("", "hunter2", "tenders[0].cardCode"),
        ("hunter2\n", "", "tenders[0].cardCode"),
        ("hunter2\0", "", "tenders[0].cardCode"),
        (&"hunter2".repeat(10), "", "tenders[0].cardCode"),
        ("code", "hunter2\r", "tenders[0].cardPin"),
        ("code", &"hunter2".repeat(10_000), "tenders[0].cardPin"),
    ] {
        wrong.push((purchase("", [by_code(code, pin)]), field));
    }
    for (code, pin, field) in [
        ("hunter2", "", "tenders[1].cardCode"),
        ("", "hunter2", "tenders[1].cardPin"),
    ] {
        let secret = by_code(code, pin);
        let tender = v1::Tender {
            kind: v1::TenderKind::External.into(),
            ..secret
        };
        wrong.push((purchase("", [external(1), tender]), field));
    }
    wrong
}

/// The same as JSON.
fn json_of(wanted: &v1::SubmitPurchaseRequest) -> Value {
    let tender = |tender: &v1::Tender| {
        json!({
            "kind": tender.kind,
            "minorUnits": tender.minor_units.to_string(),
            "cardCode": tender.card_code,
            "cardPin": tender.card_pin,
        })
    };
    let mut body = json!({
        "tenders": wanted.tenders.iter().map(tender).collect::<Vec<_>>(),
        "walletId": wanted.wallet_id,
        "reference": wanted.reference,
    });
    if let Some(amount) = &wanted.amount {
        let minor_units = amount.minor_units.to_string();
        body["amount"] = json!({"minorUnits": minor_units, "assetCode": amount.asset_code});
    }
    body
}

#[tokio::test]
async fn fields_of_submit_purchase() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    for (wanted, field) in wrong_purchases() {
        let refused = client.submit(&new_key(), wanted.clone()).await.unwrap_err();
        invalid(&refused, field);
        let text = format!("{refused:?}{}", String::from_utf8_lossy(refused.details()));
        assert!(!text.contains("hunter2"), "{text}");
        let (status, problem) = client.post(&new_key(), "/v1/purchases", &json_of(&wanted)).await;
        assert_eq!(
            (status, &problem["reason"]),
            (400, &json!("INVALID_FIELD")),
            "{problem}"
        );
        // REST knows the enumeration itself, and names it before we do.
        assert_eq!(problem["violations"][0]["field"], field, "{problem}");
        assert!(!problem.to_string().contains("hunter2"), "{problem}");
    }
    assert_eq!(ground.written().await, [0; 5]);
    assert_eq!(ground.cards.asked(), 0);
}

#[tokio::test]
async fn tenders_add_up() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let most = 1_000_000_000_000_000;
    for (amount, tenders) in [
        (299, vec![external(100), external(200)]),
        (301, vec![external(100), external(200)]),
        (most, vec![external(most); 10]),
        (1, vec![external(most)]),
    ] {
        let wanted = v1::SubmitPurchaseRequest {
            amount: Some(Money {
                minor_units: amount,
                asset_code: "EUR".to_owned(),
            }),
            tenders,
            ..v1::SubmitPurchaseRequest::default()
        };
        let refused = client.submit(&new_key(), wanted.clone()).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::InvalidArgument, "TENDERS_UNBALANCED")
        );
        assert_eq!(fields(&refused), ["tenders"]);
        let (status, problem) = client.post(&new_key(), "/v1/purchases", &json_of(&wanted)).await;
        assert_eq!((status, &problem["reason"]), (400, &json!("TENDERS_UNBALANCED")));
    }
    assert_eq!(ground.written().await, [0; 5]);
}

#[tokio::test]
async fn keys_and_bodies_that_are_none() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let operator = instance.operator(client.merchant);
    for bad in ["", "a b", &"k".repeat(129)] {
        for refused in [
            client.apply(bad, application()).await.unwrap_err(),
            client.publish(bad, program(0)).await.unwrap_err(),
            client.submit(bad, purchase("", [external(1)])).await.unwrap_err(),
            operator
                .change(bad, v1::MerchantState::InReview)
                .await
                .unwrap_err(),
        ] {
            assert_eq!(
                (refused.code(), reason(&refused).as_str()),
                (Code::InvalidArgument, "IDEMPOTENCY_KEY_INVALID")
            );
        }
    }
    for (path, body) in [
        (
            "/v1/merchant:apply",
            with(&application_json(), "merchantId", json!("mer_1")),
        ),
        ("/v1/programs", json!({"earnRate": 1})),
        ("/v1/purchases", json!({"tenders": [{"cardNumber": "hunter2"}]})),
    ] {
        let (status, problem) = client.post(&new_key(), path, &body).await;
        assert_eq!(
            (status, &problem["reason"]),
            (400, &json!("UNKNOWN_FIELD")),
            "{problem}"
        );
        assert!(!problem.to_string().contains("hunter2"), "{problem}");
    }
    assert_eq!(ground.written().await, [0; 5]);
}
