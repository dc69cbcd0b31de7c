use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use lp_kafka::{Event, HandleError, Handler, MIGRATOR, TransactionalProducer};
use lp_pg::UnitOfWork;
use rdkafka::{
    ClientConfig, Message,
    consumer::{BaseConsumer, Consumer as _},
    message::{Header, Headers, OwnedHeaders, OwnedMessage},
    producer::{FutureProducer, FutureRecord},
};

use crate::support::{Ground, PATIENCE, Seen, TOPIC, record, until};

const RETRIES: &str = "consumer_retries_total{topic=\"things.happened.v1\"}";

fn raw_producer(ground: &Ground) -> FutureProducer {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", &ground.kafka.kafka_brokers)
        .set("partitioner", "murmur2_random");
    settings.create().unwrap()
}

/// The dead letters, each with its headers as text.
async fn dead_letters(ground: &Ground, count: usize) -> Vec<(OwnedMessage, Vec<(String, String)>)> {
    let config = ground.kafka.clone();
    let read = move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &config.kafka_brokers)
            .set("group.id", format!("{}dead", config.kafka_prefix))
            .set("auto.offset.reset", "earliest")
            .create()
            .unwrap();
        consumer
            .subscribe(&[&format!("{}{TOPIC}.dlt", config.kafka_prefix)])
            .unwrap();
        let (started, mut letters) = (Instant::now(), Vec::new());
        while letters.len() < count {
            assert!(
                started.elapsed() < PATIENCE,
                "{} of {count} dead letters",
                letters.len()
            );
            let Some(letter) = consumer.poll(Duration::from_secs(1)) else {
                continue;
            };
            let letter = letter.unwrap().detach();
            let text = |h: Header<'_, &[u8]>| {
                (
                    h.key.to_owned(),
                    String::from_utf8(h.value.unwrap().to_vec()).unwrap(),
                )
            };
            let headers = letter.headers().unwrap().iter().map(text).collect();
            letters.push((letter, headers));
        }
        letters
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

fn header<'h>(headers: &'h [(String, String)], name: &str) -> &'h str {
    &headers
        .iter()
        .find(|(key, _)| key == name)
        .unwrap_or_else(|| panic!("no {name} in {headers:?}"))
        .1
}

#[derive(Default)]
struct RefusesPoison(Seen);

impl Handler for RefusesPoison {
    async fn handle(&self, work: &mut UnitOfWork, event: &Event) -> Result<(), HandleError> {
        if event.id == "poison" {
            return Err(HandleError::Poison("the skull on the label".into()));
        }
        self.0.handle(work, event).await
    }
}

#[tokio::test]
async fn poison_goes_to_the_dead_letters_and_the_rest_goes_on() {
    let ground = Ground::new(&[&MIGRATOR]).await;
    let topic = format!("{}{TOPIC}", ground.kafka.kafka_prefix);
    let mut producer = TransactionalProducer::start(&ground.kafka, "p").await.unwrap();
    let raw = raw_producer(&ground);
    producer
        .publish(vec![record("1", "a"), record("poison", "a")])
        .await
        .unwrap();
    let no_headers = FutureRecord::to(&topic).key("a").payload("no event");
    raw.send(no_headers, Duration::from_secs(10)).await.unwrap();
    let headers = OwnedHeaders::new().insert(Header {
        key: "ce_id",
        value: Some("x"),
    });
    let nothing: FutureRecord<'_, str, str> = FutureRecord::to(&topic).key("a").headers(headers);
    raw.send(nothing, Duration::from_secs(10)).await.unwrap();
    producer.publish(vec![record("2", "a")]).await.unwrap();

    let handler = RefusesPoison::default();
    let seen = handler.0.clone();
    let mut consumer = ground.consume("svc-thing.test", handler);
    until("the rest", async || seen.ids_of("a").len() == 2).await;
    consumer.stop().await;
    assert_eq!(seen.ids_of("a"), ["1", "2"]);
    let buried =
        consumer.metric("consumer_events_total{outcome=\"dead_letter\",topic=\"things.happened.v1\"}");
    assert_eq!(buried, Some(3));
    assert_eq!(ground.count("inbox").await, 2, "a dead letter may be replayed");

    let letters = dead_letters(&ground, 3).await;
    let (poison, headers) = &letters[0];
    assert_eq!(
        (poison.key(), poison.payload()),
        (Some(&b"a"[..]), Some(&b"payload"[..]))
    );
    assert_eq!(header(headers, "ce_id"), "poison");
    assert_eq!(header(headers, "dlt_reason"), "the skull on the label");
    assert_eq!(header(headers, "dlt_topic"), topic);
    assert_eq!(
        header(headers, "dlt_partition"),
        seen.events()[0].partition.to_string()
    );
    assert_eq!(header(headers, "dlt_offset"), "1");
    assert_eq!(header(headers, "dlt_attempts"), "1");
    assert_eq!(header(headers, "dlt_consumer"), "svc-thing.test");
    let (no_event, headers) = &letters[1];
    assert_eq!(no_event.payload(), Some(&b"no event"[..]));
    assert_eq!(header(headers, "dlt_reason"), "ce_specversion is missing");
    assert_eq!(header(headers, "dlt_attempts"), "0");
    let (nothing, headers) = &letters[2];
    assert_eq!((nothing.payload(), header(headers, "ce_id")), (None, "x"));
}

/// Fails for the first event as `error` says, `times` times.
struct FailsFirst {
    seen: Seen,
    left: AtomicUsize,
    error: fn() -> HandleError,
}

impl Handler for FailsFirst {
    async fn handle(&self, work: &mut UnitOfWork, event: &Event) -> Result<(), HandleError> {
        let left = |left: usize| left.checked_sub(1);
        if event.id == "1"
            && self
                .left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, left)
                .is_ok()
        {
            return Err((self.error)());
        }
        self.seen.handle(work, event).await
    }
}

#[tokio::test]
async fn what_is_away_is_waited_for() {
    let ground = Ground::new(&[&MIGRATOR]).await;
    let mut producer = TransactionalProducer::start(&ground.kafka, "p").await.unwrap();
    producer
        .publish(vec![record("1", "a"), record("2", "a"), record("3", "b")])
        .await
        .unwrap();
    let seen = Seen::default();
    let mut consumer = ground.consume(
        "svc-thing.test",
        FailsFirst {
            seen: seen.clone(),
            // More than the attempts that a fault of ours has.
            left: AtomicUsize::new(10),
            error: || lp_error::Error::unavailable("svc-other").into(),
        },
    );
    until("both of one key", async || seen.ids_of("a").len() == 2).await;
    consumer.stop().await;
    assert_eq!(seen.ids_of("a"), ["1", "2"], "its own partition waited");
    assert_eq!(seen.events()[0].id, "3", "another partition did not");
    assert_eq!(consumer.metric(RETRIES), Some(10));
}

#[tokio::test]
async fn a_fault_that_stays_goes_to_the_dead_letters() {
    let ground = Ground::new(&[&MIGRATOR]).await;
    let mut producer = TransactionalProducer::start(&ground.kafka, "p").await.unwrap();
    producer
        .publish(vec![record("1", "a"), record("2", "a")])
        .await
        .unwrap();
    let seen = Seen::default();
    let mut consumer = ground.consume(
        "svc-thing.test",
        FailsFirst {
            seen: seen.clone(),
            left: AtomicUsize::new(usize::MAX),
            error: || sqlx::Error::RowNotFound.into(),
        },
    );
    until("the second", async || seen.ids_of("a").len() == 1).await;
    consumer.stop().await;
    assert_eq!(seen.ids_of("a"), ["2"]);
    let letters = dead_letters(&ground, 1).await;
    assert_eq!(header(&letters[0].1, "dlt_attempts"), "8");
    assert!(header(&letters[0].1, "dlt_reason").contains("no rows returned"));
}

#[tokio::test]
async fn a_stop_does_not_wait_for_what_is_away() {
    let ground = Ground::new(&[&MIGRATOR]).await;
    let mut producer = TransactionalProducer::start(&ground.kafka, "p").await.unwrap();
    producer.publish(vec![record("1", "a")]).await.unwrap();
    let (seen, error) = (Seen::default(), || {
        lp_error::Error::unavailable("svc-other").into()
    });
    let fails = || FailsFirst {
        seen: seen.clone(),
        left: AtomicUsize::new(usize::MAX),
        error,
    };
    let mut consumer = ground.consume("svc-thing.test", fails());
    until("tried", async || consumer.metric(RETRIES).is_some()).await;
    consumer.stop().await;
    assert_eq!(ground.count("inbox").await, 0);

    let mut consumer = ground.consume("svc-thing.test", seen.clone());
    until("handled after all", async || seen.ids_of("a").len() == 1).await;
    consumer.stop().await;
}
