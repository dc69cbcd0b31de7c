//! What every Kafka client here has in common.

use std::{borrow::Cow, error::Error};

use lp_config::Kafka;
use rdkafka::ClientConfig;

/// A failure of Kafka or of its client: what was tried, and why it failed.
#[derive(Debug, thiserror::Error)]
#[error("{tried}: {cause}")]
pub struct KafkaError {
    tried: Cow<'static, str>,
    cause: Box<dyn Error + Send + Sync>,
}

impl KafkaError {
    pub(crate) fn new(
        tried: impl Into<Cow<'static, str>>,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            tried: tried.into(),
            cause: cause.into(),
        }
    }
}

/// For `map_err`: names what was tried.
pub(crate) fn failed<E: Into<Box<dyn Error + Send + Sync>>>(
    tried: &'static str,
) -> impl FnOnce(E) -> KafkaError {
    move |cause| KafkaError::new(tried, cause)
}

/// The settings of every client.
pub(crate) fn settings(config: &Kafka, client_id: &str) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", &config.kafka_brokers)
        .set("client.id", client_id)
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.max.ms", "2000");
    settings
}

/// The settings of every producer: acknowledged by all replicas in sync, in order, without duplicates.
pub(crate) fn producer_settings(config: &Kafka, client_id: &str) -> ClientConfig {
    let mut settings = settings(config, client_id);
    settings
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", "10000")
        .set("linger.ms", "1")
        .set("compression.type", "zstd")
        // The partitioner of the Java client, so that other tools agree on where a key lives.
        .set("partitioner", "murmur2_random");
    settings
}

/// Drops a client in a thread of its own: its destructor waits for the network, and a thread of the runtime's
/// pool would hold up the process's end.
pub(crate) fn drop_in_thread<T: Send + 'static>(client: T) {
    // Where no thread can be had, the closure is dropped here, and the client with it.
    let _ = std::thread::Builder::new()
        .name("kafka-drop".into())
        .spawn(move || drop(client));
}
