//! What opens a card is handed on, and kept nowhere: in no row of any table, no log line, and nothing that prints.

use std::{
    io,
    sync::{Arc, Mutex},
};

use sqlx::AssertSqlSafe;
use svc_merchant::infrastructure::clients::giftcard::CardSecret;
use tracing::Level;

use crate::{
    cards::{Card, Mode},
    support::{Ground, by_card, external, purchase, reason, run},
};

#[test]
fn a_secret_does_not_print() {
    let secret = CardSecret {
        code: "hunter2".to_owned(),
        pin: "hunter3".to_owned(),
    };
    let text = format!("{secret:?} {secret:#?}");
    assert!(!text.contains("hunter"), "{text}");
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Every row of every table of the schema, as text: bytes in hexadecimal and as they read.
async fn rows(ground: &Ground) -> Vec<String> {
    let mut owner = ground.owner().await;
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'merchant'")
            .fetch_all(&mut owner)
            .await
            .unwrap();
    assert!(tables.len() > 6, "{tables:?}");
    let mut rows = Vec::new();
    for table in tables {
        let statement = AssertSqlSafe(format!("SELECT t::text FROM {table} t"));
        let found: Vec<String> = sqlx::query_scalar(statement).fetch_all(&mut owner).await.unwrap();
        rows.extend(found.into_iter().map(|row| format!("{table}: {row}")));
    }
    rows
}

/// What is to be found nowhere: code and PIN, as text and as bytes.
fn traces(card: &Card) -> Vec<String> {
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut traces = vec![card.code.clone(), card.pin.clone()];
    traces.extend([hex(&card.code), hex(&card.pin)]);
    traces
}

#[tokio::test]
async fn a_code_and_a_pin_stand_in_no_row_and_no_log() {
    let written = Written::default();
    let writer = written.clone();
    // The test and its services run on this one thread.
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _in_force = tracing::subscriber::set_default(subscriber);

    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = ground.shop(&instance).await;
    let good = ground.card(&shop, 1_000).await;
    let mut wrong = good.clone();
    wrong.pin = lp_test::servers::unique("WRONG-PIN-");
    let wanted = |card: &Card| purchase("", [external(1), by_card(card, 100)]);

    shop.client.submit("posted", wanted(&good)).await.unwrap();
    let refused = shop.client.submit("refused", wanted(&wrong)).await.unwrap_err();
    assert_eq!(reason(&refused), "CARD_REFUSED");
    let told = format!("{refused:?}{}", String::from_utf8_lossy(refused.details()));
    ground.cards.set_mode(Mode::Unavailable);
    shop.client.submit("pending", wanted(&good)).await.unwrap_err();
    ground.cards.set_mode(Mode::Well);
    // A fault of ours, whose cause is logged.
    run(
        &mut ground.owner().await,
        "ALTER TABLE purchases ADD CHECK (amount <> 777)",
    )
    .await;
    let fault = shop
        .client
        .submit("fault", purchase("", [external(677), by_card(&good, 100)]))
        .await;
    assert_eq!(reason(&fault.unwrap_err()), "INTERNAL");
    instance.stop().await;

    let log = String::from_utf8_lossy(&written.0.lock().unwrap()).into_owned();
    assert!(log.contains("SubmitPurchase"), "requests are logged");
    let rows = rows(&ground).await;
    assert!(rows.iter().any(|row| row.starts_with("purchases:")));
    for trace in traces(&good).into_iter().chain(traces(&wrong)) {
        assert!(!told.contains(&trace), "{told}");
        for row in &rows {
            assert!(!row.contains(&trace), "{row}");
        }
        for line in log.lines() {
            assert!(!line.contains(&trace), "{line}");
        }
    }
}

/// Whoever reads the fingerprint could try every PIN: it must not depend on it.
#[tokio::test]
async fn a_fingerprint_tells_nothing_of_the_card() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let shop = ground.shop(&instance).await;
    for (key, code, pin) in [("one", "AAAA-1", "1111"), ("two", "BBBB-2", "2222")] {
        let card = Card {
            code: code.to_owned(),
            pin: pin.to_owned(),
            ..ground.card(&shop, 1).await
        };
        shop.client
            .submit(key, purchase("", [by_card(&card, 1)]))
            .await
            .unwrap_err();
    }
    let fingerprints: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT fingerprint FROM idempotency_keys WHERE rpc = 'SubmitPurchase'")
            .fetch_all(&mut ground.owner().await)
            .await
            .unwrap();
    assert_eq!(fingerprints.len(), 2);
    assert_eq!(fingerprints[0], fingerprints[1]);
}
