use lp_outbox::{MIGRATOR, append};
use lp_pg::Failure;

use crate::{event, support::Ground};

#[tokio::test]
async fn each_event_keeps_its_keys_and_its_place() {
    let ground = Ground::new(&[&MIGRATOR]).await;
    let mut work = ground.database.begin().await.unwrap();
    append(&mut work, &[]).await.unwrap();
    let events = [
        event("1", &["a", "b, {\"c\"}"]),
        event("2", &["d"]),
        event("3", &["a", "e", ""]),
    ];
    append(&mut work, &events).await.unwrap();
    let rows: Vec<(String, Vec<String>, Vec<u8>)> =
        sqlx::query_as("SELECT event_id, keys, payload FROM outbox ORDER BY id")
            .fetch_all(&mut *work)
            .await
            .unwrap();
    for (row, event) in rows.iter().zip(&events) {
        assert_eq!(
            *row,
            (event.event_id.clone(), event.keys.clone(), event.payload.clone())
        );
    }
    assert_eq!(rows.len(), 3);
}

#[tokio::test]
async fn what_cannot_be_published_is_refused() {
    let ground = Ground::new(&[&MIGRATOR]).await;
    let mut too_large = event("1", &["a"]);
    too_large.payload = vec![7; 900_001];
    for bad in [event("1", &[]), too_large] {
        let mut work = ground.database.begin().await.unwrap();
        let refused = append(&mut work, &[event("0", &["a"]), bad]).await.unwrap_err();
        assert_eq!(refused.failure(), Failure::BadData);
    }
}
