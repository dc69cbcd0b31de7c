//! The figures as a file.

use serde_json::json;

use crate::{
    records::{
        Credit, Customer, Debit, Issuance, burn, earn, entry, onboarded, redeem_card, sell_card, transaction,
    },
    support::{Client, Ground},
};

const HEADER: &str = "day,transactions,asset_code,exponent,points_given,points_spent,cards_sold,cards_sold_amount,\
                      cards_redeemed,cards_redeemed_amount\r\n";

/// Status, content type and bytes over REST.
async fn download(client: &Client, query: &str) -> (u16, String, Vec<u8>) {
    let url = format!("{}/v1/daily-figures:export?{query}", client.base);
    let answer = client.signed("", client.http.get(url)).send().await.unwrap();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    (
        answer.status().as_u16(),
        kind,
        answer.bytes().await.unwrap().to_vec(),
    )
}

#[tokio::test]
async fn the_file_is_exactly_this() {
    let ground = Ground::with_topics().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let other = [
        entry(Issuance, Debit, 5, ("A_1", 8)),
        entry(Customer, Credit, 5, ("A_1", 8)),
    ]
    .to_vec();
    let all = [
        (
            "2026-06-01T12:00:00Z",
            [earn(120), sell_card(5_000), other].concat(),
        ),
        ("2026-06-01T12:00:00Z", burn(50)),
        // In Paris it is the next day.
        ("2026-06-01T22:00:00Z", redeem_card(1_234)),
    ];
    let mut all = all
        .map(|(at, entries)| transaction(client.merchant, at, entries))
        .concat();
    all.push(onboarded(client.merchant, "Europe/Paris"));
    ground.told(all).await;

    let wanted = format!(
        "{HEADER}2026-06-01,2,A_1,8,5,0,0,0,0,0\r\n2026-06-01,2,EUR,2,0,0,1,5000,0,0\r\n\
         2026-06-01,2,PTS,0,120,50,0,0,0,0\r\n2026-06-02,1,EUR,2,0,0,0,0,1,1234\r\n"
    );
    let file = client.export("2026-01-01", "2026-12-31").await.unwrap();
    assert_eq!(file.content_type, "text/csv; charset=utf-8");
    assert_eq!(String::from_utf8(file.data).unwrap(), wanted);
    assert!(file.extensions.is_empty());
    let (status, kind, bytes) = download(&client, "fromDay=2026-01-01&toDay=2026-12-31").await;
    assert_eq!((status, kind.as_str()), (200, "text/csv; charset=utf-8"));
    assert_eq!(String::from_utf8(bytes).unwrap(), wanted);

    let (_, _, one) = download(&client, "fromDay=2026-06-02&toDay=2026-06-02").await;
    assert_eq!(
        String::from_utf8(one).unwrap(),
        format!("{HEADER}2026-06-02,1,EUR,2,0,0,0,0,1,1234\r\n")
    );
}

#[tokio::test]
async fn a_file_of_nothing_has_its_header() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let (status, kind, bytes) = download(&client, "fromDay=2026-01-01&toDay=2026-01-01").await;
    assert_eq!((status, kind.as_str()), (200, "text/csv; charset=utf-8"));
    assert_eq!(String::from_utf8(bytes).unwrap(), HEADER);
}

#[tokio::test]
async fn a_refusal_is_no_file() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let (status, kind, _) = download(&client, "fromDay=2026-01-02&toDay=2026-01-01").await;
    assert_eq!((status, kind.as_str()), (400, "application/problem+json"));
}

#[tokio::test]
async fn the_document_says_that_it_is_a_file() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let document = instance
        .http
        .get(format!("{}/openapi.json", instance.base))
        .send()
        .await
        .unwrap();
    let document: serde_json::Value = document.json().await.unwrap();
    let export = &document["paths"]["/v1/daily-figures:export"]["get"];
    assert_eq!(
        export["responses"]["200"]["content"],
        json!({"*/*": {"schema": {"type": "string", "format": "binary"}}})
    );
}

#[tokio::test]
async fn the_same_as_json() {
    let ground = Ground::with_topics().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    ground
        .told(transaction(client.merchant, "2026-06-01T12:00:00.5Z", earn(120)))
        .await;
    let (status, answer) = client
        .get("/v1/daily-figures?fromDay=2026-01-01&toDay=2026-12-31")
        .await;
    assert_eq!(status, 200);
    assert_eq!(
        answer,
        json!({
            "days": [{
                "day": "2026-06-01",
                "transactions": "1",
                "assets": [{
                    "assetCode": "PTS",
                    "exponent": 0,
                    "pointsGiven": "120",
                    "pointsSpent": "0",
                    "cardsSold": "0",
                    "cardsSoldAmount": "0",
                    "cardsRedeemed": "0",
                    "cardsRedeemedAmount": "0",
                }],
            }],
            "timeZone": "UTC",
            "asOf": "2026-06-01T12:00:00.500Z",
        })
    );
}
