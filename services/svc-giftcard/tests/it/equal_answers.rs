//! A wrong code, an unknown one, a wrong PIN, none, a card that is not active, another merchant's: one answer.

use serde_json::{Value, json};
use tonic::{Status, body::Body};

use crate::support::{Client, Ground, eur, new_key, reason};

/// Everything of a refusal that goes over the wire, but for the request's own name.
fn wire(status: Status) -> (String, Vec<(String, Vec<u8>)>) {
    assert_eq!(reason(&status), "CARD_REFUSED");
    let fields = format!("{:?} {} {:?}", status.code(), status.message(), status.details());
    let response = status.into_http::<Body>();
    let mut headers: Vec<_> = response
        .headers()
        .iter()
        .filter(|(name, _)| *name != "x-request-id" && *name != "date")
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect();
    headers.sort();
    (fields, headers)
}

/// What REST says, but for the request's own name.
async fn rest(client: &Client, path: &str, body: &Value) -> Value {
    let (status, mut problem) = client.post(&new_key(), path, body).await;
    assert_eq!(
        (status, &problem["reason"]),
        (400, &json!("CARD_REFUSED")),
        "{problem}"
    );
    let problem_fields = problem.as_object_mut().unwrap();
    assert!(problem_fields.remove("requestId").is_some());
    problem
}

#[tokio::test]
async fn whatever_is_wrong_the_answer_is_the_same() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let (with_pin, plain) = (client.sold(true, 1_000).await, client.sold(false, 1_000).await);
    let issued = client.issued(true).await;
    let foreign = instance.merchant().sold(true, 1_000).await;
    let activating = client.issued(false).await;
    ground
        .ledger
        .set(crate::ledger::Step::Account, crate::ledger::Mode::Unavailable);
    let hasty = client.within(std::time::Duration::from_secs(1));
    hasty.activate("k", &activating.id, 1_000).await.unwrap_err();
    let wrong_pin = if with_pin.pin == "000000" {
        "000001"
    } else {
        "000000"
    };
    let (wrong, unknown) = (with_pin.code.clone() + "0", "7".repeat(24));
    let cases = [
        ("a wrong PIN", with_pin.code.as_str(), wrong_pin),
        ("a PIN that is none", &with_pin.code, "abc"),
        ("no PIN", &with_pin.code, ""),
        ("an unknown code", &unknown, ""),
        ("an unknown code with a PIN", &unknown, &with_pin.pin),
        ("a code too long", &wrong, &with_pin.pin),
        ("a code that is none", "Grüße, €", ""),
        ("a code that is none with a PIN", "x", "1"),
        ("blanks", " - ", ""),
        ("a card that was never sold", &issued.code, &issued.pin),
        ("a card that is being sold", &activating.code, ""),
        ("another merchant's card", &foreign.code, &foreign.pin),
        ("a PIN for a card that has none", &plain.code, &with_pin.pin),
    ];
    let mut answers = Vec::new();
    for (what, code, pin) in cases {
        let redeemed = client
            .redeem_for(&new_key(), code, pin, eur(10))
            .await
            .unwrap_err();
        let authorized = client.authorize(code, pin).await.unwrap_err();
        let body = json!({"code": code, "pin": pin, "amount": {"minorUnits": "10", "assetCode": "EUR"}});
        let redeemed_rest = rest(&client, "/v1/cards:redeem", &body).await;
        let authorized_rest = rest(&client, "/v1/cards:authorize", &json!({"code": code, "pin": pin})).await;
        answers.push((
            what,
            wire(redeemed),
            wire(authorized),
            redeemed_rest,
            authorized_rest,
        ));
    }
    let (_, redeemed, authorized, redeemed_rest, authorized_rest) = &answers[0];
    for (what, r, a, rr, ar) in &answers {
        assert_eq!((r, a), (redeemed, authorized), "{what}");
        assert_eq!((rr, ar), (redeemed_rest, authorized_rest), "{what}");
    }
    assert_eq!(ground.count("redemptions").await, 0);
    // And what is right opens.
    client.authorize(&with_pin.code, &with_pin.pin).await.unwrap();
    client.authorize(&plain.code, "").await.unwrap();
}
