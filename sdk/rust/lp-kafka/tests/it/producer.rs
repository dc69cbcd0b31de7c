use lp_kafka::{MIGRATOR, TransactionalProducer};

use crate::support::{Ground, Seen, record, until};

#[tokio::test]
async fn a_replaced_producer_is_fenced() {
    let ground = Ground::new(&[&MIGRATOR]).await;
    let mut first = TransactionalProducer::start(&ground.kafka, "svc-thing-relay")
        .await
        .unwrap();
    first.publish(vec![record("1", "a")]).await.unwrap();
    let mut second = TransactionalProducer::start(&ground.kafka, "svc-thing-relay")
        .await
        .unwrap();

    let refused = first.publish(vec![record("late", "a")]).await.unwrap_err();
    assert!(refused.to_string().contains("fenced"), "{refused}");
    second.publish(vec![record("2", "a")]).await.unwrap();

    let seen = Seen::default();
    let mut consumer = ground.consume("svc-thing.test", seen.clone());
    until("both", async || seen.ids_of("a").len() == 2).await;
    consumer.stop().await;
    assert_eq!(seen.ids_of("a"), ["1", "2"]);
}

#[tokio::test]
async fn a_refused_record_takes_its_transaction_along() {
    let ground = Ground::new(&[&MIGRATOR]).await;
    let mut producer = TransactionalProducer::start(&ground.kafka, "svc-thing-relay")
        .await
        .unwrap();
    let mut large = record("large", "a");
    large.payload = vec![7; 2_000_000].into();
    producer.publish(vec![record("1", "a"), large]).await.unwrap_err();

    let mut producer = TransactionalProducer::start(&ground.kafka, "svc-thing-relay")
        .await
        .unwrap();
    producer.publish(vec![record("2", "a")]).await.unwrap();
    let seen = Seen::default();
    let mut consumer = ground.consume("svc-thing.test", seen.clone());
    until("the second", async || seen.events().len() == 1).await;
    consumer.stop().await;
    assert_eq!(seen.ids_of("a"), ["2"]);
}
