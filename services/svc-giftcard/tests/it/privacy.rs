//! A code and a PIN are told in an answer, and stand nowhere else.

use std::{
    io,
    sync::{Arc, Mutex},
};

use aws_lc_rs::digest;
use lp_contracts::giftcard::v1;
use serde_json::json;
use sqlx::AssertSqlSafe;
use tracing::{Dispatch, level_filters::LevelFilter, subscriber::NoSubscriber};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{CODE_KEY, Ground, Held, SECRET_KEY, bytes, eur, new_key};

#[tokio::test]
async fn settings_print_without_keys() {
    let ground = Ground::new().await;
    let config = ground.config();
    let shown = format!("{config:?} {config:#?}");
    assert!(shown.contains("svc_merchant_url"), "{shown}");
    assert!(
        !shown.contains(CODE_KEY) && !shown.contains(SECRET_KEY),
        "{shown}"
    );
}

/// Where `text` tells the code or the PIN, in clear or in hexadecimal. Six digits inside a longer number are chance.
fn tells(text: &str, held: &Held) -> Option<String> {
    let plain = held.code.replace('-', "");
    let hex = |text: &str| -> String { text.bytes().map(|byte| format!("{byte:02x}")).collect() };
    let found = [held.code.clone(), plain.clone(), hex(&held.code), hex(&plain)]
        .iter()
        .any(|secret| text.to_ascii_lowercase().contains(&secret.to_ascii_lowercase()));
    let alone = |at: usize| {
        let neighbour = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '.');
        !neighbour(text[..at].chars().next_back()) && !neighbour(text[at + held.pin.len()..].chars().next())
    };
    let pin = !held.pin.is_empty() && text.match_indices(&held.pin).any(|(at, _)| alone(at));
    (found || pin).then(|| text.to_owned())
}

/// Every row of every table of the schema, as text: bytes in hexadecimal.
async fn rows(ground: &Ground) -> Vec<String> {
    let mut owner = ground.owner().await;
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'giftcard'")
            .fetch_all(&mut owner)
            .await
            .unwrap();
    assert!(tables.len() > 4, "{tables:?}");
    let mut rows = Vec::new();
    for table in tables {
        let statement = AssertSqlSafe(format!("SELECT t::text FROM {table} t"));
        let found: Vec<String> = sqlx::query_scalar(statement).fetch_all(&mut owner).await.unwrap();
        rows.extend(found.into_iter().map(|row| format!("{table}: {row}")));
    }
    rows
}

/// What was logged by this test's thread, on which its services run.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logged {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_row_no_log_line_and_no_refusal_tells_a_code_or_a_pin() {
    let logged = Logged::default();
    // While there is one subscriber alone, tracing asks the thread that comes first to a line whether it is of
    // interest, and that may be another test's.
    let _another = Dispatch::new(NoSubscriber::default());
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(logged.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let product = client.product(true).await;
    client.issue("issued", &product).await.unwrap();
    let issued = client.issue("issued", &product).await.unwrap();
    let held = Held {
        id: issued.card.unwrap().card_id,
        account: String::new(),
        code: issued.code,
        pin: issued.pin,
    };
    let mut refusals = vec![client.redeem("early", &held, 10).await.unwrap_err()];
    client.activate("sold", &held.id, 1_000).await.unwrap();
    client.redeem("spent", &held, 10).await.unwrap();
    client.authorize(&held.code, &held.pin).await.unwrap();
    let body =
        json!({"code": held.code, "pin": held.pin, "amount": {"minorUnits": "10", "assetCode": "EUR"}});
    assert_eq!(client.post("rest", "/v1/cards:redeem", &body).await.0, 200);
    // Every way to be refused with a secret in the request.
    let long_code = format!("{}{}", held.code, "0".repeat(64));
    let long_pin = format!("{} {}", held.pin, "0".repeat(64));
    refusals.push(client.redeem("much", &held, 9_999).await.unwrap_err());
    refusals.push(client.redeem("spent", &held, 11).await.unwrap_err());
    refusals.push(client.redeem("", &held, 10).await.unwrap_err());
    refusals.push(client.redeem(&new_key(), &held, 0).await.unwrap_err());
    refusals.push(
        client
            .redeem_for(&new_key(), &held.code, &held.pin, None)
            .await
            .unwrap_err(),
    );
    refusals.push(
        client
            .redeem_for(&new_key(), &long_code, &held.pin, eur(1))
            .await
            .unwrap_err(),
    );
    refusals.push(
        client
            .redeem_for(&new_key(), &held.code, &long_pin, eur(1))
            .await
            .unwrap_err(),
    );
    refusals.push(client.authorize(&held.code, "").await.unwrap_err());
    refusals.push(client.authorize("0", &held.pin).await.unwrap_err());
    for status in refusals {
        let text = format!("{status:?} {}", String::from_utf8_lossy(status.details()));
        assert_eq!(tells(&text, &held), None);
    }
    for body in [
        json!({"code": held.code, "pin": held.pin, "amount": {"minorUnits": "ten", "assetCode": "EUR"}}),
        json!({"code": [held.code], "pin": held.pin}),
        json!({"code": {"text": held.code}}),
        json!({"code": held.code, "pin": [held.pin]}),
        json!({"code": held.code, "pin": held.pin, "colour": "red"}),
    ] {
        let (status, problem) = client.post(&new_key(), "/v1/cards:redeem", &body).await;
        assert_eq!((status, tells(&problem.to_string(), &held)), (400, None));
    }
    let url = format!("{}/v1/cards:redeem", client.base);
    let broken = format!(
        "{{\"code\": \"{}\", \"pin\": \"{}\" \"amount\"",
        held.code, held.pin
    );
    let request = client
        .http
        .post(&url)
        .header("content-type", "application/json")
        .body(broken);
    let (status, problem) = client.send(&new_key(), request).await;
    assert_eq!((status, tells(&problem.to_string(), &held)), (400, None));

    let rows = rows(&ground).await;
    for kind in ["cards:", "products:", "redemptions:", "idempotency_keys:"] {
        assert!(rows.iter().any(|row| row.starts_with(kind)), "{kind}");
    }
    // The test would find them.
    assert!(tells(&format!("x{}y", held.code.to_lowercase()), &held).is_some());
    assert!(tells(&format!("\"pin\":\"{}\"", held.pin), &held).is_some());
    for row in &rows {
        assert_eq!(tells(row, &held), None);
    }
    let logged = String::from_utf8_lossy(&logged.0.lock().unwrap()).into_owned();
    assert!(logged.contains("CARD_REFUSED") && logged.contains("GiftCardService/RedeemCard"));
    for line in logged.lines() {
        assert_eq!(tells(line, &held), None);
    }
}

/// Who has the rows and a code must not find its PIN by a million hashes.
#[tokio::test]
async fn the_fingerprint_of_a_redemption_is_no_plain_hash_of_it() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let held = client.sold(true, 1_000).await;
    client.redeem("k", &held, 10).await.unwrap();
    let wanted = v1::RedeemCardRequest {
        code: held.code.clone(),
        pin: held.pin.clone(),
        amount: eur(10),
    };
    let plain = digest::digest(&digest::SHA256, &bytes(&wanted));
    let kept: Vec<u8> =
        sqlx::query_scalar("SELECT fingerprint FROM idempotency_keys WHERE rpc = 'RedeemCard' AND key = 'k'")
            .fetch_one(&mut ground.owner().await)
            .await
            .unwrap();
    assert_ne!(kept, plain.as_ref());
    // Of another rpc it is one, so that this test sees what it looks for.
    let wanted = v1::ActivateCardRequest {
        card_id: held.id.clone(),
        amount: eur(1_000),
    };
    let plain = digest::digest(&digest::SHA256, &bytes(&wanted));
    let kept: Vec<u8> =
        sqlx::query_scalar("SELECT fingerprint FROM idempotency_keys WHERE rpc = 'ActivateCard'")
            .fetch_one(&mut ground.owner().await)
            .await
            .unwrap();
    assert_eq!(kept, plain.as_ref());
}
