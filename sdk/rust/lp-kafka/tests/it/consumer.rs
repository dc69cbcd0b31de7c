use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use lp_kafka::{Event, HandleError, Handler, MIGRATOR, TransactionalProducer};
use lp_pg::UnitOfWork;

use crate::support::{Ground, record, until};

const APPLIED: &str = "consumer_events_total{outcome=\"applied\",topic=\"things.happened.v1\"}";
const DEAD_LETTER: &str = "consumer_events_total{outcome=\"dead_letter\",topic=\"things.happened.v1\"}";
const DUPLICATE: &str = "consumer_events_total{outcome=\"duplicate\",topic=\"things.happened.v1\"}";

/// Writes each event to `effects`, and then may fail.
struct Effects {
    fails: fn(attempt: usize) -> Option<HandleError>,
    attempts: AtomicUsize,
    committed: Arc<AtomicUsize>,
}

impl Effects {
    fn new(fails: fn(usize) -> Option<HandleError>) -> Self {
        Self {
            fails,
            attempts: AtomicUsize::new(0),
            committed: Arc::default(),
        }
    }
}

impl Handler for Effects {
    async fn handle(&self, work: &mut UnitOfWork, event: &Event) -> Result<(), HandleError> {
        sqlx::query("INSERT INTO effects (id) VALUES ($1)")
            .bind(&event.id)
            .execute(&mut **work)
            .await?;
        (self.fails)(self.attempts.fetch_add(1, Ordering::SeqCst)).map_or(Ok(()), Err)
    }

    async fn committed(&self, _event: &Event) {
        self.committed.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_redelivered_event_has_one_effect() {
    let ground = Ground::with_effects(&[&MIGRATOR]).await;
    let mut producer = TransactionalProducer::start(&ground.kafka, "p").await.unwrap();
    producer
        .publish(vec![record("1", "a"), record("1", "a"), record("2", "a")])
        .await
        .unwrap();
    producer
        .publish(vec![record("1", "a"), record("3", "a")])
        .await
        .unwrap();

    let handler = Effects::new(|_| None);
    let committed = handler.committed.clone();
    let mut consumer = ground.consume("svc-thing.test", handler);
    until("five records are done", async || {
        committed.load(Ordering::SeqCst) == 5
    })
    .await;
    consumer.stop().await;
    assert_eq!(ground.effects().await, ["1", "2", "3"]);
    assert_eq!(consumer.metric(APPLIED), Some(3));
    assert_eq!(consumer.metric(DUPLICATE), Some(2));
}

#[tokio::test]
async fn a_failed_attempt_leaves_nothing() {
    let ground = Ground::with_effects(&[&MIGRATOR]).await;
    let mut producer = TransactionalProducer::start(&ground.kafka, "p").await.unwrap();
    producer
        .publish(vec![record("1", "a"), record("2", "a")])
        .await
        .unwrap();

    // The first two attempts write and fail. Had they left an effect, there would be two; an inbox row: none.
    let fails = |attempt| (attempt < 2).then(|| lp_error::Error::internal("not yet").into());
    let mut consumer = ground.consume("svc-thing.test", Effects::new(fails));
    until("both", async || ground.count("inbox").await == 2).await;
    consumer.stop().await;
    assert_eq!(ground.effects().await, ["1", "2"]);
}

#[tokio::test]
async fn a_panic_is_a_failed_attempt() {
    let ground = Ground::with_effects(&[&MIGRATOR]).await;
    let mut producer = TransactionalProducer::start(&ground.kafka, "p").await.unwrap();
    producer.publish(vec![record("1", "a")]).await.unwrap();
    let fails = |attempt| {
        if attempt == 0 {
            panic!("as the test wants")
        } else {
            None
        }
    };
    let mut consumer = ground.consume("svc-thing.test", Effects::new(fails));
    until("the event", async || ground.count("inbox").await == 1).await;
    consumer.stop().await;
    assert_eq!(ground.effects().await, ["1"]);
}

#[tokio::test]
async fn a_stop_commits_offsets() {
    let ground = Ground::with_effects(&[&MIGRATOR]).await;
    let mut producer = TransactionalProducer::start(&ground.kafka, "p").await.unwrap();
    let keys = ["a", "b", "c", "d", "e"];
    let first = (0..100)
        .map(|n| record(&format!("first-{n}"), keys[n % 5]))
        .collect();
    producer.publish(first).await.unwrap();
    let mut consumer = ground.consume("svc-thing.test", Effects::new(|_| None));
    until("some", async || ground.count("inbox").await > 10).await;
    consumer.stop().await;

    producer
        .publish(
            (0..10)
                .map(|n| record(&format!("second-{n}"), keys[n % 5]))
                .collect(),
        )
        .await
        .unwrap();
    let mut consumer = ground.consume("svc-thing.test", Effects::new(|_| None));
    until("all", async || ground.count("inbox").await == 110).await;
    consumer.stop().await;
    assert_eq!(ground.effects().await.len(), 110);
    assert_eq!(consumer.metric(DUPLICATE), None, "offsets were not committed");
}

#[tokio::test]
async fn a_killed_consumer_is_replaced() {
    let ground = Ground::with_effects(&[&MIGRATOR]).await;
    let mut producer = TransactionalProducer::start(&ground.kafka, "p").await.unwrap();
    producer
        .publish((0..300).map(|n| record(&n.to_string(), &n.to_string())).collect())
        .await
        .unwrap();
    let mut killed = ground.consume("svc-thing.test", Effects::new(|_| None));
    until("some", async || ground.count("inbox").await > 10).await;
    killed.kill().await;
    let mut consumer = ground.consume("svc-thing.test", Effects::new(|_| None));
    until("all", async || ground.count("inbox").await == 300).await;
    consumer.stop().await;
    assert_eq!(ground.effects().await.len(), 300);
}

#[tokio::test]
async fn lost_connections_lose_nothing() {
    let ground = Ground::with_effects(&[&MIGRATOR]).await;
    let mut producer = TransactionalProducer::start(&ground.kafka, "p").await.unwrap();
    producer
        .publish((0..600).map(|n| record(&n.to_string(), &n.to_string())).collect())
        .await
        .unwrap();
    let mut consumer = ground.consume("svc-thing.test", Effects::new(|_| None));
    let mut session = ground.database.session().await.unwrap();
    let all_done = async || {
        let end_the_others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                              WHERE usename = current_user AND pid <> pg_backend_pid()";
        sqlx::query(end_the_others).execute(&mut session).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM inbox")
            .fetch_one(&mut session)
            .await
            .unwrap();
        count == 600
    };
    until("all", all_done).await;
    consumer.stop().await;
    // The pool believes in a connection for a second after its last use, and the last ones were ended.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(ground.effects().await.len(), 600);
    assert_eq!(consumer.metric(DEAD_LETTER), None);
}

#[tokio::test]
async fn partitions_move_between_members_without_loss() {
    let ground = Ground::with_effects(&[&MIGRATOR]).await;
    let mut producer = TransactionalProducer::start(&ground.kafka, "p").await.unwrap();
    let keys: Vec<String> = (0..12).map(|n| format!("key-{n}")).collect();
    let mut batches = 0;
    let mut publish = async || {
        let records = (0..240).map(|n| {
            let key = &keys[n % keys.len()];
            record(&format!("{key}/{:08}", batches * 1_000 + n), key)
        });
        producer.publish(records.collect()).await.unwrap();
        batches += 1;
    };
    publish().await;
    let mut first = ground.consume("svc-thing.test", Effects::new(|_| None));
    until("the first works", async || ground.count("inbox").await > 0).await;
    let mut second = ground.consume("svc-thing.test", Effects::new(|_| None));
    publish().await;
    let joined = async || {
        publish().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        second.metric(APPLIED).is_some()
    };
    until("the second works", joined).await;
    first.stop().await;
    publish().await;
    let published = i64::try_from(batches * 240).unwrap();
    until("all", async || ground.count("inbox").await == published).await;
    second.stop().await;

    let mut by_key: HashMap<String, Vec<String>> = HashMap::new();
    for id in ground.effects().await {
        by_key
            .entry(id.split_once('/').unwrap().0.to_owned())
            .or_default()
            .push(id);
    }
    assert_eq!(by_key.len(), keys.len());
    for ids in by_key.values() {
        assert!(ids.is_sorted(), "order was lost: {ids:?}");
    }
    let effects = by_key.values().map(Vec::len).sum::<usize>();
    assert_eq!(i64::try_from(effects).unwrap(), published);
}

#[tokio::test]
async fn the_lag_falls_to_nothing() {
    let ground = Ground::with_effects(&[&MIGRATOR]).await;
    let mut producer = TransactionalProducer::start(&ground.kafka, "p").await.unwrap();
    producer
        .publish((0..9).map(|n| record(&n.to_string(), &n.to_string())).collect())
        .await
        .unwrap();
    let mut consumer = ground.consume("svc-thing.test", Effects::new(|_| None));
    until("all", async || ground.count("inbox").await == 9).await;
    let lag = |n| {
        consumer.metric(&format!(
            "consumer_lag{{partition=\"{n}\",topic=\"things.happened.v1\"}}"
        ))
    };
    until("no lag", async || (0..3).all(|n| lag(n) == Some(0))).await;
    consumer.stop().await;
}
