//! Where records go that cannot be handled.

use std::time::Duration;

use lp_config::Kafka;
use rdkafka::{
    Message,
    message::{BorrowedHeaders, BorrowedMessage, Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use tokio::sync::OnceCell;

use crate::client::{KafkaError, drop_in_thread, failed, producer_settings};

/// The topic that takes what cannot be handled of `topic`.
pub(crate) fn topic_of(topic: &str) -> String {
    format!("{topic}.dlt")
}

/// Publishes to dead letter topics. Connects on first use.
pub(crate) struct DeadLetters {
    config: Kafka,
    consumer: String,
    producer: OnceCell<FutureProducer>,
}

impl DeadLetters {
    pub(crate) fn new(config: Kafka, consumer: String) -> Self {
        Self {
            config,
            consumer,
            producer: OnceCell::new(),
        }
    }

    /// Publishes `message` as it came, with why and whence in headers, and waits for the acknowledgement.
    pub(crate) async fn publish(
        &self,
        message: &BorrowedMessage<'_>,
        reason: &str,
        attempts: u32,
    ) -> Result<(), KafkaError> {
        let connect = async || producer_settings(&self.config, &self.consumer).create();
        let producer: &FutureProducer = self
            .producer
            .get_or_try_init(connect)
            .await
            .map_err(failed("the dead letter producer"))?;
        let headers = message
            .headers()
            .map_or_else(OwnedHeaders::new, BorrowedHeaders::detach);
        let headers = [
            ("dlt_reason", reason),
            ("dlt_topic", message.topic()),
            ("dlt_partition", &message.partition().to_string()),
            ("dlt_offset", &message.offset().to_string()),
            ("dlt_attempts", &attempts.to_string()),
            ("dlt_consumer", &self.consumer),
        ]
        .into_iter()
        .fold(headers, |headers, (key, value)| {
            headers.insert(Header {
                key,
                value: Some(value),
            })
        });
        let topic = topic_of(message.topic());
        let mut record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&topic).headers(headers);
        record.key = message.key();
        record.payload = message.payload();
        let sent = producer.send(record, Duration::from_secs(5)).await;
        sent.map(drop)
            .map_err(|(error, _)| KafkaError::new(format!("publishing to {topic}"), error))
    }
}

impl Drop for DeadLetters {
    fn drop(&mut self) {
        if let Some(producer) = self.producer.take() {
            drop_in_thread(producer);
        }
    }
}
