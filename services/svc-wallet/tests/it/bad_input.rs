//! What is malformed is refused by name, and leaves nothing.

use lp_contracts::wallet::v1;
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::support::{Ground, contact, fields, new_key, reason, wanted, wanted_json};

fn invalid(status: &Status, field: &str, secret: &str) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert_eq!(reason(status), "INVALID_FIELD");
    assert_eq!(fields(status), [field]);
    silent(
        &format!("{status:?}{}", String::from_utf8_lossy(status.details())),
        secret,
    );
}

/// The address must not be in `text`.
fn silent(text: &str, secret: &str) {
    let secret = secret.trim();
    assert!(
        secret.is_empty() || !text.contains(secret),
        "{text} tells {secret}"
    );
}

fn with_contact(change: impl FnOnce(&mut v1::Contact)) -> v1::CreateWalletRequest {
    let mut wanted = wanted("c-1");
    change(wanted.contact.as_mut().unwrap());
    wanted
}

#[tokio::test]
async fn fields_of_create_wallet() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let references = [
        "",
        "a b",
        "é",
        "a\0",
        "a@b.example",
        "a\r\nb",
        &"x".repeat(65),
        &"x".repeat(100_000),
    ];
    for bad in references {
        let refused = client.create(&new_key(), wanted(bad)).await.unwrap_err();
        invalid(&refused, "customerReference", "");
    }
    for bad in [
        "",
        "P",
        "pts",
        "1PT",
        "PTS ",
        "PT\0S",
        "ÉTS",
        &"P".repeat(17),
        "_PT",
    ] {
        let wanted = v1::CreateWalletRequest {
            asset_code: bad.to_owned(),
            ..wanted("c-1")
        };
        let refused = client.create(&new_key(), wanted).await.unwrap_err();
        invalid(&refused, "assetCode", "");
    }
    let none = v1::CreateWalletRequest {
        contact: None,
        ..wanted("c-1")
    };
    invalid(&client.create(&new_key(), none).await.unwrap_err(), "contact", "");
    for bad in ["", "de", "FR", "fr-FR", "fr\0", &"f".repeat(10_000)] {
        let wanted = with_contact(|contact| contact.language = bad.to_owned());
        let refused = client.create(&new_key(), wanted).await.unwrap_err();
        invalid(&refused, "contact.language", "");
    }
    assert_eq!(ground.written().await, [0, 0, 0]);
    assert!(ground.ledger.opened().is_empty());
}

#[tokio::test]
async fn addresses_that_are_none_are_refused_and_not_repeated() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let long = format!("{}@exemple.example", "x".repeat(240));
    let bad = [
        "claire.martin",
        "@exemple.example",
        "claire@",
        "claire@exemple",
        "claire@exemple..example",
        "claire@@exemple.example",
        "claire @exemple.example",
        "claire@exemple.example\r\nBcc: victim@exemple.example",
        "claire@exemple.example\nvictim",
        "claire@exemple.example\0",
        "clairé@exemple.example",
        "Claire <claire@exemple.example>",
        "claire@exemple.example,victim@exemple.example",
        " ",
        &long,
    ];
    for bad in bad {
        let wanted = with_contact(|contact| contact.email = bad.to_owned());
        let refused = client.create(&new_key(), wanted).await.unwrap_err();
        invalid(&refused, "contact.email", bad);

        let mut body = wanted_json("c-1");
        body["contact"]["email"] = json!(bad);
        let (status, problem) = client.post(&new_key(), "/v1/wallets", &body).await;
        assert_eq!(
            (status, &problem["reason"]),
            (400, &json!("INVALID_FIELD")),
            "{problem}"
        );
        assert_eq!(problem["violations"][0]["field"], "contact.email");
        silent(&problem.to_string(), bad);
        if let Some((first, _)) = bad.split_once(['\r', '\n']) {
            silent(&problem.to_string(), first);
        }
    }
    assert_eq!(ground.written().await, [0, 0, 0]);

    // As long as can be is not too long, and none is one's right.
    // RFC 5321, 4.5.3.1: 64 before the @, 63 a label, 254 in all.
    let label = |length| "x".repeat(length);
    let longest = format!("{}@{}.{}.{}", label(64), label(63), label(63), label(61));
    assert_eq!(longest.len(), 254);
    for (n, good) in ["", longest.as_str(), "o'neil+points@sub.exemple.example"]
        .into_iter()
        .enumerate()
    {
        let wanted = v1::CreateWalletRequest {
            contact: Some(contact(good)),
            ..wanted(&format!("c-{n}"))
        };
        let opened = client.create(&new_key(), wanted).await.unwrap().wallet.unwrap();
        let found = client.contact(&opened.account_id).await.unwrap();
        assert_eq!(found.contact, Some(contact(good)));
    }
}

#[tokio::test]
async fn ids_that_are_none() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let wallet = client.open("c-1").await;
    let digits = wallet.wallet_id.strip_prefix("wal_").unwrap();
    let bad = [
        String::new(),
        "x".to_owned(),
        "wal_".to_owned(),
        digits.to_owned(),
        format!("mer_{digits}"),
        format!("wal_{digits}0"),
        format!("wal_{}", digits.to_uppercase().replace(char::is_numeric, "A")),
        format!("wal_{}-", &digits[1..]),
        format!("wal_{digits}\0"),
        "wal_' OR 1=1 --".to_owned(),
    ];
    for bad in &bad {
        invalid(&client.wallet(bad).await.unwrap_err(), "walletId", "");
        invalid(&client.balance(bad).await.unwrap_err(), "walletId", "");
        let bad = bad.replace("wal_", "acc_");
        invalid(&client.contact(&bad).await.unwrap_err(), "accountId", "");
    }
    let unknown = wallet
        .wallet_id
        .replace(digits, "0199f0c1d2e37a4b8c5d6e7f80912a3b");
    for refused in [
        client.wallet(&unknown).await.unwrap_err(),
        client.balance(&unknown).await.unwrap_err(),
    ] {
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::NotFound, "UNKNOWN_WALLET")
        );
        assert_eq!(fields(&refused), ["walletId"]);
    }
    let account = unknown.replace("wal_", "acc_");
    let refused = client.contact(&account).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::NotFound, "NOT_FOUND")
    );

    for path in ["/v1/wallets/x", "/v1/wallets/x/balance"] {
        let (status, problem) = client.get(path).await;
        assert_eq!(
            (status, &problem["reason"], &problem["violations"][0]["field"]),
            (400, &json!("INVALID_FIELD"), &json!("walletId"))
        );
    }
    let (status, problem) = client.get(&format!("/v1/wallets/{unknown}/balance")).await;
    assert_eq!((status, &problem["reason"]), (404, &json!("UNKNOWN_WALLET")));
}

#[tokio::test]
async fn keys_that_are_none() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    for bad in ["", "a b", &"k".repeat(129)] {
        let refused = client.create(bad, wanted("c-1")).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::InvalidArgument, "IDEMPOTENCY_KEY_INVALID")
        );
        assert_eq!(fields(&refused), ["idempotency-key"]);
        let (status, problem) = client.post(bad, "/v1/wallets", &wanted_json("c-1")).await;
        assert_eq!(
            (status, &problem["reason"]),
            (400, &json!("IDEMPOTENCY_KEY_INVALID"))
        );
    }
    assert_eq!(ground.written().await, [0, 0, 0]);
}

/// A body with one thing changed.
fn body(change: impl FnOnce(&mut Value)) -> Value {
    let mut body = wanted_json("c-1");
    change(&mut body);
    body
}

#[tokio::test]
async fn bodies_that_are_none() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let cases = [
        (body(|b| b["colour"] = json!("red")), "UNKNOWN_FIELD", "colour"),
        (
            body(|b| b["contact"]["telephone"] = json!("0123456789")),
            "UNKNOWN_FIELD",
            "contact.telephone",
        ),
        (
            body(|b| b["merchantId"] = json!("mer_1")),
            "UNKNOWN_FIELD",
            "merchantId",
        ),
        (
            body(|b| b["customerReference"] = json!(7)),
            "INVALID_FIELD",
            "customerReference",
        ),
        (body(|b| b["contact"] = json!("x")), "INVALID_FIELD", "contact"),
        (body(|b| b["contact"] = Value::Null), "INVALID_FIELD", "contact"),
        (
            body(|b| b["contact"]["messagesAllowed"] = json!("yes")),
            "INVALID_FIELD",
            "contact.messagesAllowed",
        ),
        (
            body(|b| b["contact"]["language"] = json!("de")),
            "INVALID_FIELD",
            "contact.language",
        ),
        (
            body(|b| b["assetCode"] = json!("pts")),
            "INVALID_FIELD",
            "assetCode",
        ),
        (json!({}), "INVALID_FIELD", "customerReference"),
    ];
    for (body, reason, field) in cases {
        let (status, problem) = client.post(&new_key(), "/v1/wallets", &body).await;
        assert_eq!(
            (status, problem["reason"].as_str()),
            (400, Some(reason)),
            "{problem}"
        );
        assert_eq!(problem["violations"][0]["field"], field, "{problem}");
        silent(&problem.to_string(), crate::support::EMAIL);
    }
    let url = format!("{}/v1/wallets", instance.base);
    for (kind, text, status, reason) in [
        (
            "application/json",
            "{\"customerReference\":",
            400,
            "MALFORMED_BODY",
        ),
        ("application/json", "\u{feff}nonsense", 400, "MALFORMED_BODY"),
        ("text/plain", "{}", 415, "UNSUPPORTED_MEDIA_TYPE"),
    ] {
        let request = client.http.post(&url).header("content-type", kind).body(text);
        let (found, problem) = client.send(&new_key(), request).await;
        assert_eq!(
            (found, problem["reason"].as_str()),
            (status, Some(reason)),
            "{problem}"
        );
    }
    let huge = "x".repeat(2 * 1024 * 1024);
    let huge = body(|b| b["contact"]["email"] = json!(huge));
    let (status, problem) = client.post(&new_key(), "/v1/wallets", &huge).await;
    assert_eq!(
        (status, problem["reason"].as_str()),
        (413, Some("BODY_TOO_LARGE"))
    );
    let (status, problem) = client.get("/v1/wallets?colour=red").await;
    assert_eq!((status, problem["reason"].as_str()), (400, Some("UNKNOWN_FIELD")));
    assert_eq!(ground.written().await, [0, 0, 0]);
    assert!(ground.ledger.opened().is_empty());
}
