//! What happened at one merchant, another one never learns.

use tonic::Code;

use crate::{
    records::{earn, onboarded, transaction},
    support::{Client, Ground, reason},
};

#[tokio::test]
async fn figures_are_their_merchants_alone() {
    let ground = Ground::with_topics().await;
    let instance = ground.start().await;
    let (ours, theirs) = (instance.merchant(), instance.merchant());
    let at = "2026-06-01T22:00:00Z";
    let mut all = transaction(ours.merchant, at, earn(7));
    all.push(onboarded(ours.merchant, "Asia/Tokyo"));
    // In the same quarter hour, which is of another day in UTC.
    all.extend(transaction(theirs.merchant, "2026-06-01T22:00:01Z", earn(1)));
    ground.told(all).await;

    let found = ours.year().await;
    assert_eq!((found.days.len(), found.days[0].day.as_str()), (1, "2026-06-02"));
    assert_eq!(
        (found.days[0].transactions, found.days[0].assets[0].points_given),
        (1, 7)
    );
    let foreign = theirs.year().await;
    assert_eq!(
        (foreign.days.len(), foreign.days[0].day.as_str()),
        (1, "2026-06-01")
    );
    assert_eq!(
        (
            foreign.days[0].transactions,
            foreign.days[0].assets[0].points_given
        ),
        (1, 1)
    );
    // Neither the other's time zone nor how far its events have come.
    assert_eq!(foreign.time_zone, "UTC");
    assert_ne!(foreign.as_of, found.as_of);
    let file = theirs.export("2026-01-01", "2026-12-31").await.unwrap();
    assert!(!String::from_utf8(file.data).unwrap().contains("2026-06-02"));
    let (_, json) = theirs
        .get("/v1/daily-figures?fromDay=2026-06-02&toDay=2026-06-03")
        .await;
    assert_eq!(json["days"], serde_json::json!([]));

    // The platform's operator sees the merchant that they act for.
    assert_eq!(instance.operator(ours.merchant).year().await, found);
}

#[tokio::test]
async fn nobody_reads_without_a_token_or_its_scope() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let nobody = Client::from(client.as_nobody());
    let till = Client::from(client.with_scopes(["ledger.transactions.read"]));
    for (client, code, expected) in [
        (&nobody, Code::Unauthenticated, "UNAUTHENTICATED"),
        (&till, Code::PermissionDenied, "PERMISSION_DENIED"),
    ] {
        let list = client.list("2026-01-01", "2026-01-02").await.unwrap_err();
        let export = client.export("2026-01-01", "2026-01-02").await.unwrap_err();
        for refused in [list, export] {
            assert_eq!((refused.code(), reason(&refused).as_str()), (code, expected));
        }
    }
    let reader = Client::from(client.with_scopes(["analytics.figures.read"]));
    assert!(reader.list("2026-01-01", "2026-01-02").await.is_ok());
    assert!(reader.export("2026-01-01", "2026-01-02").await.is_ok());
    for path in ["", ":export"] {
        let (status, _) = nobody
            .get(&format!(
                "/v1/daily-figures{path}?fromDay=2026-01-01&toDay=2026-01-02"
            ))
            .await;
        assert_eq!(status, 401);
    }
}
