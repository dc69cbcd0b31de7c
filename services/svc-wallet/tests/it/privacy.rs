//! A contact is kept in one place, and printed nowhere.

use lp_contracts::topics::WALLET_BALANCE_UPDATED;
use sqlx::AssertSqlSafe;
use svc_wallet::{
    application::create_wallet::NewWallet,
    infrastructure::postgres::customers::{Contact, Language},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};
use url::Url;

use crate::{
    ledger::position,
    records::{Publisher, Reader},
    support::{EMAIL, Ground, wanted},
};

#[test]
fn a_contact_does_not_print() {
    let contact = Contact {
        email: Some(EMAIL.to_owned()),
        language: Language::French,
        messages_allowed: true,
    };
    let new = NewWallet {
        customer_reference: "c-1".to_owned().try_into().unwrap(),
        asset: "PTS".to_owned().try_into().unwrap(),
        contact: contact.clone(),
    };
    for text in [
        format!("{contact:?}"),
        format!("{contact:#?}"),
        format!("{new:?}"),
    ] {
        assert!(!text.contains("claire") && !text.contains("exemple"), "{text}");
    }
}

#[tokio::test]
async fn settings_print_without_passwords() {
    let ground = Ground::new().await;
    let mut config = ground.config();
    let place = "127.0.0.1:6379";
    config.valkey.valkey_url = format!("redis://user:hunter2@{place}").parse().unwrap();
    config.common.database.database_url = format!("postgres://app:hunter2@{place}/x").parse().unwrap();
    config.common.database.database_direct_url =
        Some(format!("postgres://app:hunter2@{place}/x").parse().unwrap());
    let text = format!("{config:?} {config:#?}");
    assert!(text.contains(place) && !text.contains("hunter2"), "{text}");
}

/// Every row of every table of the schema, as text: bytes in hexadecimal and as they read.
async fn rows(ground: &Ground) -> Vec<(String, String)> {
    let mut owner = ground.owner().await;
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'wallet'")
            .fetch_all(&mut owner)
            .await
            .unwrap();
    assert!(tables.len() > 5, "{tables:?}");
    let mut rows = Vec::new();
    for table in tables {
        let statement = AssertSqlSafe(format!("SELECT t::text FROM {table} t"));
        let found: Vec<String> = sqlx::query_scalar(statement).fetch_all(&mut owner).await.unwrap();
        rows.extend(found.into_iter().map(|row| (table.clone(), row)));
    }
    rows
}

/// One line of Valkey's answer, without its end.
async fn line(answers: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    answers.read_line(&mut line).await.unwrap();
    line.trim_end().to_owned()
}

/// Every key of the ground in Valkey, with its value.
async fn cached(ground: &Ground) -> Vec<String> {
    let url = Url::parse(ground.valkey.valkey_url.expose()).unwrap();
    let address = (url.host_str().unwrap().to_owned(), url.port().unwrap_or(6379));
    let mut valkey = BufReader::new(TcpStream::connect(address).await.unwrap());
    let ask = format!("KEYS {}*\r\n", ground.valkey.valkey_prefix);
    valkey.get_mut().write_all(ask.as_bytes()).await.unwrap();
    let count: usize = line(&mut valkey)
        .await
        .strip_prefix('*')
        .unwrap()
        .parse()
        .unwrap();
    let mut keys = Vec::new();
    for _ in 0..count {
        line(&mut valkey).await;
        keys.push(line(&mut valkey).await);
    }
    let mut cached = Vec::new();
    for key in keys {
        let ask = format!("GET {key}\r\n");
        valkey.get_mut().write_all(ask.as_bytes()).await.unwrap();
        line(&mut valkey).await;
        cached.push(format!("{key} {}", line(&mut valkey).await));
    }
    cached
}

#[tokio::test]
async fn an_address_stands_among_the_customers_and_nowhere_else() {
    let ground = Ground::with_topics().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let wallet = client.open("c-1").await;
    // A refusal is stored too.
    client.create("second", wanted("c-1")).await.unwrap_err();
    let mut publisher = Publisher::start(&ground).await;
    let updates = Reader::start(&ground, WALLET_BALANCE_UPDATED);
    publisher
        .post(client.merchant, &wallet.account_id, position(1))
        .await;
    client.reaches(&wallet.wallet_id, 1).await;
    let events = updates
        .until("the wallet's record", |event| event.key == wallet.wallet_id)
        .await;

    let hex: String = EMAIL.bytes().map(|byte| format!("{byte:02x}")).collect();
    let tells = |text: &str| text.contains(EMAIL) || text.contains(&hex);
    let (customers, others): (Vec<_>, Vec<_>) = rows(&ground)
        .await
        .into_iter()
        .partition(|(table, _)| table == "customers");
    assert_eq!(customers.iter().filter(|(_, row)| tells(row)).count(), 1);
    for (table, row) in others {
        assert!(!tells(&row), "{table}: {row}");
    }
    for event in events {
        let payload = String::from_utf8_lossy(&event.payload).into_owned();
        assert!(!tells(&payload) && !tells(&format!("{event:?}")), "{payload}");
    }
    let cached = cached(&ground).await;
    assert!(
        cached
            .iter()
            .any(|entry| entry.contains(&wallet.wallet_id) && entry.contains("\"balance\":10")),
        "{cached:?}"
    );
    assert!(!cached.iter().any(|entry| tells(entry)), "{cached:?}");
}
