use std::time::Duration;

use lp_config::Kafka;
use lp_kafka::{Leg, TransactionalProducer};
use lp_outbox::{Relay, Wake, append};
use lp_telemetry::Metrics;

use crate::{
    event,
    support::{Ground, Running, Seen, until},
};

async fn ground() -> Ground {
    Ground::new(&[&lp_kafka::MIGRATOR, &lp_outbox::MIGRATOR]).await
}

fn relay(ground: &Ground, kafka: &Kafka) -> (Running, Wake) {
    let metrics = Metrics::new();
    let relay = Relay::new(ground.database.clone(), kafka.clone(), "svc-thing", &metrics);
    let wake = relay.handle();
    (Running::start(metrics, |cancel| relay.run(cancel)), wake)
}

fn leads(relay: &Running) -> bool {
    relay.metric("outbox_relay_leader") == Some(1)
}

#[tokio::test]
async fn what_commits_is_published() {
    let ground = ground().await;
    let (mut relay, wake) = relay(&ground, &ground.kafka);
    let seen = Seen::default();
    let mut consumer = ground.consume("svc-thing.test", seen.clone());

    let mut both = event("txn_1", &["acc_a", "acc_b"]);
    both.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
    let mut work = ground.database.begin().await.unwrap();
    append(&mut work, &[both.clone(), event("txn_2", &["acc_a"])])
        .await
        .unwrap();
    work.commit().await.unwrap();
    wake.wake();
    until("three records", async || seen.events().len() == 3).await;
    until("the outbox is empty", async || ground.count("outbox").await == 0).await;
    consumer.stop().await;
    relay.stop().await;

    assert_eq!(seen.ids_of("acc_a"), ["txn_1:acc_a", "txn_2:acc_a"]);
    assert_eq!(seen.ids_of("acc_b"), ["txn_1:acc_b"]);
    let events = seen.events();
    let legs = ["txn_1:acc_a", "txn_1:acc_b"].map(|id| events.iter().find(|e| e.id == id).unwrap());
    for (leg, index) in legs.into_iter().zip(1..) {
        assert_eq!(leg.leg, Leg { index, count: 2 });
        assert_eq!((&*leg.event_type, &*leg.source), (both.event_type, "svc-thing"));
        assert_eq!((leg.merchant, leg.occurred_at), (both.merchant, both.occurred_at));
        assert_eq!(
            (leg.payload.to_vec(), &leg.traceparent),
            (both.payload.clone(), &both.traceparent)
        );
    }
}

#[tokio::test]
async fn what_rolls_back_is_not_published() {
    let ground = ground().await;
    let (mut relay, wake) = relay(&ground, &ground.kafka);
    let seen = Seen::default();
    let mut consumer = ground.consume("svc-thing.test", seen.clone());
    let mut work = ground.database.begin().await.unwrap();
    append(&mut work, &[event("rolled-back", &["a"])]).await.unwrap();
    drop(work);
    let mut work = ground.database.begin().await.unwrap();
    append(&mut work, &[event("committed", &["a"])]).await.unwrap();
    work.commit().await.unwrap();
    wake.wake();
    until("the committed one", async || !seen.events().is_empty()).await;
    consumer.stop().await;
    relay.stop().await;
    assert_eq!(seen.ids_of("a"), ["committed:a"]);
}

#[tokio::test]
async fn a_late_lower_id_is_not_skipped() {
    let ground = ground().await;
    let (mut relay, wake) = relay(&ground, &ground.kafka);
    let seen = Seen::default();
    let mut consumer = ground.consume("svc-thing.test", seen.clone());
    let mut early = ground.database.begin().await.unwrap();
    append(&mut early, &[event("lower-id", &["a"])]).await.unwrap();
    let mut late = ground.database.begin().await.unwrap();
    append(&mut late, &[event("higher-id", &["b"])]).await.unwrap();
    late.commit().await.unwrap();
    wake.wake();
    until("the higher id is gone", async || seen.events().len() == 1).await;
    until("its row too", async || ground.count("outbox").await == 0).await;
    early.commit().await.unwrap();
    until("the lower id follows", async || seen.events().len() == 2).await;
    consumer.stop().await;
    relay.stop().await;
    assert_eq!(seen.events()[1].id, "lower-id:a");
}

#[tokio::test]
async fn a_killed_leader_is_replaced() {
    let ground = ground().await;
    let seen = Seen::default();
    let mut consumer = ground.consume("svc-thing.test", seen.clone());
    let database = ground.database.clone();
    let writer = tokio::spawn(async move {
        for n in 0..300 {
            let mut work = database.begin().await.unwrap();
            append(&mut work, &[event(&format!("{n:03}"), &["a", "b"])])
                .await
                .unwrap();
            work.commit().await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let (mut leader, _) = relay(&ground, &ground.kafka);
    until("the first leads", async || leads(&leader)).await;
    let mut seen_before = 0;
    for _ in 0..3 {
        let (next, _) = relay(&ground, &ground.kafka);
        until("it publishes", async || seen.events().len() > seen_before).await;
        assert!(leads(&leader) && !leads(&next), "one leads");
        leader.kill().await;
        until("the other leads", async || leads(&next)).await;
        seen_before = seen.events().len();
        leader = next;
    }
    writer.await.unwrap();
    until("everything is published", async || {
        ground.count("outbox").await == 0
    })
    .await;
    until("everything is seen", async || seen.events().len() >= 600).await;
    consumer.stop().await;
    leader.stop().await;
    for key in ["a", "b"] {
        // What was published twice is kept from the handler by the inbox.
        let expected: Vec<_> = (0..300).map(|n| format!("{n:03}:{key}")).collect();
        assert_eq!(seen.ids_of(key), expected);
    }
}

#[tokio::test]
async fn a_leader_without_its_session_is_replaced() {
    let ground = ground().await;
    let (mut relay, wake) = relay(&ground, &ground.kafka);
    until("it leads", async || leads(&relay)).await;
    let mut other = ground.database.session().await.unwrap();
    let ended: i64 = sqlx::query_scalar(
        "WITH holder AS (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 7206
                         AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
         SELECT count(pg_terminate_backend(pid)) FROM holder",
    )
    .fetch_one(&mut other)
    .await
    .unwrap();
    assert_eq!(ended, 1);
    let mut work = ground.database.begin().await.unwrap();
    append(&mut work, &[event("1", &["a"])]).await.unwrap();
    work.commit().await.unwrap();
    wake.wake();
    until("it took the lease anew and published", async || {
        ground.count("outbox").await == 0
    })
    .await;
    assert_eq!(relay.metric("outbox_failures_total"), Some(1));
    relay.stop().await;
}

#[tokio::test]
async fn a_fenced_relay_keeps_its_rows_and_begins_anew() {
    let ground = ground().await;
    let (mut relay, wake) = relay(&ground, &ground.kafka);
    until("it leads", async || leads(&relay)).await;
    let _usurper = TransactionalProducer::start(&ground.kafka, "svc-thing-relay")
        .await
        .unwrap();
    let mut work = ground.database.begin().await.unwrap();
    append(&mut work, &[event("1", &["a"])]).await.unwrap();
    work.commit().await.unwrap();
    wake.wake();
    let seen = Seen::default();
    let mut consumer = ground.consume("svc-thing.test", seen.clone());
    until("it is published", async || seen.events().len() == 1).await;
    consumer.stop().await;
    relay.stop().await;
    assert_eq!(relay.metric("outbox_failures_total"), Some(1));
}

#[tokio::test]
async fn rows_wait_while_kafka_is_away() {
    let ground = ground().await;
    // Nobody listens there.
    let away = Kafka {
        kafka_brokers: "127.0.0.1:1".into(),
        ..ground.kafka.clone()
    };
    let (mut lost, wake) = relay(&ground, &away);
    for n in 0..700 {
        let mut work = ground.database.begin().await.unwrap();
        append(&mut work, &[event(&format!("{n:03}"), &["a"])])
            .await
            .unwrap();
        work.commit().await.unwrap();
        wake.wake();
    }
    let counted =
        async || lost.metric("outbox_rows") == Some(700) && lost.metric("outbox_failures_total").is_some();
    until("the failure and the backlog are measured", counted).await;
    lost.stop().await;
    assert_eq!(ground.count("outbox").await, 700);

    let seen = Seen::default();
    let mut consumer = ground.consume("svc-thing.test", seen.clone());
    let (mut relay, _) = relay(&ground, &ground.kafka);
    until("all", async || seen.events().len() == 700).await;
    relay.stop().await;
    consumer.stop().await;
    assert_eq!(
        seen.ids_of("a"),
        (0..700).map(|n| format!("{n:03}:a")).collect::<Vec<_>>()
    );
}
